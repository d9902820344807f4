use pitchside_model::{Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Quantity, Reading, Seq, Value};

use super::*;
use crate::library::RuleSource;

fn set(version: &str, script: &str) -> Arc<RuleSet> {
    set_with(version, "", script)
}

fn set_with(version: &str, keys: &str, script: &str) -> Arc<RuleSet> {
    let manifest = format!(
        "name = \"hot\"\nversion = \"{version}\"\nsummary = \"Hot.\"\npriority = \"high\"\ninputs = [\"core_temperature\"]\n{keys}"
    );
    Arc::new(RuleSet::new([RuleSource::parse("hot", &manifest, script).unwrap()]).unwrap())
}

const RISING: &str = "value > 39.0 && (raised || core_temperature.slope(\"5min\") > 0.0)";

fn history() -> Vec<Entry> {
    let tenths = [370, 380, 385, 391, 395, 380, 392];
    (1..).zip(tenths).map(|(minute, tenths)| entry(minute, tenths)).collect()
}

fn entry(minute: i64, tenths: i64) -> Entry {
    let time = Timestamp::from_seconds(1_767_225_600 + 60 * minute);
    Entry {
        device: DeviceId::parse("pill").unwrap(),
        athlete: Some(AthleteId::parse("ada").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(minute as u64),
        readings: vec![Reading {
            quantity: Quantity::CORE_TEMPERATURE,
            unit: Quantity::CORE_TEMPERATURE.unit(),
            device_time: time,
            gateway_time: time,
            quality: Quality::empty(),
            value: Value::Number(Decimal { mantissa: tenths, exponent: -1 }),
        }],
    }
}

fn raised(set: &Arc<RuleSet>) -> Vec<Alert> {
    let events = Engine::new(Arc::clone(set)).unwrap().feed(&history()).events;
    events.into_iter().filter_map(|e| if let AlertEvent::Raised(alert) = e { Some(alert) } else { None }).collect()
}

#[test]
fn an_alert_comes_again_to_the_last_bit_and_its_state_before_is_known() {
    let set = set("1.0.0", RISING);
    let alerts = raised(&set);
    assert_eq!(alerts.len(), 2);
    for (alert, heard) in alerts.iter().zip([4, 7]) {
        let mut replay = Replay::new(Arc::clone(&set), alert.clone()).unwrap();
        let stopped = history().iter().position(|entry| replay.feed(std::slice::from_ref(entry))).unwrap();
        assert_eq!((stopped + 1, replay.outcome()), (heard, Outcome::Identical));
        let before = replay.state_before().unwrap().to_vec();
        let entries = history();
        let (all, last) = (&entries[..heard], &entries[heard - 1..heard]);
        assert_eq!(follows(&set, alert, all, None).unwrap(), Follows::FromReadings);
        assert_eq!(follows(&set, alert, last, Some(&before)).unwrap(), Follows::FromState);
        assert_eq!(follows(&set, alert, last, None).unwrap(), Follows::No, "one reading has no slope");
        assert_eq!(follows(&set, alert, last, Some(&before[..before.len() - 1])).unwrap(), Follows::No);
    }
}

#[test]
fn another_rule_gives_the_exact_difference() {
    let sealed = raised(&set("1.0.0", RISING)).remove(0);
    let replay = |set| {
        let mut replay = Replay::new(set, sealed.clone()).unwrap();
        replay.feed(&history());
        replay.outcome()
    };
    let Outcome::Different(fields) = replay(set("1.0.1", RISING)) else { panic!("another version") };
    assert_eq!((fields.len(), fields[0].field, fields[0].replayed.as_str()), (1, "rule version", "1.0.1"));
    let Outcome::NotRaised(Some(near)) = replay(set("1.0.0", "value > 39.3")) else { panic!("raised later") };
    assert_eq!(near.event_time.0 - sealed.event_time.0, 60_000_000);
    assert_eq!(replay(set("1.0.0", "value > 50.0")), Outcome::NotRaised(None));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_state_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let set = set("1.0.0", RISING);
        let mut engine = Engine::new(set).unwrap();
        let subject = Subject::Athlete(AthleteId::parse("ada").unwrap());
        let device = DeviceId::parse("pill").unwrap();
        engine.resume_state(&RuleName::parse("hot").unwrap(), subject.clone(), &subject, &device, &bytes);
        engine.feed(&history());
    }
}

#[test]
fn an_alert_that_was_raised_after_a_reset_comes_again_only_with_that_reset_at_its_place() {
    let set = set_with("1.0.0", "latch = true\ncool_down = \"1min\"\n", "value > 39.0");
    let entries = history();
    let mut live = Engine::new(Arc::clone(&set)).unwrap();
    let AlertEvent::Raised(first) = live.feed(&entries[..5]).events.remove(0) else { panic!("raised at 39.1") };
    // The sensor's clock is half a century behind the gateway's: what is told is the gateway's, what counts is the sensor's.
    let at = Timestamp::from_seconds(3_400_000_000);
    assert_eq!(live.reset(first.id, at), Some(AlertEvent::Cleared { id: first.id, event_time: at }));
    let AlertEvent::Raised(second) = live.feed(&entries[5..]).events.remove(0) else { panic!("raised at 39.2") };
    assert_ne!(first.id, second.id);

    let replayed = |reset_after: Option<usize>| {
        let mut replay = Replay::new(Arc::clone(&set), second.clone()).unwrap();
        for (number, entry) in entries.iter().enumerate() {
            if replay.feed(std::slice::from_ref(entry)) {
                break;
            }
            if reset_after == Some(number) {
                replay.reset(first.id, at);
            }
        }
        let before = replay.state_before().map(<[u8]>::to_vec);
        (replay.outcome(), before)
    };
    let (outcome, before) = replayed(Some(4));
    assert_eq!(outcome, Outcome::Identical);
    assert_eq!(follows(&set, &second, &entries, None).unwrap(), Follows::No, "readings alone know of no reset");
    assert_eq!(follows(&set, &second, &entries, before.as_deref()).unwrap(), Follows::FromState);
    assert_eq!(replayed(None).0, Outcome::NotRaised(Some(first.clone())), "without it the first one holds on");
    assert_eq!(replayed(Some(6)).0, Outcome::NotRaised(Some(first)), "nor is it of use too late");
}
