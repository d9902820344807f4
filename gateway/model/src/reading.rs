//! Readings: a number, a stretch of waveform, or a signed gap, each with two clocks and a quality.

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::id::{AthleteId, DeviceId, Epoch, Seq};
use crate::link::Assurance;
use crate::quantity::Quantity;
use crate::time::Timestamp;
use crate::unit::Unit;

/// The most samples one waveform reading carries.
pub const WAVE_SAMPLES_MAX: usize = 4_096;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What was measured.
    pub quantity: Quantity,
    /// In which unit: always [`Quantity::unit`] once decoded.
    pub unit: Unit,
    /// When, by the device's clock.
    pub device_time: Timestamp,
    /// When it was taken, by the gateway's clock (whole milliseconds).
    pub gateway_time: Timestamp,
    /// What is known to be wrong with it.
    pub quality: Quality,
    /// The value.
    pub value: Value,
}

/// What a reading says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A number.
    Number(Decimal),
    /// Equidistant samples; the reading's device time is that of the first.
    Wave(Box<Wave>),
    /// Nothing was measured, and that is known.
    Gap(Gap),
}

/// Equidistant samples: sample i = (offset + samples[i]) * 10^exponent, at device time + i * period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Nanoseconds between samples.
    pub period_ns: u64,
    /// Power of ten of one step.
    pub exponent: i8,
    /// Added to every sample before scaling.
    pub offset: i32,
    /// The samples, in steps.
    pub samples: Vec<i32>,
}

/// A hole in a stream, recorded so that missing data never looks normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How much is missing: microseconds for times, a count for [`GapReason::Dropped`]. 0 if not known.
    pub extent: u64,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum GapReason {
    /// Nothing came for longer than the stream's usual interval.
    Silent = 0,
    /// The link went down.
    Disconnected = 1,
    /// The sensor says it does not touch skin, or its lead is off.
    ContactLost = 2,
    /// The device says it dropped so many readings.
    Dropped = 3,
    /// The device's clock jumped.
    ClockStep = 4,
    /// The device ended its session in good order and nothing is expected of it; or somebody else wears it now, and nothing more is
    /// expected of it for whom the gap is of.
    Ended = 5,
    /// The sensor measured and says that it has no valid value: NaN, out of its range, a counter that was reset.
    Invalid = 6,
}

impl GapReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::Disconnected,
        Self::ContactLost,
        Self::Dropped,
        Self::ClockStep,
        Self::Ended,
        Self::Invalid,
    ];

    /// The reason of a number in a sealed block.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The reason of a word: [`GapReason::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason in a word, as it is written in JSON, cases and scripts: e.g. `contact_lost`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Disconnected => "disconnected",
            Self::ContactLost => "contact_lost",
            Self::Dropped => "dropped",
            Self::ClockStep => "clock_step",
            Self::Ended => "ended",
            Self::Invalid => "invalid",
        }
    }
}

const _: () = {
    let mut code = 0;
    while code < GapReason::ALL.len() {
        assert!(GapReason::ALL[code] as usize == code, "in the order of their numbers");
        code += 1;
    }
};

bitflags::bitflags! {
    /// What is known to be wrong with a reading; empty means nothing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct Quality: u8 {
        /// Outside the quantity's plausible range.
        const IMPLAUSIBLE = 1;
        /// The device's clock was ahead of the gateway's by more than the tolerance.
        const FUTURE = 2;
        /// Older than the tolerance on arrival (buffered by the device, or its clock is behind).
        const LATE = 4;
        /// The device has no clock: its device time was set by the gateway.
        const NO_CLOCK = 8;
        /// The sensor reported poor or no contact with the value, or another reason to doubt it: a weak signal, a loose
        /// cuff, a body that moved.
        const POOR_CONTACT = 16;
    }
}

impl Serialize for Quality {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.bits())
    }
}
impl<'de> Deserialize<'de> for Quality {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bits = u8::deserialize(d)?;
        Self::from_bits(bits).ok_or_else(|| serde::de::Error::custom("unknown quality bits"))
    }
}

/// One accepted message, decoded: the unit of the journal, of receipts and of duplicate detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Who sent it.
    pub device: DeviceId,
    /// Whose readings they are, if the device was assigned when they arrived.
    pub athlete: Option<AthleteId>,
    /// How sure we are who sent it.
    pub assurance: Assurance,
    /// The device's message count this number belongs to.
    pub epoch: Epoch,
    /// The message's number.
    pub seq: Seq,
    /// What it said.
    pub readings: Vec<Reading>,
}
