//! A bound on bytes a second, shared by all who send or all who fetch.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Credit for bytes: pure. May be overdrawn by one taking, which then waits; so a taking larger than the burst still comes
/// through, and nobody starves.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    bytes_per_s: u64,
    /// Bytes of credit at `at_us`, at most one second's worth.
    credit: i128,
    at_us: u64,
}

impl Bucket {
    /// Begins with a quarter of a second's credit.
    pub const fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, credit: bytes_per_s as i128 / 4, at_us: 0 }
    }

    /// Takes so many bytes; gives the microseconds to wait first.
    pub fn take(&mut self, bytes: u64, now_us: u64) -> u64 {
        let earned = i128::from(now_us.saturating_sub(self.at_us)) * i128::from(self.bytes_per_s) / 1_000_000;
        if earned > 0 {
            self.credit = (self.credit + earned).min(i128::from(self.bytes_per_s) / 4);
            self.at_us = now_us;
        }
        self.credit -= i128::from(bytes);
        let owed = (-self.credit).max(0);
        u64::try_from(owed * 1_000_000 / i128::from(self.bytes_per_s.max(1))).unwrap_or(u64::MAX)
    }

    /// Microseconds until all that was taken has passed.
    pub fn owed_us(&mut self, now_us: u64) -> u64 {
        self.take(0, now_us)
    }

    /// Gives back what was taken and never passed.
    pub fn give_back(&mut self, bytes: u64) {
        self.credit += i128::from(bytes);
    }
}

/// A bucket that many tasks wait at.
#[derive(Debug)]
pub struct Pace {
    bucket: Mutex<Bucket>,
    bytes_per_s: u64,
    since: Instant,
}

impl Pace {
    /// So many bytes a second.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bucket: Mutex::new(Bucket::new(bytes_per_s)), bytes_per_s, since: Instant::now() }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A turn for so many bytes, behind all that were promised before; none if those take longer than `wait_max`.
    pub fn turn(self: &Arc<Self>, bytes: u64, wait_max: Duration) -> Option<Turn> {
        let (now_us, mut bucket) = (self.now_us(), self.bucket.lock());
        if u128::from(bucket.owed_us(now_us)) > wait_max.as_micros() {
            return None;
        }
        let ends_us = now_us.saturating_add(bucket.take(bytes, now_us));
        Some(Turn { pace: Arc::clone(self), left: bytes, ends_us })
    }

    /// Waits until so many bytes may pass.
    pub async fn pass(&self, bytes: u64) {
        let wait_us = self.bucket.lock().take(bytes, self.now_us());
        if wait_us > 0 {
            // Who asks and hangs up leaves no debt for the others to wait off.
            let taken = Taken { bucket: &self.bucket, bytes };
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
            std::mem::forget(taken);
        }
    }
}

/// Bytes that pass in pieces, each at its time. Those that never passed are given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    pace: Arc<Pace>,
    left: u64,
    /// When the last of them may pass.
    ends_us: u64,
}

impl Turn {
    /// Waits until the next so many of them may pass.
    pub async fn pass(&mut self, bytes: u64) {
        let after = self.left.saturating_sub(bytes);
        let after_us = u128::from(after) * 1_000_000 / u128::from(self.pace.bytes_per_s.max(1));
        let at_us = self.ends_us.saturating_sub(u64::try_from(after_us).unwrap_or(u64::MAX));
        if at_us > self.pace.now_us() {
            tokio::time::sleep_until(self.pace.since + Duration::from_micros(at_us)).await;
        }
        self.left = after;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pace.bucket.lock().give_back(self.left);
    }
}

struct Taken<'a> {
    bucket: &'a Mutex<Bucket>,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.bucket.lock().give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_order_of_takings_passes_more_than_the_rate(rate in 1_000u64..10_000_000, takes in prop::collection::vec((1u64..200_000, 0u64..500_000), 1..60)) {
            let (mut bucket, mut now, mut passed, mut last) = (Bucket::new(rate), 0u64, 0u64, 0u64);
            for (bytes, pause) in takes {
                now += pause;
                last = last.max(now + bucket.take(bytes, now));
                passed += bytes;
            }
            let most = u128::from(rate) / 2 + u128::from(rate) * u128::from(last + 60) / 1_000_000 + 60;
            prop_assert!(u128::from(passed) <= most, "{passed} of {most}");
        }
    }

    #[tokio::test]
    async fn a_turn_passes_piece_by_piece_and_nobody_is_promised_what_comes_too_late() {
        const SOON: Duration = Duration::from_secs(2);
        let pace = Arc::new(Pace::new(1_000));
        let mut first = pace.turn(10_000, SOON).unwrap();
        assert!(first.pass(200).now_or_never().is_some(), "a quarter of a second's worth passes at once");
        assert!(first.pass(1_000).now_or_never().is_none(), "the rest at its time");
        assert!(pace.turn(1, SOON).is_none(), "behind that it would come in ten seconds");
        drop(first);
        let second = pace.turn(10_000, SOON);
        assert!(second.is_some(), "whoever hangs up leaves no debt");
    }

    #[tokio::test]
    async fn who_hangs_up_while_it_waits_leaves_no_debt() {
        let pace = Pace::new(1_000);
        for _ in 0..100 {
            assert!(pace.pass(1_000_000).now_or_never().is_none(), "it has to wait");
        }
        let owed_us = pace.bucket.lock().take(1_000, 0);
        assert!(owed_us <= 1_000_000, "{owed_us}");
    }
}
