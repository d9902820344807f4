//! One alert again, from the readings that were sealed: the same rule, fed the same readings, must say the same to the last bit.
//! And the state a rule was in just before it fired, for evidence.

use std::sync::Arc;

use pitchside_model::{Alert, AlertEvent, AlertId, DeviceId, Entry, Quantity, RuleName, Timestamp, Value};
use pitchside_script::Problem;
use pitchside_script::manifest::RuleScope;
use serde::{Deserialize, Serialize};

use crate::arrivals::Progress;
use crate::derive::streams::Kept as KeptStreams;
use crate::derive::told_within;
use crate::engine::Engine;
pub use crate::id::subject_of;
use crate::id::{Message, Subject, ids_of};
use crate::library::{RuleSet, RuleSource};
use crate::running::{Running, fresh_state};
use crate::state::{Kept, State};

/// The evaluation, as evidence names it: another version may answer otherwise. The number after the `+` rises with every change of what it
/// answers or of how its state is laid out, so that a state of before is not taken for one that does not follow.
pub const ENGINE_VERSION: &str = concat!("pitchside-rules/", env!("CARGO_PKG_VERSION"), "+10");
/// The most bytes of one subject's state.
pub const STATE_BYTES_MAX: usize = 4 << 20;

/// What differs between an alert and its replay.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Which field.
    pub field: &'static str,
    /// As it was sealed.
    pub sealed: String,
    /// As the replay has it.
    pub replayed: String,
}

/// What became of the replay.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The same alert, to the last bit.
    Identical,
    /// It was raised, but not alike.
    Different(Vec<Difference>),
    /// The rule did not raise it. The alert of the same rule and subject nearest in time, if it raised any.
    NotRaised(Option<Alert>),
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    wanted: Alert,
    again: Option<Alert>,
    nearest: Option<Alert>,
    before: Option<Vec<u8>>,
    /// The event time of the newest value that the device told of somebody else than the alert names.
    others: Option<i64>,
    /// The ids that alerts raised here might have had instead, and those they have.
    ids: Vec<(AlertId, AlertId)>,
}

/// Whose readings what an alert is about was derived from, if it was.
fn wearer(alert: &Alert) -> Subject {
    subject_of(alert, RuleScope::Athlete)
}

impl Replay {
    /// Begins with nothing heard, under the rules in force at that time.
    pub fn new(set: Arc<RuleSet>, wanted: Alert) -> Result<Self, Vec<Problem>> {
        let (engine, others, ids) = (Engine::new(set)?, None, Vec::new());
        Ok(Self { engine, wanted, again: None, nearest: None, before: None, others, ids })
    }

    /// Other rules came into force here.
    pub fn reload(&mut self, set: Arc<RuleSet>) -> Result<(), Vec<Problem>> {
        self.engine.reload(set).map(drop)
    }

    /// Somebody reset this alert here: after what was fed so far.
    pub fn reset(&mut self, alert: AlertId, at: Timestamp) {
        if self.engine.reset(alert, at).is_some() {
            return;
        }
        // It may have another id here. One that is not raised is none of this rule's, or was not raised yet.
        let here = self.ids.iter().rev().find(|(other, _)| *other == alert).map(|(_, here)| *here);
        let _event = here.and_then(|here| self.engine.reset(here, at));
    }

    fn rule(&self) -> Option<&RuleSource> {
        self.engine.rule_set().rules().iter().find(|rule| *rule.name() == self.wanted.rule)
    }

    fn scope(&self) -> Option<RuleScope> {
        self.rule().map(|rule| rule.manifest.scope)
    }

    /// Up to which event time the rule heard values of somebody else that are none of the business of whom the alert names. A rule about whoever
    /// wears the device forgets them by itself.
    fn hidden(&self) -> Option<i64> {
        let is_about_device =
            |rule: &RuleSource| rule.manifest.scope == RuleScope::Device && !rule.manifest.is_about_wearer();
        self.others.filter(|_| self.rule().is_some_and(is_about_device))
    }

    /// Hears entries in the order of arrival; true once the alert was raised again, and nothing more is needed.
    pub fn feed(&mut self, entries: &[Entry]) -> bool {
        for entry in entries {
            if self.again.is_some() {
                return true;
            }
            let is_derived = self.engine.rule_set().derives(self.wanted.quantity);
            let may_fire = entry.readings.iter().any(|reading| match reading.quantity == self.wanted.quantity {
                true => reading.device_time == self.wanted.event_time,
                // What the rule was asked about may have been derived of this one.
                false => {
                    is_derived
                        && reading.device_time.0.abs_diff(self.wanted.event_time.0) <= told_within(reading.quantity)
                }
            });
            if may_fire && let Some(scope) = self.scope() {
                let subject = subject_of(&self.wanted, scope);
                let wearer = wearer(&self.wanted);
                self.before = self.engine.state_of(&self.wanted.rule, &subject, &wearer, &entry.device, self.hidden());
            }
            if entry.device == self.wanted.device && entry.athlete.is_some() && entry.athlete != self.wanted.athlete {
                let values = entry.readings.iter().filter(|reading| !matches!(reading.value, Value::Gap(_)));
                self.others = self.others.max(values.map(|reading| reading.device_time.0).max());
            }
            for event in self.engine.feed(std::slice::from_ref(entry)).events {
                if let AlertEvent::Raised(alert) = event {
                    self.raised(alert, Message::of(entry));
                }
            }
        }
        self.again.is_some()
    }

