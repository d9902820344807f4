use std::sync::Arc;

use data_encoding::HEXLOWER;
use pitchside_model::{
    Assurance, Authentic, DeviceId, GapReason, LinkId, Payload, PayloadKind, Quality, Quantity, Reading, Timestamp,
    Value,
};
use proptest::prelude::*;

use super::{VALUE_BYTES_MAX, Zone, decode, is_known, tells};
use crate::{DecodeError, Decoders, GattFault, Tolerances};

mod encode;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "stands in for the door")]
fn send(
    decoders: &Decoders,
    from: &DeviceId,
    link: u64,
    characteristic: u16,
    bytes: &[u8],
    now: Timestamp,
) -> Result<Vec<Reading>, DecodeError> {
    let payload = Payload { kind: PayloadKind::Gatt { characteristic }, bytes: bytes.to_vec(), topic: None };
    decoders.native(&Authentic::vouch(from.clone(), Assurance::Bonded, LinkId(link), payload), now)
}

fn shown(reading: &Reading, now: Timestamp) -> String {
    assert_eq!(reading.unit, reading.quantity.unit());
    assert_eq!(reading.gateway_time, Timestamp::from_millis(now.millis()));
    let mut text = String::new();
    let dated = !reading.quality.contains(Quality::NO_CLOCK);
    let before_us = now.micros_since(reading.device_time);
    if !dated && before_us != 0 {
        text += &format!("-{}ms ", before_us / 1_000);
    }
    text += &match &reading.value {
        Value::Number(value) => format!("{} {value} {}", reading.quantity, reading.unit),
        Value::Gap(gap) => match gap.reason {
            GapReason::ContactLost => format!("{} gap contact_lost", reading.quantity),
            GapReason::Invalid => format!("{} gap invalid", reading.quantity),
            other => panic!("{other:?}"),
        },
        Value::Wave(_) => panic!("no profile has waveforms"),
    };
    for (name, _) in (reading.quality - Quality::NO_CLOCK).iter_names() {
        text += &format!(" {}", name.to_lowercase());
    }
    if dated {
        text += &format!(" @{}", reading.device_time);
    }
    text
}

/// `2026-11-21T09:30:00Z`, read by the very Date Time that devices send.
fn instant(text: &str) -> Timestamp {
    let n = |at: std::ops::Range<usize>| text[at].parse::<u16>().unwrap();
    let [low, high] = n(0..4).to_le_bytes();
    let part = |at| n(at) as u8;
    super::date::read([low, high, part(5..7), part(8..10), part(11..13), part(14..16), part(17..19)]).unwrap().unwrap()
}

#[test]
fn every_published_value_reads_as_published() {
    let (mut decoders, mut now, mut link, mut count) = (Decoders::default(), NOW, 1, 0);
    let from = device("sensor");
    for (number, line) in include_str!("vectors.txt").lines().enumerate() {
        let (number, mut line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') || line.starts_with("source ") {
            continue;
        }
        if line.starts_with("case ") {
            (decoders, now, link) = (Decoders::default(), NOW, 1);
            continue;
        }
        if let Some(time) = line.strip_prefix("now ") {
            now = instant(time);
            continue;
        }
        if line == "link" {
            link += 1;
            continue;
        }
        if let Some((step, rest)) = line.strip_prefix('+').and_then(|rest| rest.split_once("s ")) {
            now = now.plus_micros(step.parse::<i64>().unwrap() * 1_000_000);
            line = rest;
        }
        let (said, expected) = line.split_once("->").unwrap_or_else(|| panic!("line {number}: no ->"));
        let (id, bytes) = said.split_at(4);
        let characteristic = u16::from_str_radix(id, 16).unwrap();
        let bytes = HEXLOWER.decode(bytes.replace(' ', "").as_bytes()).unwrap_or_else(|e| panic!("line {number}: {e}"));
        let before = decoders.facts(&from);
        let got = match send(&decoders, &from, link, characteristic, &bytes, now) {
            Ok(readings) if readings.is_empty() => {
                let new = decoders.facts(&from).into_iter().find(|fact| !before.contains(fact));
                new.map_or(String::new(), |fact| format!("fact {} {}", fact.kind, fact.text).trim().to_owned())
            }
            Ok(readings) => {
                let foreign = readings.iter().find(|reading| !tells(reading.quantity));
                assert_eq!(foreign, None, "vectors.txt line {number}: a quantity that is said to be told by none");
                readings.iter().map(|r| shown(r, now)).collect::<Vec<_>>().join(", ")
            }
            Err(error) => format!("error {}", error.code()),
        };
        assert_eq!(got, expected.trim(), "vectors.txt line {number}");
        count += 1;
    }
    assert!(count > 130, "only {count} vectors");
}

