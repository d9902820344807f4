//! Who may come to wait: so many requests of each receiver, and so many in all. A receiver that is away for long takes no other's place.

use std::collections::BTreeMap;

use pitchside_script::output::request::REQUESTS_MAX;
use pitchside_store::delivery::{Target, WAITING_MAX};

/// The most requests of one output that wait for one receiver.
const TARGET_MAX: usize = WAITING_MAX as usize / REQUESTS_MAX;

/// What waits of one output, receiver by receiver.
pub(super) struct Places {
    of: BTreeMap<Target, usize>,
    all: usize,
}

impl Places {
    /// As the record says.
    pub fn beside(waiting: &[(Option<Target>, u32)]) -> Self {
        let all = waiting.iter().map(|(_, count)| *count as usize).sum();
        let of = waiting.iter().filter_map(|(target, count)| target.map(|target| (target, *count as usize))).collect();
        Self { of, all }
    }

    /// Whether something waits for a receiver.
    pub fn waits(&self, target: &Target) -> bool {
        self.of.contains_key(target)
    }

    /// Another request for a receiver comes to wait, if it may.
    pub fn take(&mut self, target: Target) -> bool {
        if self.all >= WAITING_MAX as usize {
            return false;
        }
        let waiting = self.of.entry(target).or_insert(0);
        let is_free = *waiting < TARGET_MAX;
        if is_free {
            *waiting += 1;
            self.all += 1;
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Target = [1; 32];
    const OTHER: Target = [2; 32];

    #[test]
    fn a_receiver_that_is_away_takes_no_more_than_its_own_places() {
        let mut places = Places::beside(&[(Some(DEAD), 30), (None, 5)]);
        assert!(places.waits(&DEAD) && !places.waits(&OTHER));
        assert_eq!((0..40).filter(|_| places.take(DEAD)).count(), 2);
        assert_eq!((0..40).filter(|_| places.take(OTHER)).count(), 32);
    }

    #[test]
    fn no_more_wait_in_all_than_may() {
        let all: Vec<(Option<Target>, u32)> = (0..8).map(|receiver| (Some([receiver; 32]), 32)).collect();
        let mut places = Places::beside(&all);
        assert!(!places.take([9; 32]) && !places.waits(&[9; 32]), "nothing is taken");
        let mut places = Places::beside(&all[1..]);
        assert!(places.take([9; 32]));
    }
}
