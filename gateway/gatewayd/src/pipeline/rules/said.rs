//! What the rules say, on its way to the disk, which may take nothing for long: a gateway starts and stops all the same, and what is not
//! recorded is said again by the next run. For that, what the rules know is kept only once all they said is recorded.

use std::time::Duration;

use pitchside_model::{AlertEvent, Timestamp};
use tokio::time::{sleep, timeout};

use super::{RECORDED_WITHIN, RulesTask};

/// How long is waited for a disk that took too long before and has recorded nothing since.
const GLANCE: Duration = Duration::from_millis(50);

impl RulesTask {
    /// What they said just now. Waits while the disk is far behind; once the gateway is to stop no longer than [`RECORDED_WITHIN`], and
    /// then the rules are given up with what they know: readings in the journal have them say it again.
    pub(super) async fn say(&mut self, events: Vec<AlertEvent>, now: Timestamp) {
        self.put(events, now, true).await;
    }

    /// What they said of readings already in the journal. Waits until it is recorded and sent, so that nothing said later overtakes it; or
    /// until it is clear that the disk takes nothing.
    pub(super) async fn say_again(&mut self, events: Vec<AlertEvent>, now: Timestamp) {
        if !events.is_empty() && self.put(events, now, false).await {
            self.recorded().await;
        }
    }

    /// Whether all they said is recorded. Waits for it, but not for long again and again while the disk takes nothing.
    pub(super) async fn recorded(&mut self) -> bool {
        let has_moved = self.recorder.settled() != self.owed_at;
        let patience = if self.is_owing && !has_moved { GLANCE } else { RECORDED_WITHIN };
        let is_done = matches!(timeout(patience, self.recorder.done()).await, Ok(true));
        if !is_done && !self.is_owing {
            tracing::warn!("alerts wait for the disk; what the rules know is kept later");
        }
        (self.is_owing, self.owed_at) = (!is_done, self.recorder.settled());
        is_done
    }

    /// Puts what was said on its way; false if there was no room for too long.
    async fn put(&mut self, events: Vec<AlertEvent>, now: Timestamp, live: bool) -> bool {
        if events.is_empty() {
            return true;
        }
        let (recorder, stop, is_starting) = (&self.recorder, &self.parts.stop, self.is_starting);
        let put = async {
            if live {
                recorder.raise(events, now).await;
            } else {
                recorder.replayed(events, now).await;
            }
        };
        let too_long = async {
            if !is_starting {
                stop.cancelled().await;
            }
            sleep(RECORDED_WITHIN).await;
        };
        let is_put = tokio::select! {
            () = put => true,
            () = too_long => false,
        };
        if !is_put {
            tracing::error!("the disk takes no alerts: the rules say it again from the journal");
            self.give_up();
        }
        is_put
    }
}
