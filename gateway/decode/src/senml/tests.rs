use std::cmp::Ordering;

use pitchside_model::{Decimal, Quality, Quantity, Reading, Timestamp, Value};
use proptest::prelude::*;

use super::record::Written;
use super::*;
use crate::error::DecodeError;
use crate::number::Number;
use crate::tolerance::{Moment, Tolerances};

const NOW: Timestamp = Timestamp::from_seconds(1_320_078_429);

/// A pack resolved, a line a record: name, value, unit, time, in the notation of the vectors.
fn lines<'a>(source: impl Source<'a>) -> Result<Vec<String>, (usize, Fault)> {
    let mut lines = Vec::new();
    resolve(source, |r| {
        let value = match &r.value {
            Some(Written::Number(Number::Exact(d))) => d.to_string(),
            Some(Written::Number(Number::Wide(v))) => format!("{v:e}"),
            Some(Written::Boolean(b)) => b.to_string(),
            Some(Written::Text(t)) => format!("{t:?}"),
            Some(Written::Data(d)) => String::from_utf8_lossy(d).into_owned(),
            None => "-".into(),
        };
        let time = match r.time {
            Moment::Absolute(t) => t.to_string(),
            Moment::Relative(us) => format!("now{us:+}us"),
        };
        let sum = r.sum.map_or(String::new(), |s| format!(" sum {}", s.exact().unwrap()));
        lines.push(format!("{} {value} {} {time}{sum}", r.full_name(), r.unit.as_deref().unwrap_or("-")));
        Ok(())
    })?;
    Ok(lines)
}

fn json_lines(text: &str) -> Result<Vec<String>, (usize, Fault)> {
    lines(json::Pack::new(text.as_bytes()).map_err(|f| (1, f))?)
}

/// Every example of RFC 8428, as text: `in` JSON (or `cbor` hexadecimal), then what it resolves to.
#[test]
fn the_examples_of_rfc_8428_resolve_as_it_says() {
    let mut cases = 0;
    for case in include_str!("vectors.txt").split("\n== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (input, expected) = rest.split_once("\n--\n").unwrap();
        let expected: Vec<&str> = expected.lines().filter(|l| !l.is_empty()).collect();
        let found = match input.strip_prefix("cbor ") {
            Some(hex) => {
                let hex: String = hex.split_whitespace().collect();
                lines(cbor::Pack::new(&data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()).unwrap())
            }
            None => json_lines(input),
        };
        match found {
            Ok(lines) => assert_eq!(lines, expected, "{title}"),
            Err((record, fault)) => assert_eq!([format!("error {record} {}", fault.code())], expected[..], "{title}"),
        }
        cases += 1;
    }
    assert!(cases >= 30, "{cases}");
}

fn read(text: &str) -> Result<Vec<Reading>, DecodeError> {
    reading::json(text.as_bytes(), NOW, Tolerances::default())
}

fn code(text: &str) -> String {
    read(text).map_or_else(|e| e.code().to_owned(), |r| format!("{r:?}"))
}

#[test]
fn a_reading_keeps_its_precision_and_gets_both_clocks() {
    let readings = read(
        r#"[{"bn":"urn:dev:mac:0024befffe804ff1:","bt":1320078428.25,"n":"core_temperature","u":"Cel","v":37.60}]"#,
    )
    .unwrap();
    let [reading] = &readings[..] else { panic!("{readings:?}") };
    assert_eq!(reading.quantity, Quantity::CORE_TEMPERATURE);
    assert_eq!(reading.value, Value::Number(Decimal { mantissa: 3_760, exponent: -2 }));
    assert_eq!(reading.device_time, NOW.plus_micros(-750_000));
    assert_eq!(reading.gateway_time, NOW);
    assert_eq!(reading.quality, Quality::empty());
}

#[test]
fn without_base_time_the_gateway_says_when_and_marks_it() {
    let readings =
        read(r#"[{"n":"heart_rate","u":"beat/min","v":61},{"n":"heart_rate","u":"beat/min","t":-2,"v":60}]"#).unwrap();
    assert_eq!(readings[0].device_time, NOW);
    assert_eq!(readings[1].device_time, NOW.plus_micros(-2_000_000));
    assert!(readings.iter().all(|r| r.quality == Quality::NO_CLOCK));
}

#[test]
fn lost_skin_contact_marks_what_was_measured_with_it() {
    let readings = read(
        r#"[{"bt":1320078429,"n":"skin_contact","vb":false},{"n":"heart_rate","u":"beat/min","v":61},
            {"n":"heart_rate","u":"beat/min","t":-1,"v":60}]"#,
    )
    .unwrap();
    assert_eq!(readings[0].value, Value::Number(Decimal::integer(0)));
    assert_eq!(readings[1].quality, Quality::POOR_CONTACT);
    assert_eq!(readings[2].quality, Quality::empty());
}

