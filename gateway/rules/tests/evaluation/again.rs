//! Event times that come again, and rules that are published again.

use pitchside_rules::alert_id;
use pitchside_rules::replay::{Follows, Outcome, Replay, follows, subject_of};
use pitchside_script::manifest::RuleScope;

use super::*;

/// A reading that is the message of this number.
fn numbered(seq: u64, second: i64, value: i64) -> Entry {
    Entry { seq: Seq(seq), ..rate(second, value) }
}

/// A sensor that restarts after half a minute: the same seconds again.
fn restarted() -> Vec<Entry> {
    let before = (0..30).map(|second| numbered(second as u64, second, if second == 20 { 195 } else { 100 }));
    let after = (0..30).map(|second| numbered(100 + second as u64, second, if second >= 20 { 196 } else { 100 }));
    before.chain(after).collect()
}

/// The id as it was before an engine told such alerts apart.
fn earlier_id(alert: &Alert) -> AlertId {
    alert_id(&alert.rule, &subject_of(alert, RuleScope::Athlete), alert.quantity, alert.event_time)
}

fn replayed(set: &Arc<RuleSet>, wanted: &Alert, entries: &[Entry]) -> Outcome {
    let mut replay = Replay::new(Arc::clone(set), wanted.clone()).unwrap();
    replay.feed(entries);
    replay.outcome()
}

#[test]
fn an_alert_at_the_time_of_another_is_told_after_a_clock_was_set_back_and_replays_wherever_one_begins() {
    let (set, entries) = (set([rule("peak", "", "value >= 190.0")]), restarted());
    let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
    let [first, second] = raised(&fed)[..] else { panic!("{fed:?}") };
    assert_eq!((first.event_time, first.value), (second.event_time, Some(Decimal::integer(195))));
    assert_eq!(first.id, earlier_id(first), "as ever");
    assert_ne!(first.id, second.id);
    for alert in [first, second] {
        assert_eq!(replayed(&set, alert, &entries), Outcome::Identical);
        assert_eq!(follows(&set, alert, &entries, None).unwrap(), Follows::FromReadings);
    }
    // Who hears only what came after the restart does not know that the time was there before.
    assert_eq!(replayed(&set, second, &entries[30..]), Outcome::Identical);
    assert_eq!(follows(&set, second, &entries[30..], None).unwrap(), Follows::FromReadings);
    // Of the message of another number it is another.
    let other: Vec<Entry> = entries.iter().map(|e| Entry { seq: Seq(e.seq.0 + 1_000), ..e.clone() }).collect();
    assert!(matches!(replayed(&set, second, &other), Outcome::NotRaised(Some(_))));
    assert_eq!(follows(&set, second, &other, None).unwrap(), Follows::No);
}

#[test]
fn what_an_earlier_engine_sealed_after_a_clock_was_set_back_still_replays() {
    let set = set([rule("peak", "", "value >= 190.0")]);
    let mut entries = restarted();
    // Raised five seconds before the one of the first run: an earlier engine gave it the id of its time alone.
    entries[45] = numbered(115, 15, 199);
    let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
    let alert = raised(&fed)[1].clone();
    assert_eq!(alert.value, Some(Decimal::integer(199)));
    let sealed = Alert { id: earlier_id(&alert), ..alert };
    assert_eq!(replayed(&set, &sealed, &entries), Outcome::Identical);
}

#[test]
fn neither_a_snapshot_nor_a_new_version_forgets_which_times_were_told() {
    let set_of = |script: &str| set([rule("peak", "", script)]);
    let entries = restarted();
    let mut engine = Engine::new(set_of("value >= 190.0")).unwrap();
    let first = raised(&engine.feed(&entries[..30]))[0].id;
    let snapshot = engine.snapshot();
    let mut resumed = Engine::new(set_of("value >= 190.0")).unwrap();
    resumed.resume(&snapshot).unwrap();
    assert_eq!(engine.reload(set_of("value >= 191.0")), Ok(vec![]));
    for mut engine in [engine, resumed] {
        let fed = engine.feed(&entries[30..]);
        assert!(raised(&fed).len() == 1 && raised(&fed)[0].id != first, "{fed:?}");
    }
}

#[test]
fn a_reset_of_an_alert_that_has_another_id_in_the_replay_is_done_there_too() {
    let set = set([rule("peak", "latch = true\n", "value >= 190.0")]);
    let mut live = Engine::new(Arc::clone(&set)).unwrap();
    let mut entries = restarted();
    let first = raised(&live.feed(&entries[..30]))[0].id;
    live.reset(first, Timestamp(0)).unwrap();
    let second = raised(&live.feed(&entries[30..55]))[0].clone();
    live.reset(second.id, Timestamp(0)).unwrap();
    entries.truncate(55);
    let last = numbered(200, 60, 197);
    let third = raised(&live.feed(std::slice::from_ref(&last)))[0].clone();
    let mut replay = Replay::new(set, third).unwrap();
    replay.feed(&entries[30..]);
    replay.reset(second.id, Timestamp(0));
    replay.feed(&[last]);
    assert_eq!(replay.outcome(), Outcome::Identical);
}

