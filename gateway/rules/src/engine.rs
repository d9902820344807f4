//! The evaluation: entries in, alert events out. Pure: no clock, no I/O, and the same entries in the same order give the
//! same events however they are cut into batches.

use std::sync::Arc;

use pitchside_model::{AlertEvent, AlertId, Entry, Quantity, RuleName, Timestamp};
use pitchside_script::manifest::RuleScope;
use pitchside_script::{Fault, FaultKind, Problem};
use serde::{Deserialize, Serialize};

use crate::derive::streams::{Arrived, Streams};
use crate::devices::{Devices, Who};
use crate::id::Message;
use crate::item::{Filter, Item, Point, PointContent, Routes};
use crate::library::{RuleSet, RuleSource};
use crate::rule::{Bench, Rule, sandbox};
use crate::running::{Heard, Running, Turn, routes};
use crate::scripted::ends::Ended;
use crate::scripted::{Derived, Scripted};

/// The most subjects one rule remembers; the one heard least lately, without a raised alert, makes room.
pub const SUBJECTS_MAX: usize = 4_096;
/// What all rules of a set may keep together, in units of sixteen bytes or so. A squad of forty at 1 Hz has room for more than a hundred
/// windows of an hour; beyond it whichever keeps most is switched off, before the process dies of it and takes all others along.
pub const WEIGHT_MAX: usize = 4 << 20;
/// How many messages are taken between two looks at that.
const WEIGHED_EVERY: u64 = 64;
/// Faults after which a rule is switched off.
pub const FAULTS_MAX: u32 = 8;

/// What came of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fed {
    /// Alerts raised and cleared, in the order of the readings.
    pub events: Vec<AlertEvent>,
    /// Rules that failed.
    pub faults: Vec<RuleFault>,
}

/// A rule that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFault {
    /// Which rule.
    pub rule: RuleName,
    /// What stopped it and where.
    pub fault: Fault,
    /// Whether that switched it off.
    pub off: bool,
}

/// How a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Which rule.
    pub rule: RuleName,
    /// Its version.
    pub version: String,
    /// Whether it was switched off for its faults.
    pub off: bool,
    /// How often its script was asked.
    pub evaluations: u64,
    /// How many faults it had.
    pub faults: u64,
    /// The last of them: of a rule that is off, what switched it off.
    pub last_fault: Option<Fault>,
    /// Readings that found a window full, so that its span was shortened.
    pub shortened: u64,
    /// Whether it is the stream of a plugin, and no rule.
    pub stream: bool,
}

/// The rules of a set and all they remember.
pub struct Engine {
    bench: Bench,
    set: Arc<RuleSet>,
    filter: Filter,
    pub(crate) rules: Vec<Running>,
    /// Which rules hear what.
    routes: Routes,
    /// What rules and streams want that is derived.
    derived: Vec<Quantity>,
    pub(crate) devices: Devices,
    /// What is derived from readings for those rules that want it.
    pub(crate) streams: Streams,
    /// What plugins derive.
    pub(crate) scripted: Scripted,
    /// What they made, for those who ask: the runner of their cases.
    pub(crate) told: Option<Vec<Point>>,
    /// Messages taken so far.
    pub(crate) messages: u64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("rules", &self.rules.len()).field("messages", &self.messages).finish()
    }
}

impl Engine {
    /// Compiles the rules of a set. Every problem of every rule is reported.
    pub fn new(set: Arc<RuleSet>) -> Result<Self, Vec<Problem>> {
        let bench = sandbox();
        let mut engine = Self {
            bench,
            filter: Filter::default(),
            set: Arc::new(RuleSet::default()),
            rules: Vec::new(),
            routes: Routes::default(),
            derived: Vec::new(),
            devices: Devices::default(),
            streams: Streams::default(),
            scripted: Scripted::default(),
            told: None,
            messages: 0,
        };
        engine.reload(set)?;
        Ok(engine)
    }

    /// Puts another set in force and keeps what can be kept: a rule that did not change keeps everything; one that did
    /// keeps its raised alerts, so that they are cleared by the new version, a cool-down that runs and how often it raised lately; alerts
    /// of a rule that went, or has another scope now, are cleared. A stream that went ends in a gap.
    /// If any rule has a problem, nothing changes.
    pub fn reload(&mut self, set: Arc<RuleSet>) -> Result<Vec<AlertEvent>, Vec<Problem>> {
        let (rules, streams) = match (
            compiled(&self.bench, &self.rules, set.rules()),
            compiled(&self.bench, &self.scripted.running, set.streams()),
        ) {
            (Ok(rules), Ok(streams)) => (rules, streams),
            (rules, streams) => return Err(rules.err().into_iter().chain(streams.err()).flatten().collect()),
        };
        let ended = Ended::without(&self.scripted.running, &set);
        let _raises_nothing = renew(&mut self.scripted.running, streams);
        self.scripted.route();
        let mut events = renew(&mut self.rules, rules);
        self.end(ended);
        events.sort_by_key(|event| match event {
            AlertEvent::Cleared { id, .. } => *id,
            AlertEvent::Raised(alert) => alert.id,
        });
        self.filter = Filter::new(&set);
        self.streams.want(|quantity| set.all().any(|rule| rule.manifest.inputs.contains(&quantity)));
        self.routes = routes(&self.rules);
        let wanted = set.all().flat_map(|source| &source.manifest.inputs).copied();
        self.derived = wanted.filter(|quantity| set.derives(*quantity)).collect();
        self.set = set;
        Ok(events)
    }

