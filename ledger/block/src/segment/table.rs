//! Records to plaintext and back: streams of columns, then zero padding.

use pitchside_model::reading::WAVE_SAMPLES_MAX;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Epoch, Gap, GapReason, HourIndex, Quality, Quantity, Reading, Seq,
    Timestamp, Unit, Value, Wave,
};
use zeroize::Zeroizing;

use super::bytes::{Reader, put_varint};
use super::{
    Content, PLAINTEXT_BYTES_MAX, RECORDS_MAX, Row, SAMPLES_MAX, SegmentError, SegmentTag, Stream, Subject, column,
    padded,
};
use crate::record::{RECORD_BYTES_MAX, ReadingRecord, ReadingRef, Record};

const KIND_READINGS: u8 = 1;
const KIND_ALERTS: u8 = 2;

/// The columns of a stream, in this order. One that is absent is zero throughout.
const SEQ: usize = 0;
const TIME: usize = 1;
const LAG: usize = 2;
/// Before all columns whose length it decides.
const FORM: usize = 3;
const MANTISSA: usize = 4;
const EXPONENT: usize = 5;
const QUALITY: usize = 6;
const ITEM: usize = 7;
const SUBMILLI: usize = 8;
const UNIT: usize = 9;
const GAP_REASON: usize = 10;
const GAP_EXTENT: usize = 11;
const WAVE_PERIOD: usize = 12;
const WAVE_EXPONENT: usize = 13;
const WAVE_OFFSET: usize = 14;
const WAVE_COUNT: usize = 15;
const SAMPLES: usize = 16;
const COLUMNS: usize = 17;

type Columns = [Vec<i64>; COLUMNS];

const FORM_NUMBER: i64 = 0;
const FORM_WAVE: i64 = 1;
const FORM_GAP: i64 = 2;

/// The first microsecond of an hour. Wrapping: a tag is not data and may name any hour.
const fn hour_start(hour: HourIndex) -> i64 {
    (hour.0 as i64).wrapping_mul(3_600_000_000)
}

/// The padded plaintext of a segment.
pub fn plaintext(tag: SegmentTag, content: &Content<'_>) -> Result<Zeroizing<Vec<u8>>, SegmentError> {
    if content.is_empty() || content.len() > RECORDS_MAX {
        return Err(SegmentError::TooLarge);
    }
    let mut out = Zeroizing::new(Vec::new());
    match content {
        Content::Readings(rows) => put_readings(&mut out, tag, rows)?,
        Content::Alerts(records) => {
            out.push(KIND_ALERTS);
            put_varint(&mut out, records.len() as u64);
            for record in records {
                if record.len() > RECORD_BYTES_MAX {
                    return Err(SegmentError::TooLarge);
                }
                put_varint(&mut out, record.len() as u64);
                out.extend_from_slice(record);
            }
        }
    }
    if out.len() > PLAINTEXT_BYTES_MAX {
        return Err(SegmentError::TooLarge);
    }
    let length = padded(out.len());
    out.resize(length, 0);
    Ok(out)
}

