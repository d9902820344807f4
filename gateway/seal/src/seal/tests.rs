use ledger_block::header::GENESIS;
use pitchside_model::{
    Alert, AlertId, Assurance, AthleteId, Decimal, DeviceId, Epoch, Priority, Quality, Quantity, Reading, RuleName,
    Seq, Value, Wave,
};
use proptest::prelude::*;

use super::*;
use crate::key::{AthleteKey, Generation};
use crate::open::{Filter, open};
use crate::ring::KeyRing;

/// 2026-11-21T09:00:00Z.
pub(crate) const START: i64 = 1_795_251_600;

pub(crate) fn athlete(name: &str) -> AthleteId {
    AthleteId::parse(name).unwrap()
}

pub(crate) fn heart_rate(seconds: i64, value: i64) -> Reading {
    Reading {
        quantity: Quantity::HEART_RATE,
        unit: Quantity::HEART_RATE.unit(),
        device_time: Timestamp::from_seconds(seconds),
        gateway_time: Timestamp::from_seconds(seconds).plus_micros(7_000 + seconds % 5 * 1_000),
        quality: Quality::empty(),
        value: Value::Number(Decimal::integer(value)),
    }
}

pub(crate) fn entry(device: &str, whose: Option<&str>, seq: u64, seconds: i64, value: i64) -> Entry {
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: whose.map(athlete),
        assurance: Assurance::Noise,
        epoch: Epoch(0x0123_4567_89ab_cdef),
        seq: Seq(seq),
        readings: vec![heart_rate(seconds, value)],
    }
}

pub(crate) fn alert(priority: Priority) -> AlertEvent {
    AlertEvent::Raised(Alert {
        id: AlertId([7; 16]),
        rule: RuleName::parse("heart-rate-ceiling").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority,
        athlete: Some(athlete("a1")),
        device: DeviceId::parse("strap-1").unwrap(),
        quantity: Quantity::HEART_RATE,
        value: Some(Decimal::integer(199)),
        unit: Quantity::HEART_RATE.unit(),
        event_time: Timestamp::from_seconds(START + 30),
        message: "Heart rate above the ceiling for 10 s.".to_owned(),
    })
}

pub(crate) fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.put(Whose::House, Generation(0), AthleteKey::new([99; 32]));
    for n in 1..=8u8 {
        ring.put(Whose::Athlete(athlete(&format!("a{n}"))), Generation(0), AthleteKey::new([n; 32]));
    }
    ring
}

pub(crate) fn signer() -> GatewayKey {
    GatewayKey::new(&[42; 32])
}

pub(crate) fn input<'a>(key: &'a GatewayKey, keys: &'a KeyRing, entries: &'a [Entry]) -> SealInput<'a> {
    SealInput {
        key,
        incarnation: Incarnation(0),
        index: BlockIndex(0),
        previous: GENESIS,
        sealed_at: Timestamp::from_seconds(START + 60),
        clock: ClockState::Synchronised,
        rules: [1; 32],
        plugins: [2; 32],
        firmware: [3; 32],
        checkpoint: None,
        entries,
        alerts: &[],
        keys,
        entropy: [5; 32],
        boot: BootCounter(1),
    }
}

/// A minute of eight athletes with three vitals each, arriving a few milliseconds late.
pub(crate) fn squad() -> Vec<Entry> {
    let mut entries = Vec::new();
    for second in 0..60i64 {
        for n in 1..=8i64 {
            let name = format!("a{n}");
            let vital = |quantity: Quantity, mantissa: i64, exponent: i8| Reading {
                quantity,
                unit: quantity.unit(),
                value: Value::Number(Decimal { mantissa, exponent }),
                ..heart_rate(START + second, 0)
            };
            let wander = (second * second * n / 11) % 5;
            let strap =
                entry(&format!("strap-0{n}"), Some(&name), 900 + second as u64, START + second, 120 + n * 5 + wander);
            let mut meter = entry(&format!("meter-0{n}"), Some(&name), 400 + second as u64, START + second, 0);
            meter.readings = vec![vital(Quantity::POWER, 180 + wander * 13, 0)];
            let mut pill = entry(&format!("pill-0{n}"), Some(&name), 50 + second as u64, START + second, 0);
            pill.readings = vec![vital(Quantity::CORE_TEMPERATURE, 3_810 + second / 4, -2)];
            entries.extend([strap, meter, pill]);
        }
    }
    entries
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| {
        (&a.device, &a.athlete, a.assurance, a.epoch, a.seq).cmp(&(&b.device, &b.athlete, b.assurance, b.epoch, b.seq))
    });
    entries
}

