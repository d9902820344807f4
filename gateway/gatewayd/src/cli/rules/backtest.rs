//! `rules backtest`: a draft over sealed and verified history, beside the version in force.

mod said;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use ledger_block::segment::Subject;
use pitchside_model::{AthleteId, Entry, Reading, Timestamp, Value};
use pitchside_rules::backtest::Backtest;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_seal::{Filter, History, Whose};

use super::rules_folder;
use crate::adapters::athletes::load_ring;
use crate::cli::context::Context;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::past::{self, Walked};
use crate::plugins::streams::Streams;
use crate::rulebook::{self, Version, in_words};

use said::{said, words};

/// Portions of history that may wait to be evaluated.
const AHEAD: usize = 2;
/// Readings, and samples of waveforms, of a portion, but for the last block's: handing over small ones costs more than evaluating them.
const PORTION: usize = 16_384;

/// A bar on a terminal; nothing elsewhere.
pub fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} blocks, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Moves it.
pub fn advance(bar: &ProgressBar, done: u64, total: u64) {
    if bar.length() != Some(total) {
        bar.set_length(total);
    }
    bar.set_position(done);
}

/// The rules of a draft: a rule's folder, a folder of rules, a rule in force, or a version.
fn draft(which: &str, rules: Option<&Path>, context: &Context) -> Result<RuleSet, Failure> {
    let path = Path::new(which);
    let problems = |problems: Vec<pitchside_script::Problem>| -> Failure {
        problems.iter().for_each(|problem| output::note(&problem.to_string()));
        Failure::Failed(anyhow::anyhow!("the draft has {} problem(s)", problems.len()))
    };
    if path.join("rule.toml").is_file() {
        let texts = rulebook::read_texts(path)?;
        let absolute = std::path::absolute(path).with_context(|| which.to_owned())?;
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let rule = RuleSource::parse(&name, &texts.manifest, &texts.script).map_err(problems)?;
        return RuleSet::new([rule]).map_err(problems);
    }
    // A folder that is named as one; a rule's name alone is the rule in force.
    if path.is_dir() && (which.contains('/') || rules.is_none_or(|rules| !rules.join(which).is_dir())) {
        return RuleSet::read(path).map_err(problems);
    }
    if let Some(rules) = rules.filter(|_| !which.contains('@')) {
        let live = RuleSet::read(rules).map_err(|found| in_words("the rules in force cannot be read", &found))?;
        if let Some(rule) = live.rules().iter().find(|rule| rule.name().as_str() == which) {
            return RuleSet::new([rule.clone()]).map_err(problems);
        }
    }
    let Version { name, texts, .. } = rulebook::version(&context.tables, which)
        .with_context(|| format!("{which} is neither a folder, nor a rule in force, nor a version"))?;
    let rule = RuleSource::parse(&name, &texts.manifest, &texts.script).map_err(problems)?;
    RuleSet::new([rule]).map_err(problems)
}

fn weight_of(reading: &Reading) -> usize {
    match &reading.value {
        Value::Wave(wave) => wave.samples.len().max(1),
        Value::Number(_) | Value::Gap(_) => 1,
    }
}

