//! What an output is told: one step in an alert's life.

use pitchside_model::{Alert, Timestamp};
use rhai::{Dynamic, Map};
use serde::{Deserialize, Serialize};

use crate::manifest::RuleCategory;

/// Which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The rule's condition holds.
    Raised,
    /// It holds no longer.
    Cleared,
    /// Nobody has acknowledged it for too long.
    Escalated,
    /// Somebody has seen it.
    Acknowledged,
    /// No alert: a drill that proves the way there is one.
    Drill,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Raised, Self::Escalated, Self::Acknowledged, Self::Cleared, Self::Drill];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.word() == word)
    }

    /// The word scripts and names have for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Cleared => "cleared",
            Self::Escalated => "escalated",
            Self::Acknowledged => "acknowledged",
            Self::Drill => "drill",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which.
    pub step: Step,
    /// When: raised and cleared by the device's clock, unless somebody reset it; all else by the gateway's.
    pub at: Timestamp,
    /// How far it has escalated; 0: not.
    pub level: u8,
    /// Who acknowledged it, or reset it: of those steps alone.
    pub by: Option<String>,
    /// What the alert is about, as its rule says now.
    pub category: RuleCategory,
    /// The alert as it was raised.
    pub alert: Alert,
}

impl Event {
    /// Names a request of it: the same step of the same alert gives the same name, however often it is sent.
    pub fn key(&self, number: usize) -> String {
        match self.step {
            Step::Escalated => format!("{}-{}-{}-{number}", self.alert.id, self.step.word(), self.level),
            Step::Raised | Step::Acknowledged | Step::Cleared | Step::Drill => {
                format!("{}-{}-{number}", self.alert.id, self.step.word())
            }
        }
    }

    /// As scripts see it.
    pub(crate) fn to_map(&self) -> Map {
        let alert = &self.alert;
        let text = |text: &str| Dynamic::from(text.to_owned());
        let mut map = Map::new();
        let mut put = |name: &str, value: Dynamic| map.insert(name.into(), value);
        put("step", text(self.step.word()));
        put("level", Dynamic::from(i64::from(self.level)));
        put("by", self.by.as_deref().map_or(Dynamic::UNIT, text));
        put("id", text(&alert.id.to_string()));
        put("at_ms", Dynamic::from(self.at.0.div_euclid(1_000)));
        put("rule", text(alert.rule.as_str()));
        put("rule_version", text(&alert.rule_version));
        put("category", text(&self.category.to_string()));
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
