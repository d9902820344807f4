//! When what was put aside is tried again: after a minute, then after twice as long each time, so that a receiver that takes each try
//! and never says so is not sent the same a thousand times a day. As soon as something goes out to a receiver, all that waits for it is
//! due. A pause counts from when the try before it began, however long that took to come to nothing: so what is read to wait, and was tried
//! once, is due a minute after that was read, also if it was under way then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_store::delivery::Target;
use pitchside_store::{Came, DeliveryStep, DeliveryStepId};

/// The first pause.
pub(super) const AGAIN_MIN: Duration = Duration::from_secs(60);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy)]
struct Next {
    pause: Duration,
    due: Duration,
    target: Target,
}

/// The next try of each request that waits, by the gateway's uptime; as many as may wait, at most.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Mutex<BTreeMap<(DeliveryStepId, u32), Next>>>);

impl Patience {
    /// Whether it may be tried now. What was not tried since the output was started may.
    pub fn is_due(&self, step: DeliveryStepId, number: u32, now: Duration) -> bool {
        self.0.lock().get(&(step, number)).is_none_or(|next| now >= next.due)
    }

    /// These wait; others are nobody's any more.
    pub fn keep(&self, waiting: &[(DeliveryStep, u32)]) {
        let wait: BTreeSet<(DeliveryStepId, u32)> = waiting.iter().map(|(step, number)| (step.id, *number)).collect();
        self.0.lock().retain(|key, _| wait.contains(key));
    }

    /// It was tried with this receiver, from then on, and this came of it. To be said before that it waits is written down.
    pub fn tried(&self, (step, number): (DeliveryStepId, u32), target: Target, came: Came, begun: Duration) {
        let mut waiting = self.0.lock();
        match came {
            Came::Waits => {
                let pause = waiting.get(&(step, number)).map_or(AGAIN_MIN, |next| (next.pause * 2).min(AGAIN_MAX));
                waiting.insert((step, number), Next { pause, due: begun.saturating_add(pause), target });
            }
            Came::Done => waiting.retain(|_, next| next.target != target),
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

    #[test]
    fn pauses_grow_to_ten_minutes_and_end_when_something_goes_out_to_the_same_receiver() {
        let patience = Patience::default();
        let mut now = Duration::from_secs(1_000);
        assert!(patience.is_due(STEP, 0, now), "never tried");
        for pause in [60, 120, 240, 480, 600, 600] {
            patience.tried((STEP, 0), HALL, Came::Waits, now);
            let due = now + Duration::from_secs(pause);
            assert!(
                !patience.is_due(STEP, 0, due - Duration::from_secs(1)) && patience.is_due(STEP, 0, due),
                "{pause}"
            );
            assert!(patience.is_due(STEP, 1, now), "another request of it was never tried");
            now = due;
        }
        patience.tried((STEP, 0), HALL, Came::Waits, now);
        patience.tried((OTHER, 0), GATE, Came::Done, now);
        assert!(!patience.is_due(STEP, 0, now), "that was another receiver, whatever the number");
        patience.tried((OTHER, 1), HALL, Came::Done, now);
        assert!(patience.is_due(STEP, 0, now), "the receiver is back");
        patience.tried((STEP, 0), HALL, Came::Waits, now);
        assert!(patience.is_due(STEP, 0, now + AGAIN_MIN), "and its pauses begin anew");
    }
}
