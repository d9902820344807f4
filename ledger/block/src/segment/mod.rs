//! A segment: the readings of one athlete, quantity and hour in a block (or the alerts of one athlete and hour), as
//! columns, encrypted, with a Merkle tree over its records.

mod bytes;
mod column;
mod keys;
mod sealed;
mod table;

use pitchside_model::{Assurance, DeviceId, Epoch, HourIndex, Quantity, Reading, Seq};

use crate::record::ReadingRef;

pub use keys::{BlockPlace, HourKey, SALT_BYTES, Salt, SegmentKeys};
pub use sealed::{Disclosed, OpenSegment, SealedSegment, open, readings, seal};
pub use table::plaintext;

/// The most readings or alerts in a segment; more go into a further part.
pub const RECORDS_MAX: usize = 65_536;
/// The most waveform samples in a segment.
pub const SAMPLES_MAX: usize = 524_288;
/// The largest plaintext, in bytes.
pub const PLAINTEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Stands for the quantity in the keys of alert segments; no quantity has it.
pub const ALERTS_CODE: u16 = 0xffff;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Readings of a quantity.
    Readings(Quantity),
    /// Alerts.
    Alerts,
}

impl Subject {
    /// The number that enters key derivation: the quantity's, or [`ALERTS_CODE`].
    pub const fn code(self) -> u16 {
        match self {
            Self::Readings(quantity) => quantity.code(),
            Self::Alerts => ALERTS_CODE,
        }
    }
}

/// Which segment of a block, without saying whose: that follows from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentTag {
    /// What it holds.
    pub subject: Subject,
    /// The hour of its records' device times.
    pub hour: HourIndex,
    /// 0, and counting for what exceeds the limits of one segment.
    pub part: u16,
}

impl SegmentTag {
    /// The form that enters key derivation: kind (1 readings, 2 alerts), quantity, hour, part; big-endian.
    pub fn to_bytes(self) -> [u8; 9] {
        let kind = match self.subject {
            Subject::Readings(_) => 1,
            Subject::Alerts => 2,
        };
        let ([q0, q1], [h0, h1, h2, h3], [p0, p1]) =
            (self.subject.code().to_be_bytes(), self.hour.0.to_be_bytes(), self.part.to_be_bytes());
        [kind, q0, q1, h0, h1, h2, h3, p0, p1]
    }
}

/// What goes into a segment, in the order of its leaves.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// Readings sorted by device, assurance, epoch, sequence number and item, all of the tag's quantity and hour.
    Readings(Vec<ReadingRef<'a>>),
    /// Canonical bytes of alert records.
    Alerts(Vec<Vec<u8>>),
}

impl Content<'_> {
    /// How many records.
    pub fn len(&self) -> usize {
        match self {
            Self::Readings(rows) => rows.len(),
            Self::Alerts(records) => records.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one device sent under one count of messages, as it stands in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Who sent it.
    pub device: DeviceId,
    /// How sure the gateway was of that.
    pub assurance: Assurance,
    /// The count of messages.
    pub epoch: Epoch,
    /// The readings, in the order of the segment's leaves; at least one.
    pub rows: Vec<Row>,
}

/// A reading with its place in its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The number of its message.
    pub seq: Seq,
    /// Its place in the message.
    pub item: u32,
    /// The reading.
    pub reading: Reading,
}

/// Why a segment can't be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The plaintext does not follow the layout.
    #[error("the segment is malformed: {0}")]
    Malformed(&'static str),
    /// More than one segment may hold.
    #[error("the segment exceeds its limits: at most {RECORDS_MAX} records and {SAMPLES_MAX} samples")]
    TooLarge,
    /// Another key sealed it.
    #[error("the key does not open this segment: its commitment differs")]
    WrongKey,
    /// The right key, but changed bytes.
    #[error("the segment was changed after it was sealed: its authentication tag is wrong")]
    Changed,
    /// It decrypts to other records than its root commits to.
    #[error("the segment's records do not hash to its root")]
    Root,
}

/// Length after padding: Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", 2019). With E the position
/// of the length's highest bit and S the number of bits E needs, the lowest E - S bits are rounded up to zero: at most
/// 12 % longer, and only O(log log L) bits of the length show.
pub const fn padded(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let e = usize::BITS - 1 - length.leading_zeros();
    let s = u32::BITS - e.leading_zeros();
    let zeroes = e.saturating_sub(s);
    let mask = (1usize << zeroes) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
pub(crate) mod tests;
