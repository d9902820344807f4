//! Entry bundles (C2SP tlog-tiles): entries one after another, each behind its length in two bytes, big endian.

/// Appends one entry; false if it is too long for a bundle.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle; none if its lengths do not add up.
pub fn entries(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut rest, mut found) = (bundle, Vec::new());
    while let [high, low, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (entry, after) = body.split_at_checked(length)?;
        found.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bundles_read_back(given in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let mut bundle = Vec::new();
            for entry in &given {
                prop_assert!(push(&mut bundle, entry));
            }
            let read: Vec<Vec<u8>> = entries(&bundle).unwrap().into_iter().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, given);
        }

        #[test]
        fn garbage_never_panics(bundle in prop::collection::vec(any::<u8>(), 0..200)) {
            let _maybe = entries(&bundle);
        }
    }
}
