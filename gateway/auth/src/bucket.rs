//! Token buckets: one at a time, by link, and by any key in a table of fixed size.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::Mutex;
use pitchside_model::{LinkId, Timestamp};

use crate::limits::Rate;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Microseconds of credit; one token costs `refill_ms`.
    credit_us: i64,
    at: Timestamp,
}

impl Bucket {
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Self { credit_us: Self::most(rate), at: now }
    }

    fn most(rate: Rate) -> i64 {
        i64::from(rate.burst) * Self::cost(rate)
    }

    fn cost(rate: Rate) -> i64 {
        i64::from(rate.refill_ms) * 1_000
    }

    /// Takes a token; false if there is none. A clock that jumps back costs nothing, one that jumps ahead fills it.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> bool {
        let elapsed = now.micros_since(self.at).max(0);
        self.at = now;
        self.credit_us = self.credit_us.saturating_add(elapsed).min(Self::most(rate));
        let enough = self.credit_us >= Self::cost(rate);
        if enough {
            self.credit_us -= Self::cost(rate);
        }
        enough
    }

    /// Puts back a token that was taken and did no harm.
    pub fn give_back(&mut self, rate: Rate) {
        self.credit_us = self.credit_us.saturating_add(Self::cost(rate)).min(Self::most(rate));
    }
}

/// One bucket a link.
pub(crate) struct Links {
    rate: Rate,
    links_max: usize,
    buckets: Mutex<HashMap<LinkId, Bucket>>,
}

impl Links {
    pub fn new(rate: Rate, links_max: usize) -> Self {
        Self { rate, links_max, buckets: Mutex::default() }
    }

    /// False if the link has used up its credit, or there is no room to remember it.
    pub fn take(&self, link: LinkId, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= self.links_max && !buckets.contains_key(&link) {
            return false;
        }
        buckets.entry(link).or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now)
    }

    pub fn forget(&self, link: LinkId) {
        self.buckets.lock().remove(&link);
    }
}

/// Buckets by name or any other key, known or not: a fixed table under a secret hash, so that made-up keys cost no memory.
/// Two keys may share a bucket; then they share its rate.
pub(crate) struct Keyed {
    rate: Rate,
    hasher: RandomState,
    buckets: Box<[Mutex<Option<Bucket>>]>,
}

const KEYS: usize = 4_096;

impl Keyed {
    pub fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), buckets: (0..KEYS).map(|_| Mutex::default()).collect() }
    }

    pub fn take(&self, key: impl Hash, now: Timestamp) -> bool {
        self.of(key).lock().get_or_insert_with(|| Bucket::full(self.rate, now)).take(self.rate, now)
    }

    pub fn give_back(&self, key: impl Hash) {
        if let Some(bucket) = &mut *self.of(key).lock() {
            bucket.give_back(self.rate);
        }
    }

    fn of(&self, key: impl Hash) -> &Mutex<Option<Bucket>> {
        &self.buckets[self.hasher.hash_one(key) as usize % KEYS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, refill_ms: 100 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let at = Timestamp::from_millis;
        let mut bucket = Bucket::full(RATE, at(0));
        assert_eq!([0, 0, 0, 0, 99].map(|ms| bucket.take(RATE, at(ms))), [true, true, true, false, false]);
        assert!(bucket.take(RATE, at(100)));
        assert!(!bucket.take(RATE, at(50)), "a clock that steps back gives nothing");
        assert_eq!([0; 4].map(|_| bucket.take(RATE, at(100_000))), [true, true, true, false]);
        bucket.give_back(RATE);
        assert_eq!([0; 2].map(|_| bucket.take(RATE, at(100_000))), [true, false]);
        (0..9).for_each(|_| bucket.give_back(RATE));
        assert_eq!([0; 4].map(|_| bucket.take(RATE, at(100_000))), [true, true, true, false], "no more than it holds");
    }

    #[test]
    fn links_are_forgotten_when_they_close_and_never_too_many() {
        let links = Links::new(RATE, 2);
        let now = Timestamp(0);
        assert!(links.take(LinkId(1), now) && links.take(LinkId(2), now));
        assert!(!links.take(LinkId(3), now), "no room");
        links.forget(LinkId(1));
        assert!(links.take(LinkId(3), now));
    }
}
