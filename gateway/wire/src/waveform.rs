//! Equidistant samples, packed: first differences, zig-zag, as many bits as the largest of 64 needs. Drawn in `README.md`.

use alloc::vec::Vec;

use crate::bytes::Cursor;
use crate::message::CONTENT_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The most samples in one body.
pub const SAMPLES_MAX: usize = 4_096;
/// Differences in one block.
pub const BLOCK: usize = 64;
const EXPONENT_MAX: i8 = 18;
const HEAD_BYTES: usize = 30;

/// Sample i = (offset + samples[i]) * 10^exponent, at start + i * period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waveform {
    /// Number of the quantity.
    pub quantity: u16,
    /// Power of ten of one step, -18 to 18.
    pub exponent: i8,
    /// Added to every sample before scaling.
    pub offset: i32,
    /// Nanoseconds between samples.
    pub period_ns: u64,
    /// Microseconds since 1970 of the first sample; 0 if the device has no clock.
    pub start_us: i64,
    /// 1 to [`SAMPLES_MAX`] samples, in steps.
    pub samples: Vec<i32>,
}

/// Why bytes are not a waveform, or a waveform could not become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WaveformError {
    /// The bytes end early, or go on after the last block.
    #[error("the waveform's length does not fit its counts")]
    Length,
    /// No samples, or more than [`SAMPLES_MAX`].
    #[error("a waveform has 1 to {SAMPLES_MAX} samples, this one {0}")]
    Samples(usize),
    /// Beyond ±18.
    #[error("exponent {0} is beyond 18")]
    Exponent(i8),
    /// Zero.
    #[error("the period must be at least 1 ns")]
    Period,
    /// More than 32 bits a difference.
    #[error("width {0} is above 32")]
    Width(u8),
    /// A reserved byte or an unused bit is set.
    #[error("a reserved or unused bit is set")]
    Reserved,
    /// Too noisy for one frame: send fewer samples at a time.
    #[error("{0} bytes do not fit in a message; send fewer samples at a time")]
    TooLong(usize),
}

const fn zigzag(difference: i32) -> u32 {
    ((difference << 1) ^ (difference >> 31)).cast_unsigned()
}

const fn unzigzag(z: u32) -> i32 {
    (z >> 1).cast_signed() ^ -(z & 1).cast_signed()
}

impl Waveform {
    fn check(&self) -> Result<(), WaveformError> {
        if self.samples.is_empty() || self.samples.len() > SAMPLES_MAX {
            return Err(WaveformError::Samples(self.samples.len()));
        }
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&self.exponent) {
            return Err(WaveformError::Exponent(self.exponent));
        }
        if self.period_ns == 0 {
            return Err(WaveformError::Period);
        }
        Ok(())
    }

    /// The body.
    pub fn encode(&self) -> Result<Vec<u8>, WaveformError> {
        self.check()?;
        let first = self.samples.first().copied().unwrap_or_default();
        let mut body = Vec::with_capacity(HEAD_BYTES + self.samples.len() * 2);
        body.extend_from_slice(&self.quantity.to_le_bytes());
        body.extend_from_slice(&[self.exponent.cast_unsigned(), 0]);
        body.extend_from_slice(&self.offset.to_le_bytes());
        body.extend_from_slice(&self.period_ns.to_le_bytes());
        body.extend_from_slice(&self.start_us.to_le_bytes());
        body.extend_from_slice(&(self.samples.len() as u16).to_le_bytes());
        body.extend_from_slice(&first.to_le_bytes());
        let mut block = [0u32; BLOCK];
        let mut filled = 0;
        for pair in self.samples.windows(2) {
            block[filled] = zigzag(pair[1].wrapping_sub(pair[0]));
            filled += 1;
            if filled == BLOCK {
                pack(&block, &mut body);
                filled = 0;
            }
        }
        if filled > 0 {
            pack(&block[..filled], &mut body);
        }
        if body.len() > CONTENT_BYTES_MAX { Err(WaveformError::TooLong(body.len())) } else { Ok(body) }
    }

    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, WaveformError> {
        let mut fields = Cursor(body);
        let short = WaveformError::Length;
        let quantity = fields.u16().ok_or(short)?;
        let exponent = fields.u8().ok_or(short)?.cast_signed();
        let reserved = fields.u8().ok_or(short)?;
        let offset = fields.i32().ok_or(short)?;
        let period_ns = fields.u64().ok_or(short)?;
        let start_us = fields.i64().ok_or(short)?;
        let count = usize::from(fields.u16().ok_or(short)?);
        let first = fields.i32().ok_or(short)?;
        if reserved != 0 {
            return Err(WaveformError::Reserved);
        }
        if count == 0 || count > SAMPLES_MAX {
            return Err(WaveformError::Samples(count));
        }
        let mut samples = Vec::with_capacity(count);
        samples.push(first);
        while samples.len() < count {
            unpack(&mut fields, (count - samples.len()).min(BLOCK), &mut samples)?;
        }
        if !fields.is_empty() {
            return Err(WaveformError::Length);
        }
        let waveform = Self { quantity, exponent, offset, period_ns, start_us, samples };
        waveform.check()?;
        Ok(waveform)
    }
}

/// One block: its width, then its bits, lowest first.
fn pack(block: &[u32], body: &mut Vec<u8>) {
    let width = 32 - block.iter().fold(0, |all, z| all | z).leading_zeros();
    body.push(width as u8);
    let (mut bits, mut held) = (0u64, 0);
    for z in block {
        bits |= u64::from(*z) << held;
        held += width;
        while held >= 8 {
            body.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        body.push(bits as u8);
    }
}

fn unpack(fields: &mut Cursor<'_>, count: usize, samples: &mut Vec<i32>) -> Result<(), WaveformError> {
    let width = fields.u8().ok_or(WaveformError::Length)?;
    if width > 32 {
        return Err(WaveformError::Width(width));
    }
    let width = u32::from(width);
    let mut bytes = fields.take((count * width as usize).div_ceil(8)).ok_or(WaveformError::Length)?.iter();
    let mask = (1u64 << width) - 1;
    let (mut bits, mut held) = (0u64, 0);
    let mut last = samples.last().copied().unwrap_or_default();
    for _ in 0..count {
        while held < width {
            bits |= u64::from(*bytes.next().ok_or(WaveformError::Length)?) << held;
            held += 8;
        }
        last = last.wrapping_add(unzigzag((bits & mask) as u32));
        samples.push(last);
        bits >>= width;
        held -= width;
    }
    if bits == 0 { Ok(()) } else { Err(WaveformError::Reserved) }
}
