//! The JSON shapes of `/api/v1`. Times are RFC 3339 in UTC, values are decimal text: never a float.

use pitchside_model::{
    Alert, AlertId, AlertState, Assurance, AthleteId, DeviceId, GapReason, Priority, Quantity, RuleName, Timestamp,
    Unit,
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::view::{Role, UserName};

/// An instant as the API writes it, e.g. `2026-11-21T09:30:00.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct At(pub Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
impl From<Timestamp> for At {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

/// The current value of one stream (device x quantity).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Tile {
    /// Whose reading it is; null while the device is assigned to nobody.
    #[schema(value_type = Option<String>)]
    pub athlete: Option<AthleteId>,
    /// The device.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// What is measured, e.g. `heart_rate`.
    #[schema(value_type = String)]
    pub quantity: Quantity,
    /// UCUM code of the unit, e.g. `/min`.
    #[schema(value_type = String)]
    pub unit: Unit,
    /// The last value, as precise as the sensor gave it; null for a waveform and while there is none.
    pub value: Option<String>,
    /// The last stretch of a waveform, thinned for drawing.
    pub trace: Option<Trace>,
    /// Why nothing is being measured, if that is known.
    #[schema(value_type = Option<String>)]
    pub gap: Option<GapReason>,
    /// What is known to be wrong with the value: `implausible`, `future`, `late`, `no_clock`, `poor_contact`.
    #[schema(value_type = Vec<String>)]
    pub quality: Vec<&'static str>,
    /// When it was measured, by the device's clock.
    pub device_time: At,
    /// When it arrived, by the gateway's clock.
    pub gateway_time: At,
    /// Milliseconds after which the value must no longer be taken for current.
    pub stale_after_ms: u64,
    /// How sure we are who sent it: `noise` > `psk` > `bonded` > `password` > `wired`.
    #[schema(value_type = String)]
    pub assurance: Assurance,
    /// Rises with every change of this tile within one run of the gateway.
    pub revision: u64,
}

/// Equidistant samples for a small drawing; for measuring, ask for the readings themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trace {
    /// Samples a second as recorded, before thinning.
    pub rate_hz: String,
    /// Milliseconds the drawing spans.
    pub span_ms: u64,
    /// At most 128 points, in steps of the sensor.
    pub points: Vec<i32>,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertCategory {
    /// An athlete, or the conditions they train in.
    Physiological,
    /// A sensor, a link or the box.
    Technical,
}

/// What the rule of an alert says, as it is in force now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboutRule {
    /// What its alerts are about.
    pub category: AlertCategory,
    /// They stay until somebody resets them.
    pub latches: bool,
}

/// An alert and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AlertView {
    /// 32 hexadecimal digits; the same readings give the same id.
    #[schema(value_type = String)]
    pub id: AlertId,
    /// The rule that raised it.
    #[schema(value_type = String)]
    pub rule: RuleName,
    /// The rule's version.
    pub rule_version: String,
    /// What it is about, as its rule says now; of a rule that is in force no longer, `physiological`.
    pub category: AlertCategory,
    /// It stays raised until somebody resets it, as its rule says now.
    pub latches: bool,
    /// How soon somebody should look: `high`, `medium` or `low`.
    #[schema(value_type = String)]
    pub priority: Priority,
    /// Whose reading raised it.
    #[schema(value_type = Option<String>)]
    pub athlete: Option<AthleteId>,
    /// The device it came from.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// What was measured.
    #[schema(value_type = String)]
    pub quantity: Quantity,
    /// The value that raised it; null for a gap.
    pub value: Option<String>,
    /// UCUM code of its unit.
    #[schema(value_type = String)]
    pub unit: Unit,
    /// Device time of the reading that raised it.
    pub event_time: At,
    /// One sentence from the rule.
    pub message: String,
    /// `raised`, `acknowledged` or `cleared`.
    #[schema(value_type = String)]
    pub state: AlertState,
    /// Who acknowledged it.
    #[schema(value_type = Option<String>)]
    pub acknowledged_by: Option<UserName>,
    /// When it was acknowledged.
    pub acknowledged_at: Option<At>,
    /// Device time of the reading that cleared it; if somebody reset it, when, by the gateway's clock.
    pub cleared_at: Option<At>,
    /// Who reset it, if somebody did.
    #[schema(value_type = Option<String>)]
    pub reset_by: Option<UserName>,
    /// Why, if they said.
    pub reset_note: Option<String>,
    /// How far it has escalated because nobody acknowledged it; 0: not.
    pub escalation: u8,
    /// When it reached that.
    pub escalated_at: Option<At>,
}

