//! Values that are written as one piece: a single token, a property or function of a variable, a function that is called.

use std::collections::BTreeSet;

use super::Source;
use super::answers::is_number;
use super::kinds::{is_truth, single};
use super::signature::{Signature, Type};
use super::token::Kind;
use crate::compile::KEYWORDS;

/// Where the piece that begins here ends, behind its last token.
pub(super) fn end(source: &Source<'_>, from: usize) -> Option<usize> {
    let token = source.tokens.get(from)?;
    let close = |open: usize| source.closings.get(open).filter(|close| **close < source.tokens.len());
    let called = |open: usize| if source.is(open, "(") { close(open).map(|close| close + 1) } else { Some(open) };
    let is_name = |at: usize| source.tokens.get(at).is_some_and(|token| token.kind == Kind::Name);
    match token.kind {
        Kind::Integer | Kind::Float | Kind::Text | Kind::Char => Some(from + 1),
        Kind::Name if source.is(from + 1, "(") => called(from + 1).filter(|_| !KEYWORDS.contains(&token.text.as_str())),
        Kind::Name if dots(source, from + 1) && is_name(from + 2) => called(from + 3),
        Kind::Name => Some(from + 1),
        Kind::Open | Kind::Close | Kind::Symbol => None,
    }
}

/// Where the piece that ends with this token begins.
pub(super) fn begin(source: &Source<'_>, last: usize) -> Option<usize> {
    let token = source.tokens.get(last)?;
    let name = match token.kind {
        Kind::Integer | Kind::Float | Kind::Text | Kind::Char => return Some(last),
        Kind::Close if token.text == ")" => {
            (0..last).rev().find(|open| source.closings.get(*open) == Some(&last))?.checked_sub(1)?
        }
        Kind::Name => last,
        Kind::Open | Kind::Close | Kind::Symbol => return None,
    };
    let token = source.tokens.get(name)?;
    if token.kind != Kind::Name || KEYWORDS.contains(&token.text.as_str()) && !is_truth(&token.text) {
        return None;
    }
    let Some(dot) = name.checked_sub(1).filter(|dot| dots(source, *dot)) else { return Some(name) };
    dot.checked_sub(1).filter(|of| source.is_variable(*of))
}

fn dots(source: &Source<'_>, at: usize) -> bool {
    source.is(at, ".") || source.is(at, "?.")
}

/// The kind of the piece on these tokens, if it is sure.
pub(super) fn kind(source: &Source<'_>, from: usize, to: usize) -> Type {
    let Some(token) = source.tokens.get(from) else { return Type::Any };
    if to == from + 1 {
        let is_number = source.answer.is_some_and(|answer| is_number(source, &answer, from));
        return if is_number { Type::Number } else { single(source, from) };
    }
    if token.kind != Kind::Name {
        return Type::Any;
    }
    if source.is(from + 1, "(") {
        return returned(source, &token.text, |_| true);
    }
    let input = Type::Own("Input".to_owned());
    if !source.is_variable(from) || source.kind(&token.text) != input {
        return Type::Any;
    }
    let said = source.tokens.get(from + 2).map_or("", |token| token.text.as_str());
    let of_input = source.answer.is_some_and(|answer| answer.of_inputs.contains(&said));
    let is_of_input = |signature: &Signature| signature.params.first().is_some_and(|(_, kind)| *kind == input);
    let returns = if to == from + 3 { Type::Any } else { returned(source, said, is_of_input) };
    if returns == Type::Any && of_input { Type::Number } else { returns }
}

/// What a function of the box returns, if that is one kind whatever it is given.
fn returned(source: &Source<'_>, name: &str, counts: impl Fn(&Signature) -> bool) -> Type {
    let own = source.elsewhere.contains(name) || source.bound.iter().any(|bound| bound.name == name);
    let all = source.signatures.filter(|_| !own).and_then(|known| known.get(name)).into_iter().flatten();
    let kinds: BTreeSet<&Type> = all.filter(|signature| counts(signature)).map(|s| &s.returns).collect();
    match kinds.first() {
        Some(kind) if kinds.len() == 1 && !matches!(kind, Type::Own(_) | Type::Function) => (*kind).clone(),
        _ => Type::Any,
    }
}