/// Runs a draft over history. What it takes in memory is a few blocks, the rules' states, and a bounded report.
pub fn run(
    context: &Context,
    backtest: &mut Backtest,
    since: Timestamp,
    athlete: Option<&AthleteId>,
    step: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Walked, Failure> {
    let ring = load_ring(&context.tables, &context.identity)?;
    let filter = Filter {
        whose: athlete.map(|athlete| Whose::Athlete(athlete.clone())),
        subjects: backtest.quantities().iter().copied().map(Subject::Readings).collect(),
    };
    // One thread verifies, decrypts and sorts; one evaluates the draft, and another what is in force.
    std::thread::scope(|scope| {
        let (sender, portions) = sync_channel::<Arc<[Entry]>>(AHEAD);
        let mut history = History::new(&ring, &filter);
        let reader = scope.spawn(move || {
            let (mut portion, mut weight) = (Vec::new(), 0);
            let walked = past::walk(context, since, step, &mut |block| {
                let entries = history.read(block.header, block.payload).map_err(|error| block.bad(&error))?;
                weight += entries.iter().flat_map(|entry| &entry.readings).map(weight_of).sum::<usize>();
                portion.extend(entries);
                if weight < PORTION {
                    return Ok(ControlFlow::Continue(()));
                }
                weight = 0;
                // Nobody listens any more: then there is nothing left to read for.
                let sent = sender.send(Arc::from(std::mem::take(&mut portion)));
                Ok(if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            let _ = sender.send(Arc::from(portion));
            Ok(walked)
        });
        for entries in portions {
            backtest.feed(&entries)?;
        }
        reader.join().unwrap_or_else(|_| Err(Failure::Failed(anyhow::anyhow!("reading the history ended badly"))))
    })
}

/// `rules backtest`.
pub fn backtest(
    which: &str,
    since: Duration,
    athlete: Option<&AthleteId>,
    context: &Context,
    output: &Output,
) -> Outcome {
    past::give_way();
    let rules = rules_folder(context).ok();
    let set = draft(which, rules.as_deref(), context)?;
    if set.rules().is_empty() {
        return Err(Failure::Usage(format!("{which} holds no rule")));
    }
    if let Some(athlete) = athlete {
        let Some(found) = context.tables.athlete(athlete)? else {
            return Err(Failure::Usage(format!(
                "there is no athlete {athlete}; `pitchside athlete list` shows who there is"
            )));
        };
        if found.erased_at.is_some() {
            return Err(Failure::Usage(format!(
                "{athlete} was erased: nothing is left of their readings that a rule could hear"
            )));
        }
    }
    let all_live = match &rules {
        Some(rules) => RuleSet::read(rules).map_err(|p| in_words("the rules in force cannot be read", &p))?,
        None => RuleSet::default(),
    };
    let named = |rule: &&RuleSource| set.rules().iter().any(|draft| draft.name() == rule.name());
    let live = RuleSet::new(all_live.rules().iter().filter(named).cloned())
        .map_err(|problems| in_words("the rules in force", &problems))?;
    // Both hear what plugins derive now: a draft is tried as it would run.
    let streams = Streams::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let ((set, left_out), (live, _)) = (streams.with(set), streams.with(live));
    left_out.iter().for_each(|problem| output::note(&problem.to_string()));
    let versions = (label(&set), label(&live));
    let mut backtest = match Backtest::new(Arc::new(set), Arc::new(live)) {
        Ok(backtest) => backtest,
        Err(problems) => {
            return crate::cli::library::refuse(&problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    };
    let now = Clock::System.now();
    let since_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let from = Timestamp(now.0.saturating_sub(since_us));
    let bar = bar();
    let mut step = |done, total| advance(&bar, done, total);
    let walked = run(context, &mut backtest, from, athlete, &mut step);
    bar.finish_and_clear();
    let report = backtest.finish();
    let walked = walked?;
    output.print(&said(which, (from, now), versions, walked, &report), words)?;
    // Before the ledger has answered nobody here knows how many there are.
    if walked.chained == 0
        && walked.before == 0
        && let Some(missing) = past::not_here(&context.tables)?
    {
        output::note(&format!("not heard: {missing}"));
    }
    // What was said is right as far as it goes, and must not be taken for the whole.
    let off: Vec<String> = report.off.iter().filter(|off| !off.live).map(|off| off.rule.to_string()).collect();
    if off.is_empty() {
        return Ok(());
    }
    let off = off.join(", ");
    Err(Failure::Failed(anyhow::anyhow!("the draft was not tried to the end: {off} was switched off for its faults")))
}

/// Rules with their versions, in one line.
fn label(set: &RuleSet) -> String {
    let rules = set.all().map(|rule| format!("{} {}", rule.listed_as(), rule.manifest.version));
    rules.collect::<Vec<_>>().join(", ")
}
