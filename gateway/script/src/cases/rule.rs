//! The cases of rules.
//!
//! ```text
//! step    = times [ who ] input "->" [ outcome *( "," outcome ) ]
//! times   = "+" span                               one reading, so long after the case's start (`-` is before)
//!         / "+" span ".." span "/" span            readings from, to (inclusive), every
//! who     = "@" athlete [ "/" device ]             else one athlete, one device; `@/device` is worn by nobody
//! input   = quantity number unit *word             word: a quality flag (`poor_contact`, …) or an assurance (`psk`, …)
//!         / quantity "gap" reason [ extent ]
//!         / quantity "wave" count *word            so many samples
//! outcome = "raise" priority [ quoted message ] / "clear"
//! ```
//! The outcomes are those of all readings of the line together. Params are fixed by lines of their own ([`super`]).

use std::fmt;

use pitchside_model::reading::WAVE_SAMPLES_MAX;
use pitchside_model::{Assurance, AthleteId, Decimal, DeviceId, Gap, GapReason, Priority, Quality, Quantity, Unit};

use super::{
    Case, CaseResult, Fixed, Line, Report, Token, fixed, halves, parse_fixing, quality, quantity, unit, value,
};
use crate::problem::{Problem, one_line_list};
use crate::span;

/// The most readings one line stands for.
const REPEAT_MAX: i64 = 100_000;

/// One case: readings in the order they arrive, and what comes of each line.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleCase<O = Outcome> {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// The params it fixes.
    pub fixed: Vec<Fixed>,
    /// Its lines.
    pub steps: Vec<RuleStep<O>>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStep<O = Outcome> {
    /// The line in the file.
    pub line: usize,
    /// When, in microseconds from the start: first, last, every (0 = once).
    pub times: (i64, i64, i64),
    /// Whose reading it is; none if nobody wears the device.
    pub athlete: Option<AthleteId>,
    /// The device.
    pub device: DeviceId,
    /// How sure we are who sent it.
    pub assurance: Assurance,
    /// What it says.
    pub quantity: Quantity,
    /// The number or the gap.
    pub content: Content,
    /// What is known to be wrong with it.
    pub quality: Quality,
    /// What must come of it.
    pub expected: Vec<O>,
}

impl<O> RuleStep<O> {
    /// The times of the line's readings, in microseconds from the start.
    pub fn instants(&self) -> impl Iterator<Item = i64> + use<O> {
        let (first, last, every) = self.times;
        (0..).map(move |i| first + i * every.max(1)).take_while(move |t| *t <= last)
    }
}

/// What a step's reading holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// A number in a unit, which may be the wrong one.
    Number(Decimal, Unit),
    /// A gap.
    Gap(Gap),
    /// A waveform of so many samples.
    Wave(usize),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An alert is raised; in a case the message need not be given.
    Raise(Priority, Option<String>),
    /// An alert is cleared.
    Clear,
}

/// What a case expects, or what came.
pub(super) trait Came: fmt::Display {
    /// Whether what came is what was expected.
    fn meets(&self, got: &Self) -> bool;
}

impl Came for Outcome {
    fn meets(&self, got: &Self) -> bool {
        match (self, got) {
            (Self::Raise(want, None), Self::Raise(priority, _)) => want == priority,
            _ => self == got,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raise(priority, None) => write!(f, "raise {priority}"),
            Self::Raise(priority, Some(message)) => write!(f, "raise {priority} \"{message}\""),
            Self::Clear => f.write_str("clear"),
        }
    }
}

/// Reads the cases of a rule.
pub fn parse_rule_cases(file: &str, source: &str) -> Result<Vec<RuleCase>, Vec<Problem>> {
    parse_with(file, source, outcome)
}

/// Reads what follows the arrow.
pub(super) type Reads<O> = fn(&Line<'_>, &[Token<'_>], Token<'_>) -> Result<O, Problem>;

/// Reads cases whose outcomes are written otherwise.
pub(super) fn parse_with<O>(file: &str, source: &str, outcome: Reads<O>) -> Result<Vec<RuleCase<O>>, Vec<Problem>> {
    let cases = parse_fixing(file, source, |line, text| step(line, text, outcome), fixed)?;
    let case = |Case { name, line, fixed, steps }| RuleCase { name, line, fixed, steps };
    Ok(cases.into_iter().map(case).collect())
}

/// Runs cases. `run` gets a case and answers, for each of its steps, what came out; or why it could not.
pub fn run_rule_cases(
    of: &str,
    file: &str,
    cases: &[RuleCase],
    run: impl FnMut(&RuleCase) -> Result<Vec<Vec<Outcome>>, String>,
) -> Report {
    run_with(of, file, cases, run)
}

/// Runs cases of any outcomes.
pub(super) fn run_with<O: Came>(
    of: &str,
    file: &str,
    cases: &[RuleCase<O>],
    mut run: impl FnMut(&RuleCase<O>) -> Result<Vec<Vec<O>>, String>,
) -> Report {
    let mut report = Report::default();
    for case in cases {
        let failures = match run(case) {
            Err(why) => vec![Problem::at(file, (case.line, 1), why)],
            Ok(outcomes) => {
                let none = Vec::new();
                let steps = case.steps.iter().enumerate();
                steps.filter_map(|(i, step)| compare(file, step, outcomes.get(i).unwrap_or(&none))).collect()
            }
        };
        report.cases.push(CaseResult::new(of, &case.name, failures));
    }
    report
}

