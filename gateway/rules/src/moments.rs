//! What a rule remembers by name from call to call: how long something has held, how often it began, what came before what.
//!
//! Event time only. A condition is looked at whenever the script asks, which is at most once a reading.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The most names one rule uses.
pub const NAMES_MAX: usize = 16;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 32;
/// The most beginnings remembered of one name; a count says at most that many.
pub const TIMES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Moment {
    /// It holds since then.
    Held(Option<i64>),
    /// Whether it held when last asked, and when it began to.
    Times(bool, VecDeque<i64>),
    /// When the first of two last held.
    Sequence(Option<i64>),
}

/// The moments of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments(Vec<(String, Moment)>);

impl Moments {
    /// The moment of a name, or `fresh`. `Err` says why there is none.
    fn of(&mut self, name: &str, fresh: Moment) -> Result<&mut Moment, String> {
        let at = match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => at,
            None if name.is_empty() || name.len() > NAME_BYTES_MAX => {
                return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
            }
            None if self.0.len() >= NAMES_MAX => {
                return Err(format!("there are {NAMES_MAX} names already; write each as a text of its own"));
            }
            None => {
                self.0.push((name.to_owned(), fresh.clone()));
                self.0.len() - 1
            }
        };
        match self.0.get_mut(at) {
            Some((_, moment)) if std::mem::discriminant(moment) == std::mem::discriminant(&fresh) => Ok(moment),
            _ => Err(format!("\"{name}\" is used by another helper already")),
        }
    }

    /// Whether `holds` was true whenever it was asked for `span` microseconds.
    pub fn held(&mut self, name: &str, span: i64, holds: bool, now: i64) -> Result<bool, String> {
        let Moment::Held(since) = self.of(name, Moment::Held(None))? else { return Ok(false) };
        *since = if holds { since.or(Some(now)) } else { None };
        Ok(since.is_some_and(|since| now.saturating_sub(since) >= span))
    }

    /// How often `holds` became true within a span that ends now. What holds on both sides of a gap began once.
    pub fn times(&mut self, name: &str, span: i64, holds: bool, now: i64) -> Result<usize, String> {
        let Moment::Times(was, began) = self.of(name, Moment::Times(false, VecDeque::new()))? else { return Ok(0) };
        if holds && !*was {
            if began.len() >= TIMES_MAX {
                began.pop_front();
            }
            began.push_back(now);
        }
        *was = holds;
        Ok(began.iter().rev().take_while(|time| now.saturating_sub(**time) <= span).count())
    }

    /// Whether `then` holds and `first` held before, not longer than `span` ago. Both at once is no sequence.
    pub fn sequence(&mut self, name: &str, span: i64, first: bool, then: bool, now: i64) -> Result<bool, String> {
        let Moment::Sequence(last) = self.of(name, Moment::Sequence(None))? else { return Ok(false) };
        let before = last.is_some_and(|last| now.saturating_sub(last) <= span);
        if first {
            *last = Some(now);
        }
        Ok(then && before)
    }

    /// Nothing is known for a while: what held need not have held on.
    pub fn gap(&mut self) {
        for (_, moment) in &mut self.0 {
            if let Moment::Held(since) = moment {
                *since = None;
            }
        }
    }

    /// The clock was set back: times of before mean nothing now.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_long_enough_without_a_gap_is_held() {
        let mut moments = Moments::default();
        let told: Vec<bool> = (0..8).map(|t| moments.held("hot", 3, t != 2, t).unwrap()).collect();
        assert_eq!(told, [false, false, false, false, false, false, true, true]);
        moments.gap();
        assert!(!moments.held("hot", 3, true, 8).unwrap());
        assert!(moments.held("hot", 3, true, 11).unwrap());
    }

    #[test]
    fn a_gap_between_the_two_of_a_sequence_changes_nothing() {
        let mut moments = Moments::default();
        assert!(!moments.sequence("stop", 10, true, false, 1).unwrap());
        moments.gap();
        assert!(moments.sequence("stop", 10, false, true, 8).unwrap());
        assert!(!moments.sequence("stop", 10, false, true, 12).unwrap(), "longer ago than the span");
    }

    #[test]
    fn times_are_counted_when_they_begin_and_a_gap_begins_none() {
        let mut moments = Moments::default();
        let told: Vec<usize> = (0..12).map(|t| moments.times("sprint", 5, t % 3 == 0, t).unwrap()).collect();
        assert_eq!(told, [1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(moments.times("sprint", 100, true, 20), Ok(5));
        moments.gap();
        assert_eq!(moments.times("sprint", 100, true, 21), Ok(5));
        for t in 0..1_000 {
            moments.times("sprint", 1, t % 2 == 0, 100 + t).unwrap();
        }
        assert_eq!(moments.times("sprint", i64::MAX, false, 2_000), Ok(TIMES_MAX));
    }

    #[test]
    fn a_sequence_needs_its_first_before_its_second_and_in_time() {
        let mut moments = Moments::default();
        let mut ask = |first, then, now| moments.sequence("impact then slow", 10, first, then, now).unwrap();
        assert!(!ask(true, true, 0), "both at once");
        assert!(!ask(false, false, 5));
        assert!(ask(false, true, 10));
        assert!(!ask(false, true, 11), "too late");
        assert!(!ask(true, false, 20));
        assert!(ask(true, true, 21), "the first held before, too");
    }

    #[test]
    fn names_are_bounded_and_of_one_helper_each() {
        let mut moments = Moments::default();
        for n in 0..NAMES_MAX {
            moments.held(&format!("{n}"), 1, true, 0).unwrap();
        }
        assert!(moments.held("more", 1, true, 0).is_err());
        assert!(moments.times("0", 1, true, 0).is_err());
        assert!(moments.held("", 1, true, 0).is_err());
        assert!(moments.held(&"x".repeat(33), 1, true, 0).is_err());
    }
}
