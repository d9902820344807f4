#![allow(clippy::disallowed_methods, reason = "stands in for the door")]

use std::path::Path;

use pitchside_decode::{Decoders, Tolerances};
use pitchside_model::{
    Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, Quality, Reading, Timestamp, Value,
};

use super::*;

const START_US: i64 = 1_800_000_000_000_000;

fn spec(sensor: &str, more: &str) -> Spec {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let sensor = sensor.replace("DIR", &dir.to_string_lossy());
    let link = "[link]\nover = \"mqtt\"\nsecret_file = \"x\"\nto = { address = \"127.0.0.1:1883\" }\n";
    toml::from_str(&format!("device = \"s7\"\n{link}[sensor]\n{sensor}\n{more}")).unwrap()
}

/// Every message of a replay, decoded by the gateway's own decoders as it arrives.
fn replay(sensor: &str, more: &str, pace: Pace) -> Vec<(Measured, Vec<Reading>)> {
    let (mut source, _) = Source::open(&spec(sensor, more)).unwrap();
    source.start(pace);
    let decoders = Decoders::new(Tolerances::default(), []);
    std::iter::from_fn(|| source.next_message())
        .map(|measured| {
            let kind = match measured.content {
                Content::SenmlCbor => PayloadKind::SenmlCbor,
                Content::SenmlJson => PayloadKind::SenmlJson,
                Content::Waveform => PayloadKind::Waveform,
                Content::Vendor => PayloadKind::Vendor,
            };
            let now = Timestamp(START_US + pace.wall_us(measured.played_us) + 20_000);
            let payload = Payload { kind, bytes: measured.body.clone(), topic: None };
            let message = Authentic::vouch(DeviceId::parse("s7").unwrap(), Assurance::Noise, LinkId(1), payload);
            let readings =
                if kind == PayloadKind::Vendor { Vec::new() } else { decoders.native(&message, now).unwrap() };
            if kind != PayloadKind::Vendor {
                assert_eq!(readings.len() as u64, measured.readings);
            }
            (measured, readings)
        })
        .collect()
}

fn pace(speed: f64, duration_s: f64) -> Pace {
    Pace { start_us: START_US, speed, duration_s, skew_us: 0 }
}

fn number(reading: &Reading) -> f64 {
    let Value::Number(decimal) = &reading.value else { panic!("{reading:?}") };
    decimal.to_f64()
}

const STRAP: &str = "kind = \"chest-strap\"\nrecording = \"DIR/run-1hz.csv\"";

#[test]
fn a_strap_sends_the_recorded_heart_rate_and_intervals_that_fill_the_time() {
    let messages = replay(STRAP, "", pace(1.0, 300.0));
    assert_eq!(messages.len(), 300);
    let readings: Vec<&Reading> = messages.iter().flat_map(|(_, r)| r).collect();
    let rates: Vec<f64> = readings.iter().filter(|r| r.quantity == Quantity::HEART_RATE).map(|r| number(r)).collect();
    assert_eq!(rates[..3], [121.0, 120.0, 119.0]);
    let intervals: Vec<&&Reading> = readings.iter().filter(|r| r.quantity == Quantity::RR_INTERVAL).collect();
    let beats: f64 = rates.iter().sum::<f64>() / 60.0;
    assert!((intervals.len() as f64 - beats).abs() < 2.0, "{} beats, {beats} expected", intervals.len());
    for pair in intervals.windows(2) {
        let apart_ms = (pair[1].device_time.0 - pair[0].device_time.0) as f64 / 1e3;
        assert!((apart_ms - number(pair[1])).abs() <= 2.0, "{apart_ms} ms between beats, interval {}", number(pair[1]));
    }
    assert!(readings.iter().all(|r| r.quality.is_empty()));
}

#[test]
fn a_fast_replay_arrives_late_at_first_and_on_time_at_last_and_never_early() {
    let messages = replay(STRAP, "", pace(10.0, 60.0));
    assert_eq!(messages.len(), 600);
    let qualities: Vec<Quality> = messages.iter().map(|(_, r)| r[0].quality).collect();
    assert_eq!((qualities[0], qualities[599]), (Quality::LATE, Quality::empty()));
    assert!(qualities.iter().all(|q| !q.contains(Quality::FUTURE)));
    let spacing = messages[1].1[0].device_time.0 - messages[0].1[0].device_time.0;
    assert_eq!(spacing, 1_000_000);
}