    fn raised(&mut self, alert: Alert, message: Message<'_>) {
        let ours = alert.rule == self.wanted.rule
            && alert.athlete == self.wanted.athlete
            && (alert.athlete.is_some() || alert.device == self.wanted.device);
        let of_rule = self.scope().filter(|_| alert.rule == self.wanted.rule);
        let ids = of_rule.map_or([alert.id; 2], |scope| ids_of(&alert, scope, message));
        if ids.contains(&self.wanted.id) {
            // Which of its two ids it has hangs on what was raised before, and this may have begun after that.
            self.again = Some(Alert { id: self.wanted.id, ..alert });
            return;
        }
        self.ids.extend(ids.into_iter().filter(|id| *id != alert.id).map(|id| (id, alert.id)));
        let distance = |at: Timestamp| at.0.abs_diff(self.wanted.event_time.0);
        let nearer = self.nearest.as_ref().is_none_or(|near| distance(alert.event_time) <= distance(near.event_time));
        if ours && nearer {
            self.nearest = Some(alert);
        }
    }

    /// Whether the state before is without something, for it came of readings of somebody else than the alert names.
    pub fn leaves_out(&self) -> bool {
        self.hidden().is_some()
    }

    /// The state of the rule for the alert's subject just before the message that fired it, if it had any: [`Engine::state_of`].
    pub fn state_before(&self) -> Option<&[u8]> {
        self.before.as_deref()
    }

    /// What it came to.
    pub fn outcome(&self) -> Outcome {
        match &self.again {
            Some(again) if *again == self.wanted => Outcome::Identical,
            Some(again) => Outcome::Different(differences(&self.wanted, again)),
            None => Outcome::NotRaised(self.nearest.clone()),
        }
    }
}

/// Field by field, what differs.
pub fn differences(sealed: &Alert, replayed: &Alert) -> Vec<Difference> {
    let fields = |alert: &Alert| {
        let optional = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        [
            ("id", alert.id.to_string()),
            ("rule", alert.rule.to_string()),
            ("rule version", alert.rule_version.clone()),
            ("priority", alert.priority.to_string()),
            ("athlete", optional(alert.athlete.as_ref().map(ToString::to_string))),
            ("device", alert.device.to_string()),
            ("quantity", alert.quantity.to_string()),
            ("value", optional(alert.value.map(|value| format!("{}e{}", value.mantissa, value.exponent)))),
            ("unit", alert.unit.to_string()),
            ("event time", alert.event_time.to_string()),
            ("message", alert.message.clone()),
        ]
    };
    let pairs = fields(sealed).into_iter().zip(fields(replayed));
    let differing = pairs.filter(|((_, a), (_, b))| a != b);
    differing.map(|((field, sealed), (_, replayed))| Difference { field, sealed, replayed }).collect()
}

/// How far back the rules of a set look, in microseconds: their longest window, and how long their condition must hold; and as far
/// again as the streams of plugins look that they want. What is known from longer ago (baselines, moments) is in the state before.
pub fn reach(set: &RuleSet) -> Result<i64, Vec<Problem>> {
    let bench = crate::rule::sandbox();
    let longest = |sources: &[RuleSource]| {
        sources.iter().try_fold(0, |most: i64, source| {
            let window = crate::rule::Rule::new(&bench, source)?.longest_window();
            let gap = source.manifest.gap_after.min(3_600_000_000);
            Ok::<i64, Vec<Problem>>(most.max(window.saturating_add(source.manifest.hold).saturating_add(gap)))
        })
    };
    Ok(longest(set.rules())?.saturating_add(longest(set.streams())?))
}

/// Whether a rule, given these messages and nothing else, raises this alert: alone, or in the state it is said to have been in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// From the readings alone.
    FromReadings,
    /// From the last message, in the state the box says the rule was in.
    FromState,
    /// From neither.
    No,
}

