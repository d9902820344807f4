//! When a stream was interrupted.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The most gaps remembered of one input; a count says at most that many.
pub const GAPS_MAX: usize = 64;

/// The latest gaps of one input, each with the event time at which it became known: a gap told late is known when it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps(VecDeque<i64>);

impl Gaps {
    /// A stream that had readings was interrupted.
    pub fn note(&mut self, time: i64) {
        if self.0.len() >= GAPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// Whether there was one.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// The clock was set back: times of before mean nothing now.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many became known within a span (microseconds) that ends now, both ends included.
    pub fn within(&self, span: i64, now: i64) -> usize {
        self.0.iter().filter(|time| now.saturating_sub(**time) <= span).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_within_a_span_and_bounded() {
        let mut gaps = Gaps::default();
        (0..10).for_each(|time| gaps.note(time * 10));
        assert_eq!((gaps.within(20, 90), gaps.within(1_000, 90), gaps.within(5, 100)), (3, 10, 0));
        (10..1_000).for_each(|time| gaps.note(time * 10));
        assert_eq!(gaps.within(i64::MAX, 10_000), GAPS_MAX);
    }

    #[test]
    fn one_from_long_ago_hides_none_of_those_before_it() {
        let mut gaps = Gaps::default();
        [90, 95, 10].into_iter().for_each(|time| gaps.note(time));
        assert_eq!(gaps.within(20, 100), 2);
    }
}
