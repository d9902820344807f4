use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use proptest::prelude::*;

use super::*;
use crate::header::{BlockIndex, GatewayId, Incarnation};
use crate::record::tests::{alert_event, reading_record};
use crate::record::{AlertRecord, ReadingRecord, Record};

pub(crate) fn place() -> BlockPlace {
    BlockPlace { gateway: GatewayId([1; 32]), incarnation: Incarnation(0), index: BlockIndex(9), salt: [2; SALT_BYTES] }
}

fn hour_key() -> HourKey {
    HourKey::new([3; 32])
}

/// Readings of one device at 1 Hz for a minute, arriving 4 to 11 ms late.
fn minute(values: impl Iterator<Item = i64>) -> Vec<ReadingRecord> {
    let start = 1_763_700_000_000_000i64;
    values
        .enumerate()
        .map(|(n, value)| ReadingRecord {
            device: DeviceId::parse("strap-07").unwrap(),
            athlete: Some(AthleteId::parse("athlete-3").unwrap()),
            assurance: Assurance::Noise,
            epoch: Epoch(0x1234_5678_9abc_def0),
            seq: Seq(700 + n as u64),
            item: 0,
            reading: Reading {
                quantity: Quantity::HEART_RATE,
                unit: Quantity::HEART_RATE.unit(),
                device_time: Timestamp(start + n as i64 * 1_000_000),
                gateway_time: Timestamp(start + n as i64 * 1_000_000 + (4 + n as i64 * 5 % 8) * 1_000),
                quality: Quality::empty(),
                value: Value::Number(Decimal::integer(value)),
            },
        })
        .collect()
}

fn tag_of(record: &ReadingRecord) -> SegmentTag {
    SegmentTag { subject: Subject::Readings(record.reading.quantity), hour: record.reading.device_time.hour(), part: 0 }
}

fn sealed(records: &[ReadingRecord], tag: SegmentTag) -> SealedSegment {
    let content = Content::Readings(records.iter().map(ReadingRecord::as_ref).collect());
    let plain = plaintext(tag, &content).unwrap();
    seal(tag, &content, plain, &SegmentKeys::derive(&hour_key(), &place(), tag)).unwrap()
}

/// The real ride, first minute after the start.
fn heart_rates() -> Vec<i64> {
    (0..60).map(|n: i64| 140 + (n * n / 7 % 5) - n % 3).collect()
}

#[test]
fn a_minute_at_1_hz_costs_less_than_four_bytes_a_reading_and_128_bytes_beyond_its_columns() {
    let records = minute(heart_rates().into_iter());
    let tag = tag_of(&records[0]);
    let sealed = sealed(&records, tag);
    let mut columns = Vec::new();
    for column in [
        (0..60).map(|n| 700 + n).collect::<Vec<i64>>(),
        (0..60).map(|n| 1_000_000 * n).collect(),
        (0..60).map(|n| 4 + n * 5 % 8).collect(),
        heart_rates(),
    ] {
        column::put(&mut columns, &column).unwrap();
    }
    // In the payload: commitment, root, hour and length beside the ciphertext.
    let total = sealed.ciphertext.len() + 72;
    assert!(total < 4 * 60, "{total} bytes for 60 readings");
    assert!(total - columns.len() < 128, "{} bytes beyond {} of columns", total - columns.len(), columns.len());
}

#[test]
fn only_the_key_of_that_hour_block_and_tag_opens_a_segment() {
    let records = minute(heart_rates().into_iter());
    let tag = tag_of(&records[0]);
    let sealed = sealed(&records, tag);
    let athlete = records[0].athlete.clone();
    let keys = |hour: &HourKey, place: &BlockPlace, tag| SegmentKeys::derive(hour, place, tag);
    let opened = open(&sealed, &keys(&hour_key(), &place(), tag), tag, athlete.as_ref()).unwrap();
    assert_eq!(opened.records().len(), 60);
    assert_eq!(opened.records()[0], Record::Reading(records[0].clone()));
    let other_block = BlockPlace { index: BlockIndex(10), ..place() };
    let other_salt = BlockPlace { salt: [0; SALT_BYTES], ..place() };
    let other_life = BlockPlace { incarnation: Incarnation(1), ..place() };
    let other_part = SegmentTag { part: 1, ..tag };
    for wrong in [
        keys(&HourKey::new([4; 32]), &place(), tag),
        keys(&hour_key(), &other_block, tag),
        keys(&hour_key(), &other_salt, tag),
        keys(&hour_key(), &other_life, tag),
        keys(&hour_key(), &place(), other_part),
    ] {
        assert_eq!(open(&sealed, &wrong, tag, athlete.as_ref()).unwrap_err(), SegmentError::WrongKey);
    }
    // The right key, but told to be somebody else's: the records then hash to another root.
    let other = AthleteId::parse("athlete-4").unwrap();
    let right = keys(&hour_key(), &place(), tag);
    assert_eq!(open(&sealed, &right, tag, Some(&other)).unwrap_err(), SegmentError::Root);
    assert_eq!(open(&sealed, &right, tag, None).unwrap_err(), SegmentError::Root);
    for at in 0..sealed.ciphertext.len() {
        let mut changed = sealed.clone();
        changed.ciphertext[at] ^= 0x10;
        assert_eq!(open(&changed, &right, tag, athlete.as_ref()).unwrap_err(), SegmentError::Changed);
    }
}

