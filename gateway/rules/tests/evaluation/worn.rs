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
}

#[test]
fn an_alert_that_latches_outlives_a_change_of_the_wearer_and_keeps_nobody_elses_from_being_raised() {
    let mut engine = Engine::new(by_device("latch = true\n", "value > 180.0")).unwrap();
    let ann = raised(&engine.feed(&[of(ANN, 0, 190)]))[0].id;
    for heard in [of(ANN, 1, 100), of(None, 2, 190), of(ANN, 3, 190), gap(BOB, 4)] {
        assert_eq!(engine.feed(&[heard]), Fed::default(), "raised, and raised once");
    }
    let mut once = Engine::new(Arc::clone(engine.rule_set())).unwrap();
    once.resume(&engine.snapshot()).unwrap();
    let mut lost = Vec::new();
    for (mut engine, readings) in [(engine, vec![of(BOB, 5, 190)]), (once, vec![of(BOB, 5, 100), of(BOB, 6, 190)])] {
        let fed = engine.feed(&readings);
        let [AlertEvent::Raised(bob)] = fed.events.as_slice() else { panic!("{fed:?}") };
        assert_eq!(bob.athlete.as_ref().map(|id| id.as_str()), BOB);
        let (bob, at) = (bob.id, Timestamp(7));
        assert_eq!(engine.feed(&[of(BOB, 7, 100)]), Fed::default(), "his latches, too");
        // Hers is on the record alone, and is reset there.
        assert_eq!(engine.reset(ann, at), None);
        assert_eq!(engine.reset(bob, at), Some(AlertEvent::Cleared { id: bob, event_time: at }));
        lost.push(bob);
        let again =
            raised(&engine.feed(&[of(BOB, 8, 190), of(ANN, 9, 190)])).iter().map(|alert| alert.id).collect::<Vec<_>>();
        assert!(again.len() == 2 && ![ann, bob].iter().any(|known| again.contains(known)), "{again:?}");
    }
    assert_ne!(lost[0], lost[1]);
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
    for more in ["", "latch = true\n"] {
        let set = by_device(more, "value > 180.0");
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
}

#[test]
fn the_state_before_an_alert_about_a_device_is_the_same_whatever_its_wearer_of_before_felt() {
    let more = "category = \"technical\"\n[state]\nlast = 0.0\n";
    let script = "last = value; heart_rate.max(\"1h\") > 0.0 && times(\"high\", \"1h\", value > 150.0) >= 3";
    let set = by_device(more, script);
    let state = |high: i64, low: i64| {
        let anns = (0..4).map(|n| of(ANN, n, if n % 2 == 0 { high } else { low }));
        let entries: Vec<Entry> = anns.chain([of(BOB, 9, 101), of(BOB, 10, 160)]).collect();
        let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
        let [alert] = raised(&fed)[..] else { panic!("{fed:?}") };
        let mut replay = Replay::new(Arc::clone(&set), alert.clone()).unwrap();
        assert!(replay.feed(&entries) && replay.leaves_out());
        assert_eq!(replay.outcome(), Outcome::Identical);
        let before = replay.state_before().unwrap().to_vec();
        assert_eq!(follows(&set, alert, &entries[4..], Some(&before)).unwrap(), Follows::FromState);
        before
    };
    assert_eq!(state(160, 100), state(175, 120));
}
