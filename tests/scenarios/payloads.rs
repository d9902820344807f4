//! What a known device says that cannot be a reading, and times that cannot be right. Each is refused with its reason, or
//! stored with its flaw named; what comes after it is taken.

use pitchside_model::Quality;
use pitchside_tests::frames::{heart_rate, seconds, senml};
use pitchside_tests::{Clinic, Running, Told};
use pitchside_wire::{Content, Reason};

use crate::goes_on;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn strap() -> Running {
    Clinic::new().strap("s7").athlete("ada").start().await
}

#[tokio::test]
async fn what_is_no_reading_is_refused_with_its_reason_and_kept_for_inspection() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let now = clinic.now().millis();
    let at = seconds(now);
    let json = |text: &str| (Content::SenmlJson, text.as_bytes().to_vec());
    // [{2: NaN}], half, single and double precision, and infinity.
    let float = |bytes: &[u8]| {
        let head = b"\x81\xa3\x00\x6aheart_rate\x01\x68beat/min\x02";
        (Content::SenmlCbor, [head, bytes].concat())
    };
    let record = |more: &str| json(&format!(r#"[{{"bt":{at},"n":"heart_rate","u":"beat/min",{more}}}]"#));
    let cases: Vec<(&str, (Content, Vec<u8>), Reason)> = vec![
        ("not a number, in JSON", record(r#""v":NaN"#), Reason::MALFORMED),
        ("not a number, half", float(b"\xf9\x7e\x00"), Reason::BAD_VALUE),
        ("not a number, single", float(b"\xfa\x7f\xc0\x00\x00"), Reason::BAD_VALUE),
        ("not a number, double", float(b"\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00"), Reason::BAD_VALUE),
        ("infinity", float(b"\xf9\x7c\x00"), Reason::BAD_VALUE),
        ("out of all range", record(r#""v":1e300"#), Reason::BAD_VALUE),
        ("a text for a number", record(r#""vs":"fast""#), Reason::BAD_VALUE),
        ("no value", record(r#""t":0"#), Reason::BAD_VALUE),
        ("an unknown unit", (Content::SenmlJson, senml(now, "heart_rate", "furlong", "72")), Reason::UNKNOWN_UNIT),
        (
            "the unit of something else",
            (Content::SenmlJson, senml(now, "heart_rate", "Cel", "72")),
            Reason::UNKNOWN_UNIT,
        ),
        ("an unknown quantity", (Content::SenmlJson, senml(now, "mood", "1", "72")), Reason::UNKNOWN_UNIT),
        ("nothing", json(""), Reason::MALFORMED),
        ("an empty pack", json("[]"), Reason::MALFORMED),
        ("half a pack", json(r#"[{"n":"heart_rate","#), Reason::MALFORMED),
        (
            "bytes that are no text",
            (Content::SenmlJson, b"[{\"n\":\"heart\xff\xferate\"}]".to_vec()),
            Reason::MALFORMED,
        ),
        ("ten thousand brackets", json(&"[".repeat(10_000)), Reason::MALFORMED),
        ("JSON said to be CBOR", (Content::SenmlCbor, heart_rate(now, 72)), Reason::MALFORMED),
        ("a waveform of nothing", (Content::Waveform, Vec::new()), Reason::MALFORMED),
        ("vendor bytes without a decoder", (Content::Vendor, vec![0, 72]), Reason::NO_DECODER),
        ("a day and more ahead", (Content::SenmlJson, heart_rate(now + 2 * DAY_MS, 72)), Reason::BAD_TIME),
        ("two years behind", (Content::SenmlJson, heart_rate(now - 730 * DAY_MS, 72)), Reason::BAD_TIME),
        ("beyond all time", json(r#"[{"bt":1e300,"n":"heart_rate","u":"beat/min","v":72}]"#), Reason::BAD_TIME),
    ];
    for (what, (content, body), expected) in &cases {
        let Told::Refused(reason, text) = s7.says(*content, body.clone()).await else { panic!("{what} was taken") };
        assert_eq!(reason, *expected, "{what}: {text}");
        assert!(!text.is_empty(), "{what}");
    }
    assert_eq!(clinic.tables().quarantined(100).unwrap().len(), cases.len());
    assert!(clinic.values("s7").is_empty());
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn senml_without_a_base_time_is_taken_as_of_now_and_marked_so() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let body = r#"[{"n":"heart_rate","u":"beat/min","v":72},{"n":"heart_rate","u":"beat/min","t":-5,"v":70}]"#;
    assert_eq!(s7.says(Content::SenmlJson, body).await, Told::Stored);
    let readings = clinic.readings("s7");
    assert!(readings.iter().all(|reading| reading.quality == Quality::NO_CLOCK), "{readings:?}");
    let times: Vec<_> = readings.iter().map(|reading| clinic.now().micros_since(reading.device_time)).collect();
    assert_eq!(times, [0, 5_000_000]);
}

#[tokio::test]
async fn times_ahead_and_behind_are_stored_and_marked() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let now = clinic.now().millis();
    for (at, rate) in [(now, 70), (now + HOUR_MS, 71), (now - 3 * HOUR_MS, 72), (now - 300 * DAY_MS, 73)] {
        assert_eq!(s7.says(Content::SenmlJson, heart_rate(at, rate)).await, Told::Stored);
    }
    let qualities: Vec<_> = clinic.readings("s7").iter().map(|reading| reading.quality).collect();
    assert_eq!(qualities, [Quality::empty(), Quality::FUTURE, Quality::LATE, Quality::LATE]);
    clinic.seal().await;
    assert_eq!(clinic.values("s7").len(), 4, "each opens from its hour");
}

#[tokio::test]
async fn a_value_no_heart_has_is_stored_and_marked() {
    let clinic = strap().await;
    clinic.sensor("s7").await.heart_rate(900).await;
    assert_eq!(clinic.readings("s7")[0].quality, Quality::IMPLAUSIBLE);
}
