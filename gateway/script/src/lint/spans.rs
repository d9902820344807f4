//! Spans of time: written as texts, and read from the source before the first call, so they must stand there.

use super::Source;
use super::calls::argument_starts;
use super::token::Kind;
use crate::problem::{Code, Problem};
use crate::span;

/// The longest span of a window: a day, in microseconds.
const SPAN_MAX: i64 = 86_400_000_000;

/// The names of a table entry's parameters: `percentile(percent, span)`.
fn parameters(entry: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = entry.split_once('(')?;
    Some((name, rest.trim_end_matches(')').split(',').map(str::trim).collect()))
}

/// Spans of calls of the functions in `table` that are none.
pub(crate) fn check(source: &Source<'_>, table: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.kind != Kind::Name || !source.is(at + 1, "(") {
            continue;
        }
        let starts = argument_starts(source, at + 1);
        let named = table.iter().filter_map(|entry| parameters(entry)).filter(|(name, _)| *name == token.text);
        let Some((_, names)) = named.into_iter().find(|(_, names)| names.len() == starts.len()) else { continue };
        for (name, at) in names.iter().zip(starts) {
            let longest = match *name {
                "span" => SPAN_MAX,
                "half_life" => i64::MAX,
                _ => continue,
            };
            problems.extend(one(source, at, longest));
        }
    }
    problems
}

fn one(source: &Source<'_>, at: usize, longest: i64) -> Option<Problem> {
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
    match span::parse(text) {
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
            Some(match span::parse(&meant) {
                Some(_) => problem.help(format!("did you mean \"{meant}\"?")),
                None => problem.help("a whole number and ms, s, min, h or d, e.g. \"90s\""),
            })
        }
    }
}
