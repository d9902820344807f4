//! A column of integers in the smallest of five encodings. The count of values is known from elsewhere, so a column
//! can't claim more than the reader agreed to.
//!
//! Constant and progressing columns (sequence numbers, exponents, a steady clock) cost a few bytes whatever their length;
//! short ones are packed to a fixed width; long ones go to pco.

use pco::ChunkConfig;
use pco::wrapped::{FileCompressor, FileDecompressor};

use super::SegmentError;
use super::bytes::{Reader, put_bits, put_signed, put_varint, varint_len, zigzag};

const CONSTANT: u8 = 0x00;
const PROGRESSION: u8 = 0x01;
const PCO: u8 = 0x02;
/// With the width less one in the low six bits: values above a base.
const PACKED: u8 = 0x40;
/// Likewise: steps above a smallest step.
const STEPS: u8 = 0x80;
/// Likewise: steps above a smallest step, in multiples of a factor.
const SCALED_STEPS: u8 = 0xc0;

/// pco states its bins in front of the data: below this many packed bytes it can't win.
const PCO_BYTES_MIN: usize = 48;
/// pco's own scale of 0 to 12. Above this, time doubles for some parts in a thousand of size.
const PCO_LEVEL: usize = 6;

fn width_of(span: u64) -> u32 {
    (64 - span.leading_zeros()).max(1)
}

fn packed_len(width: u32, count: usize) -> usize {
    (count * width as usize).div_ceil(8)
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Fixed-width candidates for one list of numbers: smallest, span.
fn range(values: impl Iterator<Item = i64> + Clone) -> (i64, u64) {
    let low = values.clone().min().unwrap_or(0);
    let high = values.max().unwrap_or(0);
    (low, high.wrapping_sub(low) as u64)
}

/// Appends the column. `values` is not empty.
pub(super) fn put(out: &mut Vec<u8>, values: &[i64]) -> Result<(), SegmentError> {
    let Some((first, rest)) = values.split_first() else {
        return Err(SegmentError::Malformed("an empty column can't be written"));
    };
    let steps = values.windows(2).map(|pair| match pair {
        [a, b] => b.wrapping_sub(*a),
        _ => 0,
    });
    let step = rest.first().map_or(0, |second| second.wrapping_sub(*first));
    if steps.clone().all(|s| s == step) {
        out.push(if step == 0 { CONSTANT } else { PROGRESSION });
        put_signed(out, *first);
        if step != 0 {
            put_signed(out, step);
        }
        return Ok(());
    }
    let (low, span) = range(values.iter().copied());
    let (step_low, step_span) = range(steps.clone());
    let above = steps.clone().map(|s| s.wrapping_sub(step_low) as u64);
    let factor = if step_span == 0 { 1 } else { above.clone().fold(0, gcd) };
    let plain = varint_len(zigzag(low)) + packed_len(width_of(span), values.len());
    let stepped = varint_len(zigzag(*first)) + varint_len(zigzag(step_low));
    let scaled_width = width_of(step_span / factor.max(1));
    let scaled = stepped + varint_len(factor) + packed_len(scaled_width, rest.len());
    let stepped = stepped + packed_len(width_of(step_span), rest.len());
    let best = plain.min(stepped).min(scaled);
    if best > PCO_BYTES_MIN {
        let compressed = compress(values)?;
        if compressed.len() + varint_len(compressed.len() as u64) < best {
            out.push(PCO);
            put_varint(out, compressed.len() as u64);
            out.extend_from_slice(&compressed);
            return Ok(());
        }
    }
    let code = |kind: u8, width: u32| kind | (width - 1) as u8;
    if plain == best {
        let width = width_of(span);
        out.push(code(PACKED, width));
        put_signed(out, low);
        put_bits(out, width, values.iter().map(|value| value.wrapping_sub(low) as u64));
    } else if stepped == best {
        let width = width_of(step_span);
        out.push(code(STEPS, width));
        put_signed(out, *first);
        put_signed(out, step_low);
        put_bits(out, width, above);
    } else {
        out.push(code(SCALED_STEPS, scaled_width));
        put_signed(out, *first);
        put_signed(out, step_low);
        put_varint(out, factor);
        put_bits(out, scaled_width, above.map(|value| value / factor));
    }
    Ok(())
}

/// Reads a column of exactly `count` values (at least one).
pub(super) fn read(input: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, SegmentError> {
    if count == 0 {
        return Err(SegmentError::Malformed("an empty column can't be read"));
    }
    let code = input.byte()?;
    let width = u32::from(code & 0x3f) + 1;
    match code & 0xc0 {
        PACKED => {
            let low = input.signed()?;
            Ok(input.bits(width, count)?.into_iter().map(|value| low.wrapping_add(value as i64)).collect())
        }
        STEPS => {
            let (first, low) = (input.signed()?, input.signed()?);
            Ok(walk(first, input.bits(width, count - 1)?.into_iter().map(|value| low.wrapping_add(value as i64))))
        }
        SCALED_STEPS => {
            let (first, low, factor) = (input.signed()?, input.signed()?, input.varint()?);
            let steps = input.bits(width, count - 1)?.into_iter();
            Ok(walk(first, steps.map(|value| low.wrapping_add(value.wrapping_mul(factor) as i64))))
        }
        _ => match code {
            CONSTANT => Ok(vec![input.signed()?; count]),
            PROGRESSION => {
                let (first, step) = (input.signed()?, input.signed()?);
                Ok(walk(first, std::iter::repeat_n(step, count - 1)))
            }
            PCO => {
                let length = input.count(super::PLAINTEXT_BYTES_MAX)?;
                expand(input.take(length)?, count)
            }
            _ => Err(SegmentError::Malformed("unknown column encoding")),
        },
    }
}

/// `first` and what each step leads to.
fn walk(first: i64, steps: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut at = first;
    std::iter::once(first)
        .chain(steps.map(|step| {
            at = at.wrapping_add(step);
            at
        }))
        .collect()
}

/// pco, one chunk of one page: its wrapped format, because the count of values is stated by us.
fn compress(values: &[i64]) -> Result<Vec<u8>, SegmentError> {
    let pages = pco::PagingSpec::Exact(vec![values.len()]);
    let config = ChunkConfig::default().with_compression_level(PCO_LEVEL).with_paging_spec(pages);
    let fault = |_| SegmentError::Malformed("a column can't be compressed");
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).map_err(fault)?;
    let out = file.write_header(Vec::new()).map_err(fault)?;
    let out = chunk.write_meta(out).map_err(fault)?;
    chunk.write_page(0, out).map_err(fault)
}

fn expand(bytes: &[u8], count: usize) -> Result<Vec<i64>, SegmentError> {
    let fault = |_| SegmentError::Malformed("a compressed column is corrupt");
    let (file, rest) = FileDecompressor::new(bytes).map_err(fault)?;
    let (mut chunk, rest) = file.chunk_decompressor::<i64, _>(rest).map_err(fault)?;
    let mut values = vec![0i64; count];
    let mut page = chunk.page_decompressor(rest, count).map_err(fault)?;
    let progress = page.read(&mut values).map_err(fault)?;
    if !progress.finished || progress.n_processed != count || !page.into_src().is_empty() {
        return Err(SegmentError::Malformed("a compressed column has another length"));
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
