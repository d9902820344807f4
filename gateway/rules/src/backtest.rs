//! A draft over history, beside the rules in force: how often each would have raised, when, for whom, and where they differ.
//!
//! Both hear the same entries in the same portions, each on a thread of its own. An alert's id is made of rule, subject, quantity and event time, so what
//! both raise they raise in the same portion under the same id: the comparison needs no memory of what was raised before, and
//! a draft that fires a million times costs no more room than one that never does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pitchside_model::{Alert, AlertEvent, AlertId, Entry, Quantity, Timestamp};
use pitchside_script::Problem;
use serde::Serialize;

use crate::engine::{Engine, Fed, RuleFault};
use crate::item::Filter;
use crate::library::RuleSet;

/// The most alerts that are listed one by one; all are counted.
pub const LISTED_MAX: usize = 1_000;
/// The most subjects that are counted one by one; the rest are counted together.
pub const SUBJECTS_MAX: usize = 4_096;
/// The most days that are counted one by one.
pub const DAYS_MAX: usize = 4_000;
/// The most faults that are listed.
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
}

impl Counts {
    fn add(&mut self, mark: Mark) {
        let slot = match mark {
            Mark::Same => &mut self.same,
            Mark::New => &mut self.new,
            Mark::Gone => &mut self.gone,
        };
        *slot += 1;
    }

    /// What the draft raises.
    pub const fn draft(&self) -> u64 {
        self.same + self.new
    }

    /// What the live version raises.
    pub const fn live(&self) -> u64 {
        self.same + self.gone
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
    /// The first of those.
    pub listed_faults: Vec<RuleFault>,
}

/// Rules on a thread of their own: they hear a portion while others do.
#[derive(Debug)]
struct Beside {
    portions: SyncSender<Arc<[Entry]>>,
    fed: Receiver<Fed>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    fn start(set: Arc<RuleSet>) -> Result<Self, Vec<Problem>> {
        let (portions, waiting) = sync_channel::<Arc<[Entry]>>(1);
        let (say_ready, ready) = sync_channel(1);
        let (say_fed, fed) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            // Compiled here, for an engine does not move between threads.
            let (mut engine, compiled) = match Engine::new(set) {
                Ok(engine) => (Some(engine), Ok(())),
                Err(problems) => (None, Err(problems)),
            };
            if say_ready.send(compiled).is_err() {
                return;
            }
            let Some(engine) = &mut engine else { return };
            while let Ok(entries) = waiting.recv() {
                if say_fed.send(engine.feed(&entries)).is_err() {
                    return;
                }
            }
        });
        let mut started = Self { portions, fed, thread: Some(thread) };
        match ready.recv() {
            Ok(compiled) => compiled.map(|()| started),
            Err(_) => started.ended(),
        }
    }

    fn hear(&mut self, entries: &Arc<[Entry]>) {
        if self.portions.send(Arc::clone(entries)).is_err() {
            self.ended();
        }
    }

    fn said(&mut self) -> Fed {
        self.fed.recv().unwrap_or_else(|_| self.ended())
    }

    /// The thread ends by itself only in a panic, which goes on here.
    fn ended(&mut self) -> ! {
        let panic = self.thread.take().and_then(|thread| thread.join().err());
        std::panic::resume_unwind(panic.unwrap_or_else(|| Box::new("the rules' thread ended")))
    }
}

/// A draft and the rules in force, hearing history together.
#[derive(Debug)]
pub struct Backtest {
    draft: Engine,
    /// None if the draft is what is in force.
    live: Option<Beside>,
    filter: Filter,
    quantities: Vec<Quantity>,
    report: Report,
    /// Where listed alerts stand that are not cleared yet, by whose they are: draft, live.
    open: [HashMap<AlertId, usize>; 2],
}

/// Draft and live version, as indices of [`Backtest::open`].
const DRAFT: usize = 0;
const LIVE: usize = 1;

impl Backtest {
    /// Compiles both sets. Compare like with like: `live` holds the versions in force of the draft's rules, and no others.
    pub fn new(draft: Arc<RuleSet>, live: Arc<RuleSet>) -> Result<Self, Vec<Problem>> {
        let filter = Filter::new(&draft);
        let mut quantities: Vec<Quantity> =
            filter.quantities().into_iter().chain(Filter::new(&live).quantities()).collect();
        quantities.sort_unstable_by_key(|quantity| quantity.code());
        quantities.dedup();
        let live = if live.hash() == draft.hash() { None } else { Some(Beside::start(live)?) };
        let (report, open) = (Report::default(), Default::default());
        Ok(Self { draft: Engine::new(draft)?, live, filter, quantities, report, open })
    }

