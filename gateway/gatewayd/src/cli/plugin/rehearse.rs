//! What a new version of an output or a derived stream would have done with what this box has recorded, beside the version that runs.
//! Nothing is sent, and no rule hears of it. Outputs are told the steps of alerts that were recorded last, made-up ones of the kinds that
//! are not among them, and a drill; streams hear sealed and verified history. (A decoder's payloads are not kept: it is tried on those that
//! come.)

use std::ops::ControlFlow;
use std::time::Duration;

use ledger_block::segment::Subject;
use pitchside_decode::plugin::Folder;
use pitchside_model::{Priority, Timestamp};
use pitchside_rules::RuleSet;
use pitchside_script::output::{Event, Outcome, Request, Step};
use pitchside_seal::{Filter, History};
use pitchside_store::DeliveryStepId;

use super::asking::{self, Script};
use crate::adapters::athletes::load_ring;
use crate::cli::Failure;
use crate::cli::context::Context;
use crate::cli::output::counted;
use crate::delivery::route::{Ear, Life, Verdict};
use crate::past;
use crate::pipeline::delivery::RuleNotes;
use crate::pipeline::outputs::hearing;
use crate::plugins::apart::Apart;
use crate::rulebook::in_words;

/// The most characters of a request that a difference shows.
const SHOWN_CHARS_MAX: usize = 300;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Rehearsed {
    /// What both were asked about, in words; none if there was nothing.
    pub compared: Option<String>,
    /// Why there was nothing, then.
    pub nothing: String,
    /// The first thing they differ in.
    pub difference: Option<String>,
    /// What the new version fails on.
    pub failure: Option<String>,
}

impl Rehearsed {
    /// What became of one step that both were asked about.
    fn note(&mut self, what: impl Fn() -> String, was: &Outcome, is: &Outcome) {
        // What the running version cannot be told of either is no reason against the new one.
        if matches!((was, is), (Outcome::Fault(_), Outcome::Fault(_))) {
            return;
        }
        if let Outcome::Fault(why) = is {
            self.failure.get_or_insert_with(|| format!("{}: {why}", what()));
        } else if was != is {
            self.difference.get_or_insert_with(|| {
                let (was, is) = shown_apart(was, is);
                format!("{}: it was {was}, it is {is}", what())
            });
        }
    }
}

/// One version of an output.
struct Version {
    script: Script,
    ear: Ear,
}

impl Version {
    fn start(folder: &Folder, context: &Context) -> Result<Self, Failure> {
        let manifest = &folder.manifest;
        let route = context.settings.delivery.routes.get(&manifest.name).cloned().unwrap_or_default();
        Ok(Self { script: Script::start(folder)?, ear: Ear { hears: manifest.hears.clone(), route } })
    }

    /// What it asks for of a step that it is told as this; nothing if it is not told.
    fn asks(&mut self, told: Option<Step>, event: impl FnOnce(Step) -> Event) -> Result<Outcome, Failure> {
        match told {
            Some(told) => self.script.tell(&event(told)),
            None => Ok(Outcome::Requests(Vec::new())),
        }
    }

    /// The step, if its script makes something of it.
    fn knows(&self, step: Step) -> Option<Step> {
        self.ear.hears.contains(&step).then_some(step)
    }
}

