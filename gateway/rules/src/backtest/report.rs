//! What a backtest came to, counted within bounds.

use std::collections::BTreeMap;

use pitchside_model::{Alert, Entry, RuleName, Timestamp};
use pitchside_script::Fault;
use serde::Serialize;

use crate::engine::RuleFault;

/// The most alerts that are listed one by one; all are counted.
pub const LISTED_MAX: usize = 1_000;
/// The most subjects that are counted one by one; the rest are counted together.
pub const SUBJECTS_MAX: usize = 4_096;
/// The most days that are counted one by one.
pub const DAYS_MAX: usize = 4_000;
/// The most different faults that are listed, of either side.
pub const FAULTS_MAX: usize = 20;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Whether an alert is the draft's, the live version's or both's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Both raise it.
    Same,
    /// Only the draft raises it.
    New,
    /// Only the live version raises it.
    Gone,
    /// The live version raises it while the draft's alert of the same rule and subject is raised: the draft told it before.
    Earlier,
    /// The draft raises it while the live version's alert of the same rule and subject is raised: that told it before.
    Later,
}

/// How many alerts of each mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Both raise them.
    pub same: u64,
    /// Only the draft.
    pub new: u64,
    /// Only the live version.
    pub gone: u64,
    /// The live version, while the draft's was raised already.
    pub earlier: u64,
    /// The draft, while the live version's was raised already.
    pub later: u64,
}

impl Counts {
    fn add(&mut self, mark: Mark) {
        let slot = match mark {
            Mark::Same => &mut self.same,
            Mark::New => &mut self.new,
            Mark::Gone => &mut self.gone,
            Mark::Earlier => &mut self.earlier,
            Mark::Later => &mut self.later,
        };
        *slot += 1;
    }

    /// What the draft raises.
    pub const fn draft(&self) -> u64 {
        self.same + self.new + self.later
    }

    /// What the live version raises.
    pub const fn live(&self) -> u64 {
        self.same + self.gone + self.earlier
    }

    /// All that either raises.
    pub const fn all(&self) -> u64 {
        self.draft() + self.gone + self.earlier
    }
}

/// One alert of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// As it was raised; the live version's words if only that raised it.
    pub alert: Alert,
    /// Whose it is.
    pub mark: Mark,
    /// Event time of the reading that cleared it, if one did.
    pub cleared: Option<Timestamp>,
}

/// A script that was stopped, as often as it was in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// It is one in force, and not the draft's.
    pub live: bool,
    /// Which rule, or stream of a plugin.
    pub rule: RuleName,
    /// What stopped it and where.
    pub fault: Fault,
    /// How often.
    pub times: u64,
}

/// A rule, or a stream of a plugin, that was switched off: it heard nothing after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchedOff {
    /// It is one in force, and not the draft's.
    pub live: bool,
    /// Which.
    pub rule: RuleName,
    /// Device time of the last reading it heard; of a message of many readings, of the last of them.
    pub at: Option<Timestamp>,
    /// The last fault.
    pub fault: Fault,
}

/// What a backtest came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Messages heard.
    pub messages: u64,
    /// Readings of the rules' inputs in them.
    pub readings: u64,
    /// Device times of the first and the last reading heard.
    pub span: Option<(Timestamp, Timestamp)>,
    /// All alerts.
    pub counts: Counts,
    /// By rule.
    pub rules: BTreeMap<String, Counts>,
    /// By athlete, or device if nobody wears it; at most [`SUBJECTS_MAX`].
    pub subjects: BTreeMap<String, Counts>,
    /// By days since 1970 (UTC) of the event time; at most [`DAYS_MAX`].
    pub days: BTreeMap<i64, Counts>,
    /// The first [`LISTED_MAX`] alerts, in the order of the readings.
    pub listed: Vec<Listed>,
    /// How often the draft's scripts were stopped.
    pub faults: u64,
    /// How often those in force were; not counted if the draft is what is in force.
    pub live_faults: u64,
    /// The first [`FAULTS_MAX`] different faults of either side, each with how often it was.
    pub stops: Vec<Stop>,
    /// What was switched off for its faults.
    pub off: Vec<SwitchedOff>,
}

impl Report {
    /// Counts an alert; it is listed by whoever has room for it.
    pub(super) fn add(&mut self, alert: &Alert, mark: Mark) {
        self.counts.add(mark);
        self.rules.entry(alert.rule.to_string()).or_default().add(mark);
        let subject = alert.athlete.as_ref().map_or_else(|| alert.device.to_string(), ToString::to_string);
        add_bounded(&mut self.subjects, subject, SUBJECTS_MAX, mark);
        add_bounded(&mut self.days, alert.event_time.0.div_euclid(MICROS_PER_DAY), DAYS_MAX, mark);
    }

    /// Counts what stopped scripts of one side in a portion.
    pub(super) fn note_faults(&mut self, live: bool, faults: Vec<(usize, RuleFault)>, entries: &[Entry]) {
        let count = if live { &mut self.live_faults } else { &mut self.faults };
        *count += faults.len() as u64;
        for (place, RuleFault { rule, fault, off }) in faults {
            if off && !self.off.iter().any(|known| known.live == live && known.rule == rule) {
                let readings = entries.get(place).into_iter().flat_map(|entry| &entry.readings);
                let at = readings.map(|reading| reading.device_time).max();
                self.off.push(SwitchedOff { live, rule: rule.clone(), at, fault: fault.clone() });
            }
            let of_side = self.stops.iter().filter(|stop| stop.live == live).count();
            let alike = |stop: &&mut Stop| stop.live == live && stop.rule == rule && stop.fault == fault;
            if let Some(stop) = self.stops.iter_mut().find(alike) {
                stop.times += 1;
            } else if of_side < FAULTS_MAX {
                self.stops.push(Stop { live, rule, fault, times: 1 });
            }
        }
    }
}

/// Counts under a key if there is room for it; the totals count it in any case.
fn add_bounded<K: Ord>(counts: &mut BTreeMap<K, Counts>, key: K, most: usize, mark: Mark) {
    if counts.len() < most || counts.contains_key(&key) {
        counts.entry(key).or_default().add(mark);
    }
}
