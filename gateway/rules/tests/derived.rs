//! Derived quantities as rules see them: inputs like any other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use pitchside_model::*;
use pitchside_rules::{Engine, Fed, Filter, RuleSet, RuleSource};
use proptest::prelude::*;

fn set(inputs: &str, more: &str, script: &str) -> Arc<RuleSet> {
    let manifest = format!(
        "name = \"tested\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [{inputs}]\n{more}"
    );
    Arc::new(RuleSet::new([RuleSource::parse("tested", &manifest, script).unwrap()]).unwrap())
}

fn engine(inputs: &str, more: &str, script: &str) -> Engine {
    Engine::new(set(inputs, more, script)).unwrap()
}

fn reading(quantity: Quantity, micros: i64, value: Value) -> Reading {
    let time = Timestamp::from_seconds(1_767_225_600).plus_micros(micros);
    Reading { quantity, unit: quantity.unit(), device_time: time, gateway_time: time, quality: Quality::empty(), value }
}

fn entry(device: &str, assurance: Assurance, readings: Vec<Reading>) -> Entry {
    let time = readings[0].device_time.0;
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance,
        epoch: Epoch(1),
        seq: Seq(u64::try_from(time / 1_000).unwrap()),
        readings,
    }
}

fn number(quantity: Quantity, micros: i64, value: i64) -> Entry {
    entry("strap", Assurance::Noise, vec![reading(quantity, micros, Value::Number(Decimal::integer(value)))])
}

/// Beats of 800 and `other` ms in turn, from a time on.
fn beats(from: i64, count: i64, other: i64) -> Vec<Entry> {
    let mut time = from;
    let each = (0..count).map(|i| {
        let interval = if i % 2 == 0 { 800 } else { other };
        time += interval * 1_000;
        number(Quantity::RR_INTERVAL, time, interval)
    });
    each.collect()
}

fn raised(fed: &Fed) -> Vec<&Alert> {
    assert_eq!(fed.faults, []);
    fed.events.iter().filter_map(AlertEvent::raised).collect()
}

#[test]
fn a_rule_names_a_derived_quantity_like_any_other() {
    let mut engine = engine("\"rmssd\"", "", "value < 20.0 && rmssd.count(\"1min\") > 3");
    assert!(raised(&engine.feed(&beats(0, 500, 850))).is_empty());
    let fed = engine.feed(&beats(420_000_000, 500, 810));
    let alerts = raised(&fed);
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].quantity, alerts[0].unit), (Quantity::RMSSD, Unit::MILLISECOND));
    assert!(alerts[0].value.is_some_and(|value| value.to_f64() < 20.0));
}

#[test]
fn a_gap_of_what_it_is_made_of_is_a_gap_of_it() {
    let script = "if gap == () { false } else { `${gap}` }";
    let mut engine = engine("\"rmssd\", \"sdnn\"", "gaps = true", script);
    assert!(raised(&engine.feed(&beats(0, 500, 850))).is_empty());
    let gap = Value::Gap(Gap { reason: GapReason::ContactLost, extent: 0 });
    let fed = engine.feed(&[entry("strap", Assurance::Noise, vec![reading(Quantity::RR_INTERVAL, 500_000_000, gap)])]);
    assert_eq!(raised(&fed).iter().map(|alert| alert.message.as_str()).collect::<Vec<_>>(), ["contact_lost"]);
    let fed = engine.feed(&beats(501_000_000, 300, 850));
    assert!(fed.events.is_empty(), "five minutes must be whole again");
}

#[test]
fn a_training_load_begins_anew_where_a_device_says_that_its_clock_was_set_back_though_it_is_late_now() {
    let mut engine = engine("\"training_load\"", "accept = [\"late\"]\n", "value > 3.0");
    let ahead: Vec<Entry> =
        (0..=120).map(|n| number(Quantity::HEART_RATE, (40 * 86_400 + n * 5) * 1_000_000, 125)).collect();
    assert_eq!(raised(&engine.feed(&ahead)).len(), 1);
    let late = |second: i64, value| {
        let reading = reading(Quantity::HEART_RATE, second * 1_000_000, value);
        let late = Reading { quality: Quality::LATE, ..reading };
        Entry { epoch: Epoch(2), ..entry("strap", Assurance::Noise, vec![late]) }
    };
    let step = late(0, Value::Gap(Gap { reason: GapReason::ClockStep, extent: 0 }));
    let rates = (1..=12).map(|n| late(n * 5, Value::Number(Decimal::integer(125))));
    let fed = engine.feed(&std::iter::once(step).chain(rates).collect::<Vec<_>>());
    assert!(matches!(fed.events[..], [AlertEvent::Cleared { .. }]), "{:?}", fed.events);
}

