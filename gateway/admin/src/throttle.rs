//! Token buckets: how often somebody may guess. Bounded in memory, with time as an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// How many at once, and how long one takes to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Attempts at once.
    pub burst: u32,
    /// Time for one attempt to come back.
    pub refill: Duration,
}

/// Buckets by key.
#[derive(Debug)]
pub struct Throttle<K> {
    rate: Rate,
    keys_max: usize,
    /// When the key's bucket will be full again. One instant says all about a bucket.
    full_at: HashMap<K, Instant>,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    /// Buckets for at most `keys_max` keys.
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys_max, full_at: HashMap::new() }
    }

    /// Takes one token; or says how long to wait for one.
    pub fn take(&mut self, key: &K, now: Instant) -> Result<(), Duration> {
        let capacity = self.rate.refill * self.rate.burst;
        let full_at = self.full_at.get(key).copied().unwrap_or(now).max(now) + self.rate.refill;
        let missing = full_at.duration_since(now);
        if missing > capacity {
            return Err(missing - capacity);
        }
        if !self.full_at.contains_key(key) && self.full_at.len() >= self.keys_max {
            self.make_room(now)?;
        }
        self.full_at.insert(key.clone(), full_at);
        Ok(())
    }

    /// Gives the token back, because it was no guess.
    pub fn refund(&mut self, key: &K) {
        if let Some(full_at) = self.full_at.get_mut(key) {
            *full_at -= self.rate.refill;
        }
    }

    /// Forgets the buckets that are full again. If none is, newcomers wait: forgetting a busy one would let whoever
    /// sends from many addresses wipe out the memory of their own guesses.
    fn make_room(&mut self, now: Instant) -> Result<(), Duration> {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.keys_max {
            return Ok(());
        }
        Err(self.full_at.values().min().map_or(self.rate.refill, |soonest| soonest.duration_since(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, refill: Duration::from_secs(10) };

    #[test]
    fn a_burst_then_one_per_refill() {
        let mut throttle = Throttle::new(RATE, 8);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(throttle.take(&"a", start), Ok(()));
        }
        assert_eq!(throttle.take(&"a", start), Err(Duration::from_secs(10)));
        assert_eq!(throttle.take(&"b", start), Ok(()), "others are not held up");
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.take(&"a", later), Ok(()));
        assert!(throttle.take(&"a", later).is_err());
        throttle.refund(&"a");
        assert_eq!(throttle.take(&"a", later), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_busy_keys_are_not_forgotten() {
        let mut throttle = Throttle::new(RATE, 2);
        let start = Instant::now();
        assert_eq!(throttle.take(&1, start), Ok(()));
        assert_eq!(throttle.take(&2, start), Ok(()));
        assert_eq!(throttle.take(&3, start), Err(Duration::from_secs(10)));
        assert_eq!(throttle.take(&3, start + Duration::from_secs(10)), Ok(()));
    }
}
