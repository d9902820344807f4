//! The waveform body of PS/1 (layout drawn in `gateway/wire/README.md`): equidistant samples, packed as differences.

use pitchside_model::decimal::EXPONENT_MAX;
use pitchside_model::reading::WAVE_SAMPLES_MAX;
use pitchside_model::{Decimal, Quality, Quantity, Reading, Timestamp, Value, Wave};

use crate::error::{DecodeError, WaveFault};
use crate::tolerance::{Judge, Moment, Tolerances, plausibility};

/// Bytes before the first block of differences.
const HEADER_BYTES: usize = 30;
/// Differences in a block.
const BLOCK: usize = 64;

/// Reads one waveform body.
pub fn reading(bytes: &[u8], now: Timestamp, tolerances: Tolerances) -> Result<Reading, DecodeError> {
    parse(bytes).and_then(|frame| judge(frame, &Judge::new(now, tolerances))).map_err(DecodeError::Wave)
}

/// A waveform as sent, before its time is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What was measured, in the unit of the quantity.
    pub quantity: Quantity,
    /// Device time of the first sample; none if the device has no clock.
    pub start: Option<Timestamp>,
    /// The samples.
    pub wave: Wave,
}

/// Reads the layout.
pub fn parse(bytes: &[u8]) -> Result<Frame, WaveFault> {
    let (header, mut blocks) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(WaveFault::Short)?;
    let code = u16::from_le_bytes([header[0], header[1]]);
    let quantity = Quantity::from_code(code).ok_or(WaveFault::UnknownQuantity(code))?;
    if quantity.is_gateways_own() {
        return Err(WaveFault::GatewaysOwn(quantity.name()));
    }
    let exponent = header[2] as i8;
    if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
        return Err(WaveFault::Exponent(exponent));
    }
    if header[3] != 0 {
        return Err(WaveFault::Unused);
    }
    let offset = i32::from_le_bytes(field(header, 4));
    let period_ns = u64::from_le_bytes(field(header, 8));
    if period_ns == 0 {
        return Err(WaveFault::Period);
    }
    let start = Some(Timestamp(i64::from_le_bytes(field(header, 16)))).filter(|start| *start != Timestamp(0));
    let count = usize::from(u16::from_le_bytes([header[24], header[25]]));
    if count == 0 {
        return Err(WaveFault::Empty);
    }
    if count > WAVE_SAMPLES_MAX {
        return Err(WaveFault::TooMany(count));
    }
    let mut last = i32::from_le_bytes(field(header, 26));
    let mut samples = vec![0; count];
    let (first, mut rest) = samples.split_at_mut(1);
    first.fill(last);
    while !rest.is_empty() {
        let (block, after) = rest.split_at_mut(rest.len().min(BLOCK));
        blocks = unpack(blocks, block, &mut last)?;
        rest = after;
    }
    if !blocks.is_empty() {
        return Err(WaveFault::Trailing);
    }
    Ok(Frame { quantity, start, wave: Wave { period_ns, exponent, offset, samples } })
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    // Every caller's field lies within the header; a shorter one would stay zero.
    if let Some(there) = header.get(at..at + N) {
        bytes.copy_from_slice(there);
    }
    bytes
}

/// One block: a width, then `block.len()` differences of that many bits. Gives what follows it.
fn unpack<'a>(bytes: &'a [u8], block: &mut [i32], last: &mut i32) -> Result<&'a [u8], WaveFault> {
    let (&width, bytes) = bytes.split_first().ok_or(WaveFault::Short)?;
    if width > 32 {
        return Err(WaveFault::Width(width));
    }
    let bits = usize::from(width) * block.len();
    let (packed, after) = bytes.split_at_checked(bits.div_ceil(8)).ok_or(WaveFault::Short)?;
    if width == 0 {
        block.fill(*last);
        return Ok(after);
    }
    // A window of at least `width` bits, topped up with 32 at a time while whole words are left.
    let (mut window, mut held) = (0u64, 0u32);
    let width = u32::from(width);
    let mask = u64::from(u32::MAX >> (32 - width));
    let mut source = packed;
    for sample in block {
        if held < width {
            if let Some((word, more)) = source.split_first_chunk::<4>() {
                window |= u64::from(u32::from_le_bytes(*word)) << held;
                (source, held) = (more, held + 32);
            } else {
                for byte in source {
                    window |= u64::from(*byte) << held;
                    held += 8;
                }
                source = &[];
            }
        }
        let zigzag = (window & mask) as u32;
        window >>= width;
        held = held.saturating_sub(width);
        let difference = (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32);
        *last = last.wrapping_add(difference);
        *sample = *last;
    }
    let unused = window != 0 || source.iter().any(|byte| *byte != 0);
    if unused { Err(WaveFault::Unused) } else { Ok(after) }
}

fn judge(frame: Frame, judge: &Judge) -> Result<Reading, WaveFault> {
    let too_far = |far: crate::tolerance::TimeTooFar| WaveFault::TimeTooFar(far.ahead_us / 1_000_000);
    let Frame { quantity, start, wave } = frame;
    let steps = u64::try_from(wave.samples.len() - 1).unwrap_or(u64::MAX);
    let length_us = i64::try_from(wave.period_ns.saturating_mul(steps) / 1_000).unwrap_or(i64::MAX);
    // Without a clock the last sample is the one just taken.
    let moment = start.map_or(Moment::Relative(length_us.saturating_neg()), Moment::Absolute);
    let (device_time, mut quality) = judge.time(moment).map_err(too_far)?;
    let (_, at_end) = judge.time(Moment::Absolute(device_time.plus_micros(length_us))).map_err(too_far)?;
    quality |= at_end & Quality::FUTURE;
    // Lowest and highest are enough: the range is an interval.
    let extremes = [wave.samples.iter().min(), wave.samples.iter().max()];
    for sample in extremes.into_iter().flatten() {
        let mantissa = i64::from(*sample) + i64::from(wave.offset);
        quality |= plausibility(quantity, Decimal { mantissa, exponent: wave.exponent });
    }
    Ok(Reading {
        quantity,
        unit: quantity.unit(),
        device_time,
        gateway_time: judge.gateway_time,
        quality,
        value: Value::Wave(Box::new(wave)),
    })
}

#[cfg(test)]
mod tests;