    /// The rules in force.
    pub fn rule_set(&self) -> &Arc<RuleSet> {
        &self.set
    }

    /// How each rule does, then how each stream of a plugin does.
    pub fn status(&self) -> Vec<RuleStatus> {
        self.rules.iter().chain(&self.scripted.running).map(|running| running.status.clone()).collect()
    }

    /// Takes entries in the order they were accepted. One that was taken before is passed over.
    pub fn feed(&mut self, entries: &[Entry]) -> Fed {
        self.feed_watched(entries, &mut |_| {})
    }

    /// The same; `watch` is told each rule's name before its script runs.
    pub(crate) fn feed_watched(&mut self, entries: &[Entry], watch: &mut dyn FnMut(&RuleName)) -> Fed {
        let mut fed = Fed::default();
        for entry in entries {
            if let Some(item) = self.filter.item(entry) {
                self.take_watched(&item, &mut fed, watch);
            }
        }
        fed
    }

    /// Takes one entry as [`Filter::item`] made it.
    pub fn take(&mut self, item: &Item<'_>, fed: &mut Fed) {
        self.take_watched(item, fed, &mut |_| {});
    }

    /// The same; `watch` is told each rule's name before its script runs.
    pub(crate) fn take_watched(&mut self, item: &Item<'_>, fed: &mut Fed, watch: &mut dyn FnMut(&RuleName)) {
        self.messages += 1;
        if self.messages.is_multiple_of(WEIGHED_EVERY) {
            self.weigh(fed);
        }
        let (number, assurance) = (self.messages, item.assurance);
        let Some((device, who)) = self.devices.take(item, number) else { return };
        let (subject, by_device) = (who.subject(RuleScope::Athlete), who.subject(RuleScope::Device));
        for point in item.readings.iter().filter(|point| self.derived.contains(&point.quantity)) {
            if !matches!(point.content, PointContent::Gap(_)) {
                self.devices.sends(device, point.quantity);
            }
        }
        for point in &item.readings {
            let Some(order) = self.devices.order(device, point, number) else { continue };
            let message = Message { device: &who.device, epoch: item.epoch, seq: item.seq };
            let heard = Heard { who: &who, message, assurance, point, order };
            self.ask(&heard, fed, watch);
            let arrived = Arrived { subject, by_device, device: &who.device, assurance, point, order, number };
            for Derived { device: of, assurance, point } in self.streams.derive(&arrived) {
                let other = (of != who.device).then(|| Who::new(of, who.athlete.clone()));
                let place = other.as_ref().map_or(device, |other| self.devices.place(&other.device));
                if self.devices.sends_itself(place, point.quantity) {
                    continue;
                }
                let Some(order) = self.devices.order(place, &point, number) else { continue };
                let of: &Who = other.as_ref().unwrap_or(&who);
                let derived = Heard { who: of, point: &point, assurance, order, ..heard };
                self.ask(&derived, fed, watch);
                self.ask_streams(&derived, fed, watch);
            }
            self.ask_streams(&heard, fed, watch);
        }
    }

    /// Switches off whichever keeps most, if all together keep too much.
    fn weigh(&mut self, fed: &mut Fed) {
        let all = || self.rules.iter().chain(&self.scripted.running);
        if all().map(Running::weight).sum::<usize>() <= WEIGHT_MAX {
            return;
        }
        let heaviest = self.rules.iter_mut().chain(&mut self.scripted.running).max_by_key(|running| running.weight());
        let Some(running) = heaviest else { return };
        let told =
            format!("it keeps {} MB of readings: shorten its spans, or have fewer", running.weight() / (1 << 16));
        let ended = Ended::of(running);
        running.forget();
        running.demerits = FAULTS_MAX;
        fed.faults.push(running.fail(Fault::new(FaultKind::Memory, told)));
        self.end(ended);
    }

