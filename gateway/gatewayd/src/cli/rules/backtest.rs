//! `rules backtest`: a draft over sealed and verified history, beside the version in force.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use ledger_block::segment::Subject;
use pitchside_model::{AthleteId, Entry, Timestamp};
use pitchside_rules::backtest::{Backtest, Counts, Mark, Report};
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_seal::{Filter, History, Whose};
use serde::Serialize;

use super::rules_folder;
use crate::adapters::athletes::load_ring;
use crate::cli::context::Context;
use crate::cli::output::{self, Output, counted};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::past::{self, Walked};
use crate::plugins::streams::Streams;
use crate::rulebook::{self, in_words};

/// Portions of history that may wait to be evaluated.
const AHEAD: usize = 4;
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// The longest bar of the timeline, in characters.
const BAR_CHARS_MAX: u64 = 40;
/// How many alerts the text shows; JSON has more.
const SHOWN_MAX: usize = 40;

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
        let live = RuleSet::read(rules).map_err(problems)?;
        if let Some(rule) = live.rules().iter().find(|rule| rule.name().as_str() == which) {
            return RuleSet::new([rule.clone()]).map_err(problems);
        }
    }
    let (name, _, texts) = rulebook::version(&context.tables, which)
        .with_context(|| format!("{which} is neither a folder, nor a rule in force, nor a version"))?;
    let rule = RuleSource::parse(&name, &texts.manifest, &texts.script).map_err(problems)?;
    RuleSet::new([rule]).map_err(problems)
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
    // One thread verifies, decrypts and sorts; this one evaluates the draft, and another what is in force.
    std::thread::scope(|scope| {
        let (sender, portions) = sync_channel::<Arc<[Entry]>>(AHEAD);
        let mut history = History::new(&ring, &filter);
        let reader = scope.spawn(move || {
            past::walk(context, since, step, &mut |block| {
                let entries = history.read(block.header, block.payload).map_err(|error| block.bad(&error))?;
                // Nobody listens any more: then there is nothing left to read for.
                Ok(if sender.send(Arc::from(entries)).is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                })
            })
        });
        for entries in portions {
            backtest.feed(&entries);
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
    let rules = rules_folder(context).ok();
    let set = draft(which, rules.as_deref(), context)?;
    if set.rules().is_empty() {
        return Err(Failure::Usage(format!("{which} holds no rule")));
    }
    if let Some(athlete) = athlete
        && context.tables.athlete(athlete)?.is_none()
    {
        return Err(Failure::Usage(format!(
            "there is no athlete {athlete}; `pitchside athlete list` shows who there is"
        )));
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
    let said = said(which, from, now, versions, walked?, &backtest.finish());
    output.print(&said, words)?;
    Ok(())
}

/// Rules with their versions, in one line.
fn label(set: &RuleSet) -> String {
    let rules = set.all().map(|rule| format!("{} {}", rule.listed_as(), rule.manifest.version));
    rules.collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct Firing {
    alert: String,
    rule: String,
    event_time: String,
    athlete: Option<String>,
    device: String,
    value: Option<String>,
    cleared: Option<String>,
    difference: Mark,
    message: String,
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Said {
    schema: &'static str,
    draft: String,
    draft_rules: String,
    live_rules: String,
    since: String,
    until: String,
    blocks_verified: u64,
    blocks_heard: u64,
    blocks_only_in_ledger: u64,
    messages: u64,
    readings: u64,
    first_reading: Option<String>,
    last_reading: Option<String>,
    fires: u64,
    live_fires: u64,
    difference: Counts,
    subjects: Vec<Named>,
    timeline: Vec<Named>,
    alerts: Vec<Firing>,
    alerts_left_out: u64,
    faults: u64,
    first_faults: Vec<String>,
}

fn said(
    which: &str,
    from: Timestamp,
    now: Timestamp,
    (draft_rules, live_rules): (String, String),
    walked: Walked,
    report: &Report,
) -> Said {
    let named = |(name, counts): (String, &Counts)| Named { name, counts: *counts };
    let day = |day: i64| Timestamp(day * MICROS_PER_DAY).to_string().chars().take(10).collect::<String>();
    let alerts: Vec<Firing> = report
        .listed
        .iter()
        .map(|listed| Firing {
            alert: listed.alert.id.to_string(),
            rule: listed.alert.rule.to_string(),
            event_time: listed.alert.event_time.to_string(),
            athlete: listed.alert.athlete.as_ref().map(ToString::to_string),
            device: listed.alert.device.to_string(),
            value: listed.alert.value.map(|value| format!("{value} {}", listed.alert.unit)),
            cleared: listed.cleared.map(|at| at.to_string()),
            difference: listed.mark,
            message: listed.alert.message.clone(),
        })
        .collect();
    let all = report.counts.same + report.counts.new + report.counts.gone;
    Said {
        schema: "pitchside/backtest/1",
        draft: which.to_owned(),
        draft_rules,
        live_rules,
        since: from.to_string(),
        until: now.to_string(),
        blocks_verified: walked.chained,
        blocks_heard: walked.opened,
        blocks_only_in_ledger: walked.elsewhere,
        messages: report.messages,
        readings: report.readings,
        first_reading: report.span.map(|(first, _)| first.to_string()),
        last_reading: report.span.map(|(_, last)| last.to_string()),
        fires: report.counts.draft(),
        live_fires: report.counts.live(),
        difference: report.counts,
        subjects: report.subjects.iter().map(|(name, counts)| named((name.clone(), counts))).collect(),
        timeline: report.days.iter().map(|(at, counts)| named((day(*at), counts))).collect(),
        alerts_left_out: all - alerts.len() as u64,
        alerts,
        faults: report.faults,
        first_faults: report.listed_faults.iter().map(|fault| format!("{}: {}", fault.rule, fault.fault)).collect(),
    }
}

fn words(said: &Said) -> String {
    let mut text = format!(
        "{} on {} in {} since {}; {} verified\n",
        said.draft_rules,
        counted(said.readings, "reading"),
        counted(said.blocks_heard, "block"),
        &said.since[..10],
        counted(said.blocks_verified, "block"),
    );
    let in_force = if said.live_rules.is_empty() { "nothing of that name is in force" } else { &said.live_rules };
    text.push_str(&format!("fires {} times; in force: {in_force}, {} times\n", said.fires, said.live_fires));
    let Counts { same, new, gone } = said.difference;
    text.push_str(&format!("difference: {same} the same, {new} new, {gone} gone\n"));
    if said.blocks_only_in_ledger > 0 {
        let blocks = counted(said.blocks_only_in_ledger, "block");
        text.push_str(&format!("not heard: {blocks} of that time, which only the ledger holds any more\n"));
    }
    if said.faults > 0 {
        text.push_str(&format!(
            "the script was stopped {} times, first: {}\n",
            said.faults,
            said.first_faults.join("; ")
        ));
    }
    let most = said.timeline.iter().map(|day| day.counts.same + day.counts.new + day.counts.gone).max().unwrap_or(0);
    if most > 0 {
        text.push_str("\nTIMELINE (= the same, + new, - gone)\n");
    }
    for day in &said.timeline {
        let Counts { same, new, gone } = day.counts;
        let scaled = |count: u64| if most <= BAR_CHARS_MAX { count } else { (count * BAR_CHARS_MAX).div_ceil(most) };
        let stroke = |sign: &str, count: u64| sign.repeat(usize::try_from(scaled(count)).unwrap_or(0));
        let bar = format!("{}{}{}", stroke("=", same), stroke("+", new), stroke("-", gone));
        text.push_str(&format!("{}  {:>4}  {bar}\n", day.name, same + new + gone));
    }
    if !said.subjects.is_empty() {
        text.push_str("\nWHO           FIRES   NEW  GONE\n");
    }
    for who in &said.subjects {
        let counts = who.counts;
        text.push_str(&format!("{:<12} {:>6} {:>5} {:>5}\n", who.name, counts.draft(), counts.new, counts.gone));
    }
    if !said.alerts.is_empty() {
        text.push_str("\nWHEN                      WHO           VALUE         DIFFERENCE  ALERT\n");
    }
    for firing in said.alerts.iter().take(SHOWN_MAX) {
        let who = firing.athlete.as_ref().unwrap_or(&firing.device);
        let mark = match firing.difference {
            Mark::Same => "same",
            Mark::New => "new",
            Mark::Gone => "gone",
        };
        let value = firing.value.as_deref().unwrap_or("-");
        text.push_str(&format!("{:<25} {who:<13} {value:<13} {mark:<11} {}\n", firing.event_time, firing.alert));
    }
    let left_out = said.alerts.len().saturating_sub(SHOWN_MAX) as u64 + said.alerts_left_out;
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more\n"));
    }
    text.trim_end().to_owned()
}