#[test]
fn what_is_known_is_what_is_read() {
    let context = encode::context();
    for characteristic in 0..=u16::MAX {
        let read = decode(&mut super::State::default(), characteristic, &[], &context);
        assert_eq!(
            read.err() == Some(GattFault::UnknownCharacteristic),
            !is_known(characteristic),
            "{characteristic:04x}"
        );
    }
}

#[test]
fn a_value_longer_than_an_attribute_is_refused() {
    let decoders = Decoders::default();
    let long = vec![b'a'; VALUE_BYTES_MAX];
    assert!(send(&decoders, &device("a"), 1, 0x2a29, &long, NOW).is_ok());
    let error = send(&decoders, &device("a"), 1, 0x2a29, &[&long[..], b"a"].concat(), NOW).unwrap_err();
    assert_eq!(error.code(), "too_long");
    assert!(error.to_string().starts_with("GATT characteristic 2a29: "), "{error}");
}

#[test]
fn a_strap_with_many_intervals_dates_them_all() {
    // 255 intervals of 1 s fill a long notification; the oldest beat lies 254 s back, and says that it came late.
    let bytes = [&[0x10, 60][..], &[0x00, 0x04].repeat(255)].concat();
    let readings = send(&Decoders::default(), &device("a"), 1, 0x2a37, &bytes, NOW).unwrap();
    assert_eq!(readings.len(), 256);
    assert_eq!(NOW.micros_since(readings[1].device_time), 254_000_000);
    assert!(readings[1].quality.contains(Quality::LATE));
    assert!(readings.windows(2).skip(1).all(|pair| pair[0].device_time < pair[1].device_time), "oldest first");
}

#[test]
fn dates_are_utc() {
    let decoders = Decoders::new(Tolerances::default(), []);
    let now = instant("2026-11-21T09:30:00Z");
    let bytes = HEXLOWER.decode(b"02b00e00feea070b15091d32").unwrap();
    let readings = send(&decoders, &device("a"), 1, 0x2a1c, &bytes, now).unwrap();
    assert_eq!(readings[0].device_time.to_string(), "2026-11-21T09:29:50.000Z");
}

/// A zone two hours ahead until its clocks went back an hour on 2026-10-25, 03:00.
#[derive(Debug)]
struct Berlin;

impl Zone for Berlin {
    fn ahead_s(&self, shown: Timestamp) -> [i32; 2] {
        if shown < instant("2026-10-25T02:00:00Z") {
            [7_200; 2]
        } else if shown < instant("2026-10-25T03:00:00Z") {
            [7_200, 3_600]
        } else {
            [3_600; 2]
        }
    }
}

/// When a temperature was measured by a clock that showed `shown`; none if the gateway dated it.
fn dated(decoders: &Decoders, link: u64, shown: &str, now: &str) -> Option<String> {
    let date = super::date::write(instant(shown)).unwrap();
    let bytes = [&[2, 0xb0, 0x0e, 0, 0xfe][..], &date].concat();
    let readings = send(decoders, &device("a"), link, 0x2a1c, &bytes, instant(now)).unwrap();
    let reading = &readings[0];
    let dated = !reading.quality.contains(Quality::NO_CLOCK);
    assert!(dated || reading.device_time == instant(now));
    dated.then(|| reading.device_time.to_string().replace(".000", ""))
}

#[test]
fn a_clock_nobody_can_set_keeps_the_time_of_its_zone() {
    let decoders = Decoders::default().zone(Arc::new(Berlin));
    let at = |shown, now| dated(&decoders, 1, shown, now).unwrap();
    assert_eq!(at("2026-11-21T10:29:50Z", "2026-11-21T09:30:00Z"), "2026-11-21T09:29:50Z");
    // As it was in the summer in which it was measured.
    assert_eq!(at("2026-07-01T12:00:00Z", "2026-11-21T09:30:00Z"), "2026-07-01T10:00:00Z");
    // Half past two comes twice: the second time, unless that is still to come.
    assert_eq!(at("2026-10-25T02:30:00Z", "2026-10-25T01:30:01Z"), "2026-10-25T01:30:00Z");
    assert_eq!(at("2026-10-25T02:30:00Z", "2026-10-25T00:30:01Z"), "2026-10-25T00:30:00Z");
    // An unset clock of any zone is none.
    assert_eq!(dated(&decoders, 1, "2012-12-05T11:50:27Z", "2026-11-21T09:30:00Z"), None);
}

