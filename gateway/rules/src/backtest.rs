//! A draft over history, beside the rules in force: how often each would have raised, when, for whom, and where they differ.
//!
//! Both hear the same entries in the same portions, each on a thread of its own; a script that does not end is named and ends the backtest.
//! What both raise they raise of the same message, in the same portion: the comparison needs to remember only what is raised at the moment,
//! and a draft that fires a million times costs no more room than one that never does.
//!
//! What one raises while the other's alert of the same rule and subject is raised is neither new nor gone: it is the same episode, told
//! earlier or later.

mod beside;
mod report;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pitchside_model::{Alert, AlertEvent, AlertId, AthleteId, Entry, Quantity, RuleName, Timestamp};
use pitchside_script::Problem;
use pitchside_script::manifest::RuleScope;

use crate::id::Subject;
use crate::item::Filter;
use crate::library::RuleSet;

use beside::{Beside, Happened, LOOKS_MAX};
pub use report::{Counts, DAYS_MAX, FAULTS_MAX, LISTED_MAX, Listed, Mark, Report, SUBJECTS_MAX, Stop, SwitchedOff};

/// The most alerts of either side that are known to be raised at a time.
const RAISED_MAX: usize = 1 << 16;

/// The rule of an alert, its subject, and of a rule about wearers whom it is about: what latches stays when another wears the device.
type Whose = (RuleName, Subject, Option<AthleteId>);

/// Which alerts of one side are raised: of these at most one is.
#[derive(Debug, Default)]
struct Raised {
    of: HashMap<AlertId, Whose>,
    by: HashMap<Whose, AlertId>,
}

impl Raised {
    fn begin(&mut self, whose: Whose, id: AlertId) {
        if self.by.len() >= RAISED_MAX && !self.by.contains_key(&whose) {
            return;
        }
        if let Some(before) = self.by.insert(whose.clone(), id) {
            self.of.remove(&before);
        }
        self.of.insert(id, whose);
    }

    fn end(&mut self, id: AlertId) {
        if let Some(whose) = self.of.remove(&id) {
            self.by.remove(&whose);
        }
    }
}

/// Why a backtest does not go on: the script of a rule does not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}{} was asked about a reading and did not answer within {} s: its script does not end", whose(.live), LOOKS_MAX)]
pub struct Endless {
    /// The rule.
    pub rule: RuleName,
    /// Whether it is in force, and not the draft.
    pub live: bool,
}

fn whose(live: &bool) -> &'static str {
    if *live { ", as it is in force," } else { "" }
}

/// A draft and the rules in force, hearing history together.
#[derive(Debug)]
pub struct Backtest {
    draft: Beside,
    /// None if the draft is what is in force.
    live: Option<Beside>,
    filter: Filter,
    quantities: Vec<Quantity>,
    report: Report,
    /// Rules of the draft that look at every device by itself, and whether they are about whoever wears it.
    by_device: HashMap<RuleName, bool>,
    /// Where listed alerts stand that are not cleared yet, by whose they are: draft, live.
    open: [HashMap<AlertId, usize>; 2],
    /// What is raised now, listed or not: draft, live.
    raised: [Raised; 2],
}

/// Draft and live version, as indices of [`Backtest::open`] and [`Backtest::raised`].
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
        let by_device = draft.rules().iter().filter(|rule| rule.manifest.scope == RuleScope::Device);
        let by_device = by_device.map(|rule| (rule.name().clone(), rule.manifest.is_about_wearer())).collect();
        let (report, open, raised) = (Report::default(), Default::default(), Default::default());
        Ok(Self { draft: Beside::start(draft)?, live, filter, quantities, report, by_device, open, raised })
    }

    /// What of history it wants to hear.
    pub fn quantities(&self) -> &[Quantity] {
        &self.quantities
    }

    /// Hears a portion of history, in the order of arrival. After an error it hears nothing any more: the thread of that rule is lost.
    pub fn feed(&mut self, entries: &Arc<[Entry]>) -> Result<(), Endless> {
        if let Some(live) = &mut self.live {
            live.hear(entries);
        }
        self.draft.hear(entries);
        entries.iter().for_each(|entry| self.count(entry));
        let draft = self.draft.said().map_err(|rule| Endless { rule, live: false })?;
        let live = self.live.as_mut().map(Beside::said).transpose().map_err(|rule| Endless { rule, live: true })?;
        self.report.note_faults(false, draft.faults, entries);
        let Some(live) = live else {
            for happened in draft.events {
                match happened.event {
                    AlertEvent::Raised(alert) => self.note(alert, Mark::Same),
                    AlertEvent::Cleared { id, event_time } => self.clear(DRAFT, id, event_time),
                }
            }
            return Ok(());
        };
        self.report.note_faults(true, live.faults, entries);
        let ids =
            |events: &[Happened]| -> HashSet<AlertId> { events.iter().filter_map(|event| event.shared).collect() };
        let both: HashSet<AlertId> = ids(&draft.events).intersection(&ids(&live.events)).copied().collect();
        let time = |event: &AlertEvent| match event {
            AlertEvent::Raised(alert) => alert.event_time.0,
            AlertEvent::Cleared { event_time, .. } => event_time.0,
        };
        // By the order of arrival, which both share; within one message by time.
        let mut merged: Vec<((usize, i64, usize), Happened)> =
            Vec::with_capacity(draft.events.len() + live.events.len());
        for (whose, events) in [(DRAFT, draft.events), (LIVE, live.events)] {
            let placed = |event: Happened| ((event.place, time(&event.event), whose), event);
            merged.extend(events.into_iter().map(placed));
        }
        merged.sort_by_key(|(order, _)| *order);
        for ((_, _, whose), Happened { shared, event, .. }) in merged {
            match event {
                AlertEvent::Cleared { id, event_time } => {
                    self.raised[whose].end(id);
                    self.clear(whose, id, event_time);
                }
                AlertEvent::Raised(alert) => self.compare(whose, alert, shared.is_some_and(|id| both.contains(&id))),
            }
        }
        Ok(())
    }

    /// One side raises an alert; `by_both`: so does the other.
    fn compare(&mut self, whose: usize, alert: Alert, by_both: bool) {
        let by_device = self.by_device.get(&alert.rule);
        let subject = match &alert.athlete {
            Some(athlete) if by_device.is_none() => Subject::Athlete(athlete.clone()),
            _ => Subject::Device(alert.device.clone()),
        };
        let wearer = alert.athlete.clone().filter(|_| by_device == Some(&true));
        let key = (alert.rule.clone(), subject, wearer);
        let told_before = self.raised[1 - whose].by.contains_key(&key);
        self.raised[whose].begin(key, alert.id);
        let mark = match (by_both, whose, told_before) {
            (true, DRAFT, _) => Mark::Same,
            // Noted when the draft raised it.
            (true, _, _) => return,
            (false, DRAFT, false) => Mark::New,
            (false, DRAFT, true) => Mark::Later,
            (false, _, false) => Mark::Gone,
            (false, _, true) => Mark::Earlier,
        };
        self.note(alert, mark);
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
        report.add(&alert, mark);
        if report.listed.len() < LISTED_MAX {
            let whose = if matches!(mark, Mark::Gone | Mark::Earlier) { LIVE } else { DRAFT };
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

#[cfg(test)]
mod tests;