#[test]
fn lost_contact_is_said_once_a_second_and_no_heart_rate_is_made_up() {
    let faults = "[faults]\ncontact_lost = { at_s = 10, for_s = 5 }";
    let messages = replay(STRAP, faults, pace(1.0, 20.0));
    for (i, (_, readings)) in messages.iter().enumerate() {
        let measured = readings.iter().any(|r| r.quantity == Quantity::HEART_RATE);
        assert_eq!(measured, !(10..15).contains(&i), "second {i}");
        let said = readings.iter().find(|r| r.quantity == Quantity::SKIN_CONTACT).map(number);
        let expected = match i {
            10..15 => Some(0.0),
            0 | 15 => Some(1.0),
            _ => None,
        };
        assert_eq!(said, expected, "second {i}");
    }
}

#[test]
fn a_patch_sends_every_sample_of_the_recording_without_a_seam() {
    let messages = replay("kind = \"ecg-patch\"\nrecording = \"DIR/ecg-360hz.csv\"", "", pace(1.0, 10.0));
    let recording = Recording::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/ecg-360hz.csv")).unwrap();
    let recorded: Vec<f64> = recording.column("microvolt").unwrap()[..3_600].iter().map(|d| d.to_f64()).collect();
    let mut sent = Vec::new();
    for (second, (measured, readings)) in messages.iter().enumerate() {
        assert_eq!((measured.readings, measured.samples), (1, 360));
        assert_eq!(readings[0].device_time, Timestamp(START_US + second as i64 * 1_000_000));
        let Value::Wave(wave) = &readings[0].value else { panic!() };
        sent.extend(wave.samples.iter().map(|s| f64::from(*s)));
    }
    assert_eq!(sent, recorded);
}

#[test]
fn a_power_meter_keeps_the_digits_of_the_recording() {
    let meter = "kind = \"power-meter\"\nrecording = \"DIR/ride-1hz.csv\"";
    let messages = replay(meter, "[replay]\noffset_s = 600", pace(1.0, 5.0));
    let (_, readings) = &messages[0];
    assert_eq!(readings.iter().map(|r| r.quantity.name()).collect::<Vec<_>>(), ["power", "cadence", "speed"]);
    let Value::Number(speed) = &readings[2].value else { panic!() };
    assert!(speed.exponent < 0, "{speed:?}");
}

#[test]
fn after_an_hour_the_wearer_of_the_pill_passes_39_5_within_seven_minutes_and_still_rises() {
    let messages = replay("kind = \"core-pill\"", "[replay]\noffset_s = 3600", pace(10.0, 60.0));
    assert_eq!(messages.len(), 60);
    let core: Vec<f64> = messages.iter().map(|(_, r)| number(&r[0])).collect();
    assert!((39.2..39.45).contains(&core[0]), "{}", core[0]);
    assert!((12..42).contains(&core.iter().position(|cel| *cel >= 39.5).unwrap()));
    assert!(core.windows(2).all(|pair| pair[1] >= pair[0]));
}

#[test]
fn a_hub_speaks_senml_or_its_makers_json() {
    let hub = "kind = \"hub\"\nrecording = \"DIR/run-1hz.csv\"";
    let vendor = replay(hub, "", pace(1.0, 3.0));
    let text = String::from_utf8(vendor[0].0.body.clone()).unwrap();
    assert_eq!(text, r#"{"v":1,"ts":1800000000000,"hr":{"bpm":121,"contact":true},"speed_mps":0.784,"temp_c":29}"#);
    let senml = replay(&format!("{hub}\nformat = \"senml\""), "", pace(1.0, 3.0));
    assert_eq!(senml[0].1.len(), 3);
    assert_eq!(senml[1].1[0].device_time, Timestamp(START_US + 1_000_000));
}

#[test]
fn a_spec_with_an_unknown_key_is_refused() {
    let text = "device = \"s7\"\n[link]\nover = \"mqtt\"\nsecret_file = \"x\"\nto = { address = \"a:1\" }\n[sensor]\nkind = \"core-pill\"\n[replay]\nsped = 2";
    assert!(toml::from_str::<Spec>(text).unwrap_err().to_string().contains("sped"));
}
