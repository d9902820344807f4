//! What parent and worker say to each other, in postcard. The parent trusts no answer: [`super::check`] looks at all.

use pitchside_model::Decimal;
use pitchside_script::manifest::Kept;
use serde::{Deserialize, Serialize};

use super::kept::Unkept;

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
        /// What it keeps of each device.
        state: Vec<(String, Kept)>,
    },
    /// Decode these, in order.
    Decode(Vec<Ask>),
}

/// One payload, with all its script may know: what it makes of it is a function of this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The vendor's bytes.
    pub payload: Vec<u8>,
    /// Where a hub published it; empty where there is no topic.
    pub topic: String,
    /// What the script keeps of the device, as [`super::kept`] writes it; empty before it kept anything.
    pub state: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoded {
    /// What the script made of the payload.
    pub outcome: Outcome,
    /// What it keeps from now on, if that is something else than before. Of a payload that was not read, nothing.
    pub state: Option<Vec<u8>>,
}

/// From the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Compiled, or what is wrong, a line a problem.
    Loaded(Result<(), Vec<String>>),
    /// One an input.
    Decoded(Vec<Decoded>),
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
    /// The script would keep what it may not.
    Unkept(Unkept),
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
    /// A float that has more than 64 bits, as `json()` makes of a number that is too large: refused as such.
    TooLarge,
}