fn put_readings(out: &mut Vec<u8>, tag: SegmentTag, rows: &[ReadingRef<'_>]) -> Result<(), SegmentError> {
    let same =
        |a: &ReadingRef<'_>, b: &ReadingRef<'_>| (a.device, a.assurance, a.epoch) == (b.device, b.assurance, b.epoch);
    out.push(KIND_READINGS);
    put_varint(out, rows.chunk_by(same).count() as u64);
    let mut columns: Columns = Default::default();
    let mut samples = 0;
    for stream in rows.chunk_by(same) {
        let Some(head) = stream.first() else { continue };
        columns.iter_mut().for_each(Vec::clear);
        fill(&mut columns, tag, stream)?;
        samples += columns[SAMPLES].len();
        if samples > SAMPLES_MAX {
            return Err(SegmentError::TooLarge);
        }
        out.push(u8::try_from(head.device.as_str().len()).map_err(|_| SegmentError::TooLarge)?);
        out.extend_from_slice(head.device.as_str().as_bytes());
        out.push(head.assurance as u8);
        out.extend_from_slice(&head.epoch.0.to_be_bytes());
        put_varint(out, stream.len() as u64);
        let present = |values: &Vec<i64>| values.iter().any(|value| *value != 0);
        let map = columns.iter().enumerate().fold(0u64, |map, (at, values)| map | u64::from(present(values)) << at);
        put_varint(out, map);
        for values in columns.iter().filter(|values| present(values)) {
            column::put(out, values)?;
        }
    }
    Ok(())
}

fn fill(columns: &mut Columns, tag: SegmentTag, stream: &[ReadingRef<'_>]) -> Result<(), SegmentError> {
    let start = hour_start(tag.hour);
    let mut expected = (None, 0u32);
    for row in stream {
        let reading = row.reading;
        if tag.subject != Subject::Readings(reading.quantity) {
            return Err(SegmentError::Malformed("a reading of another quantity"));
        }
        let item = if expected.0 == Some(row.seq) { expected.1 } else { 0 };
        expected = (Some(row.seq), row.item.wrapping_add(1));
        let device_ms = reading.device_time.millis();
        let mut put = |column: usize, value: i64| columns[column].push(value);
        put(SEQ, row.seq.0 as i64);
        put(TIME, reading.device_time.0.wrapping_sub(start));
        put(LAG, reading.gateway_time.millis() - device_ms);
        put(QUALITY, i64::from(reading.quality.bits()));
        put(ITEM, i64::from(row.item) - i64::from(item));
        put(SUBMILLI, reading.gateway_time.0.rem_euclid(1_000));
        put(UNIT, i64::from(reading.unit.code()) - i64::from(reading.quantity.unit().code()));
        match &reading.value {
            Value::Number(number) => {
                put(FORM, FORM_NUMBER);
                put(MANTISSA, number.mantissa);
                put(EXPONENT, i64::from(number.exponent));
            }
            Value::Wave(wave) if wave.samples.len() > WAVE_SAMPLES_MAX => return Err(SegmentError::TooLarge),
            Value::Wave(wave) => {
                put(FORM, FORM_WAVE);
                put(WAVE_PERIOD, wave.period_ns as i64);
                put(WAVE_EXPONENT, i64::from(wave.exponent));
                put(WAVE_OFFSET, i64::from(wave.offset));
                put(WAVE_COUNT, wave.samples.len() as i64);
                columns[SAMPLES].extend(wave.samples.iter().map(|sample| i64::from(*sample)));
            }
            Value::Gap(gap) => {
                put(FORM, FORM_GAP);
                put(GAP_REASON, gap.reason as i64);
                put(GAP_EXTENT, gap.extent as i64);
            }
        }
    }
    Ok(())
}

/// Reads a padded plaintext back. Nothing is allocated beyond the limits, whatever the bytes claim.
pub(super) fn read(
    tag: SegmentTag,
    athlete: Option<&AthleteId>,
    plaintext: &[u8],
) -> Result<Vec<Record>, SegmentError> {
    if let Subject::Readings(_) = tag.subject {
        let streams = read_streams(tag, plaintext)?;
        return Ok(streams.into_iter().flat_map(|stream| stream.into_records(athlete)).collect());
    }
    let mut input = Reader::new(plaintext);
    if input.byte()? != KIND_ALERTS {
        return Err(SegmentError::Malformed("it is of another kind"));
    }
    let records = read_alerts(&mut input)?;
    ended(plaintext, &input, records.is_empty())?;
    Ok(records)
}

/// The same of a segment of readings, without a copy of who sent them for each.
pub(super) fn read_streams(tag: SegmentTag, plaintext: &[u8]) -> Result<Vec<Stream>, SegmentError> {
    let mut input = Reader::new(plaintext);
    let streams = match (input.byte()?, tag.subject) {
        (KIND_READINGS, Subject::Readings(quantity)) => read_readings(&mut input, quantity, tag.hour)?,
        _ => return Err(SegmentError::Malformed("it is of another kind")),
    };
    ended(plaintext, &input, streams.is_empty())?;
    Ok(streams)
}

/// Whether a plaintext ends where its content does, but for its padding, and held something.
fn ended(plaintext: &[u8], input: &Reader<'_>, is_empty: bool) -> Result<(), SegmentError> {
    let content = plaintext.len() - input.rest().len();
    if padded(content) != plaintext.len() || input.rest().iter().any(|byte| *byte != 0) {
        return Err(SegmentError::Malformed("its padding is wrong"));
    }
    if is_empty {
        return Err(SegmentError::Malformed("it holds nothing"));
    }
    Ok(())
}

fn read_alerts(input: &mut Reader<'_>) -> Result<Vec<Record>, SegmentError> {
    let count = input.count(RECORDS_MAX)?;
    (0..count)
        .map(|_| {
            let length = input.count(RECORD_BYTES_MAX)?;
            match Record::parse(input.take(length)?) {
                Ok(record @ Record::Alert(_)) => Ok(record),
                _ => Err(SegmentError::Malformed("an alert is not canonical")),
            }
        })
        .collect()
}

fn read_readings(input: &mut Reader<'_>, quantity: Quantity, hour: HourIndex) -> Result<Vec<Stream>, SegmentError> {
    let count = input.count(RECORDS_MAX)?;
    let mut streams = Vec::new();
    let (mut rows_left, mut samples_left) = (RECORDS_MAX, SAMPLES_MAX);
    for _ in 0..count {
        let length = usize::from(input.byte()?);
        let name = std::str::from_utf8(input.take(length)?).ok().and_then(|name| DeviceId::parse(name).ok());
        let device = name.ok_or(SegmentError::Malformed("a device name is not one"))?;
        let assurance = Assurance::from_code(input.byte()?).ok_or(SegmentError::Malformed("unknown assurance"))?;
        let epoch = input.take(8)?.iter().fold(0u64, |epoch, byte| epoch << 8 | u64::from(*byte));
        let length = input.count(rows_left)?;
        rows_left -= length;
        if length == 0 {
            return Err(SegmentError::Malformed("an empty stream"));
        }
        let map = input.varint()?;
        if map >> COLUMNS != 0 {
            return Err(SegmentError::Malformed("unknown columns"));
        }
        let mut cursor = Cursors::read(input, map, length, &mut samples_left)?;
        let mut expected = (None, 0u32);
        let mut rows = Vec::with_capacity(length);
        for _ in 0..length {
            rows.push(cursor.row(quantity, hour_start(hour), &mut expected)?);
        }
        streams.push(Stream { rows, device, assurance, epoch: Epoch(epoch) });
    }
    Ok(streams)
}

impl Stream {
    fn into_records(self, athlete: Option<&AthleteId>) -> impl Iterator<Item = Record> {
        let Self { device, assurance, epoch, rows } = self;
        let athlete = athlete.cloned();
        rows.into_iter().map(move |Row { seq, item, reading }| {
            let (device, athlete) = (device.clone(), athlete.clone());
            Record::Reading(ReadingRecord { device, athlete, assurance, epoch, seq, item, reading })
        })
    }
}

/// The columns of a stream while its rows are put together.
struct Cursors {
    columns: [Option<std::vec::IntoIter<i64>>; COLUMNS],
}

impl Cursors {
    fn read(input: &mut Reader<'_>, map: u64, rows: usize, samples_left: &mut usize) -> Result<Self, SegmentError> {
        let mut columns: [Option<std::vec::IntoIter<i64>>; COLUMNS] = Default::default();
        let (mut numbers, mut waves, mut gaps, mut samples) = (rows, 0, 0, 0);
        for at in (0..COLUMNS).filter(|at| map >> at & 1 == 1) {
            let count = match at {
                MANTISSA | EXPONENT => numbers,
                GAP_REASON | GAP_EXTENT => gaps,
                WAVE_PERIOD | WAVE_EXPONENT | WAVE_OFFSET | WAVE_COUNT => waves,
                SAMPLES => samples,
                _ => rows,
            };
            let values = column::read(input, count)?;
            if at == FORM {
                let of = |form: i64| values.iter().filter(|value| **value == form).count();
                (numbers, waves, gaps) = (of(FORM_NUMBER), of(FORM_WAVE), of(FORM_GAP));
            }
            if at == WAVE_COUNT {
                samples = sum_counts(&values, *samples_left)?;
                *samples_left -= samples;
            }
            columns[at] = Some(values.into_iter());
        }
        Ok(Self { columns })
    }

    fn next(&mut self, column: usize) -> Result<i64, SegmentError> {
        match self.columns.get_mut(column) {
            Some(Some(values)) => values.next().ok_or(SegmentError::Malformed("a column is too short")),
            _ => Ok(0),
        }
    }

    fn small<T: TryFrom<i64>>(&mut self, column: usize) -> Result<T, SegmentError> {
        T::try_from(self.next(column)?).map_err(|_| SegmentError::Malformed("a number is out of range"))
    }

    fn row(&mut self, quantity: Quantity, start: i64, expected: &mut (Option<Seq>, u32)) -> Result<Row, SegmentError> {
        let out_of_range = SegmentError::Malformed("a number is out of range");
        let seq = Seq(self.next(SEQ)? as u64);
        let usual = if expected.0 == Some(seq) { expected.1 } else { 0 };
        let item = self.next(ITEM)?.checked_add(i64::from(usual)).and_then(|item| u32::try_from(item).ok());
        let item = item.ok_or(out_of_range)?;
        *expected = (Some(seq), item.wrapping_add(1));
        let device_time = Timestamp(self.next(TIME)?.wrapping_add(start));
        let gateway_ms = device_time.millis().wrapping_add(self.next(LAG)?);
        let gateway_time = Timestamp(gateway_ms.wrapping_mul(1_000).wrapping_add(self.next(SUBMILLI)?));
        let quality = Quality::from_bits(self.small(QUALITY)?).ok_or(SegmentError::Malformed("unknown quality"))?;
        let unit = self.next(UNIT)?.checked_add(i64::from(quantity.unit().code()));
        let unit = unit.and_then(|code| u8::try_from(code).ok()).and_then(Unit::from_code).ok_or(out_of_range)?;
        let value = match self.next(FORM)? {
            FORM_NUMBER => Value::Number(Decimal { mantissa: self.next(MANTISSA)?, exponent: self.small(EXPONENT)? }),
            FORM_WAVE => {
                let period_ns = self.next(WAVE_PERIOD)? as u64;
                let (exponent, offset) = (self.small(WAVE_EXPONENT)?, self.small(WAVE_OFFSET)?);
                let count: usize = self.small(WAVE_COUNT)?;
                let samples = (0..count).map(|_| self.small(SAMPLES)).collect::<Result<_, _>>()?;
                Value::Wave(Box::new(Wave { period_ns, exponent, offset, samples }))
            }
            FORM_GAP => {
                let reason = GapReason::from_code(self.small(GAP_REASON)?);
                let reason = reason.ok_or(SegmentError::Malformed("unknown gap reason"))?;
                Value::Gap(Gap { reason, extent: self.next(GAP_EXTENT)? as u64 })
            }
            _ => return Err(SegmentError::Malformed("unknown form of value")),
        };
        Ok(Row { seq, item, reading: Reading { quantity, unit, device_time, gateway_time, quality, value } })
    }
}

fn sum_counts(values: &[i64], most: usize) -> Result<usize, SegmentError> {
    values.iter().try_fold(0usize, |sum, count| {
        let sum = usize::try_from(*count).ok().and_then(|count| sum.checked_add(count));
        sum.filter(|sum| *sum <= most).ok_or(SegmentError::TooLarge)
    })
}