#[test]
fn the_assurance_of_a_derived_reading_is_the_weakest_of_its_parts() {
    let weather = |assurance: Assurance, at: i64| {
        let air = reading(Quantity::AMBIENT_TEMPERATURE, at + 1_000_000, Value::Number(Decimal::integer(35)));
        let humidity = reading(Quantity::RELATIVE_HUMIDITY, at, Value::Number(Decimal::integer(60)));
        [entry("wet", assurance, vec![humidity]), entry("dry", Assurance::Noise, vec![air])]
    };
    let script = "value > 30.0";
    let mut strict = engine("\"wbgt_simplified\"", "assurance = \"psk\"", script);
    assert!(raised(&strict.feed(&weather(Assurance::Wired, 0))).is_empty());
    let mut same = engine("\"wbgt_simplified\"", "assurance = \"psk\"", script);
    assert_eq!(raised(&same.feed(&weather(Assurance::Psk, 0))).len(), 1);
}

/// A message of a weather station or meter, with these readings.
fn told_at(device: &str, second: i64, values: &[(Quantity, i64)]) -> Entry {
    let one = |(quantity, value): &(Quantity, i64)| {
        reading(*quantity, second * 1_000_000, Value::Number(Decimal::integer(*value)))
    };
    entry(device, Assurance::Noise, values.iter().map(one).collect())
}

const AIR: [(Quantity, i64); 3] =
    [(Quantity::AMBIENT_TEMPERATURE, 36), (Quantity::RELATIVE_HUMIDITY, 60), (Quantity::GLOBE_TEMPERATURE, 50)];

#[test]
fn a_gap_of_one_device_interrupts_what_is_told_in_the_name_of_another() {
    let mut engine = engine("\"wbgt\"", "hold = \"5min\"\ngap_after = \"15min\"", "value > 30.0");
    let devices = ["thermo", "hygro", "globe"];
    let say = |engine: &mut Engine, which: &[usize], second: i64| {
        let entries: Vec<Entry> =
            which.iter().map(|at| told_at(devices[*at], second + 2 - *at as i64, &AIR[*at..=*at])).collect();
        raised(&engine.feed(&entries)).iter().map(|alert| alert.device.to_string()).collect::<Vec<_>>()
    };
    assert!(say(&mut engine, &[2, 1, 0], 0).is_empty());
    let gap = Value::Gap(Gap { reason: GapReason::Disconnected, extent: 0 });
    let gap = reading(Quantity::RELATIVE_HUMIDITY, 60_000_000, gap);
    engine.feed(&[entry("hygro", Assurance::Noise, vec![gap])]);
    assert!(say(&mut engine, &[2, 1, 0], 301).is_empty(), "the five minutes began anew");
    assert_eq!(say(&mut engine, &[2, 1, 0], 602), ["thermo"]);
}

#[test]
fn what_a_device_sends_itself_is_not_overruled_by_what_is_derived() {
    let script = "if raised { false } else { `${value}` }";
    let said = |entries: &[Entry]| {
        let mut engine = engine("\"wbgt\"", "", script);
        let fed = engine.feed(entries);
        raised(&fed).iter().map(|alert| alert.message.clone()).collect::<Vec<_>>()
    };
    let station = |second| told_at("meter", second, &AIR);
    assert_eq!(said(&[station(0)]).len(), 1, "a station without a wet bulb");
    let meter = |second| {
        let mut meter = station(second);
        meter.readings.push(reading(Quantity::WBGT, second * 1_000_000, Value::Number(Decimal::integer(37))));
        meter
    };
    assert_eq!(said(&[meter(0), meter(60)]), ["37.0"], "also of the first message");
    // One that is late is no reading, but the meter measures all the same.
    let mut late = told_at("meter", 120, &AIR[1..2]);
    late.readings.push(reading(Quantity::WBGT, 0, Value::Number(Decimal::integer(37))));
    let events = engine("\"wbgt\"", "", script).feed(&[station(60), late, station(180)]).events;
    assert_eq!(events.len(), 1, "the first is told, and nothing after it: {events:?}");
}

#[test]
fn every_device_has_impacts_of_its_own() {
    let mut engine = engine("\"impact_peak\"", "scope = \"device\"", "value > 735.0");
    let axes = |x| [(Quantity::ACCELERATION_X, x), (Quantity::ACCELERATION_Y, 0), (Quantity::ACCELERATION_Z, 9)];
    let mut devices = Vec::new();
    for second in 0..5 {
        let entries = [told_at("strap", second, &axes(20)), told_at("patch", second, &axes(300 * second))];
        devices.extend(raised(&engine.feed(&entries)).iter().map(|alert| alert.device.to_string()));
    }
    assert_eq!(devices, ["patch"]);
}

