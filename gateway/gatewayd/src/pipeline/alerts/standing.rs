//! Whose alerts are kept for MQTT subscribers who come later, so that an erasure takes them away.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::{Alert, AlertId, AthleteId};

use super::{Alerts, topic_of};

/// Alerts that are kept for later subscribers, and the athletes they are about.
pub type Standing = Arc<Mutex<HashMap<AlertId, AthleteId>>>;

impl Alerts {
    pub(super) fn stands(&self, alert: &Alert) {
        if let Some(athlete) = &alert.athlete {
            self.standing.lock().insert(alert.id, athlete.clone());
        }
    }

    /// An athlete was erased, and their alerts are not on the record any more: subscribers who come later find none of them, and open pages
    /// fetch anew what there is.
    pub fn let_go_of(&self, athlete: &AthleteId) {
        let mut ends = self.ends.lock();
        let theirs: Vec<AlertId> =
            self.standing.lock().extract_if(|_, whose| whose == athlete).map(|(id, _)| id).collect();
        ends.remove(&theirs);
        self.take_off(theirs);
        self.events.publish(&self.events.hello(self.clock.now()));
    }

    /// Nothing is kept of these for later subscribers any more.
    pub(super) fn take_off(&self, alerts: Vec<AlertId>) {
        let mut standing = self.standing.lock();
        for alert in alerts {
            self.gate.forget(&topic_of(alert));
            standing.remove(&alert);
        }
    }
}
