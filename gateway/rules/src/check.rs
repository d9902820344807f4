//! Runs the cases of rules, for tests, the command line and the web alike.

use std::path::Path;
use std::sync::Arc;

use pitchside_model::{AlertEvent, Entry, Epoch, Reading, Seq, Timestamp, Value, Wave};
use pitchside_script::Problem;
use pitchside_script::cases::{
    Content, Fixing, Made, Outcome, Report, RuleCase, fixings, parse_derived_cases, parse_rule_cases,
    run_derived_cases, run_rule_cases,
};
use pitchside_script::manifest::Param;
use pitchside_script::problem::PROBLEMS_MAX;

use crate::engine::Engine;
use crate::item::{Point, PointContent};
use crate::library::{RuleSet, RuleSource, folders, read_file};

/// When cases begin: any time does, as rules know only event time.
pub const CASE_START: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// Runs the cases of every rule below `folder`.
pub fn run_cases(folder: &Path) -> Report {
    let mut report = Report::default();
    let names = match folders(folder) {
        Ok(names) => names,
        Err(problems) => return Report { problems, ..report },
    };
    for name in names {
        report.extend(run_rule_folder(&folder.join(&name), &name));
    }
    report
}

/// Runs the cases of one rule's folder.
pub fn run_rule_folder(folder: &Path, name: &str) -> Report {
    match read_rule_folder(folder, name) {
        Ok([manifest, script, cases]) => run_rule_texts(name, &manifest, &script, &cases),
        Err(problems) => Report { problems, ..Report::default() },
    }
}

/// Manifest, script and cases of one rule's folder, for who has them run elsewhere.
pub fn read_rule_folder(folder: &Path, name: &str) -> Result<[String; 3], Vec<Problem>> {
    let read = |file: &str| read_file(&folder.join(file)).map_err(|e| Problem::of(&format!("{name}/{file}"), e));
    let texts = (read("rule.toml"), read("rule.rhai"), read("cases.txt"));
    match texts {
        (Ok(manifest), Ok(script), Ok(cases)) => Ok([manifest, script, cases]),
        (a, b, c) => Err([a.err(), b.err(), c.err()].into_iter().flatten().collect()),
    }
}

/// Runs the cases of a rule given as texts, such as a draft in the web editor.
pub fn run_rule_texts(name: &str, manifest: &str, script: &str, cases: &str) -> Report {
    let file = format!("{name}/cases.txt");
    let rule = RuleSource::in_folder(name, manifest, script);
    let params = rule.as_ref().ok().map(|rule| rule.manifest.params.as_slice());
    let (cases, wrong) = read_cases(parse_rule_cases, params, &file, cases);
    let compile = |rule: &RuleSource| RuleSet::new([rule.clone()]).and_then(|set| Engine::new(Arc::new(set))).err();
    let uncompiled = rule.as_ref().ok().and_then(compile).unwrap_or_default();
    match (rule, cases) {
        (Ok(rule), Some(cases)) if wrong.is_empty() && uncompiled.is_empty() => {
            run_rule_cases(name, &file, &cases, |case| run_case(&rule, case))
        }
        (rule, _) => {
            let problems = rule.err().into_iter().flatten().chain(wrong).chain(uncompiled).collect();
            Report { problems, ..Report::default() }
        }
    }
}

/// Cases, if they can be read, and all that is wrong with them: what they say, and what they fix of `params`, where those are known.
pub(crate) fn read_cases<O>(
    read: fn(&str, &str) -> Result<Vec<RuleCase<O>>, Vec<Problem>>,
    params: Option<&[(String, Param)]>,
    file: &str,
    source: &str,
) -> (Option<Vec<RuleCase<O>>>, Vec<Problem>) {
    let (cases, mut problems) = match read(file, source) {
        Ok(cases) => (Some(cases), Vec::new()),
        Err(problems) => (None, problems),
    };
    problems.extend(params.map(|params| not_to_be_fixed(params, file, source)).unwrap_or_default());
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.truncate(PROBLEMS_MAX);
    (cases, problems)
}

/// What cases fix that the manifest does not have, or not so.
fn not_to_be_fixed(params: &[(String, Param)], file: &str, source: &str) -> Vec<Problem> {
    let wrong = |fixing: Fixing| {
        let Some((name, param)) = params.iter().find(|(name, _)| *name == fixing.param) else {
            let names: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
            let there_are =
                if names.is_empty() { "it has none".to_owned() } else { format!("there are {}", names.join(", ")) };
            let why = format!("there is no param `{}`; {there_are}", fixing.param);
            return Some(Problem::at(file, fixing.place, why));
        };
        let (value, place) = fixing.value?;
        let why = if !(param.min..=param.max).contains(&value) {
            format!("{name} is {} to {}, not {value}", param.min, param.max)
        } else if param.whole && value.fract() != 0.0 {
            format!("{name} is a whole number, not {value}")
        } else {
            return None;
        };
        Some(Problem::at(file, place, why))
    };
    fixings(source).into_iter().filter_map(wrong).collect()
}

