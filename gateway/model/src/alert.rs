//! Alerts: raised / acknowledged / cleared, with an id that a replay derives again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::id::{AthleteId, DeviceId, RuleName};
use crate::quantity::Quantity;
use crate::time::Timestamp;
use crate::unit::Unit;

/// 128 bits derived from rule, subject and event time: the same readings give the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertId(pub [u8; 16]);

impl AlertId {
    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 16];
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}
impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlertId({self})")
    }
}
impl Serialize for AlertId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("an alert id is 32 hexadecimal digits"))
    }
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// For information.
    Low,
    /// Within minutes.
    Medium,
    /// At once; closes the open block.
    High,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The rule's condition holds.
    Raised,
    /// Somebody has seen it.
    Acknowledged,
    /// The condition no longer holds, or somebody reset it.
    Cleared,
}

/// An alert as it was raised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Stable id.
    pub id: AlertId,
    /// The rule that raised it.
    pub rule: RuleName,
    /// The rule's version.
    pub rule_version: String,
    /// How soon somebody should look.
    pub priority: Priority,
    /// Whose reading fired it.
    pub athlete: Option<AthleteId>,
    /// The device it came from.
    pub device: DeviceId,
    /// What was measured.
    pub quantity: Quantity,
    /// The value that fired it; none for a gap.
    pub value: Option<Decimal>,
    /// Its unit.
    pub unit: Unit,
    /// Device time of the reading that fired it.
    pub event_time: Timestamp,
    /// One sentence for people, from the rule.
    pub message: String,
}

/// A step in an alert's life, as the rules imply it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// Newly raised.
    Raised(Alert),
    /// No longer holds, since the given event time; or somebody reset it.
    Cleared {
        /// Which alert.
        id: AlertId,
        /// Device time of the reading that cleared it; if somebody reset it, when, by the gateway's clock.
        event_time: Timestamp,
    },
}

impl AlertEvent {
    /// The alert, if it was raised.
    pub const fn raised(&self) -> Option<&Alert> {
        match self {
            Self::Raised(alert) => Some(alert),
            Self::Cleared { .. } => None,
        }
    }
}