    /// Lets the streams of plugins hear a reading, and the rules what follows from it: what a stream that is switched off over it made yet,
    /// and then its end.
    fn ask_streams(&mut self, heard: &Heard<'_>, fed: &mut Fed, watch: &mut dyn FnMut(&RuleName)) {
        if self.scripted.running.is_empty() {
            return;
        }
        let turn = Turn { bench: &self.bench, heard, input: 0, number: self.messages };
        let before = fed.faults.len();
        let made = self.scripted.derive(&turn, fed, watch);
        let off = fed.faults.iter().skip(before).filter(|fault| fault.off);
        let off: Vec<RuleName> = off.map(|fault| fault.rule.clone()).collect();
        for Derived { device, assurance, point } in made {
            let place = self.devices.place(&device);
            if self.devices.sends_itself(place, point.quantity) {
                continue;
            }
            let Some(order) = self.devices.order(place, &point, self.messages) else { continue };
            if let Some(told) = &mut self.told {
                told.push(point.clone());
            }
            let lead = Who::new(device, heard.who.athlete.clone());
            self.ask(&Heard { who: &lead, point: &point, assurance, order, ..*heard }, fed, watch);
        }
        for name in off {
            let ended = self.named(&name).and_then(|running| Ended::of(running));
            self.end(ended);
        }
    }

    /// Rules hear of streams that ended.
    fn end(&mut self, ended: impl IntoIterator<Item = Ended>) {
        for ended in ended {
            self.rules.iter_mut().for_each(|rule| ended.tell(rule));
        }
    }

    /// Asks every rule that wants it about a reading.
    fn ask(&mut self, heard: &Heard<'_>, fed: &mut Fed, watch: &mut dyn FnMut(&RuleName)) {
        for (rule, input) in self.routes.of(heard.point.quantity) {
            let Some(running) = self.rules.get_mut(*rule).filter(|r| !r.status.off) else { continue };
            let turn = Turn { bench: &self.bench, heard, input: *input, number: self.messages };
            running.hear(&turn, fed, watch);
        }
    }

    /// Clears a raised alert by hand, e.g. one that latches. None if it is not raised. `at` is only told: a cool-down counts from the
    /// event time its subject has come to, for the rules know no other, and a sensor's clock may be years behind the gateway's.
    pub fn reset(&mut self, id: AlertId, at: Timestamp) -> Option<AlertEvent> {
        for running in &mut self.rules {
            let timing = running.rule.timing;
            if let Some(state) = running.states.values_mut().find(|state| state.phase.raised() == Some(id)) {
                state.phase.reset(&timing, Timestamp(state.now));
                state.raised_of = None;
                return Some(AlertEvent::Cleared { id, event_time: at });
            }
        }
        None
    }

    /// The rule, or the stream, of a name: no two have one.
    fn named(&mut self, name: &RuleName) -> Option<&mut Running> {
        self.rules.iter_mut().chain(&mut self.scripted.running).find(|running| running.rule.source.name() == name)
    }

    /// Puts a rule or stream back that was switched off; it keeps its state. False if there is none of that name that is off.
    pub fn again(&mut self, rule: &RuleName) -> bool {
        self.named(rule).is_some_and(Running::again)
    }

    /// Switches a rule or stream off for a fault found from outside, such as the death of the process it ran in.
    pub fn switch_off(&mut self, rule: &RuleName, fault: Fault) -> Option<RuleFault> {
        let running = self.named(rule)?;
        running.demerits = FAULTS_MAX;
        let (fault, ended) = (running.fail(fault), Ended::of(running));
        self.end(ended);
        Some(fault)
    }
}

/// What is to run: one that runs already, by its place, or one made ready. Or all that is wrong.
fn compiled(bench: &Bench, old: &[Running], sources: &[RuleSource]) -> Result<Vec<Result<Rule, usize>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut fresh = Vec::new();
    for source in sources {
        match old.iter().position(|running| running.rule.source == *source) {
            Some(same) => fresh.push(Err(same)),
            None => match Rule::new(bench, source) {
                Ok(rule) => fresh.push(Ok(rule)),
                Err(found) => problems.extend(found),
            },
        }
    }
    if problems.is_empty() { Ok(fresh) } else { Err(problems) }
}

/// Puts what is to run in the place of what ran; the alerts that are cleared because their rule is gone, or no longer looks at them.
fn renew(running: &mut Vec<Running>, fresh: Vec<Result<Rule, usize>>) -> Vec<AlertEvent> {
    let mut old: Vec<Option<Running>> = running.drain(..).map(Some).collect();
    let mut cleared = Vec::new();
    for rule in fresh {
        running.extend(match rule {
            Err(same) => old.get_mut(same).and_then(Option::take),
            Ok(rule) => {
                let name = rule.source.name().clone();
                let before = old.iter_mut().find(|o| o.as_ref().is_some_and(|o| *o.rule.source.name() == name));
                Some(match before.and_then(Option::take) {
                    Some(before) => {
                        let (successor, gone) = Running::succeed(rule, before);
                        cleared.extend(gone);
                        successor
                    }
                    None => Running::new(rule),
                })
            }
        });
    }
    cleared.extend(old.into_iter().flatten().flat_map(Running::clear_all));
    cleared
}