#[test]
fn a_clock_that_another_wore_counts_for_a_replay_and_the_state_before_tells_how_far_it_was() {
    let set = set([rule("high", "", "value > 180.0")]);
    let worn = |athlete: &str, entry: Entry| Entry { athlete: Some(athlete.parse().unwrap()), ..entry };
    let ann = (0..10).map(|n| worn("ann", numbered(n, 1_000 + n as i64, 100)));
    let ben: Vec<Entry> = (0..20).map(|n| worn("ben", numbered(100 + n, n as i64, 190))).collect();
    let all: Vec<Entry> = ann.chain(ben.iter().cloned()).collect();
    let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&all);
    let [alert] = raised(&fed)[..] else { panic!("{fed:?}") };
    assert_eq!(alert.event_time, Timestamp::from_seconds(1_767_225_607), "the eighth in a row behind");
    // By itself what Ben wore looks as if it had been heard at once.
    assert!(matches!(replayed(&set, alert, &ben), Outcome::NotRaised(Some(_))));
    let mut replay = Replay::new(Arc::clone(&set), alert.clone()).unwrap();
    assert!(replay.feed(&all));
    assert_eq!(replay.outcome(), Outcome::Identical);
    assert_eq!(follows(&set, alert, &ben[..8], None).unwrap(), Follows::No);
    assert_eq!(follows(&set, alert, &ben[..8], replay.state_before()).unwrap(), Follows::FromState);
}

#[test]
fn a_rule_that_looks_at_other_subjects_clears_what_it_had_raised() {
    let mut engine = Engine::new(set([rule("high", "latch = true\n", "value > 180.0")])).unwrap();
    let id = raised(&engine.feed(&[rate(0, 190)]))[0].id;
    let events = engine.reload(set([rule("high", "scope = \"device\"\n", "value > 180.0")])).unwrap();
    assert_eq!(events, [AlertEvent::Cleared { id, event_time: Timestamp::from_seconds(1_767_225_600) }]);
    let fed = engine.feed(&[rate(1, 190), rate(2, 100)]);
    assert_eq!(raised(&fed).len(), 1, "of the strap");
    assert_eq!(fed.events.len(), 2, "{fed:?}");
}

#[test]
fn publishing_forgets_no_cool_down_and_each_version_says_how_long_it_is() {
    let version = |cool_down: &str| set([rule("high", &format!("cool_down = \"{cool_down}\"\n"), "value > 180.0")]);
    let published = |cool_down: &str| {
        let mut engine = Engine::new(version("1h")).unwrap();
        assert_eq!(engine.feed(&[rate(0, 190), rate(1, 100)]).events.len(), 2);
        engine.reload(version(cool_down)).unwrap();
        (2..7_300).find(|second| !engine.feed(&[rate(*second, 190)]).events.is_empty())
    };
    let commented = || {
        let mut engine = Engine::new(version("1h")).unwrap();
        engine.feed(&[rate(0, 190), rate(1, 100)]);
        engine.reload(set([rule("high", "cool_down = \"1h\"\n", "value > 180.0 // for the juniors, too")])).unwrap();
        (2..7_300).find(|second| !engine.feed(&[rate(*second, 190)]).events.is_empty())
    };
    assert_eq!(commented(), Some(3_601));
    assert_eq!((published("10s"), published("2h"), published("0s")), (Some(11), Some(7_201), Some(2)));
}

#[test]
fn publishing_does_not_begin_to_count_anew_how_often_an_alert_was_raised() {
    let mut engine = Engine::new(set([rule("high", "", "value > 180.0")])).unwrap();
    let mut events = 0;
    for second in 0..300 {
        events += engine.feed(&[rate(second, 170 + 20 * (second % 2))]).events.len();
        // Between two alerts.
        if second == 10 {
            engine.reload(set([rule("high", "", "value > 180.5")])).unwrap();
        }
    }
    assert_eq!(events, 19, "raised ten times, cleared nine times");
}

#[test]
fn the_state_before_an_alert_tells_that_the_clock_was_set_back_with_the_message_that_fired() {
    let set = set([rule("fresh", "", "value > 180.0 && heart_rate.count(\"1h\") == 1")]);
    let before = (0..10).map(|n| numbered(n, 1_000 + n as i64, 100));
    let entries: Vec<Entry> = before.chain((0..8).map(|n| numbered(100 + n, n as i64, 190))).collect();
    let fed = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
    let [alert] = raised(&fed)[..] else { panic!("{fed:?}") };
    let mut replay = Replay::new(Arc::clone(&set), alert.clone()).unwrap();
    assert!(replay.feed(&entries));
    let without = follows(&set, alert, &entries[10..], None).unwrap();
    assert_eq!(without, Follows::No, "by itself the first of the eight would have raised it");
    assert_eq!(follows(&set, alert, &entries[10..], replay.state_before()).unwrap(), Follows::FromState);
}

#[test]
fn an_athlete_is_taken_out_of_a_snapshot_and_everybody_else_stays_in_it() {
    let set = set([rule("high", "", "value > 180.0")]);
    let [ann, bea, cyd] = ["ann", "bea", "cyd"].map(|name| AthleteId::parse(name).unwrap());
    let of_bea = |entry: Entry| Entry { device: DeviceId::parse("belt").unwrap(), athlete: Some(bea.clone()), ..entry };
    let mut live = Engine::new(Arc::clone(&set)).unwrap();
    assert_eq!(raised(&live.feed(&[rate(0, 190), of_bea(rate(0, 190))])).len(), 2);
    let snapshot = live.snapshot();
    let left = without(&snapshot, &ann).unwrap();
    assert!(
        without(&left, &ann).is_none() && without(&snapshot, &cyd).is_none() && without(b"rubbish", &ann).is_none()
    );
    let holds = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(holds(&snapshot, "ann") && !holds(&left, "ann") && holds(&left, "bea"));
    let mut resumed = Engine::new(set).unwrap();
    resumed.resume(&left).unwrap();
    let fed = resumed.feed(&[rate(100, 100), of_bea(rate(100, 100))]);
    assert!(matches!(fed.events[..], [AlertEvent::Cleared { .. }]), "hers stands no more, bea's is over: {fed:?}");
}
