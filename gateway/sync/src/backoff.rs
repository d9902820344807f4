//! How long to wait after a failure: twice as long each time, up to a bound, with jitter, so that a hundred gateways do
//! not return in the same moment.

use std::time::Duration;

/// Bounds of the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After many.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after so many failures in a row (0 for the first): between half of `first * 2^failures` and the whole, at
    /// most `most`. `random` is any uniform number.
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        let half = whole / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_nanos(random % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_wait_grows_to_its_bound_and_no_further(failures in any::<u32>(), random in any::<u64>()) {
            let backoff = Backoff::default();
            let delay = backoff.delay(failures, random);
            prop_assert!(delay >= backoff.first / 2 && delay <= backoff.most);
            if failures >= 9 {
                prop_assert!(delay >= backoff.most / 2);
            }
            if failures < 8 {
                prop_assert!(delay <= backoff.first * (1 << failures));
            }
        }
    }
}