#[test]
fn a_squad_at_1_hz_costs_at_most_four_bytes_a_reading_at_rest() {
    let (key, keys, entries) = (signer(), ring(), squad());
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let readings = entries.len();
    let total = block.payload.len() + block.header.bytes().len();
    assert!(total <= 4 * readings, "{total} bytes for {readings} readings: {:.2}", total as f64 / readings as f64);
    let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
    assert_eq!(opened.entries(), sorted(entries));
}

#[test]
fn an_ecg_costs_at_most_one_and_a_half_bytes_a_sample_at_rest() {
    let recording = include_str!("../../../../tests/recordings/ecg-360hz.csv");
    let samples: Vec<i32> = recording.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(samples.len() >= 360 * 60);
    let (key, keys) = (signer(), ring());
    let entries: Vec<Entry> = (0u64..)
        .zip(samples.chunks_exact(360).take(60))
        .map(|(second, chunk)| {
            let mut entry = entry("patch-01", Some("a1"), second, START + second as i64, 0);
            let wave = Wave { period_ns: 2_777_778, exponent: 0, offset: 0, samples: chunk.to_vec() };
            let reading = &mut entry.readings[0];
            (reading.quantity, reading.unit) = (Quantity::ECG, Quantity::ECG.unit());
            reading.value = Value::Wave(Box::new(wave));
            entry
        })
        .collect();
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let total = block.payload.len() + block.header.bytes().len();
    let count = 360 * entries.len();
    assert!(2 * total <= 3 * count, "{total} bytes for {count} samples: {:.2}", total as f64 / count as f64);
    let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
    assert_eq!(opened.entries(), sorted(entries));
}

#[test]
fn what_is_nobodys_is_sealed_under_the_key_of_the_house() {
    let (key, keys) = (signer(), ring());
    let entries = [entry("hub-1", None, 3, START, 70), entry("strap-1", Some("a1"), 4, START, 71)];
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let mut house = KeyRing::default();
    house.put(Whose::House, Generation(0), AthleteKey::new([99; 32]));
    let opened = open(&block.header, &block.payload, &house, &Filter::default()).unwrap();
    assert_eq!(opened.entries(), &entries[..1]);
    assert_eq!(opened.unopened(), 1);
}

#[test]
fn readings_of_two_hours_and_two_generations_have_keys_of_their_own() {
    let (key, mut keys) = (signer(), ring());
    let entries = [entry("strap-1", Some("a1"), 0, START - 1, 70), entry("strap-1", Some("a1"), 1, START, 71)];
    let before = seal(&input(&key, &keys, &entries)).unwrap();
    assert_eq!(before.segments.len(), 2);
    keys.put(Whose::Athlete(athlete("a1")), Generation(1), AthleteKey::new([77; 32]));
    let after = seal(&input(&key, &keys, &entries)).unwrap();
    for block in [&before, &after] {
        let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
        assert_eq!(opened.entries(), entries);
    }
    let mut new_only = KeyRing::default();
    new_only.put(Whose::Athlete(athlete("a1")), Generation(1), AthleteKey::new([77; 32]));
    let opened = open(&before.header, &before.payload, &new_only, &Filter::default()).unwrap();
    assert_eq!(opened.unopened(), 2);
}

#[test]
fn a_cleared_alert_is_sealed_with_the_athlete_it_was_raised_for() {
    let (key, keys) = (signer(), ring());
    let cleared = AlertEvent::Cleared { id: AlertId([7; 16]), event_time: Timestamp::from_seconds(START + 40) };
    let alerts = [alert(Priority::High), cleared.clone()];
    let both = seal(&SealInput { alerts: &alerts, ..input(&key, &keys, &[]) }).unwrap();
    assert_eq!(both.segments.len(), 1);
    assert_eq!(both.segments[0].whose, Whose::Athlete(athlete("a1")));
    let opened = open(&both.header, &both.payload, &keys, &Filter::default()).unwrap();
    assert_eq!(opened.alerts(), alerts);
    let alone = [cleared];
    let late = seal(&SealInput { alerts: &alone, ..input(&key, &keys, &[]) }).unwrap();
    assert_eq!(late.segments[0].whose, Whose::House);
}