impl AlertView {
    /// An alert as it has just been raised.
    pub fn raised(alert: &Alert, about: AboutRule) -> Self {
        Self {
            id: alert.id,
            rule: alert.rule.clone(),
            rule_version: alert.rule_version.clone(),
            category: about.category,
            latches: about.latches,
            priority: alert.priority,
            athlete: alert.athlete.clone(),
            device: alert.device.clone(),
            quantity: alert.quantity,
            value: alert.value.map(|value| value.to_string()),
            unit: alert.unit,
            event_time: At(alert.event_time),
            message: alert.message.clone(),
            state: AlertState::Raised,
            acknowledged_by: None,
            acknowledged_at: None,
            cleared_at: None,
            reset_by: None,
            reset_note: None,
            escalation: 0,
            escalated_at: None,
        }
    }

    /// Whether it still belongs on the page: not both seen and over.
    pub const fn open(&self) -> bool {
        self.acknowledged_at.is_none() || self.cleared_at.is_none()
    }
}

/// How far a block has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
pub enum Receipt {
    /// Durable on the gateway.
    R0,
    /// Sequenced by the ledger.
    R1,
    /// In a published, signed checkpoint, with inclusion proof.
    R2,
    /// Cosigned by the quorum, and the payload read back from the store.
    R3,
}

impl Receipt {
    /// `R0` to `R3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::R0 => "R0",
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R3 => "R3",
        }
    }
}

/// A sealed block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlockView {
    /// Its number in this gateway's chain.
    pub index: u64,
    /// SHA-256 of its signed header, 64 hexadecimal digits.
    pub hash: String,
    /// When it was sealed.
    pub sealed_at: At,
    /// Readings in it.
    pub readings: u64,
    /// Bytes of its payload.
    pub payload_bytes: u64,
    /// The highest receipt so far.
    pub receipt: Receipt,
}

/// Whether the ledger can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerLink {
    /// No ledger is configured.
    NotConfigured,
    /// The last exchange succeeded.
    Connected,
    /// The last exchange failed; blocks wait here.
    Unreachable,
}

/// The gateway's side of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ledger {
    /// Whether it can be reached.
    pub link: LedgerLink,
    /// Blocks not yet sequenced.
    pub blocks_waiting: u64,
    /// When the last receipt came.
    pub last_receipt_at: Option<At>,
}

/// What the gateway is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// The gateway's name.
    pub gateway: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: At,
    /// Devices with a session now.
    pub devices_connected: u64,
    /// Readings stored since it started.
    pub readings: u64,
    /// The ledger.
    pub ledger: Ledger,
}

/// Everything the live page needs at once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Live {
    /// The gateway's clock.
    pub now: At,
    /// Number of this run of the gateway.
    pub run: String,
    /// Events with an id up to this one are already in this answer. A stream opened with it as `Last-Event-ID` goes on from
    /// here.
    pub last_event_id: u64,
    /// What the gateway is doing.
    pub status: Status,
    /// Current values, by athlete, device, quantity.
    pub tiles: Vec<Tile>,
    /// Alerts not both acknowledged and cleared, newest first.
    pub alerts: Vec<AlertView>,
    /// The last blocks, newest first.
    pub blocks: Vec<BlockView>,
}

/// Who is signed in.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Me {
    /// The user's name.
    #[schema(value_type = String)]
    pub name: UserName,
    /// What they may do.
    pub role: Role,
    /// Seconds until they must sign in again.
    pub expires_in_s: u64,
}

/// Alerts, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AlertList {
    /// The alerts.
    pub alerts: Vec<AlertView>,
}

/// Blocks, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BlockList {
    /// The blocks.
    pub blocks: Vec<BlockView>,
}

/// Whether the gateway can do its work. Says nothing about whom or what it measures: anybody may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// True if everything needed to accept readings works.
    pub ok: bool,
    /// What does not work, one sentence each, without names of people or devices.
    pub problems: Vec<String>,
}
