//! From a condition that holds or does not to an alert that is raised and cleared.
//!
//! ```text
//!          holds                held `hold` long
//!   Idle --------> Pending ----------------------> Raised
//!    ^  <--------     | gap, or no longer holds      | has not held `clear_after` long (never, with `latch`)
//!    |                v                              v
//!    +------------- Idle <---- `cool_down` over --- Cooling
//! ```
//! A gap ends a hold; it never clears: missing data must not look normal. A clock that is set back ends a hold and a cool-down.

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