#[test]
fn a_missing_key_refuses_the_batch_and_names_whose() {
    let (key, keys) = (signer(), ring());
    let entries = [entry("strap-1", Some("stranger"), 0, START, 70)];
    let refused = seal(&input(&key, &keys, &entries));
    assert_eq!(refused, Err(SealError::NoKey(NoKey(Whose::Athlete(athlete("stranger"))))));
}

#[test]
fn a_restored_snapshot_that_repeats_everything_but_the_readings_repeats_no_key() {
    let (key, keys) = (signer(), ring());
    let first = [entry("strap-1", Some("a1"), 0, START, 70)];
    let second = [entry("strap-1", Some("a1"), 0, START, 71)];
    let salts = |entries: &[Entry], change: &dyn Fn(&mut SealInput<'_>)| {
        let mut input = input(&key, &keys, entries);
        change(&mut input);
        let block = seal(&input).unwrap();
        (block.payload[..SALT_BYTES].to_vec(), block)
    };
    let (salt, block) = salts(&first, &|_| ());
    assert_eq!(salts(&first, &|_| ()).1, block, "the same input gives the same block");
    let others = [
        salts(&second, &|_| ()),
        salts(&first, &|input| input.boot = BootCounter(2)),
        salts(&first, &|input| input.entropy = [6; 32]),
        salts(&first, &|input| input.index = BlockIndex(1)),
        salts(&first, &|input| input.incarnation = Incarnation(1)),
    ];
    for (other, block_2) in &others {
        assert_ne!(*other, salt);
        // The commitment is derived from the same key material as key and nonce: it differs, so they do.
        assert_ne!(block_2.payload[28..60], block.payload[28..60]);
    }
}

#[test]
fn a_segment_that_would_be_too_full_is_split_into_parts() {
    let (key, keys) = (signer(), ring());
    let mut wide = entry("strap-1", Some("a1"), 0, START, 70);
    wide.readings = vec![heart_rate(START, 70); segment::RECORDS_MAX + 5];
    let entries = [wide];
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    assert_eq!(block.segments.iter().map(|s| s.records).collect::<Vec<_>>(), [segment::RECORDS_MAX, 5]);
    let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
    assert_eq!(opened.entries(), entries);
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let value = prop_oneof![
        (any::<i64>(), -18i8..=18).prop_map(|(mantissa, exponent)| Value::Number(Decimal { mantissa, exponent })),
        prop::collection::vec(any::<i32>(), 0..30).prop_map(|samples| {
            Value::Wave(Box::new(Wave { period_ns: 1_000_000, exponent: -3, offset: 5, samples }))
        }),
    ];
    let reading =
        (0u16..20, START - 7_200..START + 7_200, value, 0u8..32).prop_map(|(code, seconds, value, quality)| {
            let quantity = Quantity::from_code(code).unwrap();
            Reading {
                quantity,
                unit: quantity.unit(),
                value,
                quality: Quality::from_bits(quality).unwrap(),
                ..heart_rate(seconds, 0)
            }
        });
    (1u8..4, prop::option::of(1u8..9), 0u8..5, prop::collection::vec(reading, 1..6)).prop_map(
        |(device, whose, assurance, readings)| Entry {
            assurance: Assurance::from_code(assurance).unwrap(),
            readings,
            ..entry(&format!("d{device}"), whose.map(|n| format!("a{n}")).as_deref(), 0, START, 0)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_batch_reads_back(mut entries in prop::collection::vec(any_entry(), 0..40)) {
        for (seq, entry) in entries.iter_mut().enumerate() {
            entry.seq = Seq(seq as u64);
        }
        let (key, keys) = (signer(), ring());
        let block = seal(&input(&key, &keys, &entries)).unwrap();
        let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
        prop_assert_eq!(opened.unopened(), 0);
        prop_assert_eq!(opened.entries(), sorted(entries));
    }
}
