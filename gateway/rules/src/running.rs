//! One rule at work: its subjects, its faults, and what it does with a reading.

use pitchside_model::{Alert, AlertEvent, Assurance, GapReason, Quality, RuleName, Timestamp};
use pitchside_script::{Fault, FaultKind};
use rhai::Dynamic;

use crate::arrivals::Order;
use crate::devices::Who;
use crate::engine::{FAULTS_MAX, Fed, RuleFault, RuleStatus, SUBJECTS_MAX};
use crate::id::{Map, Message, Subject, alert_id, alert_id_of_message};
use crate::item::{Point, PointContent, Routes};
use crate::library::RuleSource;
use crate::machine::{Phase, Step};
use crate::rule::{Bench, Event, Rule, Verdict, verdict};
use crate::scripted::marks::Marks;
use crate::series::{Sample, steps};
use crate::state::State;
use crate::succession::hand_over;

/// Clean evaluations that make up for one fault.
const FORGIVEN_AFTER: u32 = 10_000;
/// Operations an evaluation may cost on average: a twenty-fifth of what a single one may.
pub const SHARE_OPERATIONS: u64 = 2_000;
/// Operations beyond its share that a rule may run up before that is a fault: twenty evaluations at their limit.
pub const OVERDRAFT_OPERATIONS: u64 = 1_000_000;

/// Processor time an evaluation may cost on average, in nanoseconds. What one operation does is not always small: a list of thousands
/// is sorted in one. A hundred times what rules of the library cost, for processors differ.
pub const SHARE_NANOS: u64 = 1_000_000;
/// Processor time beyond its share that a rule may run up before that is a fault.
pub const OVERDRAFT_NANOS: u64 = 1_000_000_000;

/// A rule at work.
pub(crate) struct Running {
    pub rule: Rule,
    pub states: Map<Subject, State>,
    pub status: RuleStatus,
    /// Faults not yet forgiven, and clean evaluations since the last was.
    pub demerits: u32,
    pub clean: u32,
    /// Operations run up beyond its share.
    pub overdraft: u64,
    /// The same of processor time. It is not kept: another machine is another time.
    pub overdraft_nanos: u64,
    /// Readings its states keep, counted as they come and go.
    pub samples: usize,
}

/// A reading on its way to a rule.
#[derive(Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub who: &'a Who,
    /// The message it came with: of what is derived, the last it is made of.
    pub message: Message<'a>,
    pub assurance: Assurance,
    pub point: &'a Point,
    pub order: Order,
}

/// A reading, and which input of the rule it is.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub bench: &'a Bench,
    pub heard: &'a Heard<'a>,
    pub input: usize,
    /// The number of its message.
    pub number: u64,
}

impl Running {
    /// One that has heard nothing.
    pub fn new(rule: Rule) -> Self {
        let manifest = rule.manifest();
        let status = RuleStatus {
            rule: manifest.name.clone(),
            version: manifest.version.clone(),
            off: false,
            evaluations: 0,
            faults: 0,
            last_fault: None,
            shortened: 0,
            stream: rule.source.makes.is_some(),
        };
        Self {
            rule,
            states: Map::default(),
            status,
            demerits: 0,
            clean: 0,
            overdraft: 0,
            overdraft_nanos: 0,
            samples: 0,
        }
    }

    /// The subject heard least lately goes; one with a raised alert last.
    fn make_room(&mut self) {
        let oldest = self.states.iter().min_by_key(|(_, state)| (state.phase.raised().is_some(), state.touched));
        let oldest = oldest.map(|(subject, _)| subject.clone());
        let gone = oldest.and_then(|subject| self.states.remove(&subject));
        self.samples = self.samples.saturating_sub(gone.map_or(0, |state| state.samples()));
    }

