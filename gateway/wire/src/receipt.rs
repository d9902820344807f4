//! What became of messages: the plaintext of a RECEIPT frame. One frame may answer many messages.
//!
//! ```text
//! | level 1 | ranges 2 | refused 2 | range * ranges | refusal * refused |       little-endian
//! range    | epoch 8 | first seq 8 | count 2 |
//! refusal  | epoch 8 | seq 8 | reason 1 | length 1 | text, UTF-8 |
//! ```

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::Cursor;
use crate::frame::PLAIN_BYTES_MAX;
use crate::ids::{Epoch, Seq};

#[cfg(test)]
mod tests;

/// Most bytes of a refusal's text.
pub const REFUSAL_TEXT_BYTES_MAX: usize = 96;
const HEAD_BYTES: usize = 5;
const RANGE_BYTES: usize = 18;
const REFUSAL_BYTES: usize = 18;

/// How far what was said has come. A device sees R0; the others are for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Level {
    /// Durable on the gateway.
    #[default]
    R0 = 0,
    /// Sequenced by the ledger.
    R1 = 1,
    /// In a published checkpoint.
    R2 = 2,
    /// Cosigned, and read back.
    R3 = 3,
}

/// Messages `first`, `first + 1`, .. of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Their epoch.
    pub epoch: Epoch,
    /// The first of them.
    pub first: Seq,
    /// How many; at least 1.
    pub count: u16,
}

/// Why a message was refused. Final: the device must not send it again. A number, so that old devices can read new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// The body cannot be read as its content says.
    pub const MALFORMED: Self = Self(1);
    /// A unit or quantity that is not known, or does not fit.
    pub const UNKNOWN_UNIT: Self = Self(2);
    /// A value that is not a number, or out of range.
    pub const BAD_VALUE: Self = Self(3);
    /// A time that cannot be right.
    pub const BAD_TIME: Self = Self(4);
    /// Vendor bytes, but the device was enrolled without a decoder, or it is not installed.
    pub const NO_DECODER: Self = Self(5);
    /// The decoder failed on it.
    pub const DECODER_FAILED: Self = Self(6);
    /// More readings or bytes than a message may hold.
    pub const TOO_LARGE: Self = Self(7);
    /// Its number is outside the 1024 that may be in flight.
    pub const OUT_OF_WINDOW: Self = Self(8);
    /// Anything else; the text says what.
    pub const OTHER: Self = Self(255);
}

/// A message that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// Why.
    pub reason: Reason,
    /// Why, in words; at most [`REFUSAL_TEXT_BYTES_MAX`] bytes.
    pub text: String,
}

/// What became of some messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// How far the ranges have come.
    pub level: Level,
    /// Messages taken.
    pub ranges: Vec<Range>,
    /// Messages refused.
    pub refused: Vec<Refusal>,
}

/// Why a plaintext is not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Cut short, or bytes after the end.
    #[error("the receipt's length does not fit its counts")]
    Length,
    /// An unknown level.
    #[error("unknown receipt level {0}")]
    Level(u8),
    /// A range of no messages.
    #[error("a range of no messages")]
    Empty,
    /// A text that is too long or not UTF-8.
    #[error("a refusal's text must be UTF-8 of at most {REFUSAL_TEXT_BYTES_MAX} bytes")]
    Text,
}

impl Receipt {
    /// Adds a message that was taken, extending the last range where it can.
    pub fn add(&mut self, epoch: impl Into<Epoch>, seq: impl Into<Seq>) {
        let (epoch, seq) = (epoch.into(), seq.into());
        if let Some(last) = self.ranges.last_mut()
            && last.epoch == epoch
            && last.first.0.checked_add(u64::from(last.count)) == Some(seq.0)
            && last.count < u16::MAX
        {
            last.count += 1;
            return;
        }
        self.ranges.push(Range { epoch, first: seq, count: 1 });
    }

    /// Adds a message that was refused; a text too long is cut.
    pub fn refuse(&mut self, epoch: impl Into<Epoch>, seq: impl Into<Seq>, reason: Reason, text: &str) {
        let mut end = text.len().min(REFUSAL_TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].to_owned();
        self.refused.push(Refusal { epoch: epoch.into(), seq: seq.into(), reason, text });
    }

