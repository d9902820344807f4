//! What a demo run came to: plain words while it runs, one JSON object at the end.

use std::collections::BTreeMap;

use pitchside_model::{Alert, AthleteId, Decimal, RuleName};
use serde::Serialize;

/// One alert of the run.
#[derive(Debug, Clone, Serialize)]
pub struct AlertLine {
    /// The rule that raised it.
    pub rule: RuleName,
    /// About whom.
    pub athlete: Option<AthleteId>,
    /// The value that fired it, as written by the sensor; none for a gap.
    pub value: Option<String>,
    /// Its unit.
    pub unit: String,
    /// Its stable id, which `evidence export` takes.
    pub id: String,
}

impl From<&Alert> for AlertLine {
    fn from(alert: &Alert) -> Self {
        Self {
            rule: alert.rule.clone(),
            athlete: alert.athlete.clone(),
            value: alert.value.map(|value: Decimal| value.to_string()),
            unit: alert.unit.to_string(),
            id: alert.id.to_string(),
        }
    }
}

/// The summary. `ok` is true if nothing is missing.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// `pitchside/demo/1`.
    pub schema: &'static str,
    /// Readings the sensors sent (a stretch of waveform is one).
    pub readings: u64,
    /// Those whose receipt the sensor has seen.
    pub acknowledged: u64,
    /// Those acknowledged but not found in a sealed block.
    pub lost: u64,
    /// Alerts raised.
    pub alerts: Vec<AlertLine>,
    /// Blocks sealed.
    pub blocks: u64,
    /// Blocks by the highest receipt they reached.
    pub receipts: BTreeMap<String, u64>,
    /// What is missing, in words; empty if `ok`.
    pub missing: Vec<String>,
    /// Whether the run did all it should.
    pub ok: bool,
    /// Where everything was kept.
    pub dir: String,
}

/// An alert the script of the demo implies once the athletes have trained long enough.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The rule.
    pub rule: &'static str,
    /// The athlete.
    pub athlete: &'static str,
    /// Seconds of training after which it must have been raised.
    pub after_s: u64,
}

/// What is missing from `alerts` after so much training.
pub fn missing_alerts(expected: &[Expected], alerts: &[AlertLine], trained_s: u64) -> Vec<String> {
    expected
        .iter()
        .filter(|e| trained_s >= e.after_s)
        .filter(|e| {
            !alerts
                .iter()
                .any(|a| a.rule.as_str() == e.rule && a.athlete.as_ref().is_some_and(|x| x.as_str() == e.athlete))
        })
        .map(|e| format!("alert {} for {} was expected after {} s of training", e.rule, e.athlete, e.after_s))
        .collect()
}
