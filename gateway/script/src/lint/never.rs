//! Comparisons that never hold: which of two is greater where they are of two kinds, and with a text that a variable never is. Rhai
//! takes both for false.

use super::Source;
use super::calls::assigned;
use super::kinds::{is_between, left, right};
use super::piece;
use super::signature::Type;
use super::token::Kind;
use crate::problem::{Code, Problem};

/// `values`: variables that are one of a few texts, and which.
pub(super) fn check(source: &Source<'_>, values: &[(&str, &[&str])]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        match (token.kind, token.text.as_str()) {
            (Kind::Symbol, "<" | "<=" | ">" | ">=") if is_between(source, at) => problems.extend(greater(source, at)),
            (Kind::Symbol, "==" | "!=") => problems.extend(equal(source, values, at)),
            (Kind::Name, "switch") => problems.extend(arms(source, values, at)),
            _ => {}
        }
    }
    problems
}

/// Kinds whose values can be compared share a number.
fn comparable(kind: &Type) -> Option<u8> {
    match kind {
        Type::Bool => Some(0),
        Type::Integer | Type::Float | Type::Number => Some(1),
        Type::Text | Type::Char => Some(2),
        Type::Array | Type::Blob | Type::Map => Some(3),
        Type::Any | Type::Nothing | Type::Function | Type::Own(_) => None,
    }
}

fn greater(source: &Source<'_>, at: usize) -> Option<Problem> {
    let ((place, left), (_, right)) = (left(source, at)?, right(source, at)?);
    let differ = comparable(&left)? != comparable(&right)?;
    let text = format!("`{}` of {left} and {right} never holds", source.tokens[at].text);
    differ.then(|| source.problem(place, Code::Type, text).warning())
}

/// The texts the variable by itself at this place can be.
fn texts<'v>(source: &Source<'_>, values: &[(&str, &'v [&'v str])], at: usize) -> Option<&'v [&'v str]> {
    let name = source.tokens.get(at)?.text.as_str();
    let is_it = source.is_variable(at) && piece::end(source, at) == Some(at + 1);
    // One that the script changes may be any text.
    let changes = |at: usize| {
        source.tokens[at].text == name && source.is_variable(at) && (assigned(source, at) || source.is(at + 1, "."))
    };
    let is_own = source.known(name).is_some() && !(0..source.tokens.len()).any(changes);
    values.iter().find(|(known, _)| *known == name && is_it && is_own).map(|(_, texts)| *texts)
}

fn equal(source: &Source<'_>, values: &[(&str, &[&str])], at: usize) -> Option<Problem> {
    let ((left, _), (right, _)) = (left(source, at)?, right(source, at)?);
    let sides = [(left, right), (right, left)];
    sides.into_iter().find_map(|(name, text)| never(source, values, name, text))
}

/// The texts that the arms of a `switch` over such a variable begin with.
fn arms(source: &Source<'_>, values: &[(&str, &[&str])], at: usize) -> Vec<Problem> {
    let (name, open) = (at + 1, at + 2);
    let mut problems = Vec::new();
    if !source.is(open, "{") {
        return problems;
    }
    let mut at = open + 1;
    while at < source.closings[open].min(source.tokens.len()) {
        let begins =
            source.before(at, "{") || source.before(at, "}") || source.before(at, ",") || source.before(at, "|");
        let ends = ["=>", "|", "if"].iter().any(|end| source.is(at + 1, end));
        if begins && ends {
            problems.extend(never(source, values, name, at));
        }
        at = if source.tokens[at].kind == Kind::Open { source.closings[at] } else { at } + 1;
    }
    problems
}

/// A variable that is compared with a text it never is.
fn never(source: &Source<'_>, values: &[(&str, &[&str])], name: usize, text: usize) -> Option<Problem> {
    let texts = texts(source, values, name)?;
    let written = source.tokens.get(text).filter(|token| token.kind == Kind::Text)?.text.as_str();
    if texts.contains(&written) {
        return None;
    }
    let said = format!("`{}` is never \"{written}\"", source.tokens[name].text);
    let problem = source.problem(text, Code::Value, said).warning().suggest(written, texts.iter().copied());
    Some(problem.or_help(&format!("it is one of {}", texts.join(", "))))
}
