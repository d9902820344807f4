//! How much goes into one block: less, when it turns out to be too much.

use pitchside_model::Entry;
use pitchside_seal::{NoKey, SealError, Whose};

/// Why nothing came of an attempt to seal.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// No block holds all of this; less may do.
    TooMuch(SealError),
    /// Something else, that less would not mend.
    Failed(anyhow::Error),
}

impl From<SealError> for Unsealed {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Payload(_) | SealError::Segment { .. } => Self::TooMuch(error),
            SealError::NoKey(NoKey(Whose::Athlete(athlete))) => Self::Failed(anyhow::anyhow!(
                "there is no key for athlete {athlete}, and nothing is sealed before there is one: `pitchside athlete add {athlete}` makes it, or a restart for an athlete who is known"
            )),
            SealError::NoKey(_) | SealError::Header(_) => Self::Failed(error.into()),
        }
    }
}

impl From<anyhow::Error> for Unsealed {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Takes a smaller bite: rows without alerts first, then half as many; false if there is one thing left. What is left out
/// is still unsealed, and its turn comes next.
pub(super) fn smaller<R, S>(rows: &mut Vec<R>, steps: &mut Vec<S>) -> bool {
    if !rows.is_empty() && !steps.is_empty() {
        steps.clear();
        return true;
    }
    let many = rows.len().max(steps.len()) > 1;
    rows.truncate(rows.len().div_ceil(2));
    steps.truncate(steps.len().div_ceil(2));
    many
}

/// Seals one row's entries in as many parts as it takes, in order. Entries that no block can hold even alone are passed over
/// and returned.
pub(super) fn divide<'a>(
    entries: &'a [Entry],
    seal: &mut dyn FnMut(&'a [Entry]) -> Result<(), Unsealed>,
) -> anyhow::Result<Vec<(&'a Entry, SealError)>> {
    match seal(entries) {
        Ok(()) => Ok(Vec::new()),
        Err(Unsealed::Failed(error)) => Err(error),
        Err(Unsealed::TooMuch(why)) => match entries {
            [] => Err(why.into()),
            [entry] => Ok(vec![(entry, why)]),
            _ => {
                let (first, rest) = entries.split_at(entries.len() / 2);
                let mut left = divide(first, seal)?;
                left.extend(divide(rest, seal)?);
                Ok(left)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_block::payload::PayloadError;
    use pitchside_model::{Assurance, DeviceId, Epoch, Seq};
    use proptest::prelude::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            device: DeviceId::parse("strap-1").unwrap(),
            athlete: None,
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(seq),
            readings: Vec::new(),
        }
    }

    #[test]
    fn a_bite_grows_smaller_until_there_is_one_thing_in_it() {
        let (mut rows, mut steps) = (vec![0; 5], vec![0; 3]);
        let mut sizes = Vec::new();
        while smaller(&mut rows, &mut steps) {
            sizes.push((rows.len(), steps.len()));
        }
        assert_eq!(sizes, [(5, 0), (3, 0), (2, 0), (1, 0)]);
        let (mut rows, mut steps) = (Vec::<u8>::new(), vec![0; 2]);
        assert!(smaller(&mut rows, &mut steps) && !smaller(&mut rows, &mut steps));
        assert_eq!(steps.len(), 1);
    }

    #[test]
    fn what_is_no_matter_of_size_is_not_tried_in_parts() {
        let entries = [entry(0), entry(1)];
        let mut tries = 0;
        let result = divide(&entries, &mut |_| {
            tries += 1;
            Err(Unsealed::Failed(anyhow::anyhow!("no key")))
        });
        assert!(result.is_err());
        assert_eq!(tries, 1);
    }

    proptest! {
        #[test]
        fn every_entry_is_sealed_once_in_order_or_named(
            sizes in proptest::collection::vec(1usize..12, 1..40), max in 5usize..40
        ) {
            let entries: Vec<Entry> = (0..sizes.len()).map(|at| entry(at as u64)).collect();
            let size = |part: &[Entry]| part.iter().map(|entry| sizes[entry.seq.0 as usize]).sum::<usize>();
            let mut sealed = Vec::new();
            let left = divide(&entries, &mut |part| {
                if size(part) > max {
                    return Err(SealError::Payload(PayloadError::TooLarge).into());
                }
                sealed.extend(part.iter().map(|entry| entry.seq.0));
                Ok(())
            }).unwrap();
            let left: Vec<u64> = left.iter().map(|(entry, _)| entry.seq.0).collect();
            prop_assert!(left.iter().all(|at| sizes[*at as usize] > max));
            prop_assert!(sealed.is_sorted());
            let mut all = [sealed, left].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..entries.len() as u64).collect::<Vec<_>>());
        }
    }
}