#[test]
fn values_with_more_decimals_than_are_stored_are_rounded() {
    let stored = |value: &str| {
        let pack = format!(r#"[{{"n":"speed","u":"m/s","v":{value}}},{{"n":"heart_rate","u":"beat/min","v":61}}]"#);
        let readings = read(&pack).unwrap();
        assert_eq!(readings[1].value, Value::Number(Decimal::integer(61)));
        readings[0].value.clone()
    };
    for (value, mantissa, exponent) in [
        ("0.0030000000000000005", 3_000_000_000_000_001, -18),
        ("1.2246467991473532e-16", 122, -18),
        ("5e-324", 0, 0),
        ("61.1234567890123456789012345678", 61_123_456_789_012_344, -15),
    ] {
        assert_eq!(stored(value), Value::Number(Decimal { mantissa, exponent }), "{value}");
    }
    // [{0: "speed", 1: "m/s", 2: 0.0030000000000000005}], the value as a double.
    let mut pack = b"\x81\xa3\x00\x65speed\x01\x63m/s\x02\xfb".to_vec();
    pack.extend(0.0030000000000000005_f64.to_be_bytes());
    let readings = reading::cbor(&pack, NOW, Tolerances::default()).unwrap();
    let value = Decimal { mantissa: 3_000_000_000_000_001, exponent: -18 };
    assert_eq!(readings[0].value, Value::Number(value));
}

#[test]
fn what_can_not_be_stored_is_refused_by_name() {
    for (text, expected) in [
        (r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#, "unknown_quantity"),
        (r#"[{"n":"heart_rate","v":60}]"#, "no_unit"),
        (r#"[{"n":"heart_rate","u":"bpm","v":60}]"#, "unknown_unit"),
        (r#"[{"n":"heart_rate","u":"Cel","v":60}]"#, "unit_mismatch"),
        (r#"[{"n":"speed","u":"km/h","v":36}]"#, "inexact_unit"),
        (r#"[{"n":"heart_rate","u":"beat/min","vs":"sixty"}]"#, "value_type"),
        (r#"[{"n":"heart_rate","u":"beat/min","vb":true}]"#, "value_type"),
        (r#"[{"n":"heart_rate","u":"beat/min","vd":"aGkgCg"}]"#, "value_type"),
        (r#"[{"n":"power","u":"W","s":3.6e6}]"#, "no_value"),
        (r#"[{"n":"clock_offset","u":"ms","v":5}]"#, "gateways_own"),
        (r#"[{"n":"urn:dev:mac:0024befffe804ff1:health","v":0}]"#, "gateways_own"),
        (r#"[{"n":"heart_rate","u":"beat/min","v":NaN}]"#, "bad_json"),
        (r#"[{"n":"heart_rate","u":"beat/min","v":1e300}]"#, "out_of_range"),
        (r#"[{"n":"heart_rate","u":"beat/min","v":18446744073709551615}]"#, "out_of_range"),
        (r#"[{"n":"heart_rate","u":"beat/min","bv":9223372036854775807,"v":1}]"#, "out_of_range"),
        (r#"[{"n":"heart_rate","u":"beat/min","v":1e999}]"#, "out_of_range"),
        (r#"[{"n":"heart_rate","u":"beat/min","t":1e300,"v":60}]"#, "time_range"),
        (r#"[{"n":"heart_rate","u":"beat/min","t":2e9,"v":60}]"#, "time_too_far"),
        (r#"[{"n":"heart_rate","u":"beat/min","t":3e8,"v":60}]"#, "time_too_far"),
        (r#"[]"#, "empty"),
        (r#"[{"bn":"a:"}]"#, "empty"),
        (
            r#"[{"bn":"2001:db8::2/","n":"skin_temperature","u":"Cel","v":25.2},{"bn":"2001:db8::1/","n":"skin_temperature","u":"Cel","v":12.3}]"#,
            "two_sensors",
        ),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
    let many = format!("[{}]", vec![r#"{"n":"heart_rate","u":"beat/min","v":60}"#; 1_025].join(","));
    assert_eq!(code(&many), "too_many");
}

#[test]
fn implausible_values_and_wrong_clocks_are_kept_and_marked() {
    let quality = |text| read(text).unwrap()[0].quality;
    assert_eq!(quality(r#"[{"bt":1320078429,"n":"heart_rate","u":"beat/min","v":900}]"#), Quality::IMPLAUSIBLE);
    assert_eq!(quality(r#"[{"bt":1320078489,"n":"heart_rate","u":"beat/min","v":60}]"#), Quality::FUTURE);
    assert_eq!(quality(r#"[{"bt":1320070000,"n":"heart_rate","u":"beat/min","v":60}]"#), Quality::LATE);
}

#[test]
fn cbor_that_is_broken_is_refused_by_name() {
    let code = |hex: &str| {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        reading::cbor(&bytes, NOW, Tolerances::default()).map_or_else(|e| e.code().to_owned(), |r| format!("{r:?}"))
    };
    for (hex, expected) in [
        ("", "bad_cbor"),
        ("a0", "not_a_pack"),
        ("80", "empty"),
        ("8000", "trailing_bytes"),
        ("9fff", "indefinite_length"),
        ("8101", "not_a_pack"),
        ("9b00ffffffffffffff", "bad_cbor"),
        ("81a1617600", "text_label"),
        ("81a16261625f00", "bad_cbor"),
        ("81a162615f00", "must_understand"),
        ("81a102fb7ff8000000000000", "not_finite"),
        ("81a102fa7f800000", "not_finite"),
        ("81a102f97c00", "not_finite"),
        ("81a1026130", "label_type"),
        ("81a202000200", "two_values"),
        ("81a2006161006162", "duplicate_label"),
        ("81a100647fff", "bad_cbor"),
        ("81a10062c328", "bad_utf8"),
        ("81a120181b", "version"),
        ("81bf1863ff", "bad_cbor"),
    ] {
        assert_eq!(code(hex), expected, "{hex}");
    }
}

#[test]
fn half_single_and_double_floats_integers_and_fractions_all_mean_37_5() {
    for value in ["f950b0", "fa42160000", "fb4042c00000000000", "c48220190177"] {
        let mut bytes = data_encoding::HEXLOWER.decode(b"81a30070").unwrap();
        bytes.extend(b"core_temperature");
        bytes.extend(data_encoding::HEXLOWER.decode(b"0163").unwrap());
        bytes.extend(b"Cel");
        bytes.push(2);
        bytes.extend(data_encoding::HEXLOWER.decode(value.as_bytes()).unwrap());
        let readings = reading::cbor(&bytes, NOW, Tolerances::default()).unwrap();
        assert_eq!(readings[0].value, Value::Number(Decimal { mantissa: 375, exponent: -1 }), "{value}");
    }
}

/// Writes a pack with somebody else's CBOR.
fn by_ciborium(records: &[(i64, i8, u32)]) -> Vec<u8> {
    use ciborium::Value as C;
    let records = records.iter().enumerate().map(|(i, (mantissa, exponent, millis))| {
        let value = C::Tag(4, Box::new(C::Array(vec![C::from(*exponent), C::from(*mantissa)])));
        let mut map = vec![(C::from(2), value), (C::from(6), C::from(f64::from(*millis) / 1e3))];
        if i == 0 {
            map.push((C::from(-2), C::from("urn:dev:mac:0024befffe804ff1:power")));
            map.push((C::from(-3), C::from(1_320_000_000)));
            map.push((C::from(-4), C::from("W")));
            map.push((C::from("vendor"), C::Array(vec![C::Null, C::from("ignored")])));
        }
        C::Map(map)
    });
    let mut bytes = Vec::new();
    ciborium::into_writer(&C::Array(records.collect()), &mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn what_ciborium_writes_is_read(records in prop::collection::vec((any::<i64>(), -18i8..=18, 0u32..1_000_000), 1..20)) {
        let readings = reading::cbor(&by_ciborium(&records), NOW, Tolerances::default()).unwrap();
        prop_assert_eq!(readings.len(), records.len());
        for (reading, (mantissa, exponent, millis)) in readings.iter().zip(&records) {
            prop_assert_eq!(&reading.value, &Value::Number(Decimal { mantissa: *mantissa, exponent: *exponent }));
            prop_assert_eq!(reading.device_time, Timestamp(1_320_000_000_000_000 + i64::from(*millis) * 1_000));
        }
    }

    #[test]
    fn json_and_cbor_of_one_pack_say_the_same(values in prop::collection::vec((-1_000_000i64..1_000_000, 0i8..6), 1..20)) {
        let decimals: Vec<Decimal> = values.iter().map(|(m, e)| Decimal { mantissa: *m, exponent: -e }).collect();
        let text: Vec<String> = decimals.iter().map(|d| format!(r#"{{"n":"speed","u":"m/s","v":{d}}}"#)).collect();
        let from_json = read(&format!("[{}]", text.join(","))).unwrap();
        let pack = decimals.iter().map(|d| ciborium::Value::Map(vec![
            (0.into(), "speed".into()), (1.into(), "m/s".into()), (2.into(), d.to_f64().into()),
        ])).collect();
        let mut bytes = Vec::new();
        ciborium::into_writer(&ciborium::Value::Array(pack), &mut bytes).unwrap();
        let from_cbor = reading::cbor(&bytes, NOW, Tolerances::default()).unwrap();
        for (a, b) in from_json.iter().zip(&from_cbor) {
            let (Value::Number(a), Value::Number(b)) = (&a.value, &b.value) else { panic!() };
            prop_assert_eq!(a.compare(*b), Ordering::Equal);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = reading::cbor(&bytes, NOW, Tolerances::default());
        let _ = reading::json(&bytes, NOW, Tolerances::default());
    }

    #[test]
    fn no_bent_pack_makes_it_panic(at in 0usize..400, with in any::<u8>(), cut in 0usize..400) {
        let whole = by_ciborium(&[(1, -2, 3), (4, 5, 6), (7, -8, 9)]);
        let n = whole.len();
        let mut bent = whole.clone();
        bent[at % n] = with;
        for bytes in [&bent[..], &bent[..cut % n]] {
            let _ = reading::cbor(bytes, NOW, Tolerances::default());
        }
        // Of the unbent one: a byte that says that nothing more comes makes a pack of its beginning.
        prop_assert!(reading::cbor(&whole[..cut % n], NOW, Tolerances::default()).is_err());
    }
}