    /// Enters a reading, asks the script about it, and gives `then` what came of it: no answer if it was entered but not asked
    /// about, or if the script failed. A reading that is not heard at all changes nothing.
    pub fn ask<T>(
        &mut self,
        turn: &Turn<'_>,
        fed: &mut Fed,
        watch: &mut dyn FnMut(&RuleName),
        read: fn(&RuleSource, Dynamic) -> Result<T, Fault>,
        then: impl FnOnce(&Rule, &mut State, &Subject, Option<T>, &mut Fed),
    ) {
        let Turn { bench, heard, input, number } = *turn;
        let manifest = self.rule.manifest();
        let unfit = heard.point.quality - manifest.accept;
        if heard.assurance < manifest.assurance || (!unfit.is_empty() && !is_gap(heard.point)) {
            return;
        }
        let (gap_after, asks_gaps) = (manifest.gap_after, manifest.gaps);
        if is_wave(heard.point) && !asks_gaps {
            return;
        }
        // From here on it costs something, in native code, too.
        watch(self.rule.source.name());
        let subject = heard.who.subject(manifest.scope);
        let state = match self.states.get_mut(subject) {
            Some(state) => state,
            None => {
                if self.states.len() >= SUBJECTS_MAX {
                    self.make_room();
                }
                self.states.entry(subject.clone()).or_insert(fresh_state(&self.rule))
            }
        };
        state.touched = number;
        let time = Timestamp(heard.point.time);
        let before = state.samples();
        let over = hand_over(&self.rule, state, heard);
        fed.events.extend(over.map(|id| AlertEvent::Cleared { id, event_time: time }));
        let entered = enter(state, input, heard, gap_after);
        self.samples = (self.samples + state.samples()).saturating_sub(before);
        let Some((event, whole)) = entered else { return };
        self.status.shortened += u64::from(!whole);
        if !is_ahead(heard.point) {
            state.advance(time);
        } else if state.now == i64::MIN {
            return;
        }
        if let (Some(marks), Some(track)) = (&mut state.marks, state.tracks.get(input)) {
            marks.note(input, track, heard);
        }
        // A stream is its first input's: without that there is none.
        let leaderless =
            self.rule.source.makes.is_some() && state.tracks.first().is_none_or(|lead| lead.source.is_none());
        if leaderless || (matches!(event, Event::Gap(..)) && !asks_gaps) {
            return then(&self.rule, state, subject, None, fed);
        }
        let answer = self.rule.evaluate(bench, state, (input, event), read);
        self.overdraft = (self.overdraft + self.rule.cost()).saturating_sub(SHARE_OPERATIONS);
        self.overdraft_nanos = (self.overdraft_nanos + self.rule.spent()).saturating_sub(SHARE_NANOS);
        let answer = if self.overdraft > OVERDRAFT_OPERATIONS {
            self.overdraft = 0;
            answer.and(Err(self.rule.greedy(FaultKind::Operations)))
        } else {
            answer
        };
        match answer {
            Ok(answer) => {
                self.status.evaluations += 1;
                self.clean += 1;
                if self.clean >= FORGIVEN_AFTER {
                    (self.clean, self.demerits) = (0, self.demerits.saturating_sub(1));
                }
                then(&self.rule, state, subject, Some(answer), fed);
            }
            Err(fault) => {
                then(&self.rule, state, subject, None, fed);
                let fault = self.fail(fault);
                fed.faults.push(fault);
            }
        }
        // The answer stands: what it was must not hang on how fast the machine is.
        if self.overdraft_nanos > OVERDRAFT_NANOS {
            self.overdraft_nanos = 0;
            let fault = self.fail(self.rule.greedy(FaultKind::Time));
            fed.faults.push(fault);
        }
    }

    /// A rule hears a reading: alerts are raised and cleared.
    pub fn hear(&mut self, turn: &Turn<'_>, fed: &mut Fed, watch: &mut dyn FnMut(&RuleName)) {
        let Turn { heard, input, .. } = *turn;
        self.ask(turn, fed, watch, verdict, |rule, state, subject, answer, fed| {
            let Some(verdict) = answer else { return };
            let time = Timestamp(heard.point.time);
            let now = Timestamp(state.now);
            let holds = verdict.holds;
            match state.phase.step(&state.pulse.steadied(&rule.timing, now), now, holds) {
                Step::Stay => {}
                Step::Clear(id) => {
                    state.pulse.clear();
                    state.raised_of = None;
                    fed.events.push(AlertEvent::Cleared { id, event_time: time });
                }
                Step::Raise => {
                    let again = state.tracks.get_mut(input).is_some_and(|track| track.tell(time.0));
                    let alert = alert(rule, subject, heard, verdict, again);
                    state.phase = Phase::Raised(alert.id, None);
                    if rule.manifest().is_about_wearer() {
                        state.raised_of.clone_from(&alert.athlete);
                    }
                    state.pulse.raise(now);
                    fed.events.push(AlertEvent::Raised(alert));
                }
            }
            if holds {
                state.pulse.hold(now);
            }
        });
    }

    pub fn fail(&mut self, fault: Fault) -> RuleFault {
        self.demerits += 1;
        self.clean = 0;
        self.status.faults += 1;
        self.status.last_fault = Some(fault.clone());
        self.status.off = self.demerits >= FAULTS_MAX;
        RuleFault { rule: self.rule.source.name().clone(), fault, off: self.status.off }
    }
}