#[test]
fn a_plaintext_that_claims_more_than_the_limits_is_refused_before_memory_is_taken() {
    let tag = tag_of(&minute(std::iter::once(1))[0]);
    // One stream, one device, and a row count of 2^40.
    let mut bytes = vec![1, 1, 1, b'a', 4, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0]);
    bytes.resize(padded(bytes.len()), 0);
    assert_eq!(table::read(tag, None, &bytes), Err(SegmentError::Malformed("a count exceeds the limits")));
    // A wave said to have 2^40 samples.
    let mut bytes = vec![1, 1, 1, b'a', 4, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(&[0x88, 0x80, 0x02]); // columns FORM and WAVE_COUNT
    bytes.extend_from_slice(&[0, 2, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
    bytes.resize(padded(bytes.len()), 0);
    assert_eq!(table::read(tag, None, &bytes), Err(SegmentError::TooLarge));
}

#[test]
fn padding_follows_padme() {
    for (length, want) in [(0, 0), (1, 1), (9, 10), (100, 104), (119, 120), (1_000, 1_024), (1_048_577, 1_081_344)] {
        assert_eq!(padded(length), want, "{length}");
    }
    for length in 1..5_000 {
        let padded = padded(length);
        assert!(padded >= length && padded - length <= length / 8 + 1);
        assert_eq!(super::padded(padded), padded);
    }
}

proptest! {
    #[test]
    fn any_readings_read_back_in_order(mut records in prop::collection::vec(reading_record(), 1..60), hour in any::<u32>()) {
        let head = records[0].clone();
        for record in &mut records {
            record.athlete = head.athlete.clone();
            record.reading.quantity = head.reading.quantity;
            if record.seq.0 % 3 == 0 {
                (record.device, record.assurance, record.epoch) = (head.device.clone(), head.assurance, head.epoch);
            }
        }
        records.sort_by(|a, b| {
            let key = |r: &ReadingRecord| (r.device.clone(), r.assurance, r.epoch, r.seq, r.item);
            key(a).cmp(&key(b))
        });
        // The hour is not checked against the times: it only shortens them.
        let tag = SegmentTag { hour: HourIndex(hour), ..tag_of(&head) };
        let sealed = sealed(&records, tag);
        let keys = SegmentKeys::derive(&hour_key(), &place(), tag);
        let opened = open(&sealed, &keys, tag, head.athlete.as_ref()).unwrap();
        let want: Vec<Record> = records.into_iter().map(Record::Reading).collect();
        prop_assert_eq!(opened.records(), &want[..]);
    }

    #[test]
    fn any_alerts_read_back(events in prop::collection::vec(alert_event(), 1..20)) {
        let records: Vec<Record> = events.into_iter().map(|event| Record::Alert(AlertRecord(event))).collect();
        let content = Content::Alerts(records.iter().map(Record::to_bytes).collect());
        let tag = SegmentTag { subject: Subject::Alerts, hour: HourIndex(5), part: 0 };
        let keys = SegmentKeys::derive(&hour_key(), &place(), tag);
        let sealed = seal(tag, &content, plaintext(tag, &content).unwrap(), &keys).unwrap();
        let opened = open(&sealed, &keys, tag, None).unwrap();
        prop_assert_eq!(opened.records(), &records[..]);
    }

    #[test]
    fn any_plaintext_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 1u8..3) {
        let subject = if kind == 1 { Subject::Readings(Quantity::POWER) } else { Subject::Alerts };
        let tag = SegmentTag { subject, hour: HourIndex(5), part: 0 };
        let mut plain = vec![kind];
        plain.extend_from_slice(&bytes);
        let _ = table::read(tag, None, &plain);
    }

    #[test]
    fn a_changed_plaintext_byte_is_read_or_refused_without_harm(at in any::<prop::sample::Index>(), to: u8) {
        let records = minute((0..200).map(|n: i64| n * n % 77));
        let tag = tag_of(&records[0]);
        let content = Content::Readings(records.iter().map(ReadingRecord::as_ref).collect());
        let mut plain = plaintext(tag, &content).unwrap();
        let at = at.index(plain.len());
        plain[at] = to;
        let _ = table::read(tag, None, &plain);
    }
}
