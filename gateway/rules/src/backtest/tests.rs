use pitchside_model::{Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Reading, Seq, Value};

use super::*;
use crate::library::RuleSource;

fn set(limit: &str) -> Arc<RuleSet> {
    let manifest = format!(
        "name = \"fast\"\nversion = \"1.0.0\"\nsummary = \"Fast.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n\
         [params.limit]\ndefault = {limit}\nmin = 1.0\nmax = 300.0\n"
    );
    Arc::new(RuleSet::new([RuleSource::parse("fast", &manifest, "value > limit").unwrap()]).unwrap())
}

fn entry(athlete: &str, second: i64, rate: i64) -> Entry {
    let time = Timestamp::from_seconds(1_767_225_600 + second);
    Entry {
        device: DeviceId::parse(&format!("strap-{athlete}")).unwrap(),
        athlete: Some(AthleteId::parse(athlete).unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(second as u64),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Quantity::HEART_RATE.unit(),
            device_time: time,
            gateway_time: time,
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(rate)),
        }],
    }
}

/// A rule whose alert lasts until the rate has come down, of one athlete or of one device.
fn scripted(script: &str, scope: &str) -> Arc<RuleSet> {
    let manifest = format!(
        "name = \"fast\"\nversion = \"1.0.0\"\nsummary = \"Fast.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n\
         scope = \"{scope}\"\n"
    );
    Arc::new(RuleSet::new([RuleSource::parse("fast", &manifest, script).unwrap()]).unwrap())
}

/// The rates of ada, one a second.
fn rates(rates: &[i64]) -> Vec<Entry> {
    (1..).zip(rates).map(|(second, rate)| entry("ada", second, *rate)).collect()
}

fn run(draft: &str, live: &str, entries: &[Entry], portion: usize) -> Report {
    compared(set(draft), set(live), entries, portion)
}

fn compared(draft: Arc<RuleSet>, live: Arc<RuleSet>, entries: &[Entry], portion: usize) -> Report {
    let mut backtest = Backtest::new(draft, live).unwrap();
    assert_eq!(backtest.quantities(), [Quantity::HEART_RATE]);
    entries.chunks(portion).for_each(|entries| backtest.feed(&Arc::from(entries)).unwrap());
    backtest.finish()
}

fn history() -> Vec<Entry> {
    let rates = [100, 185, 100, 195, 100, 100, 185, 100];
    let mut entries: Vec<Entry> = (1..).zip(rates).map(|(s, rate)| entry("ada", s, rate)).collect();
    entries.push(entry("ben", 9, 196));
    entries.push(entry("ben", 86_409, 100));
    entries
}

#[test]
fn a_lower_limit_raises_what_the_live_version_raises_and_more() {
    for portion in [1, 3, 100] {
        let report = run("180.0", "190.0", &history(), portion);
        assert_eq!(report.counts, Counts { same: 2, new: 2, gone: 0, ..Counts::default() }, "portions of {portion}");
        assert_eq!((report.counts.draft(), report.counts.live()), (4, 2));
        assert_eq!(report.subjects["ada"], Counts { same: 1, new: 2, gone: 0, ..Counts::default() });
        assert_eq!(report.subjects["ben"], Counts { same: 1, new: 0, gone: 0, ..Counts::default() });
        let marks: Vec<Mark> = report.listed.iter().map(|listed| listed.mark).collect();
        assert_eq!(marks, [Mark::New, Mark::Same, Mark::New, Mark::Same]);
        assert!(report.listed.iter().all(|listed| listed.cleared.is_some()), "{:?}", report.listed);
        assert_eq!((report.messages, report.readings, report.days.len()), (10, 10, 1));
    }
}

#[test]
fn a_higher_limit_says_what_would_no_longer_be_raised() {
    let report = run("190.0", "180.0", &history(), 4);
    assert_eq!(report.counts, Counts { same: 2, new: 0, gone: 2, ..Counts::default() });
    assert_eq!(report.listed[0].mark, Mark::Gone);
}

#[test]
fn the_rule_in_force_against_itself_differs_in_nothing() {
    assert_eq!(run("180.0", "180.0", &history(), 2).counts, Counts { same: 4, new: 0, gone: 0, ..Counts::default() });
}

#[test]
fn an_episode_that_the_draft_tells_before_is_not_gone_but_earlier() {
    let entries = rates(&[100, 185, 186, 195, 100, 100, 195, 100]);
    for portion in [1, 3, 100] {
        let report = run("180.0", "190.0", &entries, portion);
        let counts = Counts { same: 1, new: 1, earlier: 1, ..Counts::default() };
        assert_eq!((report.counts, report.subjects["ada"]), (counts, counts), "portions of {portion}");
        assert_eq!((counts.draft(), counts.live(), counts.all()), (2, 2, 3));
        let marks: Vec<Mark> = report.listed.iter().map(|listed| listed.mark).collect();
        assert_eq!(marks, [Mark::New, Mark::Earlier, Mark::Same]);
        assert!(report.listed.iter().all(|listed| listed.cleared.is_some()), "{:?}", report.listed);
    }
}

