//! What parent and worker say to each other, in postcard. The parent trusts no answer: [`super::check`] looks at all.

use pitchside_model::Decimal;
use serde::{Deserialize, Serialize};

/// From the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Compile this; forget what was loaded.
    Load {
        /// Name of the plugin, for notes.
        name: String,
        /// The script.
        source: String,
        /// Constants of the script.
        params: Vec<(String, f64)>,
    },
    /// Decode these, in order.
    Decode(Vec<Vec<u8>>),
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Compiled, or what is wrong, a line a problem.
    Loaded(Result<(), Vec<String>>),
    /// One an input.
    Decoded(Vec<Outcome>),
    /// The request was not understood, or came before a script was loaded.
    NotUnderstood,
}

/// What a script made of one payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// These, as it says.
    Readings(Vec<RawReading>),
    /// The script threw this name: the payload is at fault.
    Refused(String),
    /// The script failed or exceeded a limit.
    Fault(String),
    /// The script returned something that is no list of readings: its type.
    NotReadings(String),
}

/// A reading as a script wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawReading {
    /// Name of the quantity.
    pub quantity: String,
    /// What it says.
    pub content: RawContent,
    /// When.
    pub time: RawTime,
    /// The sensor reported poor or no contact.
    pub poor_contact: bool,
}

/// When, by the script.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum RawTime {
    /// So many microseconds before the payload arrived: the device has no clock.
    Ago(i64),
    /// Microseconds since 1970, by the device's clock.
    At(i64),
}

/// What a reading says, by the script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RawContent {
    /// A number and the UCUM code of its unit.
    Number(RawNumber, String),
    /// Nothing, and why.
    Gap(String),
    /// Equidistant samples in the unit of the quantity.
    Wave {
        /// Nanoseconds between samples.
        period_ns: i64,
        /// Power of ten of one step.
        exponent: i64,
        /// In steps.
        samples: Vec<i64>,
    },
}

/// A number of a script.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum RawNumber {
    /// A decimal or a whole number.
    Decimal(Decimal),
    /// A float: refused, whatever its value.
    Float,
}