/// Enters a point into its track: what the script is asked about, and whether the windows held it all. None if another
/// stream counts there.
fn enter(state: &mut State, input: usize, heard: &Heard<'_>, gap_after: i64) -> Option<(Event, bool)> {
    let time = if is_ahead(heard.point) { state.now } else { heard.point.time };
    let back = heard.order == Order::SetBack;
    let track = state.tracks.get(input)?;
    let other = track.source.as_ref() != Some(&heard.who.device);
    match heard.point.content {
        PointContent::Number(value) => {
            let sample = Sample { time, steps: steps(value)? };
            let last = track.series.last().map(|last| last.time);
            let since = last.map_or(i64::MAX, |last| time.saturating_sub(last));
            // Another stream of the same quantity takes over only where the first has a gap.
            if other && track.source.is_some() && since <= gap_after {
                return None;
            }
            // The clock of whoever takes over counts: if it is behind the one before, time is set back to it, or nothing would hold, and
            // no window would be of now, until it had come as far.
            let is_behind = other && state.now.saturating_sub(time) > gap_after;
            let back = back || (is_behind && state.hears_nothing_but(input, gap_after));
            if back {
                state.set_back();
            }
            let known = state.now.max(time);
            let track = state.tracks.get_mut(input)?;
            if other {
                track.source = Some(heard.who.device.clone());
            }
            if (other || back || since > gap_after) && track.interrupt(known) {
                state.gap();
            }
            let track = state.tracks.get_mut(input)?;
            track.baselines.iter_mut().for_each(|baseline| baseline.learn(sample));
            let whole = track.series.push(sample);
            Some((Event::Value(value.to_f64()), whole))
        }
        PointContent::Wave | PointContent::Samples(_) => Some((Event::Wave, true)),
        PointContent::Gap(_) if other && track.source.is_some() => None,
        PointContent::Gap(gap) => {
            if back {
                state.set_back();
            }
            let known = state.now.max(time);
            let track = state.tracks.get_mut(input)?;
            track.source = None;
            track.interrupt(known);
            state.gap();
            let extent = if gap.reason == GapReason::Dropped { gap.extent as f64 } else { gap.extent as f64 / 1e6 };
            Some((Event::Gap(gap.reason, extent), true))
        }
    }
}

impl Running {
    /// Puts a rule back that was switched off, as if it had had no fault; false if it was not off.
    pub fn again(&mut self) -> bool {
        let was = std::mem::take(&mut self.status.off);
        (self.demerits, self.clean, self.overdraft, self.overdraft_nanos) = (0, 0, 0, 0);
        was
    }
}

impl Running {
    /// What it keeps, in units of sixteen bytes or so.
    pub fn weight(&self) -> usize {
        let (state, sample) = self.rule.weights();
        self.states.len() * state + self.samples * sample
    }

    /// Counts what its states keep anew, after they were filled from elsewhere.
    pub fn count_samples(&mut self) {
        self.samples = self.states.values().map(State::samples).sum();
    }

    /// Lets go of all it keeps but its raised alerts.
    pub fn forget(&mut self) {
        self.states.retain(|_, state| state.phase.raised().is_some());
        self.states.values_mut().for_each(State::forget_samples);
        self.samples = 0;
    }
}

/// Who hears what.
pub(crate) fn routes(running: &[Running]) -> Routes {
    Routes::new(running.iter().map(|running| running.rule.manifest().inputs.as_slice()).enumerate())
}

/// A state nothing has happened to.
pub(crate) fn fresh_state(rule: &Rule) -> State {
    let manifest = rule.manifest();
    let fields = manifest.state.iter().map(|(_, first)| first.clone()).collect();
    let mut state = State::new(fields, (0..manifest.inputs.len()).map(|input| rule.track(input)).collect());
    state.marks = rule.source.makes.map(|_| Box::new(Marks::new(manifest.inputs.len(), rule.outlives_gaps())));
    state
}

fn is_wave(point: &Point) -> bool {
    matches!(point.content, PointContent::Wave | PointContent::Samples(_))
}

fn is_gap(point: &Point) -> bool {
    matches!(point.content, PointContent::Gap(_))
}

/// A gap of a clock that the gateway knows to be ahead: it is one, but the time has not come to it. Nothing else of such a clock is
/// heard.
fn is_ahead(point: &Point) -> bool {
    point.quality.contains(Quality::FUTURE)
}

/// `again`: there may have been one at this event time before.
fn alert(rule: &Rule, subject: &Subject, heard: &Heard<'_>, verdict: Verdict, again: bool) -> Alert {
    let (manifest, point) = (rule.manifest(), heard.point);
    let event_time = Timestamp(point.time);
    let id = if again {
        alert_id_of_message(&manifest.name, subject, point.quantity, event_time, heard.message)
    } else {
        alert_id(&manifest.name, subject, point.quantity, event_time)
    };
    Alert {
        id,
        rule: manifest.name.clone(),
        rule_version: manifest.version.clone(),
        priority: manifest.priority,
        athlete: heard.who.athlete.clone(),
        device: heard.who.device.clone(),
        quantity: point.quantity,
        value: match point.content {
            PointContent::Number(value) => Some(value),
            PointContent::Gap(_) | PointContent::Wave | PointContent::Samples(_) => None,
        },
        unit: point.quantity.unit(),
        event_time,
        message: verdict.message.unwrap_or_else(|| manifest.summary.clone()),
    }
}
