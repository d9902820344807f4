//! Arguments that stand in the source: spans of time, which are read there before the first call; percents; and the one word a
//! function takes.

use super::Source;
use super::calls::argument_starts;
use super::kinds::single;
use super::names::How;
use super::signature::Type;
use super::token::Kind;
use crate::problem::{Code, Problem};
use crate::span::parse;

/// The longest span of a window: a day, in microseconds.
const SPAN_MAX: i64 = 86_400_000_000;

/// The names of a table entry's parameters: `percentile(percent, span)`.
fn parameters(entry: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = entry.split_once('(')?;
    Some((name, rest.trim_end_matches(')').split(',').map(str::trim).collect()))
}

/// Spans, percents and words of calls of the functions in `table` that are none.
pub(crate) fn check(source: &Source<'_>, table: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.kind != Kind::Name || !source.is(at + 1, "(") {
            continue;
        }
        let starts = argument_starts(source, at + 1);
        let own = How::Function(starts.len());
        if source.bound.iter().any(|bound| bound.name == token.text && bound.how == own) {
            continue;
        }
        let is_method = source.before(at, ".") || source.before(at, "?.");
        // The table knows functions of inputs as methods. Called without the dot they take the input first.
        let hidden = usize::from(!is_method && is_of_inputs(source, &token.text));
        if hidden == 1 && !starts.first().is_some_and(|first| is_input(source, *first)) {
            continue;
        }
        let mut named = table.iter().filter_map(|entry| parameters(entry)).filter(|(name, _)| *name == token.text);
        let Some((_, names)) = named.find(|(_, names)| names.len() + hidden == starts.len()) else { continue };
        for (name, at) in names.iter().zip(starts.into_iter().skip(hidden)) {
            problems.extend(match *name {
                "span" => span(source, at, SPAN_MAX),
                "half_life" => span(source, at, i64::MAX),
                "percent" => percent(source, at, &token.text),
                word if word.starts_with('"') => other_word(source, at, (token.text.as_str(), word)),
                _ => None,
            });
        }
    }
    problems
}

/// Whether functions of this name are called on inputs.
fn is_of_inputs(source: &Source<'_>, name: &str) -> bool {
    let known = source.signatures.and_then(|signatures| signatures.get(name));
    known.into_iter().flatten().any(|signature| matches!(signature.params.first(), Some((_, Type::Own(_)))))
}

/// Whether the argument that begins here is surely an input.
fn is_input(source: &Source<'_>, at: usize) -> bool {
    is_alone(source, at) && matches!(single(source, at), Type::Own(_))
}

/// Whether the argument that begins here is this token alone.
pub(super) fn is_alone(source: &Source<'_>, at: usize) -> bool {
    source.is(at + 1, ",") || source.is(at + 1, ")")
}

fn percent(source: &Source<'_>, at: usize, function: &str) -> Option<Problem> {
    let minus = usize::from(source.is(at, "-"));
    let number = source.tokens.get(at + minus).filter(|token| matches!(token.kind, Kind::Integer | Kind::Float))?;
    let percent: f64 = number.text.replace('_', "").parse().ok()?;
    let is_one = (0.0..=100.0).contains(&percent) && (minus == 0 || percent == 0.0);
    if is_one || !is_alone(source, at + minus) {
        return None;
    }
    let sign = if minus == 1 { "-" } else { "" };
    let text = format!("`{function}` takes a percent from 0 to 100, not {sign}{}", number.text);
    Some(source.problem(at, Code::Value, text))
}

/// Another text than the one that the table writes out. An empty one is none.
fn other_word(source: &Source<'_>, at: usize, (function, word): (&str, &str)) -> Option<Problem> {
    let token = source.tokens.get(at).filter(|token| token.kind == Kind::Text && is_alone(source, at))?;
    if token.text.is_empty() || token.text == word.trim_matches('"') {
        return None;
    }
    let text = format!("`{function}` takes {word} here, not \"{}\"", token.text);
    Some(source.problem(at, Code::Value, text).help(format!("write {word}, or leave it out")))
}

fn span(source: &Source<'_>, at: usize, longest: i64) -> Option<Problem> {
    let token = source.tokens.get(at)?;
    if token.kind == Kind::Open && token.text == "`" {
        let problem =
            source.problem(at, Code::Span, "a span is read before the script runs and cannot be put together");
        return Some(problem.help("write it out, e.g. \"5min\""));
    }
    if token.kind != Kind::Text {
        return None;
    }
    let text = &token.text;
    match parse(text) {
        Some(micros) if (1..=longest).contains(&micros) => None,
        Some(_) => Some(source.problem(at, Code::Span, format!("\"{text}\" is no span of at most a day"))),
        None => {
            let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let digits = bare.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = match bare[digits.len()..].to_ascii_lowercase().as_str() {
                "m" | "mins" | "minute" | "minutes" => "min",
                "sec" | "secs" | "second" | "seconds" => "s",
                "hr" | "hrs" | "hour" | "hours" => "h",
                "day" | "days" => "d",
                _ => &bare[digits.len()..],
            };
            let meant = format!("{digits}{unit}");
            let problem = source.problem(at, Code::Span, format!("\"{text}\" is no span of time"));
            Some(match parse(&meant) {
                Some(_) => problem.help(format!("did you mean \"{meant}\"?")),
                None => problem.help("a whole number and ms, s, min, h or d, e.g. \"90s\""),
            })
        }
    }
}