/// Evaluates a rule over what evidence holds. `entries` are in the order of arrival, the last is the message that fired.
pub fn follows(
    set: &Arc<RuleSet>,
    alert: &Alert,
    entries: &[Entry],
    before: Option<&[u8]>,
) -> Result<Follows, Vec<Problem>> {
    let Some(rule) = set.rules().iter().find(|rule| *rule.name() == alert.rule) else { return Ok(Follows::No) };
    let scope = rule.manifest.scope;
    let is_it = |entry: &Entry, raised: &Alert| {
        let again = Alert { id: alert.id, ..raised.clone() };
        again == *alert && ids_of(raised, scope, Message::of(entry)).contains(&alert.id)
    };
    let says = |engine: &mut Engine, entries: &[Entry]| {
        let mut fed = entries.iter().map(|entry| (entry, engine.feed(std::slice::from_ref(entry)).events));
        fed.any(|(entry, events)| events.iter().filter_map(AlertEvent::raised).any(|raised| is_it(entry, raised)))
    };
    if says(&mut Engine::new(Arc::clone(set))?, entries) {
        return Ok(Follows::FromReadings);
    }
    let (Some(before), Some((last, _))) = (before, entries.split_last()) else { return Ok(Follows::No) };
    let mut engine = Engine::new(Arc::clone(set))?;
    let taken = engine.resume_state(&alert.rule, subject_of(alert, scope), &wearer(alert), &last.device, before);
    Ok(if taken && says(&mut engine, std::slice::from_ref(last)) { Follows::FromState } else { Follows::No })
}

/// What a rule remembers of one subject, if anything, how far the streams of the device that fired had come, and what is remembered of
/// whatever it is derived from.
#[derive(Serialize, Deserialize)]
struct Before {
    rule: Option<Kept>,
    came: Vec<(Quantity, Progress)>,
    formulas: KeptStreams,
    streams: Vec<(RuleName, Kept)>,
}

impl Engine {
    /// What a rule remembers of one subject, as bytes only the same build reads; none if neither of it nor of `device`, whose message comes
    /// next, anything was heard. `wearer` is whose readings derived quantities are made of. If the device told values of `others` up to an event
    /// time, the state is without what was learnt of those.
    pub fn state_of(
        &self,
        rule: &RuleName,
        subject: &Subject,
        wearer: &Subject,
        device: &DeviceId,
        others: Option<i64>,
    ) -> Option<Vec<u8>> {
        let running = self.rules.iter().find(|running| running.rule.source.name() == rule)?;
        let mut formulas = self.streams.keep();
        let by_device = Subject::Device(device.clone());
        formulas.retain(|(_, of, _)| if *of == by_device { others.is_none() } else { of == wearer });
        let streams = self.scripted.running.iter().filter_map(|stream| {
            let state = stream.states.get(wearer)?;
            Some((stream.rule.source.name().clone(), state.keep()))
        });
        // What was of somebody else is forgotten with that message, and is none of the wearer's business.
        let of = if let Subject::Athlete(athlete) = wearer { Some(athlete) } else { None };
        let mut rule = running.states.get(subject).map(State::keep).filter(|kept| !kept.is_of_another(of));
        if let (Some(kept), Some(up_to)) = (&mut rule, others) {
            kept.forget_values(up_to, &fresh_state(&running.rule).keep());
        }
        let came = self.devices.came(device);
        if rule.is_none() && came.is_empty() {
            return None;
        }
        postcard::to_allocvec(&Before { rule, came, formulas, streams: streams.collect() }).ok()
    }

    /// Puts a rule into such a state; false if it does not fit the rule.
    pub fn resume_state(
        &mut self,
        rule: &RuleName,
        subject: Subject,
        wearer: &Subject,
        device: &DeviceId,
        state: &[u8],
    ) -> bool {
        if state.len() > STATE_BYTES_MAX {
            return false;
        }
        let Ok(before) = postcard::from_bytes::<Before>(state) else { return false };
        let mut put = |name: &RuleName, subject: Subject, kept: Kept, is_stream: bool| {
            let mut all = self.rules.iter_mut().chain(&mut self.scripted.running);
            let of = |running: &&mut Running| {
                running.rule.source.name() == name && running.rule.source.makes.is_some() == is_stream
            };
            let Some(running) = all.find(of) else { return false };
            let mut fresh = fresh_state(&running.rule);
            let fits = fresh.resume(kept);
            if fits {
                running.states.insert(subject, fresh);
            }
            fits
        };
        let by_device = Subject::Device(device.clone());
        let put_rule = before.rule.is_none_or(|kept| put(rule, subject, kept, false));
        if put_rule {
            self.devices.resume_came(device, before.came);
        }
        put_rule
            && before.streams.into_iter().all(|(name, kept)| put(&name, wearer.clone(), kept, true))
            && before.formulas.iter().all(|(_, of, _)| of == wearer || *of == by_device)
            && self.streams.resume(before.formulas)
    }
}

#[cfg(test)]
mod tests;