/// Tells both versions of an output the last `steps` that were recorded, and a drill. Of each kind and priority that the new one was not
/// told they are told a step of an alert that never was: what is merely not on record yet must not fail when it comes.
pub(super) fn output(
    context: &Context,
    old: &Folder,
    new: &Folder,
    steps: u32,
    now: Timestamp,
) -> Result<Rehearsed, Failure> {
    let (mut old, mut new) = (Version::start(old, context)?, Version::start(new, context)?);
    let notes = RuleNotes::default();
    if let Some(folder) = &context.settings.rules.dir {
        notes.replace(&RuleSet::read(folder).map_err(|p| in_words("the rules in force cannot be read", &p))?);
    }
    let tables = &context.tables;
    let last = tables.last_delivery_step()?;
    let (mut rehearsed, mut told) = (Rehearsed::default(), 0);
    let mut on_record: Vec<(Step, Priority)> = Vec::new();
    let mut recorded = Vec::new();
    let mut after = DeliveryStepId(last.0 - i64::from(steps));
    // The store gives them by the page.
    while after < last {
        let page = tables.delivery_steps_after(after, steps)?;
        let Some(end) = page.last() else { break };
        after = end.id;
        recorded.extend(page);
    }
    for step in recorded {
        let Some(row) = tables.alert(step.alert)? else { continue };
        let level = row.escalations.iter().map(|(level, _)| *level).max().unwrap_or(0);
        let life = Life { priority: row.alert.priority, category: notes.of(&row.alert.rule).category, level };
        let hears = |version: &Version| match version.ear.decide(&life, step.kind, false) {
            Verdict::Tell(told) => Some(told),
            Verdict::Hold | Verdict::PassOver => None,
        };
        let (as_old, as_new) = (hears(&old), hears(&new));
        if as_old.is_none() && as_new.is_none() {
            continue;
        }
        told += 1;
        on_record.extend(as_new.map(|step| (step, life.priority)));
        let event = |told: Step| hearing::event(&step, &row, &notes, told);
        let (was, is) = (old.asks(as_old, event)?, new.asks(as_new, event)?);
        let what = || format!("{} of alert {}", as_new.or(as_old).map_or("step", Step::word), step.alert);
        rehearsed.note(what, &was, &is);
    }
    let (mut samples, mut drills) = (0, 0);
    for event in asking::samples(&Step::ALL, now)? {
        if on_record.contains(&(event.step, event.alert.priority)) {
            continue;
        }
        let (as_old, as_new) = (old.knows(event.step), new.knows(event.step));
        if as_old.is_none() && as_new.is_none() {
            continue;
        }
        let told = |_| event.clone();
        let (was, is) = (old.asks(as_old, told)?, new.asks(as_new, told)?);
        rehearsed.note(|| asking::named(&event), &was, &is);
        match event.step {
            Step::Drill => drills += 1,
            Step::Raised | Step::Escalated | Step::Acknowledged | Step::Cleared => samples += 1,
        }
    }
    let kinds = [(told, "recorded step"), (samples, "made-up step"), (drills, "drill")];
    let compared: Vec<String> =
        kinds.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)).collect();
    let compared = (!compared.is_empty()).then(|| compared.join(", "));
    Ok(Rehearsed { compared, nothing: "neither version hears of anything".to_owned(), ..rehearsed })
}

/// Two outcomes in words, from the first request in which they differ.
fn shown_apart(was: &Outcome, is: &Outcome) -> (String, String) {
    if let (Outcome::Requests(was), Outcome::Requests(is)) = (was, is) {
        let apart = was.iter().zip(is).take_while(|(was, is)| was == is).count();
        return (shown(was.get(apart)), shown(is.get(apart)));
    }
    let one = |outcome: &Outcome| match outcome {
        Outcome::Requests(requests) => shown(requests.first()),
        Outcome::Refused(name) => format!("error {name}"),
        Outcome::Fault(why) => why.clone(),
    };
    (one(was), one(is))
}

/// A request, as much of it as fits; secrets are only named in it.
fn shown(request: Option<&Request>) -> String {
    request.map_or_else(
        || "nothing more".to_owned(),
        |request| format!("{request:?}").chars().take(SHOWN_CHARS_MAX).collect(),
    )
}

/// Lets both versions of a stream hear what was sealed of this time.
pub(super) fn stream(
    context: &Context,
    old: &Folder,
    new: &Folder,
    since: Duration,
    now: Timestamp,
) -> Result<Rehearsed, Failure> {
    let mut rehearsal = Apart::start()?;
    let quantities = rehearsal.rehearse(old, new)?;
    past::give_way();
    let ring = load_ring(&context.tables, &context.identity)?;
    let subjects = quantities.into_iter().map(Subject::Readings).collect();
    let filter = Filter { whose: None, subjects };
    let mut history = History::new(&ring, &filter);
    let since_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let from = Timestamp(now.0.saturating_sub(since_us));
    past::walk(context, from, &mut |_, _| {}, &mut |block| {
        let entries = history.read(block.header, block.payload).map_err(|error| block.bad(&error))?;
        rehearsal.hear(&entries)?;
        Ok(ControlFlow::Continue(()))
    })?;
    let found = rehearsal.found()?;
    let heard = format!("{} of sealed history", counted(found.readings, "reading"));
    // That both are silent about the same shows nothing: what the new one makes was not seen.
    let compared = (found.made > 0).then(|| format!("{heard}, {} made of them", found.made));
    let why = if found.readings == 0 {
        "no history of what it is made of was sealed since then".to_owned()
    } else {
        format!("neither version makes a reading of {heard}")
    };
    let nothing = format!("{why}; try a longer --since");
    Ok(Rehearsed { compared, nothing, difference: found.difference, failure: found.failure })
}