#[test]
fn a_clock_that_was_set_keeps_utc_as_long_as_the_link_lasts() {
    let decoders = Decoders::default().zone(Arc::new(Berlin));
    let now = "2026-11-21T09:30:00Z";
    let at = |link| dated(&decoders, link, "2026-11-21T09:29:50Z", now).unwrap();
    let shows = |link, characteristic, rest: &[u8], shown| {
        let bytes = [&super::date::write(instant(shown)).unwrap()[..], rest].concat();
        let readings = send(&decoders, &device("a"), link, characteristic, &bytes, instant(now)).unwrap();
        assert!(readings.is_empty(), "a clock is no reading");
    };
    assert_eq!(at(1), "2026-11-21T08:29:50Z", "not set yet");
    shows(1, 0x2a08, &[], "2026-11-21T09:29:58Z");
    assert_eq!(at(1), "2026-11-21T09:29:50Z");
    assert_eq!(at(2), "2026-11-21T08:29:50Z", "who knows what became of it meanwhile");
    shows(2, 0x2a2b, &[6, 128, 2], "2026-11-21T09:31:59Z");
    assert_eq!(at(2), "2026-11-21T09:29:50Z");
    // It shows the time of its own zone after all.
    shows(2, 0x2a2b, &[6, 128, 2], "2026-11-21T10:30:00Z");
    assert_eq!(at(2), "2026-11-21T08:29:50Z");
    shows(2, 0x2a08, &[], now);
    decoders.forget(&device("a"));
    assert_eq!(at(2), "2026-11-21T08:29:50Z", "forgotten");
}

#[test]
fn a_wheel_of_known_size_has_a_speed() {
    let bike = device("bike");
    let at = |s: i64| NOW.plus_micros(s * 1_000_000);
    let twice = |decoders: &Decoders| {
        assert!(send(decoders, &bike, 1, 0x2a5b, &[1, 3, 0, 0, 0, 0, 8], at(0)).unwrap().is_empty());
        send(decoders, &bike, 1, 0x2a5b, &[1, 7, 0, 0, 0, 0, 12], at(1)).unwrap()
    };
    let readings = twice(&Decoders::default().wheel(2_096));
    let speed = readings.iter().find(|r| r.quantity == Quantity::SPEED).unwrap();
    assert_eq!(shown(speed, NOW.plus_micros(1_000_000)), "speed 8.384 m/s");
    assert!(twice(&Decoders::default().wheel(0)).iter().all(|r| r.quantity == Quantity::WHEEL_RATE));
}

#[test]
fn devices_do_not_share_counters_and_are_forgotten() {
    let decoders = Decoders::default();
    let at = |s: i64| NOW.plus_micros(s * 1_000_000);
    let cadence = |who: &str, bytes: &[u8], s| send(&decoders, &device(who), 1, 0x2a5b, bytes, at(s)).unwrap().len();
    assert_eq!(cadence("a", &[2, 3, 0, 0, 8], 0), 0);
    assert_eq!(cadence("b", &[2, 4, 0, 0, 12], 1), 0, "the first of b");
    assert_eq!(cadence("a", &[2, 4, 0, 0, 12], 1), 1);
    send(&decoders, &device("a"), 1, 0x2a24, b"H10", NOW).unwrap();
    decoders.forget(&device("a"));
    assert!(decoders.facts(&device("a")).is_empty());
    assert_eq!(cadence("a", &[2, 5, 0, 0, 16], 2), 0, "forgotten");
}

