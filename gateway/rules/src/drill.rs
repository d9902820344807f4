//! The drill: one synthetic reading of the gateway's own, judged by a built-in rule in the rules' worker, so that a path from reading to
//! alert is walked end to end when no athlete is ill. The rule runs in an engine of its own beside the clinic's: the same process,
//! sandbox and evaluation, but none of its state, set or hash. The reading is of the box, never of an athlete, and of a quantity
//! that is no health data; it is in no journal and no block.

use std::sync::Arc;

use pitchside_model::{
    Alert, AlertEvent, Assurance, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};

use crate::engine::{Engine, Fed};
use crate::item::{Filter, Item};
use crate::library::{RuleSet, RuleSource};

/// The device that drills are of. No device is enrolled under this name.
pub const DRILL_DEVICE: &str = "pitchside-drill";
/// The built-in rule.
pub const DRILL_RULE: &str = "alert-path-drill";
/// The rule that alerts of a broken alert path are said to be of. It is the gateway's word; no script says it.
pub const PATH_RULE: &str = "alert-path";
/// Names no rule of a folder may have.
pub(crate) const RESERVED: [&str; 2] = [DRILL_RULE, PATH_RULE];

const MANIFEST: &str = r#"
name = "alert-path-drill"
version = "1.0.0"
summary = "A drill: the alert path works up to here."
priority = "high"
inputs = ["battery"]
scope = "device"
category = "technical"
"#;
const SCRIPT: &str = "if value == 100.0 { \"This is a drill: the alert path works up to here.\" } else { false }\n";

fn rules() -> Result<RuleSet, String> {
    let words = |problems: Vec<pitchside_script::Problem>| {
        problems.first().map_or_else(String::new, |problem| format!("the drill's own rule: {problem}"))
    };
    RuleSource::parse(DRILL_RULE, MANIFEST, SCRIPT).and_then(|rule| RuleSet::new([rule])).map_err(words)
}

/// The synthetic reading, taken at `now`, as an entry that some device might have sent; and how it reaches the rules.
pub(crate) fn entry(now: Timestamp) -> Result<(Entry, Filter), String> {
    let reading = Reading {
        quantity: Quantity::BATTERY,
        unit: Quantity::BATTERY.unit(),
        device_time: now,
        gateway_time: now,
        quality: Quality::empty(),
        value: Value::Number(Decimal::new(100, 0).map_err(|error| error.to_string())?),
    };
    let entry = Entry {
        device: DeviceId::parse(DRILL_DEVICE).map_err(|error| error.to_string())?,
        athlete: None,
        assurance: Assurance::Wired,
        epoch: Epoch(0),
        seq: Seq(0),
        readings: vec![reading],
    };
    Ok((entry, Filter::new(&rules()?)))
}

/// What the built-in rule says of it, in a fresh engine: a rule that is compiled, asked once and forgotten.
pub(crate) fn judge(item: &Item<'_>) -> Result<Alert, String> {
    let words = |problems: Vec<pitchside_script::Problem>| {
        problems.first().map_or_else(String::new, |problem| format!("the drill's own rule: {problem}"))
    };
    let mut engine = Engine::new(Arc::new(rules()?)).map_err(words)?;
    let mut fed = Fed::default();
    engine.take(item, &mut fed);
    match (fed.events.into_iter().next(), fed.faults.into_iter().next()) {
        (Some(AlertEvent::Raised(alert)), None) => Ok(alert),
        (_, Some(fault)) => Err(format!("the drill's own rule failed: {}", fault.fault)),
        _ => Err("the drill's own rule raised nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_raises_one_alert_of_nobody_with_an_id_of_its_time() {
        let drill = |at| {
            let (entry, filter) = entry(Timestamp::from_seconds(at)).unwrap();
            judge(&filter.item(&entry).unwrap()).unwrap()
        };
        let (one, again, next) = (drill(1_767_225_600), drill(1_767_225_600), drill(1_767_229_200));
        assert_eq!(one, again);
        assert_ne!(one.id, next.id);
        assert_eq!((one.athlete, one.device.as_str(), one.rule.as_str()), (None, DRILL_DEVICE, DRILL_RULE));
    }
}