fn compare<O: Came>(file: &str, step: &RuleStep<O>, got: &[O]) -> Option<Problem> {
    let same = step.expected.len() == got.len() && step.expected.iter().zip(got).all(|(want, got)| want.meets(got));
    let words = |list: &[O]| match list {
        [] => "nothing".to_owned(),
        _ => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    (!same).then(|| {
        let text = format!("expected {}, got {}", words(&step.expected), words(got));
        Problem::at(file, (step.line, 1), text)
    })
}

fn step<O>(line: &Line<'_>, text: &str, outcome: Reads<O>) -> Result<RuleStep<O>, Problem> {
    let (left, right) = halves(line, text)?;
    let end = Token { text: "", column: text.chars().count() + 1 };
    let mut words = left.into_iter().peekable();
    let mut next = |what: &str| words.next().ok_or_else(|| line.problem(end, format!("{what} is missing")));

    let times = times(line, next("a time such as `+60s`")?)?;
    let mut token = next("a quantity")?;
    let (mut athlete, mut device) = ("athlete", "device");
    if let Some(who) = token.text.strip_prefix('@') {
        (athlete, device) = who.split_once('/').unwrap_or((who, device));
        token = next("a quantity")?;
    }
    let name = |error: pitchside_model::id::NameError| line.problem(token, error.to_string());
    let athlete = if athlete.is_empty() { None } else { Some(AthleteId::parse(athlete).map_err(name)?) };
    let device = DeviceId::parse(device).map_err(name)?;
    let quantity = quantity(line, token)?;

    let number = next("a value, `gap` or `wave`")?;
    let content = match number.text {
        "gap" => Content::Gap(Gap { reason: reason(line, next("a reason")?)?, extent: 0 }),
        "wave" => Content::Wave(samples(line, next("a number of samples")?)?),
        _ => Content::Number(value(line, number)?, unit(line, next("a unit")?, quantity)?),
    };
    let mut made = RuleStep {
        line: line.number,
        times,
        athlete,
        device,
        assurance: Assurance::Noise,
        quantity,
        content,
        quality: Quality::empty(),
        expected: Vec::new(),
    };
    for word in words {
        extra(line, word, &mut made)?;
    }
    for group in right {
        made.expected.push(outcome(line, &group, end)?);
    }
    Ok(made)
}

fn times(line: &Line<'_>, token: Token<'_>) -> Result<(i64, i64, i64), Problem> {
    let bad = || line.problem(token, format!("`{}` is not a time", token.text)).help("write +60s or +0s..5min/1s");
    let Some((first, rest)) = token.text.split_once("..") else {
        let at = span::parse_signed(token.text).ok_or_else(bad)?;
        return Ok((at, at, 0));
    };
    let (last, every) = rest.split_once('/').ok_or_else(bad)?;
    let first = span::parse_signed(first).ok_or_else(bad)?;
    let (last, every) = (span::parse(last).ok_or_else(bad)?, span::parse(every).ok_or_else(bad)?);
    if every == 0 || last < first || (last.saturating_sub(first)) / every >= REPEAT_MAX {
        return Err(line.problem(token, format!("must end after it begins and have at most {REPEAT_MAX} readings")));
    }
    Ok((first, last, every))
}

pub(super) fn reason(line: &Line<'_>, token: Token<'_>) -> Result<GapReason, Problem> {
    GapReason::from_name(token.text).ok_or_else(|| {
        line.problem(token, format!("`{}` is no reason for a gap", token.text))
            .help(format!("there are {}", one_line_list(GapReason::ALL.map(GapReason::name))))
    })
}

/// How many samples a waveform has.
pub(super) fn samples(line: &Line<'_>, token: Token<'_>) -> Result<usize, Problem> {
    let count = token.text.parse().ok().filter(|n| *n <= WAVE_SAMPLES_MAX);
    count.ok_or_else(|| line.problem(token, format!("`{}` is no number up to {WAVE_SAMPLES_MAX}", token.text)))
}

/// A word after the value: a flag, an assurance, or how much is missing.
fn extra<O>(line: &Line<'_>, word: Token<'_>, step: &mut RuleStep<O>) -> Result<(), Problem> {
    if let Some(flag) = quality(word.text) {
        step.quality |= flag;
    } else if let Some(found) = (0..=4).filter_map(Assurance::from_code).find(|a| a.to_string() == word.text) {
        step.assurance = found;
    } else if let Content::Gap(gap) = &mut step.content {
        let extent = span::parse(word.text).and_then(|n| u64::try_from(n).ok()).or_else(|| word.text.parse().ok());
        gap.extent = extent.ok_or_else(|| line.problem(word, format!("`{}` is no span and no count", word.text)))?;
    } else {
        let known = ["implausible", "future", "late", "no_clock", "poor_contact", "wired", "password", "bonded", "psk"];
        return Err(line.problem(word, format!("`{}` is not known here", word.text)).suggest(word.text, known));
    }
    Ok(())
}

fn outcome(line: &Line<'_>, group: &[Token<'_>], end: Token<'_>) -> Result<Outcome, Problem> {
    let first = group.first().copied().unwrap_or(end);
    let priority = match group.get(1).map(|t| t.text) {
        Some("low") => Some(Priority::Low),
        Some("medium") => Some(Priority::Medium),
        Some("high") => Some(Priority::High),
        _ => None,
    };
    let message = group.get(2).map(|t| t.text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')));
    match (first.text, priority, message, group.len()) {
        ("clear", None, None, 1) => Ok(Outcome::Clear),
        ("raise", Some(priority), None, 2) => Ok(Outcome::Raise(priority, None)),
        ("raise", Some(priority), Some(Some(message)), 3) => Ok(Outcome::Raise(priority, Some(message.to_owned()))),
        ("raise", ..) => Err(line.problem(first, "write `raise low|medium|high`, and a message in quotes if you like")),
        _ => Err(line
            .problem(first, format!("`{}` is not an outcome", first.text))
            .suggest(first.text, ["raise", "clear"])
            .or_help("write `raise PRIORITY` or `clear`, separated by commas")),
    }
}
