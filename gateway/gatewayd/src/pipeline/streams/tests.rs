use super::*;
use pitchside_model::{Epoch, Seq};

fn entry(at_ms: i64, bpm: i64) -> Entry {
    Entry {
        device: DeviceId::parse("strap-1").unwrap(),
        athlete: Some(AthleteId::parse("ada").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(0),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Unit::PER_MINUTE,
            device_time: Timestamp::from_millis(at_ms - 40),
            gateway_time: Timestamp::from_millis(at_ms),
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(bpm)),
        }],
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn up(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn strap() -> DeviceId {
    DeviceId::parse("strap-1").unwrap()
}

#[test]
fn a_gap_of_a_stream_that_is_ahead_says_so_and_its_clock_offset_is_of_our_time() {
    let mut streams = Streams::default();
    let mut ahead = entry(20_000, 71);
    ahead.readings[0].device_time = at(9 * 3_600_000);
    ahead.readings[0].quality = Quality::FUTURE;
    let offset = streams.observe(&ahead, up(0)).unwrap();
    assert_eq!(offset.reading.device_time, at(20_000));
    let gaps = streams.disconnected(&strap(), up(1_000), at(21_000));
    assert_eq!(gaps[0].reading.quality, Quality::FUTURE);
    add_dropped(&mut ahead, 3, at(21_000));
    assert_eq!(ahead.readings[0].quality, Quality::FUTURE);
    // Put right, it is as any other.
    streams.observe(&entry(22_000, 72), up(2_000));
    assert_eq!(streams.disconnected(&strap(), up(3_000), at(23_000))[0].reading.quality, Quality::empty());
}

fn gap(noticed: &Noticed) -> (GapReason, u64) {
    match noticed.reading.value {
        Value::Gap(gap) => (gap.reason, gap.extent),
        _ => panic!("not a gap"),
    }
}

#[test]
fn a_stream_that_stops_gets_one_gap_and_its_return_ends_it() {
    let mut streams = Streams::default();
    for second in 0..10 {
        streams.observe(&entry(second * 1_000, 120), up(second.unsigned_abs() * 1_000));
    }
    let silent_after = 5_000_000;
    assert!(streams.silent(silent_after, up(13_000), at(13_000)).is_empty());
    let gaps = streams.silent(silent_after, up(20_000), at(20_000));
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reading.device_time, at(19_960));
    assert!(streams.silent(silent_after, up(30_000), at(30_000)).is_empty(), "only once");
    streams.observe(&entry(31_000, 121), up(31_000));
    assert_eq!(streams.silent(silent_after, up(60_000), at(60_000)).len(), 1, "a new silence, a new gap");
}

#[test]
fn a_state_told_once_is_not_silent_while_its_device_speaks() {
    let mut streams = Streams::default();
    let mut first = entry(0, 120);
    let contact = Reading { quantity: Quantity::SKIN_CONTACT, unit: Unit::ONE, ..first.readings[0].clone() };
    first.readings.push(contact);
    streams.observe(&first, up(0));
    for second in 1..60 {
        streams.observe(&entry(second * 1_000, 120), up(second.unsigned_abs() * 1_000));
        assert!(streams.silent(5_000_000, up(second.unsigned_abs() * 1_000), at(second * 1_000)).is_empty());
    }
    assert_eq!(streams.silent(5_000_000, up(80_000), at(80_000)).len(), 2, "the whole device");
}

#[test]
fn a_pill_that_speaks_once_a_minute_is_not_silent_after_its_first_word() {
    let mut streams = Streams::default();
    let mut first = entry(0, 37);
    (first.readings[0].quantity, first.readings[0].unit) = (Quantity::CORE_TEMPERATURE, Unit::CELSIUS);
    streams.observe(&first, up(0));
    assert!(streams.silent(15_000_000, up(60_000), at(60_000)).is_empty());
    assert_eq!(streams.silent(15_000_000, up(120_000), at(120_000)).len(), 1);
}

#[test]
fn a_clock_that_jumps_makes_no_silence_and_hides_none() {
    let mut streams = Streams::default();
    streams.observe(&entry(500, 120), up(500));
    streams.observe(&entry(1_000, 120), up(1_000));
    assert!(streams.silent(5_000_000, up(2_000), at(3_600_000)).is_empty(), "an hour ahead");
    let gaps = streams.silent(5_000_000, up(9_000), at(-3_600_000));
    assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Silent, 8_000_000)], "an hour back");
}

#[test]
fn a_disconnect_ends_live_streams_only_once() {
    let mut streams = Streams::default();
    let first = streams.observe(&entry(1_000, 90), up(1_000));
    assert_eq!(first.map(|n| n.reading.value), Some(Value::Number(Decimal::integer(40))), "clock offset in ms");
    assert!(streams.observe(&entry(2_000, 90), up(2_000)).is_none(), "one offset a connection");
    assert_eq!(streams.disconnected(&strap(), up(3_000), at(3_000)).len(), 1);
    assert!(streams.disconnected(&strap(), up(4_000), at(4_000)).is_empty());
    assert!(streams.observe(&entry(5_000, 90), up(5_000)).is_some(), "the next connection has its own offset");
}

#[test]
fn what_lived_before_a_crash_and_does_not_come_back_is_silent_since_its_last_word() {
    let mut streams = Streams::default();
    for second in 0..10 {
        streams.recall(&entry(second * 1_000, 120), up(50), at(60_000));
    }
    assert!(streams.silent(5_000_000, up(5_000), at(65_000)).is_empty(), "it has time to come back");
    let gaps = streams.silent(5_000_000, up(9_050), at(69_000));
    assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Silent, 60_000_000)]);
}

#[test]
fn a_goodbye_is_recorded_once_and_recalled_as_one() {
    let mut streams = Streams::default();
    streams.observe(&entry(1_000, 90), up(1_000));
    let ended = streams.ended(&strap(), up(2_000), at(2_000));
    assert_eq!(ended.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Ended, 1_000_000)]);
    assert!(streams.ended(&strap(), up(2_000), at(2_000)).is_empty());

    let mut later = Streams::default();
    later.recall(&entry(1_000, 90), up(0), at(9_000));
    let goodbye = Entry { readings: ended.into_iter().map(|noticed| noticed.reading).collect(), ..entry(2_000, 0) };
    later.recall(&goodbye, up(0), at(9_000));
    assert!(later.silent(5_000_000, up(60_000), at(69_000)).is_empty());
}
