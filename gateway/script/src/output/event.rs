//! What an output is told: one step in an alert's life.

use pitchside_model::{Alert, Timestamp};
use rhai::{Dynamic, Map};
use serde::{Deserialize, Serialize};

/// Which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The rule's condition holds.
    Raised,
    /// It holds no longer.
    Cleared,
}

impl Step {
    /// The word scripts and names have for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which.
    pub step: Step,
    /// When, by the device's clock.
    pub at: Timestamp,
    /// The alert as it was raised.
    pub alert: Alert,
}

impl Event {
    /// Names a request of it: the same step of the same alert gives the same name, however often it is sent.
    pub fn key(&self, number: usize) -> String {
        format!("{}-{}-{number}", self.alert.id, self.step.word())
    }

    /// As scripts see it.
    pub(crate) fn to_map(&self) -> Map {
        let alert = &self.alert;
        let text = |text: &str| Dynamic::from(text.to_owned());
        let mut map = Map::new();
        let mut put = |name: &str, value: Dynamic| map.insert(name.into(), value);
        put("step", text(self.step.word()));
        put("id", text(&alert.id.to_string()));
        put("at_ms", Dynamic::from(self.at.0.div_euclid(1_000)));
        put("rule", text(alert.rule.as_str()));
        put("rule_version", text(&alert.rule_version));
        put("priority", text(&alert.priority.to_string()));
        put("athlete", alert.athlete.as_ref().map_or(Dynamic::UNIT, |athlete| text(athlete.as_str())));
        put("device", text(alert.device.as_str()));
        put("quantity", text(alert.quantity.name()));
        put("value", alert.value.map_or(Dynamic::UNIT, Dynamic::from));
        put("unit", text(alert.unit.ucum()));
        put("message", text(&alert.message));
        map
    }
}
