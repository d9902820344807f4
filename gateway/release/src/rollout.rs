//! Who gets a release when: cohorts that only grow, and the point at which failures stop it, which the log shares. Pure.

use hmac::{Hmac, KeyInit as _, Mac as _};
use ledger_block::ingest::Cohort;
use ledger_block::release::ReleaseId;
pub use ledger_block::release::{FailureLimits, Sum, Tally};
use sha2::Sha256;

/// Where a device stands in a release's queue, from 0 to 2^64 - 1: the first 8 bytes, big endian, of HMAC-SHA256 (RFC 2104)
/// with the release's name as key over the device's name. Each release draws its own order, so that no device is always
/// the first to try; nobody who cannot choose the release's name can choose the place.
pub fn place(release: &ReleaseId, device: &str) -> u64 {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&release.0) else { return u64::MAX };
    mac.update(device.as_bytes());
    let tag: [u8; 32] = mac.finalize().into_bytes().into();
    tag.first_chunk::<8>().map_or(u64::MAX, |first| u64::from_be_bytes(*first))
}

/// Whether the device is among the first so many per cent: `place * 100 < percent * 2^64`. Whoever is in a cohort is in
/// every wider one.
pub fn is_in(release: &ReleaseId, device: &str, cohort: Cohort) -> bool {
    u128::from(place(release, device)) * 100 < u128::from(cohort.percent()) << 64
}

/// Whether a box that went back from a release stops it for everybody: while it is being tried, on a hundredth or a tenth of all
/// boxes. There are few then, so nobody sees two failures; later a single box that is broken itself says nothing of a release
/// that others run well.
pub const fn one_box_stops(widest: Cohort) -> bool {
    !matches!(widest, Cohort::All)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whoever_is_in_a_cohort_is_in_every_wider_one(release in any::<[u8; 32]>(), device in "[a-z0-9-]{1,20}") {
            let within = Cohort::STEPS.map(|cohort| is_in(&ReleaseId(release), &device, cohort));
            prop_assert!(!within[0] && within[3], "none at 0 per cent, all at 100");
            prop_assert!(within.windows(2).all(|pair| pair[0] <= pair[1]), "{within:?}");
        }

        #[test]
        fn more_failures_never_mend_a_release(confirmed in 0u32..50, failed in 0u32..50) {
            let limits = FailureLimits::default();
            let bad = |confirmed, failed| Tally { confirmed, failed }.is_too_bad(&limits);
            // While few have tried, one success answers for two failures.
            let few = confirmed + failed < limits.tried_min;
            prop_assert!(few || !bad(confirmed, failed) || bad(confirmed, failed + 1));
            prop_assert!(!bad(confirmed, 0));
        }
    }

    #[test]
    fn a_cohort_holds_about_its_share_and_each_release_another_one() {
        let devices: Vec<String> = (0..10_000).map(|n| format!("strap-{n}")).collect();
        let cohort = |release: u8| -> Vec<&String> {
            devices.iter().filter(|device| is_in(&ReleaseId([release; 32]), device, Cohort::Ten)).collect()
        };
        let (first, second) = (cohort(1), cohort(2));
        assert!((900..1_100).contains(&first.len()), "{}", first.len());
        let both = first.iter().filter(|device| second.contains(device)).count();
        assert!(both < 200, "{both} of {} would always be first", first.len());
    }

    #[test]
    fn one_box_stops_what_is_being_tried_and_not_what_is_out() {
        assert_eq!(Cohort::STEPS.map(one_box_stops), [true, true, true, false]);
    }

    #[test]
    fn failures_stop_a_rollout_early_or_by_their_share() {
        let limits = FailureLimits { tried_min: 10, failed_percent_max: 10 };
        for (confirmed, failed, halt) in [
            (0, 0, false),
            (0, 1, false),
            (0, 2, true),
            (1, 2, false),
            (9, 1, false),
            (8, 2, true),
            (90, 10, false),
            (89, 11, true),
        ] {
            assert_eq!(Tally { confirmed, failed }.is_too_bad(&limits), halt, "{confirmed} well, {failed} failed");
        }
    }
}
