use pitchside_model::{
    Alert, AlertEvent, AlertId, Assurance, AthleteId, Decimal, DeviceId, Epoch, Gap, GapReason, Priority, Quality,
    Quantity, Reading, RuleName, Seq, Timestamp, Value, Wave,
};
use proptest::prelude::*;

use super::*;

pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (any::<i64>(), -18i8..=18).prop_map(|(mantissa, exponent)| Value::Number(Decimal { mantissa, exponent })),
        4 => (50i64..200).prop_map(|rate| Value::Number(Decimal::integer(rate))),
        1 => (any::<u64>(), -18i8..=18, any::<i32>(), prop::collection::vec(any::<i32>(), 0..40))
            .prop_map(|(period_ns, exponent, offset, samples)| Value::Wave(Box::new(Wave { period_ns, exponent, offset, samples }))),
        1 => (0u8..6, any::<u64>()).prop_map(|(reason, extent)| {
            Value::Gap(Gap { reason: GapReason::from_code(reason).unwrap(), extent })
        }),
    ]
}

pub(crate) fn reading() -> impl Strategy<Value = Reading> {
    let times = prop_oneof![(any::<i64>(), any::<i64>()), (0i64..1 << 52).prop_map(|t| (t, t / 1_000 * 1_000 + 5_000))];
    (0u16..20, times, 0u8..32, value(), prop::option::weighted(0.1, 0u8..30)).prop_map(
        |(code, times, quality, value, unit)| {
            let quantity = Quantity::from_code(code).unwrap();
            Reading {
                quantity,
                unit: unit.and_then(pitchside_model::Unit::from_code).unwrap_or(quantity.unit()),
                device_time: Timestamp(times.0),
                gateway_time: Timestamp(times.1),
                quality: Quality::from_bits(quality).unwrap(),
                value,
            }
        },
    )
}

pub(crate) fn reading_record() -> impl Strategy<Value = ReadingRecord> {
    (
        "[a-z][a-z0-9-]{0,20}",
        prop::option::of("[a-z][a-z0-9-]{0,20}"),
        0u8..5,
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        reading(),
    )
        .prop_map(|(device, athlete, assurance, epoch, seq, item, reading)| ReadingRecord {
            device: DeviceId::parse(&device).unwrap(),
            athlete: athlete.map(|name| AthleteId::parse(&name).unwrap()),
            assurance: Assurance::from_code(assurance).unwrap(),
            epoch: Epoch(epoch),
            seq: Seq(seq),
            item,
            reading,
        })
}

pub(crate) fn alert_event() -> impl Strategy<Value = AlertEvent> {
    let raised = (
        any::<[u8; 16]>(),
        prop::option::of("[a-z]{1,9}"),
        prop::option::of((any::<i64>(), -18i8..=18)),
        any::<i64>(),
        0u16..20,
        ".{0,60}",
    )
        .prop_map(|(id, athlete, value, time, code, message)| {
            AlertEvent::Raised(Alert {
                id: AlertId(id),
                rule: RuleName::parse("heat-illness").unwrap(),
                rule_version: "1.0.0".to_owned(),
                priority: Priority::High,
                athlete: athlete.map(|name| AthleteId::parse(&name).unwrap()),
                device: DeviceId::parse("pill-3").unwrap(),
                quantity: Quantity::from_code(code).unwrap(),
                value: value.map(|(mantissa, exponent)| Decimal { mantissa, exponent }),
                unit: Quantity::from_code(code).unwrap().unit(),
                event_time: Timestamp(time),
                message,
            })
        });
    let cleared = (any::<[u8; 16]>(), any::<i64>())
        .prop_map(|(id, time)| AlertEvent::Cleared { id: AlertId(id), event_time: Timestamp(time) });
    prop_oneof![3 => raised, 1 => cleared]
}

#[test]
fn the_leaf_of_a_record_is_the_rfc_6962_leaf_of_blind_and_bytes() {
    let mut leaf = [7u8; 16].to_vec();
    leaf.extend_from_slice(b"record");
    assert_eq!(record_leaf(&[7; 16], b"record"), leaf_hash(&leaf));
}

proptest! {
    #[test]
    fn any_record_reads_back_and_somebody_elses_cbor_agrees(record in prop_oneof![
        reading_record().prop_map(Record::Reading),
        alert_event().prop_map(|event| Record::Alert(AlertRecord(event))),
    ]) {
        let bytes = record.to_bytes();
        prop_assert_eq!(Record::parse(&bytes), Ok(record.clone()));
        let value: ciborium::value::Value = ciborium::from_reader(bytes.as_slice()).unwrap();
        let mut again = Vec::new();
        ciborium::into_writer(&value, &mut again).unwrap();
        prop_assert_eq!(&bytes, &again);
        for cut in 0..bytes.len() {
            prop_assert!(Record::parse(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }
}
