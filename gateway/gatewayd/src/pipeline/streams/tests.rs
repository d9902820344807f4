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

#[test]
fn a_gap_of_what_was_dropped_tells_nothing_of_a_clock_and_the_next_reading_with_a_time_does() {
    let mut undated = entry(1_000, 90);
    undated.readings[0].quality = Quality::NO_CLOCK;
    undated.readings[0].device_time = at(1_000);
    let empty = Entry { readings: Vec::new(), ..entry(2_000, 90) };
    let mut streams = Streams::default();
    for (mut entry, now) in [(undated, at(1_000)), (empty, at(2_000))] {
        add_dropped(&mut entry, 3, now);
        assert_eq!(streams.observe(&entry, up(2_000)), None, "{entry:?}");
    }
    let offset = streams.observe(&entry(3_000, 90), up(3_000)).map(|noticed| noticed.reading.value);
    assert_eq!(offset, Some(Value::Number(Decimal::integer(40))));
    // What comes after a gap, in one entry with it, tells as much.
    let mut dated = entry(4_000, 90);
    add_dropped(&mut dated, 1, at(4_000));
    streams.disconnected(&strap(), up(3_500), at(3_500));
    assert!(streams.observe(&dated, up(4_000)).is_some());
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

/// The seconds at which a stream that speaks at `words` is called silent, asked every second until the last.
fn silences(quantity: Quantity, words: &[i64], until: i64) -> Vec<i64> {
    let (mut streams, mut silences) = (Streams::default(), Vec::new());
    for second in 0..=until {
        let (uptime, now) = (up(second.unsigned_abs() * 1_000), at(second * 1_000));
        if words.contains(&second) {
            let mut word = entry(second * 1_000, 97);
            (word.readings[0].quantity, word.readings[0].unit) = (quantity, quantity.unit());
            streams.observe(&word, uptime);
        }
        silences.extend(streams.silent(15_000_000, uptime, now).iter().map(|_| second));
    }
    silences
}

#[test]
fn a_slow_stream_is_called_silent_once_and_then_is_known_to_be_slow() {
    let minutes: Vec<i64> = (0..=10).map(|minute| minute * 60).collect();
    // Then it stops: after eight of its intervals that is told, too.
    assert_eq!(silences(Quantity::HEART_RATE, &minutes, 1_200), [16, 600 + 481]);
    let about_three_a_minute = [0, 20, 38, 60, 79, 101, 120, 139, 161];
    assert_eq!(silences(Quantity::OXYGEN_SATURATION, &about_three_a_minute, 170), [16]);
    // The first two words were quick: a word that stands alone between two silences tells.
    assert_eq!(silences(Quantity::HEART_RATE, &[0, 1, 61, 121, 181, 241, 301], 310), [17, 77]);
}

#[test]
fn a_weather_station_has_its_three_minutes() {
    let minutes: Vec<i64> = (0..=10).map(|minute| minute * 60).collect();
    for quantity in [Quantity::GLOBE_TEMPERATURE, Quantity::WIND_CHILL, Quantity::AMBIENT_TEMPERATURE] {
        assert!(silences(quantity, &minutes, 600).is_empty(), "{quantity}");
        assert_eq!(silences(quantity, &[0, 300, 600, 900], 1_000), [181], "{quantity}");
    }
}

#[test]
fn a_quick_stream_that_stops_is_silent_in_time_whatever_silences_it_had() {
    let strap: Vec<i64> = [0].into_iter().chain(600..=610).collect();
    assert_eq!(silences(Quantity::HEART_RATE, &strap, 700), [16, 626], "one word, ten minutes before the others");
    let strap: Vec<i64> = (0..=30).chain(300..=330).collect();
    assert_eq!(silences(Quantity::HEART_RATE, &strap, 400), [46, 346]);
    // One that says something once in a long while is not waited for longer than twice ten minutes.
    assert_eq!(silences(Quantity::HEART_RATE, &[0, 3_600], 5_000), [16, 4_801]);
}

#[test]
fn a_cuff_is_not_silent_between_two_measurements_but_its_link_may_go_down() {
    assert!(silences(Quantity::SYSTOLIC_PRESSURE, &[0, 20, 40, 1_200], 2_400).is_empty());
    let (mut streams, mut pressure) = (Streams::default(), entry(0, 128));
    (pressure.readings[0].quantity, pressure.readings[0].unit) =
        (Quantity::SYSTOLIC_PRESSURE, Unit::MILLIMETRE_OF_MERCURY);
    streams.observe(&pressure, up(0));
    let gaps = streams.disconnected(&strap(), up(3_000), at(3_000));
    assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Disconnected, 3_000_000)]);
}