#[test]
fn an_episode_that_the_draft_tells_after_is_not_new_but_later() {
    for portion in [1, 3, 100] {
        let report = run("190.0", "180.0", &rates(&[100, 185, 186, 195, 100]), portion);
        let counts = Counts { gone: 1, later: 1, ..Counts::default() };
        assert_eq!((report.counts, counts.draft(), counts.live()), (counts, 1, 1), "portions of {portion}");
    }
}

#[test]
fn what_the_draft_no_longer_says_once_its_own_is_over_is_gone() {
    let (band, all) = (scripted("value > 180.0 && value < 190.0", "athlete"), scripted("value > 190.0", "athlete"));
    for portion in [1, 100] {
        let report = compared(Arc::clone(&band), Arc::clone(&all), &rates(&[185, 195, 100]), portion);
        assert_eq!(report.counts, Counts { new: 1, gone: 1, ..Counts::default() }, "portions of {portion}");
    }
}

#[test]
fn of_a_rule_that_looks_at_every_device_by_itself_another_device_is_another_episode() {
    let on =
        |device: &str, second, rate| Entry { device: DeviceId::parse(device).unwrap(), ..entry("ada", second, rate) };
    let entries = [on("left", 1, 185), on("right", 2, 195), on("left", 3, 186)];
    let (draft, live) = ("value > 180.0 && value < 190.0", "value > 190.0");
    let report = compared(scripted(draft, "device"), scripted(live, "device"), &entries, 100);
    assert_eq!(report.counts, Counts { new: 1, gone: 1, ..Counts::default() });
}

#[test]
fn of_a_rule_that_latches_the_next_wearer_of_a_device_is_another_episode() {
    let latching = |script: &str| {
        let manifest = "name = \"fast\"\nversion = \"1.0.0\"\nsummary = \"Fast.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n\
                        scope = \"device\"\nlatch = true\n";
        Arc::new(RuleSet::new([RuleSource::parse("fast", manifest, script).unwrap()]).unwrap())
    };
    let worn = |athlete: &str, second, rate| Entry {
        device: DeviceId::parse("guard").unwrap(),
        ..entry(athlete, second, rate)
    };
    let entries = [worn("ada", 1, 185), worn("ben", 2, 195)];
    let report = compared(latching("value > 180.0 && value < 190.0"), latching("value > 190.0"), &entries, 100);
    assert_eq!(report.counts, Counts { new: 1, gone: 1, ..Counts::default() });
}

/// Reads an item that is not there as soon as the rate is high.
const SHAKY: &str =
    "let limits = [150.0, 170.0];\nlet zone = if value > 160.0 { 2 } else { 0 };\nvalue > limits[zone]\n";

#[test]
fn a_draft_that_is_switched_off_says_when_and_counts_like_faults_together() {
    let mut entries = rates(&[100, 155, 100, 165, 165, 165, 165, 165, 165, 165, 165]);
    entries.extend([entry("ada", 12, 100), entry("ada", 13, 155)]);
    let steady = || scripted("value > 150.0", "athlete");
    for portion in [1, 4, 100] {
        let report = compared(scripted(SHAKY, "athlete"), steady(), &entries, portion);
        assert_eq!((report.faults, report.live_faults), (8, 0));
        let [stop] = report.stops.as_slice() else { panic!("{:?}", report.stops) };
        assert_eq!((stop.live, stop.rule.as_str(), stop.times), (false, "fast", 8));
        let [off] = report.off.as_slice() else { panic!("{:?}", report.off) };
        assert_eq!(
            (off.live, off.at),
            (false, Some(Timestamp::from_seconds(1_767_225_600 + 11))),
            "portions of {portion}"
        );
        assert_eq!(report.counts.draft(), 1, "nothing after it was tried");
        // In force it is told of, too.
        let report = compared(steady(), scripted(SHAKY, "athlete"), &entries, portion);
        assert_eq!((report.faults, report.live_faults, report.stops[0].live, report.off[0].live), (0, 8, true, true));
    }
}

#[test]
fn what_both_raise_at_a_time_that_was_there_before_is_the_same_though_only_one_raised_then() {
    // The sensor restarts: its seconds begin anew. The draft does not raise at the first 185, so to it the second is the first.
    let before = (0..20).map(|second| entry("ada", second, if second == 10 { 185 } else { 100 }));
    let after = (0..20).map(|second| entry("ada", second, if second == 10 { 195 } else { 100 }));
    let after = after.zip(100..).map(|(entry, seq)| Entry { seq: Seq(seq), ..entry });
    let entries: Vec<Entry> = before.chain(after).collect();
    for portion in [1, 7, 100] {
        let report = run("190.0", "180.0", &entries, portion);
        let marks: Vec<Mark> = report.listed.iter().map(|listed| listed.mark).collect();
        assert_eq!(marks, [Mark::Gone, Mark::Same], "{portion}");
    }
}
