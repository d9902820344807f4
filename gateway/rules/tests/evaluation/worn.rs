//! A device that somebody else is given, to rules that hear every device by itself.

use pitchside_rules::replay::{Follows, Outcome, Replay, follows};

use super::*;

/// A rate of whoever wears the strap.
fn of(athlete: Option<&str>, second: i64, value: i64) -> Entry {
    Entry { athlete: athlete.map(|name| AthleteId::parse(name).unwrap()), ..rate(second, value) }
}

fn gap(athlete: Option<&str>, second: i64) -> Entry {
    let gap = Value::Gap(Gap { reason: GapReason::Silent, extent: 0 });
    Entry { readings: vec![reading(Quantity::HEART_RATE, second, gap)], ..of(athlete, second, 0) }
}

fn by_device(more: &str, script: &str) -> Arc<RuleSet> {
    set([rule("tested", &format!("scope = \"device\"\n{more}"), script)])
}

const ANN: Option<&str> = Some("ann");
const BOB: Option<&str> = Some("bob");
const OFTEN: &str = "times(\"high\", \"1h\", value > 150.0) >= 3";

/// Twice above, each time by itself.
fn twice(athlete: Option<&str>, from: i64) -> Vec<Entry> {
    (0..4).map(|n| of(athlete, from + n, if n % 2 == 0 { 160 } else { 100 })).collect()
}

#[test]
fn what_was_counted_of_one_athlete_is_nothing_of_the_next_but_a_technical_rule_goes_on() {
    let third = |more: &str, athlete: Option<&str>| {
        let mut engine = Engine::new(by_device(more, OFTEN)).unwrap();
        assert!(raised(&engine.feed(&twice(ANN, 0))).is_empty());
        raised(&engine.feed(&[of(athlete, 10, 160)])).len()
    };
    assert_eq!((third("", ANN), third("", BOB), third("", None)), (1, 0, 0));
    assert_eq!(third("category = \"technical\"\n", BOB), 1, "it is about the device");
    // Nor is what the device told while nobody wore it anybody's.
    let mut engine = Engine::new(by_device("", OFTEN)).unwrap();
    assert!(raised(&engine.feed(&[twice(None, 0), vec![of(ANN, 10, 160)]].concat())).is_empty());
}

#[test]
fn neither_a_window_a_hold_a_field_nor_a_cool_down_is_handed_on() {
    let cases = [
        ("", "heart_rate.count(\"1h\") >= 5"),
        ("hold = \"9s\"\n", "value > 90.0"),
        (
            "[state]\nhighest = 0.0\n",
            "if value > highest { highest = value; } quantity == \"heart_rate\" && value < 100.0 && highest > 150.0",
        ),
    ];
    for (more, script) in cases {
        let last = |athlete: Option<&str>| {
            let mut engine = Engine::new(by_device(more, script)).unwrap();
            assert!(raised(&engine.feed(&twice(ANN, 0))).is_empty(), "{script}");
            raised(&engine.feed(&[of(athlete, 10, 95)])).len()
        };
        assert_eq!((last(ANN), last(BOB)), (1, 0), "{script}");
    }
    let cooled = |athlete: Option<&str>| {
        let mut engine = Engine::new(by_device("cool_down = \"1h\"\n", "value > 180.0")).unwrap();
        assert_eq!(engine.feed(&[of(ANN, 0, 190), of(ANN, 1, 100)]).events.len(), 2);
        raised(&engine.feed(&[of(athlete, 2, 190)])).len()
    };
    assert_eq!((cooled(ANN), cooled(BOB)), (0, 1));
}

#[test]
fn an_alert_about_one_athlete_ends_with_the_first_reading_of_the_next_and_with_nothing_less() {
    let mut engine = Engine::new(by_device("clear_after = \"10min\"\n", "value > 180.0")).unwrap();
    let ann = raised(&engine.feed(&[of(ANN, 0, 190)]))[0].id;
    for heard in [of(None, 1, 100), of(ANN, 2, 100), gap(BOB, 3)] {
        assert_eq!(engine.feed(&[heard]), Fed::default());
    }
    let snapshot = engine.snapshot();
    let mut resumed = Engine::new(Arc::clone(engine.rule_set())).unwrap();
    resumed.resume(&snapshot).unwrap();
    let published = || {
        let mut engine = Engine::new(Arc::clone(engine.rule_set())).unwrap();
        engine.resume(&snapshot).unwrap();
        assert_eq!(engine.reload(by_device("clear_after = \"10min\"\n", "value > 181.0")), Ok(vec![]));
        engine
    };
    for mut engine in [published(), resumed, engine] {
        let fed = engine.feed(&[of(BOB, 4, 190)]);
        let [AlertEvent::Cleared { id, .. }, AlertEvent::Raised(bob)] = fed.events.as_slice() else {
            panic!("{fed:?}")
        };
        assert_eq!((*id, bob.athlete.as_ref().map(|id| id.as_str())), (ann, BOB));
    }
    let mut latching = Engine::new(by_device("latch = true\n", "value > 180.0")).unwrap();
    assert_eq!(raised(&latching.feed(&[of(ANN, 0, 190)])).len(), 1);
    assert_eq!(latching.feed(&[of(BOB, 1, 190)]), Fed::default(), "only a reset clears it");
}

#[test]
fn what_is_known_of_a_device_goes_with_the_athlete_who_wears_it_when_they_are_erased() {
    let mut engine = Engine::new(by_device("", OFTEN)).unwrap();
    engine.feed(&twice(ANN, 0));
    let snapshot = engine.snapshot();
    let [ann, bob] = ["ann", "bob"].map(|name| AthleteId::parse(name).unwrap());
    assert!(without(&snapshot, &bob).is_none());
    let left = without(&snapshot, &ann).unwrap();
    assert!(!left.windows(3).any(|window| window == b"ann"));
    engine.resume(&left).unwrap();
    assert!(raised(&engine.feed(&[of(ANN, 10, 160)])).is_empty());
}

#[test]
fn the_state_before_an_alert_tells_nothing_of_whoever_wore_the_device_before() {
    let set = by_device("", "value > 180.0");
    let entries = [of(ANN, 0, 190), of(BOB, 1, 190)];
    let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
    let [_, bob] = raised(&fed)[..] else { panic!("{fed:?}") };
    let mut replay = Replay::new(Arc::clone(&set), bob.clone()).unwrap();
    assert!(replay.feed(&entries));
    assert_eq!(replay.outcome(), Outcome::Identical);
    let before = replay.state_before().unwrap();
    assert!(!before.windows(3).any(|window| window == b"ann"));
    assert_eq!(follows(&set, bob, &entries[1..], Some(before)).unwrap(), Follows::FromReadings);
}
