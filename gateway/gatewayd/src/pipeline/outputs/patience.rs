//! When what was put aside is tried again: after a minute, then after twice as long each time, so that a receiver that takes each try
//! and never says so is not sent the same a thousand times a day. As soon as something goes out to a receiver, all that waits for it is
//! due, and whenever something is tried there, so is what is more urgent. A pause counts from when the try before it began: so what is
//! read to wait, and was tried once, is due a minute after that was read, also if it was under way then. Only where a try took longer than
//! its pause does it count from that try's end: nobody is tried without any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::Priority;
use pitchside_store::delivery::Target;
use pitchside_store::{Came, DeliveryStep, DeliveryStepId};

/// The first pause.
pub(super) const AGAIN_MIN: Duration = Duration::from_secs(60);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(600);

/// One try of a request, or several in a row; all times are of the gateway's uptime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    /// With this receiver.
    pub target: Target,
    /// How urgent its alert is.
    pub priority: Priority,
    /// What came of it.
    pub came: Came,
    /// When the request was tried first since the output was started.
    pub first: Duration,
    /// When the last try began.
    pub begun: Duration,
    /// How long that took. Of its own: a clock that a test turns in between says nothing of it.
    pub took: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Next {
    first: Duration,
    /// None once something went out to its receiver: the next is the first again.
    pause: Option<Duration>,
    due: Duration,
    target: Target,
    priority: Priority,
}

/// The next try of each request that waits, or is owed and was tried, by the gateway's uptime; as many as may be, at most.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Mutex<BTreeMap<(DeliveryStepId, u32), Next>>>);

impl Patience {
    /// Whether it may be tried now. What was not tried since the output was started may.
    pub fn is_due(&self, step: DeliveryStepId, number: u32, now: Duration) -> bool {
        self.0.lock().get(&(step, number)).is_none_or(|next| now >= next.due)
    }

    /// When it was tried first since the output was started, if it was and came to nothing.
    pub fn first(&self, step: DeliveryStepId, number: u32) -> Option<Duration> {
        self.0.lock().get(&(step, number)).map(|next| next.first)
    }

    /// Whether something came to be due since then. With it is what is more urgent and waits for the same receiver: it does not come after.
    pub fn comes_due(&self, since: Duration, now: Duration) -> bool {
        let mut waiting = self.0.lock();
        let mut least: BTreeMap<Target, Priority> = BTreeMap::new();
        for next in waiting.values().filter(|next| next.due > since && next.due <= now) {
            let least = least.entry(next.target).or_insert(next.priority);
            *least = next.priority.min(*least);
        }
        for next in waiting.values_mut() {
            if least.get(&next.target).is_some_and(|least| next.priority > *least) {
                next.due = next.due.min(now);
            }
        }
        drop(waiting);
        !least.is_empty()
    }

    /// Whether something more urgent waits for a receiver; it is due, then.
    pub fn is_outranked(&self, target: Target, priority: Priority, now: Duration) -> bool {
        let mut is_outranked = false;
        for next in self.0.lock().values_mut() {
            if next.target == target && next.priority > priority {
                next.due = next.due.min(now);
                is_outranked = true;
            }
        }
        is_outranked
    }

    /// These wait, and of steps that are kept something may be owed; others are nobody's any more.
    pub fn keep(&self, waiting: &[(DeliveryStep, u32)], is_kept: impl Fn(DeliveryStepId) -> bool) {
        let wait: BTreeSet<(DeliveryStepId, u32)> = waiting.iter().map(|(step, number)| (step.id, *number)).collect();
        self.0.lock().retain(|key, _| wait.contains(key) || is_kept(key.0));
    }

