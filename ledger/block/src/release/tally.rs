//! How updates to a release ended: counted by one gateway, and added up over all. Pure.

/// Devices one gateway may count for a release: what it enrols, and itself.
pub const DEVICES_MAX: u32 = 10_001;

/// When failures stop a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureLimits {
    /// Below so many finished updates one failure says little, unless all failed.
    pub tried_min: u32,
    /// More than so many per cent of the finished updates failed: halt.
    pub failed_percent_max: u8,
}

impl FailureLimits {
    /// What the log goes by, and every gateway. Another number would be another version of the state machine.
    pub const USUAL: Self = Self { tried_min: 5, failed_percent_max: 10 };
}

impl Default for FailureLimits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// How updates to one release ended, on the devices of one gateway or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// The new image proved itself.
    pub confirmed: u32,
    /// It did not install, did not start, or the old one came back.
    pub failed: u32,
}

impl Tally {
    /// Finished, well or not.
    pub const fn tried(&self) -> u32 {
        self.confirmed.saturating_add(self.failed)
    }

    /// Whether the release is to be halted. Two failures and no success are enough before `tried_min` is reached.
    pub fn is_too_bad(&self, limits: &FailureLimits) -> bool {
        if self.tried() < limits.tried_min {
            return self.confirmed == 0 && self.failed >= 2;
        }
        u64::from(self.failed) * 100 > u64::from(limits.failed_percent_max) * u64::from(self.tried())
    }

    /// The same of what all gateways have counted together, where one broken device among the first few must not stop what every other
    /// runs well.
    pub fn is_too_bad_together(&self) -> bool {
        self.failed >= 2 && self.is_too_bad(&FailureLimits::USUAL)
    }
}

/// What all gateways have counted of one release, each by its newest tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Added up.
    pub tally: Tally,
    /// Gateways that have counted at all.
    pub gateways: u32,
    /// Those of them that saw it fail.
    pub failing: u32,
}

impl Sum {
    /// With one gateway's tally in place of the one it said before; none before its first.
    #[must_use]
    pub fn with(self, before: Option<Tally>, now: Tally) -> Self {
        let (old, fails) = (before.unwrap_or_default(), |tally: Tally| u32::from(tally.failed > 0));
        let turn = |sum: u32, old: u32, new: u32| sum.saturating_sub(old).saturating_add(new);
        Self {
            tally: Tally {
                confirmed: turn(self.tally.confirmed, old.confirmed, now.confirmed),
                failed: turn(self.tally.failed, old.failed, now.failed),
            },
            gateways: turn(self.gateways, u32::from(before.is_some()), 1),
            failing: turn(self.failing, fails(old), fails(now)),
        }
    }

    /// Whether failures, wherever they came from, pass the limits.
    pub fn is_too_bad(&self) -> bool {
        self.tally.is_too_bad_together()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_is_that_of_the_newest_tallies_whatever_was_said_before(
            said in prop::collection::vec((0usize..5, 0u32..100, 0u32..100), 0..40),
        ) {
            let (mut sum, mut newest) = (Sum::default(), [None::<Tally>; 5]);
            for (gateway, confirmed, failed) in said {
                let now = Tally { confirmed, failed };
                sum = sum.with(newest[gateway], now);
                newest[gateway] = Some(now);
            }
            let said = || newest.iter().flatten();
            prop_assert_eq!(sum.tally.confirmed, said().map(|one| one.confirmed).sum::<u32>());
            prop_assert_eq!(sum.tally.failed, said().map(|one| one.failed).sum::<u32>());
            prop_assert_eq!(sum.gateways as usize, said().count());
            prop_assert_eq!(sum.failing as usize, said().filter(|one| one.failed > 0).count());
        }
    }

    #[test]
    fn failures_that_no_gateway_can_judge_are_too_many_together() {
        let one = Tally { confirmed: 2, failed: 1 };
        assert!(!one.is_too_bad(&FailureLimits::USUAL));
        let sum = (0..20).fold(Sum::default(), |sum, _| sum.with(None, one));
        assert!(sum.is_too_bad());
        assert_eq!((sum.gateways, sum.failing), (20, 20));
    }

    #[test]
    fn one_broken_device_stops_nothing_everywhere() {
        let bad = |confirmed, failed| Tally { confirmed, failed }.is_too_bad_together();
        assert!(!bad(0, 1) && !bad(4, 1) && !bad(8, 1), "whatever its share is");
        assert!(bad(0, 2) && bad(4, 2) && bad(17, 2));
        assert!(!bad(1, 2) && !bad(18, 2));
    }
}