#[test]
fn a_mouthguard_is_not_silent_between_two_impacts() {
    assert!(silences(Quantity::HEAD_LINEAR_ACCELERATION, &[0, 20, 40, 1_200], 2_400).is_empty());
}

#[test]
fn readings_of_one_message_are_one_word() {
    let mut streams = Streams::default();
    for minute in 0..=3 {
        let mut minutes_worth = entry(minute * 60_000, 97);
        minutes_worth.readings = vec![minutes_worth.readings[0].clone(); 12];
        streams.observe(&minutes_worth, up(minute.unsigned_abs() * 60_000));
    }
    assert!(streams.silent(15_000_000, up(240_000), at(240_000)).is_empty());
}

#[test]
fn a_silence_that_is_recalled_is_no_word() {
    let mut streams = Streams::default();
    let mut silence = entry(17_000, 0);
    silence.readings[0].value = Value::Gap(Gap { reason: GapReason::Silent, extent: 16_000_000 });
    for word in [entry(0, 97), entry(1_000, 97), silence, entry(61_000, 97), entry(62_000, 97)] {
        streams.recall(&word, up(50), at(70_000));
    }
    assert_eq!(streams.silent(5_000_000, up(9_050), at(79_000)).len(), 1, "it spoke once a second");
}

#[test]
fn a_stream_that_goes_on_for_somebody_else_ends_for_whoever_wore_it() {
    let [ada, ben] = ["ada", "ben"].map(|name| AthleteId::parse(name).ok());
    let worn =
        |athlete: &Option<AthleteId>| HashMap::from([(strap(), Row { athlete: athlete.clone(), decoder: None })]);
    let whose = |gaps: &[Noticed]| gaps.iter().map(|of| (gap(of).0, of.athlete.clone())).collect::<Vec<_>>();
    let mut streams = Streams::default();
    streams.observe(&entry(1_000, 90), up(1_000));
    assert!(streams.handed_over(&worn(&ada), up(1_500), at(1_500)).is_empty(), "she wears it still");
    let ended = streams.handed_over(&worn(&ben), up(2_000), at(2_000));
    assert_eq!((whose(&ended), gap(&ended[0]).1), (vec![(GapReason::Ended, ada.clone())], 1_000_000));
    assert!(streams.handed_over(&worn(&ben), up(3_000), at(3_000)).is_empty(), "once");
    // It is expected to go on, and missed for whoever wears it now.
    assert_eq!(whose(&streams.silent(5_000_000, up(20_000), at(20_000))), [(GapReason::Silent, ben.clone())]);

    // What was read before the change may be observed after it.
    streams.observe(&entry(21_000, 91), up(21_000));
    let bens = Entry { athlete: ben.clone(), ..entry(22_000, 92) };
    assert_eq!(whose(&streams.worn_in(&bens, up(22_000), at(22_000))), [(GapReason::Ended, ada.clone())]);
    streams.observe(&bens, up(22_000));
    assert!(streams.worn_in(&bens, up(22_000), at(22_000)).is_empty());

    // Nobody wears it any more; nobody misses what nobody wore.
    let ended = streams.handed_over(&HashMap::new(), up(23_000), at(23_000));
    assert_eq!(whose(&ended), [(GapReason::Ended, ben)]);
    assert!(streams.handed_over(&worn(&ada), up(24_000), at(24_000)).is_empty());
}