    /// It was tried, and this came of it. To be said before that it waits is written down.
    pub fn tried(&self, (step, number): (DeliveryStepId, u32), tried: Tried) {
        let Tried { target, priority, came, first, begun, took } = tried;
        let mut waiting = self.0.lock();
        match came {
            Came::Waits => {
                let before = waiting.get(&(step, number));
                let pause = before.and_then(|next| next.pause).map_or(AGAIN_MIN, |pause| (pause * 2).min(AGAIN_MAX));
                let first = before.map_or(first, |next| next.first);
                let after = if took > pause { took.saturating_add(pause) } else { pause };
                let due = begun.saturating_add(after);
                waiting.insert((step, number), Next { first, pause: Some(pause), due, target, priority });
            }
            Came::Done => {
                waiting.remove(&(step, number));
                for next in waiting.values_mut().filter(|next| next.target == target) {
                    (next.pause, next.due) = (None, Duration::ZERO);
                }
            }
            Came::GivenUp | Came::Unasked | Came::Owed => drop(waiting.remove(&(step, number))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: DeliveryStepId = DeliveryStepId(1);
    const OTHER: DeliveryStepId = DeliveryStepId(2);
    const HALL: Target = [1; 32];
    const GATE: Target = [2; 32];

    /// One short try.
    fn tried(target: Target, came: Came, begun: Duration) -> Tried {
        Tried { target, priority: Priority::Medium, came, first: begun, begun, took: Duration::ZERO }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_to_ten_minutes_and_end_when_something_goes_out_to_the_same_receiver() {
        let patience = Patience::default();
        let mut now = at(1_000);
        assert!(patience.is_due(STEP, 0, now), "never tried");
        for pause in [60, 120, 240, 480, 600, 600] {
            patience.tried((STEP, 0), tried(HALL, Came::Waits, now));
            let due = now + at(pause);
            assert!(!patience.is_due(STEP, 0, due - at(1)) && patience.is_due(STEP, 0, due), "{pause}");
            assert!(patience.is_due(STEP, 1, now), "another request of it was never tried");
            now = due;
        }
        patience.tried((STEP, 0), tried(HALL, Came::Waits, now));
        patience.tried((OTHER, 0), tried(GATE, Came::Done, now));
        assert!(!patience.is_due(STEP, 0, now), "that was another receiver, whatever the number");
        patience.tried((OTHER, 1), tried(HALL, Came::Done, now));
        assert!(patience.is_due(STEP, 0, now), "the receiver is back");
        patience.tried((STEP, 0), tried(HALL, Came::Waits, now));
        assert!(patience.is_due(STEP, 0, now + AGAIN_MIN), "and its pauses begin anew");
        assert_eq!(patience.first(STEP, 0), Some(at(1_000)), "but not the time for which it is tried");
        patience.tried((STEP, 0), tried(HALL, Came::GivenUp, now));
        assert_eq!(patience.first(STEP, 0), None);
    }

    #[test]
    fn a_try_that_took_longer_than_its_pause_is_followed_by_one() {
        let patience = Patience::default();
        for (took, due) in [(59, 60), (121, 241), (240, 240), (600, 1_080)] {
            patience.tried((STEP, 0), Tried { took: at(took), ..tried(HALL, Came::Waits, at(0)) });
            assert!(!patience.is_due(STEP, 0, at(due - 1)) && patience.is_due(STEP, 0, at(due)), "{took}");
        }
    }

    #[test]
    fn something_comes_due_once_and_what_is_more_urgent_to_the_same_receiver_with_it() {
        let patience = Patience::default();
        let urgent = |target, begun| Tried { priority: Priority::High, ..tried(target, Came::Waits, begun) };
        patience.tried((STEP, 0), tried(HALL, Came::Waits, at(100)));
        patience.tried((STEP, 1), urgent(GATE, at(130)));
        patience.tried((OTHER, 0), urgent(HALL, at(130)));
        patience.tried((OTHER, 1), Tried { priority: Priority::Low, ..urgent(HALL, at(130)) });
        assert!(!patience.comes_due(at(100), at(159)));
        assert!(patience.comes_due(at(100), at(160)));
        let due = |now| [(STEP, 0), (STEP, 1), (OTHER, 0), (OTHER, 1)].map(|(step, at)| patience.is_due(step, at, now));
        assert_eq!(due(at(160)), [true, false, true, false]);
        assert!(!patience.comes_due(at(160), at(189)), "what is due by then was looked at");
        assert!(patience.comes_due(at(160), at(190)));
    }

    #[test]
    fn what_is_more_urgent_and_waits_for_the_same_receiver_goes_no_later() {
        let patience = Patience::default();
        patience.tried((STEP, 0), tried(HALL, Came::Waits, at(100)));
        for (target, priority) in [(HALL, Priority::Medium), (HALL, Priority::High), (GATE, Priority::Low)] {
            assert!(!patience.is_outranked(target, priority, at(110)), "{priority:?}");
        }
        assert!(!patience.is_due(STEP, 0, at(110)));
        assert!(patience.is_outranked(HALL, Priority::Low, at(110)) && patience.is_due(STEP, 0, at(110)));
    }

    #[test]
    fn what_is_owed_is_remembered_for_as_long_as_its_step_is_kept() {
        let patience = Patience::default();
        patience.tried((STEP, 0), tried(HALL, Came::Waits, at(100)));
        patience.keep(&[], |step| step == STEP);
        assert_eq!(patience.first(STEP, 0), Some(at(100)));
        patience.keep(&[], |_| false);
        assert_eq!(patience.first(STEP, 0), None);
    }
}