/// The rule or stream as a case wants it.
fn with_fixed<O>(source: &RuleSource, case: &RuleCase<O>) -> RuleSource {
    let mut source = source.clone();
    for fixed in &case.fixed {
        let param = source.manifest.params.iter_mut().find(|(name, _)| *name == fixed.param);
        if let Some((_, param)) = param {
            param.default = fixed.value;
        }
    }
    source
}

fn run_case(rule: &RuleSource, case: &RuleCase) -> Result<Vec<Vec<Outcome>>, String> {
    let set = RuleSet::new([with_fixed(rule, case)]).map_err(|_| "the rule cannot be read".to_owned())?;
    let mut engine = Engine::new(Arc::new(set)).map_err(|_| "the rule does not compile".to_owned())?;
    let mut outcomes = Vec::new();
    for (at, entries) in case_entries(case).into_iter().enumerate() {
        let fed = engine.feed(&entries);
        if let Some(failed) = fed.faults.first() {
            let line = case.steps.get(at).map_or(0, |step| step.line);
            return Err(format!("line {line}: the rule was stopped: {}", failed.fault));
        }
        outcomes.push(fed.events.into_iter().map(outcome).collect());
    }
    Ok(outcomes)
}

/// Runs the cases of a derived stream given as texts.
pub fn run_stream_texts(name: &str, manifest: &str, script: &str, cases: &str) -> Report {
    let file = format!("{name}/cases.txt");
    let stream = RuleSource::parse_stream(name, manifest, script);
    let params = stream.as_ref().ok().map(|stream| stream.manifest.params.as_slice());
    let (cases, wrong) = read_cases(parse_derived_cases, params, &file, cases);
    let alone = |stream: RuleSource| Arc::new(RuleSet { streams: vec![stream], ..RuleSet::default() });
    let compile = |stream: &RuleSource| Engine::new(alone(stream.clone())).err();
    let uncompiled = stream.as_ref().ok().and_then(compile).unwrap_or_default();
    match (stream, cases) {
        (Ok(stream), Some(cases)) if wrong.is_empty() && uncompiled.is_empty() => {
            run_derived_cases(name, &file, &cases, |case| run_stream_case(alone(with_fixed(&stream, case)), case))
        }
        (stream, _) => {
            let problems = stream.err().into_iter().flatten().chain(wrong).chain(uncompiled).collect();
            Report { problems, ..Report::default() }
        }
    }
}

/// What comes of the last reading of each step.
fn run_stream_case(set: Arc<RuleSet>, case: &RuleCase<Made>) -> Result<Vec<Vec<Made>>, String> {
    let mut engine = Engine::new(set).map_err(|_| "the stream does not compile".to_owned())?;
    let mut outcomes = Vec::new();
    for (step, entries) in case.steps.iter().zip(case_entries(case)) {
        let mut last = Vec::new();
        for entry in &entries {
            engine.told = Some(Vec::new());
            if let Some(failed) = engine.feed(std::slice::from_ref(entry)).faults.first() {
                return Err(format!("line {}: the stream was stopped: {}", step.line, failed.fault));
            }
            last = engine.told.take().unwrap_or_default();
        }
        outcomes.push(last.into_iter().map(made).collect());
    }
    Ok(outcomes)
}

fn made(point: Point) -> Made {
    match point.content {
        PointContent::Number(value) => Made::Reading(point.quantity, value, point.quality),
        PointContent::Gap(gap) => Made::Gap(Some(gap.reason)),
        PointContent::Wave | PointContent::Samples(_) => Made::Nothing,
    }
}

fn outcome(event: AlertEvent) -> Outcome {
    match event {
        AlertEvent::Raised(alert) => Outcome::Raise(alert.priority, Some(alert.message)),
        AlertEvent::Cleared { .. } => Outcome::Clear,
    }
}

/// So many samples of nothing, at 250 Hz: rules see only that a waveform came.
fn flat(count: usize) -> Wave {
    Wave { period_ns: 4_000_000, exponent: 0, offset: 0, samples: vec![0; count] }
}

/// The entries of each step of a case, one reading a message.
pub fn case_entries<O>(case: &RuleCase<O>) -> Vec<Vec<Entry>> {
    let mut seq = 0;
    let steps = case.steps.iter();
    steps
        .map(|step| {
            let (value, unit) = match step.content {
                Content::Number(number, unit) => (Value::Number(number), unit),
                Content::Gap(gap) => (Value::Gap(gap), step.quantity.unit()),
                Content::Wave(count) => (Value::Wave(Box::new(flat(count))), step.quantity.unit()),
            };
            let entry = |micros: i64| {
                let time = CASE_START.plus_micros(micros);
                seq += 1;
                Entry {
                    device: step.device.clone(),
                    athlete: step.athlete.clone(),
                    assurance: step.assurance,
                    epoch: Epoch(0),
                    seq: Seq(seq),
                    readings: vec![Reading {
                        quantity: step.quantity,
                        unit,
                        device_time: time,
                        gateway_time: time,
                        quality: step.quality,
                        value: value.clone(),
                    }],
                }
            };
            step.instants().map(entry).collect()
        })
        .collect()
}