    /// Nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.refused.is_empty()
    }

    /// The plaintexts: one, unless there is more than fits in a frame. None for an empty receipt.
    pub fn pages(&self) -> impl Iterator<Item = Vec<u8>> {
        let (mut range, mut refusal) = (0, 0);
        core::iter::from_fn(move || {
            let (from_range, from_refusal) = (range, refusal);
            let mut bytes = HEAD_BYTES;
            while range < self.ranges.len() && bytes + RANGE_BYTES <= PLAIN_BYTES_MAX {
                bytes += RANGE_BYTES;
                range += 1;
            }
            while let Some(next) = self.refused.get(refusal)
                && bytes + REFUSAL_BYTES + next.text.len().min(REFUSAL_TEXT_BYTES_MAX) <= PLAIN_BYTES_MAX
            {
                bytes += REFUSAL_BYTES + next.text.len().min(REFUSAL_TEXT_BYTES_MAX);
                refusal += 1;
            }
            if (from_range, from_refusal) == (range, refusal) {
                return None;
            }
            Some(page(self.level, &self.ranges[from_range..range], &self.refused[from_refusal..refusal], bytes))
        })
    }

    /// Reads a plaintext.
    pub fn parse(plain: &[u8]) -> Result<Self, ReceiptError> {
        let mut fields = Cursor(plain);
        let level = match fields.u8().ok_or(ReceiptError::Length)? {
            0 => Level::R0,
            1 => Level::R1,
            2 => Level::R2,
            3 => Level::R3,
            other => return Err(ReceiptError::Level(other)),
        };
        let ranges = fields.u16().ok_or(ReceiptError::Length)?;
        let refused = fields.u16().ok_or(ReceiptError::Length)?;
        // The counts are believed only as far as the bytes go: nothing is reserved for them.
        let ranges = (0..ranges).map(|_| parse_range(&mut fields)).collect::<Result<_, _>>()?;
        let refused = (0..refused).map(|_| parse_refusal(&mut fields)).collect::<Result<_, _>>()?;
        if !fields.is_empty() {
            return Err(ReceiptError::Length);
        }
        Ok(Self { level, ranges, refused })
    }
}

fn page(level: Level, ranges: &[Range], refused: &[Refusal], bytes: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes);
    plain.push(level as u8);
    // A page holds fewer than 1,000 of each.
    plain.extend_from_slice(&(ranges.len() as u16).to_le_bytes());
    plain.extend_from_slice(&(refused.len() as u16).to_le_bytes());
    for range in ranges {
        plain.extend_from_slice(&range.epoch.0.to_le_bytes());
        plain.extend_from_slice(&range.first.0.to_le_bytes());
        plain.extend_from_slice(&range.count.to_le_bytes());
    }
    for refusal in refused {
        let text = refusal.text.as_bytes();
        let text = &text[..text.len().min(REFUSAL_TEXT_BYTES_MAX)];
        plain.extend_from_slice(&refusal.epoch.0.to_le_bytes());
        plain.extend_from_slice(&refusal.seq.0.to_le_bytes());
        plain.extend_from_slice(&[refusal.reason.0, text.len() as u8]);
        plain.extend_from_slice(text);
    }
    plain
}

fn parse_range(fields: &mut Cursor<'_>) -> Result<Range, ReceiptError> {
    let epoch = Epoch(fields.u64().ok_or(ReceiptError::Length)?);
    let first = Seq(fields.u64().ok_or(ReceiptError::Length)?);
    let count = fields.u16().ok_or(ReceiptError::Length)?;
    if count == 0 {
        return Err(ReceiptError::Empty);
    }
    Ok(Range { epoch, first, count })
}

fn parse_refusal(fields: &mut Cursor<'_>) -> Result<Refusal, ReceiptError> {
    let epoch = Epoch(fields.u64().ok_or(ReceiptError::Length)?);
    let seq = Seq(fields.u64().ok_or(ReceiptError::Length)?);
    let reason = Reason(fields.u8().ok_or(ReceiptError::Length)?);
    let length = usize::from(fields.u8().ok_or(ReceiptError::Length)?);
    let text = fields.take(length).ok_or(ReceiptError::Length)?;
    let text = core::str::from_utf8(text).map_err(|_| ReceiptError::Text)?;
    if length > REFUSAL_TEXT_BYTES_MAX {
        return Err(ReceiptError::Text);
    }
    Ok(Refusal { epoch, seq, reason, text: text.to_owned() })
}
