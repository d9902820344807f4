//! From a condition that holds or does not to an alert that is raised and cleared.
//!
//! ```text
//!          holds                held `hold` long
//!   Idle --------> Pending ----------------------> Raised
//!    ^  <--------     | gap, or no longer holds      | has not held `clear_after` long (never, with `latch`)
//!    |                v                              v
//!    +------------- Idle <---- `cool_down` over --- Cooling
//! ```
//! An alert that was raised ten times within ten minutes clears only after a quiet minute ([`Pulse`]).
//! A gap ends a hold; it never clears: missing data must not look normal. A clock that is set back ends a hold and a cool-down.

use std::collections::VecDeque;

use pitchside_model::{AlertId, Timestamp};
use serde::{Deserialize, Serialize};

/// How long things must last, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The condition must hold so long before the alert is raised.
    pub hold: i64,
    /// It must not hold so long before the alert is cleared.
    pub clear_after: i64,
    /// After clearing, nothing is raised so long.
    pub cool_down: i64,
    /// A raised alert stays until it is reset.
    pub latch: bool,
}

/// Where one state of a rule stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing holds.
    #[default]
    Idle,
    /// The condition holds since then, not yet long enough.
    Pending(Timestamp),
    /// The alert is raised; the condition does not hold since then, if at all.
    Raised(AlertId, Option<Timestamp>),
    /// Cleared; nothing is raised until then.
    Cooling(Timestamp),
}

/// Raised so often within [`PULSE`], an alert counts as one that flaps.
const RAISES: usize = 10;
/// See [`Pulse`], in microseconds: no longer ago is looked at.
pub const PULSE: i64 = 600_000_000;
/// How long the condition of one that flaps must not hold before it is cleared.
const STEADY_AFTER: i64 = 60_000_000;

/// How often an alert was raised lately. One that is raised and cleared with every other reading would drown all others, on every
/// way alerts take; so it stays raised until its condition has not held for a minute, however long that takes. Nothing is missed by that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// When it was raised last, the latest last: at most [`RAISES`].
    raises: VecDeque<Timestamp>,
    /// It flaps, and its condition held last then.
    flaps: Option<Timestamp>,
}

impl Pulse {
    /// It is raised.
    pub fn raise(&mut self, now: Timestamp) {
        if self.raises.len() >= RAISES {
            self.raises.pop_front();
        }
        self.raises.push_back(now);
        self.flaps = if self.is_fast(now) {
            Some(now)
        } else {
            // One that somebody reset by hand flaps on unless it was quiet since.
            self.flaps.filter(|held| now.micros_since(*held) < STEADY_AFTER)
        };
    }

    /// It is cleared: its condition has not held for as long as it must.
    pub fn clear(&mut self) {
        self.flaps = None;
    }

    fn is_fast(&self, now: Timestamp) -> bool {
        let tenth_last = self.raises.front().filter(|_| self.raises.len() >= RAISES);
        tenth_last.is_some_and(|raised| now.micros_since(*raised) <= PULSE)
    }

    /// Its condition holds.
    pub fn hold(&mut self, now: Timestamp) {
        self.flaps = self.flaps.map(|_| now);
    }

    /// The timing that counts for it.
    pub fn steadied(&self, timing: &Timing, now: Timestamp) -> Timing {
        let flaps = self.flaps.is_some() || self.is_fast(now);
        let clear_after = if flaps { timing.clear_after.max(STEADY_AFTER) } else { timing.clear_after };
        Timing { clear_after, ..*timing }
    }
}

/// What a step asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Raise an alert and tell the phase its id.
    Raise,
    /// Clear this alert.
    Clear(AlertId),
}

impl Phase {
    /// The alert that is raised, if one is.
    pub fn raised(&self) -> Option<AlertId> {
        match self {
            Self::Raised(id, _) => Some(*id),
            _ => None,
        }
    }

    /// The condition holds, or does not, at an event time.
    pub fn step(&mut self, timing: &Timing, now: Timestamp, holds: bool) -> Step {
        if let Self::Cooling(until) = *self {
            if now < until {
                return Step::Stay;
            }
            *self = Self::Idle;
        }
        match (*self, holds) {
            (Self::Idle, true) if timing.hold <= 0 => return Step::Raise,
            (Self::Idle, true) => *self = Self::Pending(now),
            (Self::Pending(since), true) if now.micros_since(since) >= timing.hold => return Step::Raise,
            (Self::Pending(_), false) => *self = Self::Idle,
            (Self::Raised(id, Some(_)), true) => *self = Self::Raised(id, None),
            (Self::Raised(id, since), false) if !timing.latch => {
                let since = since.unwrap_or(now);
                if now.micros_since(since) < timing.clear_after {
                    *self = Self::Raised(id, Some(since));
                } else {
                    self.reset(timing, now);
                    return Step::Clear(id);
                }
            }
            _ => {}
        }
        Step::Stay
    }

    /// Ends a raised alert from outside, e.g. a latched one.
    pub fn reset(&mut self, timing: &Timing, now: Timestamp) {
        *self = if timing.cool_down > 0 { Self::Cooling(now.plus_micros(timing.cool_down)) } else { Self::Idle };
    }

    /// What another version of the rule takes over: what is raised, and what cools down, as long as it says. What does not yet hold long
    /// enough begins anew.
    pub fn succeed(self, old: &Timing, new: &Timing) -> Self {
        match self {
            Self::Cooling(until) => {
                Self::Cooling(Timestamp(until.0.saturating_sub(old.cool_down).saturating_add(new.cool_down)))
            }
            Self::Raised(..) => self,
            Self::Idle | Self::Pending(_) => Self::Idle,
        }
    }

    /// Nothing is known for a while.
    pub fn gap(&mut self) {
        match *self {
            Self::Pending(_) => *self = Self::Idle,
            Self::Raised(id, Some(_)) => *self = Self::Raised(id, None),
            _ => {}
        }
    }

    /// The clock was set back: what began or ends by the time of before would wait until that comes again.
    pub fn set_back(&mut self) {
        self.gap();
        if matches!(self, Self::Cooling(_)) {
            *self = Self::Idle;
        }
    }
}

#[cfg(test)]
mod tests;