#[test]
fn what_a_cuff_looks_for_is_its_own_and_is_forgotten_with_it() {
    let decoders = Decoders::default();
    let regular = |who: &str| {
        let readings = send(&decoders, &device(who), 1, 0x2a35, &[16, 120, 0, 80, 0, 90, 0, 0, 0], NOW).unwrap();
        readings.iter().any(|reading| reading.quantity == Quantity::IRREGULAR_PULSE)
    };
    assert!(send(&decoders, &device("a"), 1, 0x2a49, &[4, 0], NOW).unwrap().is_empty());
    assert!(regular("a") && !regular("b"));
    decoders.forget(&device("a"));
    assert!(!regular("a"), "forgotten");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut devices = super::Devices::default();
    let context = encode::context();
    for n in 0..super::devices::DEVICES_MAX + 10 {
        devices.decode(&device(&format!("d{n}")), 0x2a24, b"model", &context).unwrap();
    }
    let known = |devices: &super::Devices, n: usize| !devices.facts(&device(&format!("d{n}"))).is_empty();
    assert!(!known(&devices, 0) && !known(&devices, 9), "the longest silent are gone");
    assert!(known(&devices, 10) && known(&devices, super::devices::DEVICES_MAX + 9));
    // Heart rates need no memory.
    devices.forget(&device("d10"));
    devices.decode(&device("d10"), 0x2a37, &[2, 60], &context).unwrap();
    assert!(!known(&devices, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_of_any_characteristic_never_panic_and_a_refusal_changes_nothing(
        messages in prop::collection::vec((0x2a00u16..0x2b00, prop::collection::vec(any::<u8>(), 0..40), 0i64..70_000), 1..8),
    ) {
        let mut state = super::State::default();
        let mut context = encode::context();
        for (characteristic, bytes, ms) in messages {
            context.now = context.now.plus_micros(ms * 1_000);
            let before = state;
            match decode(&mut state, characteristic, &bytes, &context) {
                Ok(decoded) => for reading in decoded.readings {
                    prop_assert_eq!(reading.unit, reading.quantity.unit());
                    if let Value::Number(value) = reading.value {
                        prop_assert!((-18..=18).contains(&value.exponent));
                    }
                },
                Err(_) => prop_assert_eq!(state, before),
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(message in encode::message()) {
        let mut state = super::State::default();
        let decoded = decode(&mut state, message.characteristic, &message.bytes, &encode::context()).unwrap();
        let got: Vec<_> = decoded.readings.iter().map(|r| (r.quantity, r.value.clone())).collect();
        prop_assert_eq!(got, message.expected);
    }

    #[test]
    fn what_is_not_found_is_said_if_it_was_looked_for((characteristic, features, message) in encode::featured()) {
        let (mut state, context) = (super::State::default(), encode::context());
        decode(&mut state, characteristic, &features.to_le_bytes(), &context).unwrap();
        let decoded = decode(&mut state, message.characteristic, &message.bytes, &context).unwrap();
        let got: Vec<_> = decoded.readings.iter().map(|r| (r.quantity, r.value.clone())).collect();
        prop_assert_eq!(got, message.expected);
    }

    #[test]
    fn nothing_is_denied_by_a_device_that_did_not_say_it_looks_for_it(
        messages in prop::collection::vec(
            (prop::sample::select(vec![0x2a35u16, 0x2a36, 0x2a53, 0x2a49, 0x2a54]), prop::collection::vec(any::<u8>(), 0..24)),
            1..12,
        ),
    ) {
        let (mut state, context) = (super::State::default(), encode::context());
        let (mut cuff, mut foot_pod) = (false, false);
        for (characteristic, bytes) in messages {
            let Ok(decoded) = decode(&mut state, characteristic, &bytes, &context) else { continue };
            match characteristic {
                0x2a49 => cuff = bytes[0] & 4 != 0,
                0x2a54 => foot_pod = bytes[0] & 4 != 0,
                _ => {}
            }
            for reading in decoded.readings {
                let looks = match reading.quantity {
                    Quantity::IRREGULAR_PULSE => cuff,
                    Quantity::RUNNING => foot_pod,
                    _ => true,
                };
                let denied = matches!(&reading.value, Value::Number(value) if value.mantissa == 0);
                prop_assert!(looks || !denied, "{reading:?}");
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_is_missed(message in encode::message(), cut in 1usize..40) {
        let whole = message.bytes.len();
        let cut = cut.min(whole);
        // Whole RR intervals may be missing without notice: nothing counts them.
        prop_assume!(!(message.characteristic == 0x2a37 && message.bytes[0] & 0x10 != 0));
        let result = decode(&mut super::State::default(), message.characteristic, &message.bytes[..whole - cut], &encode::context());
        prop_assert!(matches!(result, Err(GattFault::Short(_))), "{result:?}");
    }
}
