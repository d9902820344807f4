//! The cases of decoders.
//!
//! ```text
//! step    = [ "on" topic ] hex "->" ( [ expected *( "," expected ) ] / "error" name )
//! topic   = where a hub publishes, without `in/NAME/`; in double quotes if there is white space in it
//! hex     = *( 2HEXDIG )                           bytes, white space between them as you like
//! expected = [ times ] quantity number unit *flag  times: `+0s` from the payload's time; unchecked if left out
//!         / [ times ] quantity "gap" reason
//!         / [ times ] quantity "wave" count        so many samples
//! ```
//! The payloads of a case go to one decoder in turn, as of one device: what it keeps of the one, the next finds.

use std::fmt;

use pitchside_model::{Decimal, GapReason, Quality, Quantity, Reading, Timestamp, Unit, Value};

use super::rule::{reason, samples};
use super::{Case, CaseResult, Line, Report, Token, halves, parse, quality, quantity, unit, value};
use crate::problem::Problem;
use crate::span;

/// The most bytes of one payload.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a topic: what the gate takes.
const TOPIC_BYTES_MAX: usize = 512;

/// One case: payloads in the order they arrive, and what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginCase {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// Its lines.
    pub steps: Vec<PluginStep>,
}

/// One payload.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginStep {
    /// The line in the file.
    pub line: usize,
    /// Where a hub publishes them; empty: they have no topic.
    pub topic: String,
    /// The bytes.
    pub payload: Vec<u8>,
    /// The readings, or the name of the error.
    pub expected: Result<Vec<Expected>, String>,
}

/// A reading as a case describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Microseconds from the payload's time; none if it does not matter.
    pub offset: Option<i64>,
    /// What is measured.
    pub quantity: Quantity,
    /// What it says.
    pub content: ExpectedContent,
    /// What is known to be wrong with it.
    pub quality: Quality,
}

/// See [`Expected`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExpectedContent {
    /// A number, digits and exponent as written, in a unit.
    Number(Decimal, Unit),
    /// A gap with this reason.
    Gap(GapReason),
    /// A waveform of so many samples.
    Wave(usize),
}

impl Expected {
    fn meets(&self, reading: &Reading, payload_time: Timestamp) -> bool {
        let content = match (&self.content, &reading.value) {
            (ExpectedContent::Number(want, unit), Value::Number(got)) => want == got && *unit == reading.unit,
            (ExpectedContent::Gap(want), Value::Gap(got)) => *want == got.reason,
            (ExpectedContent::Wave(want), Value::Wave(got)) => *want == got.samples.len(),
            _ => false,
        };
        let time = self.offset.is_none_or(|offset| payload_time.plus_micros(offset) == reading.device_time);
        content && time && self.quantity == reading.quantity && self.quality == reading.quality
    }
}

/// Reads the cases of a decoder.
pub fn parse_plugin_cases(file: &str, source: &str) -> Result<Vec<PluginCase>, Vec<Problem>> {
    let cases = parse(file, source, step)?;
    Ok(cases.into_iter().map(|Case { name, line, steps, .. }| PluginCase { name, line, steps }).collect())
}

/// Runs cases. `run` gets a case and answers, for each of its steps, the readings or the name of the error; or, for the
/// whole case, why it could not run. `payload_time` is the time it gave the payloads.
pub fn run_plugin_cases(
    of: &str,
    file: &str,
    cases: &[PluginCase],
    payload_time: Timestamp,
    mut run: impl FnMut(&PluginCase) -> Result<Vec<Result<Vec<Reading>, String>>, String>,
) -> Report {
    let mut report = Report::default();
    for case in cases {
        let failures = match run(case) {
            Err(why) => vec![Problem::at(file, (case.line, 1), why)],
            Ok(outcomes) => {
                let silence = Err("no answer".to_owned());
                let steps = case.steps.iter().enumerate();
                steps
                    .filter_map(|(i, step)| compare(file, step, outcomes.get(i).unwrap_or(&silence), payload_time))
                    .collect()
            }
        };
        report.cases.push(CaseResult::new(of, &case.name, failures));
    }
    report
}

