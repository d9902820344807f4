//! Names that helpers remember by: their first argument, as far as it is written as a text. What is wrong with one a rule is else
//! told only when it runs, or not at all.

use std::collections::BTreeSet;
use std::iter::once;
use std::ops::Range;

use super::calls::argument_starts;
use super::kinds::is_truth;
use super::names::How;
use super::token::Kind;
use super::written::is_alone;
use super::{Memory, Source};
use crate::problem::{Code, Problem};

/// A call of a helper that remembers: its tokens.
struct Call {
    helper: usize,
    name: usize,
    /// Its arguments after name and span.
    conditions: Vec<Range<usize>>,
}

/// Names that are none, that two helpers share, or of which there are too many.
pub(super) fn check(source: &Source<'_>, memory: &Memory<'_>) -> Vec<Problem> {
    let (mut known, mut problems): (Vec<Call>, Vec<Problem>) = (Vec::new(), Vec::new());
    for call in (0..source.tokens.len()).filter_map(|at| call(source, memory, at)) {
        match misnamed(source, memory, &call) {
            Some(problem) => problems.push(problem),
            None => {
                problems.extend(taken(source, memory, &known, &call));
                known.push(call);
            }
        }
    }
    problems
}

fn call(source: &Source<'_>, memory: &Memory<'_>, helper: usize) -> Option<Call> {
    let token = &source.tokens[helper];
    if token.kind != Kind::Name || !memory.helpers.contains(&token.text.as_str()) || !source.is(helper + 1, "(") {
        return None;
    }
    let mut starts = argument_starts(source, helper + 1);
    let own = How::Function(starts.len());
    if source.elsewhere.contains(&token.text) || source.bound.iter().any(|b| b.name == token.text && b.how == own) {
        return None;
    }
    // Rhai lets a function be called as a method of its first argument.
    let is_method = source.before(helper, ".");
    let name = if is_method { helper.checked_sub(2)? } else { *starts.first()? };
    if source.tokens[name].kind != Kind::Text || !(is_method || is_alone(source, name)) {
        return None;
    }
    if !is_method {
        starts.remove(0);
    }
    let close = source.closings[helper + 1].min(source.tokens.len());
    let end = close - usize::from(source.before(close, ","));
    let ends = starts.iter().skip(1).map(|next| next - 1).chain(once(end));
    let conditions = starts.iter().zip(ends).skip(1).map(|(from, to)| *from..to).collect();
    Some(Call { helper, name, conditions })
}

/// A name that is empty or too long.
fn misnamed(source: &Source<'_>, memory: &Memory<'_>, call: &Call) -> Option<Problem> {
    let (name, most) = (source.tokens[call.name].text.as_str(), memory.name_bytes_max);
    // How long what is escaped is, Rhai knows.
    let is_too_long = name.len() > most && !name.contains(['\\', '"']);
    if !is_too_long && !name.is_empty() {
        return None;
    }
    let text = format!("a name to remember by has 1 to {most} bytes, this has {}: the call fails", name.len());
    let help = if is_too_long { "write a shorter one" } else { "name what is remembered, e.g. \"hard\"" };
    Some(source.problem(call.name, Code::Value, text).help(help))
}

/// A name that is another call's.
fn taken(source: &Source<'_>, memory: &Memory<'_>, known: &[Call], call: &Call) -> Option<Problem> {
    let text = |at: usize| source.tokens[at].text.as_str();
    let (name, helper) = (text(call.name), text(call.helper));
    let line = |at: usize| source.tokens[at].line;
    let same: Vec<&Call> = known.iter().filter(|other| text(other.name) == name).collect();
    let Some(first) = same.first() else {
        let names: BTreeSet<&str> = known.iter().map(|other| text(other.name)).collect();
        let many = names.len() >= memory.names_max;
        let most = memory.names_max;
        let told = format!("\"{name}\" is a name too many: a script remembers by {most} at most, and one more fails");
        return many.then(|| source.problem(call.name, Code::Value, told).help("ask for less, or write another rule"));
    };
    if text(first.helper) != helper {
        let told = format!(
            "\"{name}\" is the name of a `{}` already (line {}): whichever is asked second fails",
            text(first.helper),
            line(first.helper)
        );
        return Some(source.problem(call.name, Code::Name, told).help("give each a name of its own"));
    }
    let mixed = same.iter().find(|other| mix(source, other, call))?;
    let told = format!(
        "`{helper}` remembers something else by \"{name}\" already (line {}): what either is asked counts for both",
        line(mixed.helper)
    );
    Some(source.problem(call.name, Code::Name, told).help("give each a name of its own").warning())
}

/// Whether two calls of one helper under one name spoil what the other remembers. One that says `true` or `false` outright means to:
/// `times("blows", "1h", false)` ends a blow.
fn mix(source: &Source<'_>, first: &Call, second: &Call) -> bool {
    let (a, b) = (words(source, first), words(source, second));
    let is_outright = |all: &[Vec<&str>]| all.iter().any(|one| one.len() == 1 && one.iter().all(|word| is_truth(word)));
    // Of one condition a second span may be asked. Of two, what the first call hears of now is before the second one.
    let differ = a.len() > 1 || a != b;
    differ && !is_outright(&a) && !is_outright(&b) && !are_apart(source, first.helper, second.helper)
}

/// The conditions of a call, as they are written.
fn words<'s>(source: &'s Source<'_>, call: &Call) -> Vec<Vec<&'s str>> {
    let tokens = call.conditions.iter().map(|range| source.tokens.get(range.clone()).unwrap_or_default());
    tokens.map(|tokens| tokens.iter().map(|token| token.text.as_str()).collect()).collect()
}

/// Whether two places are in branches of which only one runs: of one `if`, or of one `switch`.
fn are_apart(source: &Source<'_>, first: usize, second: usize) -> bool {
    let around = |at: usize| -> Vec<usize> {
        (0..at).filter(|open| source.is(*open, "{") && source.closings[*open] > at).collect()
    };
    let (a, b) = (around(first), around(second));
    let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let is_of_switch = |open: usize| {
        let ends = |at: &usize| [";", "{", "}"].iter().any(|end| source.is(*at, end));
        (0..open).rev().take_while(|at| !ends(at)).any(|at| source.is(at, "switch"))
    };
    if shared.checked_sub(1).and_then(|last| a.get(last)).is_some_and(|open| is_of_switch(*open)) {
        return true;
    }
    let (Some(branch), Some(other)) = (a.get(shared), b.get(shared)) else { return false };
    let mut at = source.closings[*branch] + 1;
    while source.is(at, "else") {
        let Some(next) = (at..source.tokens.len()).find(|at| source.is(*at, "{")) else { return false };
        if next == *other {
            return true;
        }
        at = source.closings[next] + 1;
    }
    false
}
