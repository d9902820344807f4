//! Records: one reading or one alert as canonical bytes, the leaves of a segment. What evidence discloses is a record.

mod alert;
mod reading;

use minicbor::Decoder;
use minicbor::decode::Error;

use crate::cbor::{CborError, Deterministic, Writer, exact};
use crate::merkle::{Hash, leaf_hash};

pub use alert::AlertRecord;
pub use reading::{ReadingRecord, ReadingRef};

/// The largest record, in bytes. A waveform of 4,096 samples of five bytes and its head fit.
pub const RECORD_BYTES_MAX: usize = 32 * 1024;

/// The value that hides a record from whoever knows its hash only.
pub type Blind = [u8; 16];

/// One disclosed thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A reading with who, when and how it came.
    Reading(ReadingRecord),
    /// A step in an alert's life.
    Alert(AlertRecord),
}

/// Leaf hash of a record: SHA-256(0x00 || blind || record bytes).
pub fn record_leaf(blind: &Blind, record: &[u8]) -> Hash {
    let mut leaf = Vec::with_capacity(blind.len() + record.len());
    leaf.extend_from_slice(blind);
    leaf.extend_from_slice(record);
    leaf_hash(&leaf)
}

impl Record {
    /// Reads canonical bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CborError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(CborError::Shape { at: RECORD_BYTES_MAX });
        }
        exact(bytes)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_cbor()
    }
}

impl Deterministic for Record {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Reading(reading) => reading.as_ref().write(out),
            Self::Alert(alert) => alert.write(out),
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let pairs = crate::cbor::map(input)?;
        crate::cbor::key(input, 1)?;
        match input.u64()? {
            reading::KIND => reading::read(input, pairs).map(Self::Reading),
            alert::KIND => alert::read(input, pairs).map(Self::Alert),
            _ => Err(Error::message("unknown kind of record")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