fn compare(
    file: &str,
    step: &PluginStep,
    got: &Result<Vec<Reading>, String>,
    payload_time: Timestamp,
) -> Option<Problem> {
    let same = match (&step.expected, got) {
        (Ok(want), Ok(got)) => {
            want.len() == got.len() && want.iter().zip(got).all(|(want, got)| want.meets(got, payload_time))
        }
        (Err(want), Err(got)) => want == got,
        _ => false,
    };
    let want = match &step.expected {
        Ok(list) => listed(list.iter().map(ToString::to_string)),
        Err(name) => format!("error {name}"),
    };
    let got = match got {
        Ok(list) => listed(list.iter().map(|reading| shown(reading, payload_time))),
        Err(name) => format!("error {name}"),
    };
    (!same).then(|| Problem::at(file, (step.line, 1), format!("expected {want}, got {got}")))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.take(32).collect();
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

fn flags(quality: Quality) -> String {
    quality.iter_names().fold(String::new(), |all, (name, _)| format!("{all} {}", name.to_lowercase()))
}

fn shown(reading: &Reading, payload_time: Timestamp) -> String {
    let offset = reading.device_time.micros_since(payload_time);
    let time = if offset < 0 { format!("-{}", span::format(-offset)) } else { format!("+{}", span::format(offset)) };
    let content = match &reading.value {
        Value::Number(number) => format!("{number} {}", reading.unit),
        Value::Gap(gap) => format!("gap {}", gap.reason.name()),
        Value::Wave(wave) => format!("wave {}", wave.samples.len()),
    };
    format!("{time} {} {content}{}", reading.quantity, flags(reading.quality))
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(micros) if micros < 0 => write!(f, "-{} ", span::format(-micros))?,
            Some(micros) => write!(f, "+{} ", span::format(micros))?,
            None => {}
        }
        let (quantity, flags) = (self.quantity, flags(self.quality));
        match self.content {
            ExpectedContent::Number(number, unit) => write!(f, "{quantity} {number} {unit}{flags}"),
            ExpectedContent::Gap(reason) => write!(f, "{quantity} gap {}{flags}", reason.name()),
            ExpectedContent::Wave(count) => write!(f, "{quantity} wave {count}{flags}"),
        }
    }
}

fn step(line: &Line<'_>, text: &str) -> Result<PluginStep, Problem> {
    let (left, right) = halves(line, text)?;
    let (topic, bytes_of) = match left.split_first() {
        Some((on, rest)) if on.text == "on" => match rest.split_first() {
            Some((token, rest)) => (topic(line, *token)?, rest),
            None => return Err(line.problem(*on, "`on` names a topic").help("on hall/state 32312e35 -> …")),
        },
        _ => (String::new(), left.as_slice()),
    };
    let mut payload = Vec::new();
    for token in bytes_of.iter().copied() {
        payload.extend(bytes(line, token)?);
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        let text = format!("{} bytes; a payload has at most {PAYLOAD_BYTES_MAX}", payload.len());
        return Err(Problem::at(line.file, (line.number, 1), text));
    }
    let end = Token { text: "", column: text.chars().count() + 1 };
    let expected = match right.first().map(Vec::as_slice) {
        Some([error, rest @ ..]) if error.text == "error" => match (rest, right.len()) {
            ([name], 1) => Err(name.text.to_owned()),
            _ => return Err(line.problem(*error, "write `error name`, and nothing else")),
        },
        _ => Ok(right.iter().map(|group| expected(line, group, end)).collect::<Result<_, _>>()?),
    };
    Ok(PluginStep { line: line.number, topic, payload, expected })
}

fn topic(line: &Line<'_>, token: Token<'_>) -> Result<String, Problem> {
    let topic = token.text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(token.text);
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains(['"', '+', '#', '\0']) {
        let text =
            format!("`{topic}` is no topic that is published to: 1 to {TOPIC_BYTES_MAX} bytes without wildcards");
        return Err(line.problem(token, text));
    }
    Ok(topic.to_owned())
}

fn bytes(line: &Line<'_>, token: Token<'_>) -> Result<Vec<u8>, Problem> {
    let bad = || line.problem(token, format!("`{}` is not bytes", token.text)).help("two hexadecimal digits a byte");
    if !token.text.len().is_multiple_of(2) || !token.text.is_ascii() {
        return Err(bad());
    }
    (0..token.text.len())
        .step_by(2)
        .map(|at| token.text.get(at..at + 2).filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit())))
        .map(|digits| digits.and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(bad))
        .collect()
}

fn expected(line: &Line<'_>, group: &[Token<'_>], end: Token<'_>) -> Result<Expected, Problem> {
    let mut words = group.iter().copied().peekable();
    let offset = words.peek().and_then(|t| span::parse_signed(t.text));
    if offset.is_some() {
        words.next();
    }
    let mut next = |what: &str| words.next().ok_or_else(|| line.problem(end, format!("{what} is missing")));
    let quantity = quantity(line, next("a quantity")?)?;
    let token = next("a value, `gap` or `wave`")?;
    let content = match token.text {
        "gap" => ExpectedContent::Gap(reason(line, next("a reason")?)?),
        "wave" => ExpectedContent::Wave(samples(line, next("a number of samples")?)?),
        _ => ExpectedContent::Number(value(line, token)?, unit(line, next("a unit")?, quantity)?),
    };
    let mut flags = Quality::empty();
    for word in words {
        flags |= quality(word.text).ok_or_else(|| line.problem(word, format!("`{}` is no flag", word.text)))?;
    }
    Ok(Expected { offset, quantity, content, quality: flags })
}