    /// What of history it wants to hear.
    pub fn quantities(&self) -> &[Quantity] {
        &self.quantities
    }

    /// Hears a portion of history, in the order of arrival.
    pub fn feed(&mut self, entries: &Arc<[Entry]>) {
        if let Some(live) = &mut self.live {
            live.hear(entries);
        }
        let fed = self.draft.feed(entries);
        entries.iter().for_each(|entry| self.count(entry));
        let live = self.live.as_mut().map(Beside::said);
        self.report.faults += fed.faults.len() as u64;
        let room = FAULTS_MAX.saturating_sub(self.report.listed_faults.len());
        self.report.listed_faults.extend(fed.faults.into_iter().take(room));
        let Some(live) = live else {
            for event in fed.events {
                match event {
                    AlertEvent::Raised(alert) => self.note(alert, Mark::Same),
                    AlertEvent::Cleared { id, event_time } => self.clear(DRAFT, id, event_time),
                }
            }
            return;
        };
        let ids = |events: &[AlertEvent]| -> std::collections::HashSet<AlertId> {
            events.iter().filter_map(AlertEvent::raised).map(|alert| alert.id).collect()
        };
        let (of_draft, of_live) = (ids(&fed.events), ids(&live.events));
        let mut merged: Vec<(i64, usize, AlertEvent)> = Vec::with_capacity(fed.events.len() + live.events.len());
        let at = |event: &AlertEvent| match event {
            AlertEvent::Raised(alert) => alert.event_time.0,
            AlertEvent::Cleared { event_time, .. } => event_time.0,
        };
        merged.extend(fed.events.into_iter().map(|event| (at(&event), DRAFT, event)));
        merged.extend(live.events.into_iter().map(|event| (at(&event), LIVE, event)));
        merged.sort_by_key(|(time, whose, _)| (*time, *whose));
        for (_, whose, event) in merged {
            match event {
                AlertEvent::Cleared { id, event_time } => self.clear(whose, id, event_time),
                AlertEvent::Raised(alert) if whose == DRAFT => {
                    let mark = if of_live.contains(&alert.id) { Mark::Same } else { Mark::New };
                    self.note(alert, mark);
                }
                AlertEvent::Raised(alert) if !of_draft.contains(&alert.id) => self.note(alert, Mark::Gone),
                AlertEvent::Raised(_) => {}
            }
        }
    }

    fn count(&mut self, entry: &Entry) {
        let wanted = entry.readings.iter().filter(|reading| self.filter.wants(reading.quantity));
        let mut any = false;
        for reading in wanted {
            any = true;
            self.report.readings += 1;
            let time = reading.device_time;
            self.report.span = Some(match self.report.span {
                Some((first, last)) => (first.min(time), last.max(time)),
                None => (time, time),
            });
        }
        self.report.messages += u64::from(any);
    }

    fn note(&mut self, alert: Alert, mark: Mark) {
        let report = &mut self.report;
        report.counts.add(mark);
        report.rules.entry(alert.rule.to_string()).or_default().add(mark);
        let subject = alert.athlete.as_ref().map_or_else(|| alert.device.to_string(), ToString::to_string);
        add_bounded(&mut report.subjects, subject, SUBJECTS_MAX, mark);
        add_bounded(&mut report.days, alert.event_time.0.div_euclid(MICROS_PER_DAY), DAYS_MAX, mark);
        if report.listed.len() < LISTED_MAX {
            let whose = if mark == Mark::Gone { LIVE } else { DRAFT };
            self.open[whose].insert(alert.id, report.listed.len());
            report.listed.push(Listed { alert, mark, cleared: None });
        }
    }

    fn clear(&mut self, whose: usize, id: AlertId, event_time: Timestamp) {
        let at = self.open[whose].remove(&id);
        if let Some(listed) = at.and_then(|at| self.report.listed.get_mut(at)) {
            listed.cleared = Some(event_time);
        }
    }

    /// What it came to.
    pub fn finish(self) -> Report {
        self.report
    }
}

/// Counts under a key if there is room for it; the totals count it in any case.
fn add_bounded<K: Ord>(counts: &mut BTreeMap<K, Counts>, key: K, most: usize, mark: Mark) {
    if counts.len() < most || counts.contains_key(&key) {
        counts.entry(key).or_default().add(mark);
    }
}

#[cfg(test)]
mod tests;
