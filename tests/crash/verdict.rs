//! What must hold when all is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pitchside_model::{Alert, AlertEvent, AlertId, Decimal, Entry, Seq, Timestamp, Value};
use pitchside_rules::{Engine, RuleSet};
use pitchside_tests::clinic::Made;

use crate::load::Said;

/// How many faults of one kind are spelt out.
const SPELT_OUT: usize = 10;

/// The result.
#[derive(Default)]
pub struct Verdict {
    pub faults: Vec<String>,
    pub said: usize,
    pub receipted: usize,
    pub stored: usize,
    pub alerts: usize,
    pub blocks: usize,
}

/// Compares what was receipted with what is stored, and lets everything else verify itself.
pub fn verdict(made: &Made, said: &[Said], stopped_well: bool) -> Verdict {
    let mut verdict = Verdict { blocks: made.stored.blocks().len(), ..Verdict::default() };
    if !stopped_well {
        verdict.faults.push("the gateway did not stop well after the last start".to_owned());
    }
    let entries = made.stored.entries();
    for device in said {
        readings(device, &entries, &mut verdict);
    }
    alerts(made, said, &entries, &mut verdict);
    let answer = made.pitchside(&["blocks", "verify"]);
    if answer.code != 0 {
        verdict.faults.push(format!("`pitchside blocks verify` ended with {}: {}", answer.code, answer.err.trim()));
    }
    let report = made.ledger.as_ref().expect("a ledger").fsck();
    for fault in report.faults.iter().take(SPELT_OUT) {
        verdict.faults.push(format!("the ledger: {fault:?}"));
    }
    verdict
}

/// No message that was receipted is missing or altered, none is stored twice.
fn readings(device: &Said, entries: &[Entry], verdict: &mut Verdict) {
    let mut stored: BTreeMap<Seq, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.device.as_str() == device.device && e.epoch.0 == device.epoch.0) {
        stored.entry(entry.seq).or_default().push(entry);
    }
    verdict.said += device.messages.len();
    verdict.receipted += device.receipted.len();
    verdict.stored += stored.len();
    let mut faults = Vec::new();
    for seq in &device.receipted {
        let (at_ms, value) = device.messages[seq];
        let reading = stored.get(&Seq(seq.0)).and_then(|entries| entries[0].readings.first());
        match reading {
            None => faults.push(format!("{} message {seq} was receipted and is missing", device.device)),
            Some(reading) => {
                let (time, number) = (Timestamp::from_millis(at_ms), Value::Number(Decimal::integer(value)));
                if reading.device_time != time || reading.value != number {
                    faults.push(format!("{} message {seq} was receipted and is altered: {reading:?}", device.device));
                }
            }
        }
    }
    for (seq, entries) in stored.iter().filter(|(_, entries)| entries.len() > 1) {
        faults.push(format!("{} message {} is stored {} times", device.device, seq.0, entries.len()));
    }
    for (seq, text) in &device.refused {
        faults.push(format!("{} message {seq} was refused: {text}", device.device));
    }
    keep_some(faults, verdict);
}

/// Every alert the stored readings imply is recorded once, and nothing else is.
fn alerts(made: &Made, said: &[Said], entries: &[Entry], verdict: &mut Verdict) {
    let recorded = made.stored.recorded_alerts();
    verdict.alerts = recorded.len();
    let mut faults = Vec::new();
    let (mut ids, mut events) = (BTreeSet::new(), BTreeSet::new());
    for alert in &recorded {
        if !ids.insert(alert.id) {
            faults.push(format!("alert {} is recorded twice", alert.id));
        }
        if !events.insert((alert.rule.clone(), alert.device.clone(), alert.event_time)) {
            faults.push(format!("alert {} is another's event", alert.id));
        }
    }
    let rules = Arc::new(RuleSet::read(&made.dir.path().join("rules")).expect("the clinic's rules"));
    let mut engine = Engine::new(rules).expect("the rules compile");
    let mut implied: BTreeMap<AlertId, String> = BTreeMap::new();
    for device in said {
        let mut own: Vec<Entry> = entries
            .iter()
            .filter(|e| e.device.as_str() == device.device && e.epoch.0 == device.epoch.0)
            .cloned()
            .collect();
        own.sort_by_key(|entry| entry.seq);
        for event in engine.feed(&own).events {
            if let AlertEvent::Raised(alert) = event {
                implied.insert(alert.id, describe(&alert));
            }
        }
    }
    let missing = implied.iter().filter(|(id, _)| !ids.contains(id));
    faults.extend(missing.map(|(_, alert)| format!("{alert} is implied by the readings and not recorded")));
    let more = recorded.iter().filter(|alert| !implied.contains_key(&alert.id));
    faults.extend(more.map(|alert| format!("{} is recorded and not implied by the readings", describe(alert))));
    keep_some(faults, verdict);
}

fn describe(alert: &Alert) -> String {
    let value = alert.value.map(|value| value.to_string()).unwrap_or_default();
    format!("alert {} of {} at {} ({value})", alert.id, alert.device, alert.event_time)
}

fn keep_some(faults: Vec<String>, verdict: &mut Verdict) {
    let more = faults.len().saturating_sub(SPELT_OUT);
    verdict.faults.extend(faults.into_iter().take(SPELT_OUT));
    if more > 0 {
        verdict.faults.push(format!("and {more} more like these"));
    }
}