#[test]
fn only_what_some_rule_wants_crosses_to_it() {
    let filter = |inputs: &str| Filter::new(&set(inputs, "", "false"));
    let (heart, load) = (filter("\"heart_rate\""), filter("\"workload_ratio\""));
    assert!(!heart.wants(Quantity::RR_INTERVAL) && load.wants(Quantity::HEART_RATE));
    let emg = Wave { period_ns: 1_000_000, exponent: 0, offset: 0, samples: vec![1; 1_000] };
    let entry = entry("emg", Assurance::Noise, vec![reading(Quantity::EMG, 0, Value::Wave(Box::new(emg)))]);
    let bytes =
        |filter: &Filter| filter.item(&entry).map(|item| (item.weight(), postcard::to_allocvec(&item).unwrap().len()));
    assert_eq!(bytes(&heart), None);
    assert!(bytes(&filter("\"emg\"")).is_some_and(|(weight, bytes)| weight == 1 && bytes < 100));
    assert!(bytes(&filter("\"emg_median_frequency\"")).is_some_and(|(weight, bytes)| weight > 10 && bytes > 1_000));
}

#[test]
fn a_muscle_that_tires_is_told_by_the_slope_of_its_median_frequency() {
    let script = "emg_median_frequency.covers(\"30s\") && emg_median_frequency.slope(\"30s\") < -20.0";
    let mut tires = engine("\"emg_median_frequency\"", "", script);
    let mut phase = 0.0f64;
    let entries: Vec<Entry> = (0..60)
        .map(|second| {
            // 100 Hz that falls by half a hertz a second.
            let hz = 100.0 - 0.5 * f64::from(second);
            let samples = (0..1_000).map(|_| {
                phase += std::f64::consts::TAU * hz / 1_000.0;
                (phase.sin() * 1_000.0) as i32
            });
            let wave = Wave { period_ns: 1_000_000, exponent: 0, offset: 0, samples: samples.collect() };
            let value = Value::Wave(Box::new(wave));
            entry("emg", Assurance::Noise, vec![reading(Quantity::EMG, i64::from(second) * 1_000_000, value)])
        })
        .collect();
    let fed = tires.feed(&entries);
    let alerts = raised(&fed);
    assert_eq!(alerts.len(), 1, "-30 Hz a minute");
    assert_eq!(alerts[0].quantity, Quantity::EMG_MEDIAN_FREQUENCY);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn derived_quantities_are_alike_for_any_cut_and_after_a_snapshot_anywhere(
        steps in prop::collection::vec((1i64..1_500, 0usize..5, 0i64..120, 0u8..40), 1..600), cut in 0usize..600,
    ) {
        let inputs = "\"rmssd\", \"heart_rate_recovery\", \"wbgt\", \"wbgt_simplified\", \"training_load\", \"impact_peak\"";
        let script = "if raised { false } else { `${quantity} ${value} ${time}` }";
        let kinds = [
            Quantity::RR_INTERVAL, Quantity::HEART_RATE, Quantity::POWER, Quantity::AMBIENT_TEMPERATURE, Quantity::RELATIVE_HUMIDITY,
        ];
        let mut time = 0;
        let entries: Vec<Entry> = steps.into_iter().map(|(step, kind, value, odd)| {
            time += step * 1_000;
            let value = if kind == 0 { 700 + value } else { value };
            let value = match odd {
                0 => Value::Gap(Gap { reason: GapReason::Silent, extent: 0 }),
                1 => Value::Gap(Gap { reason: GapReason::ClockStep, extent: 0 }),
                _ => Value::Number(Decimal::integer(value)),
            };
            let device = if odd == 2 { "other" } else { "strap" };
            entry(device, Assurance::Noise, vec![reading(kinds[kind], time, value)])
        }).collect();
        let whole = engine(inputs, "", script).feed(&entries);
        let cut = cut.min(entries.len());
        let mut first = engine(inputs, "", script);
        let mut events = first.feed(&entries[..cut]).events;
        let snapshot = first.snapshot();
        let mut second = engine(inputs, "", script);
        second.resume(&snapshot).unwrap();
        prop_assert_eq!(second.snapshot(), snapshot);
        for entry in &entries[cut..] {
            events.extend(second.feed(std::slice::from_ref(entry)).events);
        }
        prop_assert_eq!(events, whole.events);
    }
}
