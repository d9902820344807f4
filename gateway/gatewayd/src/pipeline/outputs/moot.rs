//! What is given up though nobody refused it: what something newer replaced, and what is left of a step whose time is over.

use pitchside_store::delivery::Written;
use pitchside_store::{Came, DeliveryStepId, StoreError};

use super::trial::Courier;
use crate::blocking;

impl Courier {
    /// Something newer stands where these replace each other: what older steps still wait to bring there, or owe, is moot.
    pub(super) fn give_up_older(&self, than: DeliveryStepId, newest: &[Written]) {
        if newest.is_empty() {
            return;
        }
        let look = || {
            let mut waiting = self.parts.store.requests_waiting(&self.name)?;
            waiting.retain(|(step, _)| step.id < than);
            let mut moot = Vec::new();
            for of_step in waiting.chunk_by(|(one, _), (other, _)| one.id == other.id) {
                let Some((step, _)) = of_step.first() else { continue };
                let written = self.parts.store.requests_of_step(&self.name, step.id)?;
                let waits = |one: &&Written| of_step.iter().any(|(_, number)| *number == one.number);
                let found: Vec<u32> =
                    written.iter().filter(waits).filter(|one| replaced(one, newest)).map(|one| one.number).collect();
                moot.push((step.id, found));
            }
            let mut owed = Vec::new();
            for target in newest.iter().filter_map(|one| one.target) {
                owed.extend(self.parts.store.requests_owed(&self.name, target, than)?);
            }
            Ok::<_, StoreError>((moot, owed))
        };
        match blocking::here(look) {
            Ok((moot, owed)) => {
                moot.into_iter().for_each(|(step, numbers)| self.give_up(step, numbers));
                for (step, number) in owed {
                    self.give_up(step, [number]);
                    // Its step need not be kept for this any more.
                    self.under_way.brings(step);
                }
            }
            // Tried again, it finds that it is not its turn.
            Err(error) => tracing::warn!(plugin = %self.name, %error, "what is moot still waits"),
        }
    }

    /// Writes down that what is left of a step is given up: what of it waits or is owed, or the step as a whole if nothing of it was ever
    /// asked for.
    pub fn give_up_rest(&self, step: DeliveryStepId) -> Result<(), StoreError> {
        let written = blocking::here(|| self.parts.store.requests_of_step(&self.name, step))?;
        let left = written.iter().filter(|one| matches!(one.came, Came::Waits | Came::Owed)).map(|one| one.number);
        let left = left.chain(written.is_empty().then_some(0));
        self.give_up(step, left);
        Ok(())
    }

    /// Writes down that what is owed of a step is asked for no longer: nobody is told of it again.
    pub fn unask_owed(&self, step: DeliveryStepId) -> Result<(), StoreError> {
        let written = blocking::here(|| self.parts.store.requests_of_step(&self.name, step))?;
        let owed = written.into_iter().filter(|one| one.came == Came::Owed);
        self.write_down(step, owed.map(|one| Written { came: Came::Unasked, ..one }).collect());
        Ok(())
    }

    /// Writes down that requests of a step are given up.
    pub fn give_up(&self, step: DeliveryStepId, numbers: impl IntoIterator<Item = u32>) {
        let given_up = |number| Written { number, came: Came::GivenUp, target: None, replaces: false };
        self.write_down(step, numbers.into_iter().map(given_up).collect());
    }
}

/// Whether something newer stands where an older request was to go: numbers are nobody's for good, and count only where it is not
/// written down whom one is for, as a program of before did not.
fn replaced(older: &Written, newest: &[Written]) -> bool {
    newest.iter().any(|one| older.target.map_or(one.number == older.number, |target| one.target == Some(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_replaces_what_waits_for_its_receiver_whatever_the_numbers() {
        let (hall, gate) = (Some([1; 32]), Some([2; 32]));
        let written = |number, came, target| Written { number, came, target, replaces: false };
        let newest = [written(0, Came::Done, hall)];
        for (number, target, expected) in
            [(0, hall, true), (3, hall, true), (0, gate, false), (0, None, true), (3, None, false)]
        {
            let older = written(number, Came::Waits, target);
            assert_eq!(replaced(&older, &newest), expected, "{number} {target:?}");
        }
    }
}
