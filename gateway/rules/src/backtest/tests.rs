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

fn run(draft: &str, live: &str, entries: &[Entry], portion: usize) -> Report {
    let mut backtest = Backtest::new(set(draft), set(live)).unwrap();
    assert_eq!(backtest.quantities(), [Quantity::HEART_RATE]);
    entries.chunks(portion).for_each(|entries| backtest.feed(&Arc::from(entries)));
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
        assert_eq!(report.counts, Counts { same: 2, new: 2, gone: 0 }, "portions of {portion}");
        assert_eq!((report.counts.draft(), report.counts.live()), (4, 2));
        assert_eq!(report.subjects["ada"], Counts { same: 1, new: 2, gone: 0 });
        assert_eq!(report.subjects["ben"], Counts { same: 1, new: 0, gone: 0 });
        let marks: Vec<Mark> = report.listed.iter().map(|listed| listed.mark).collect();
        assert_eq!(marks, [Mark::New, Mark::Same, Mark::New, Mark::Same]);
        assert!(report.listed.iter().all(|listed| listed.cleared.is_some()), "{:?}", report.listed);
        assert_eq!((report.messages, report.readings, report.days.len()), (10, 10, 1));
    }
}

#[test]
fn a_higher_limit_says_what_would_no_longer_be_raised() {
    let report = run("190.0", "180.0", &history(), 4);
    assert_eq!(report.counts, Counts { same: 2, new: 0, gone: 2 });
    assert_eq!(report.listed[0].mark, Mark::Gone);
}

#[test]
fn the_rule_in_force_against_itself_differs_in_nothing() {
    assert_eq!(run("180.0", "180.0", &history(), 2).counts, Counts { same: 4, new: 0, gone: 0 });
}
