//! Kinds where operators and conditions want another: of literals, of variables whose kind the manifest fixes and
//! the script does not change, of what inputs say and functions of the box return.
//!
//! An operand counts only if it is one piece and whole: no operator that binds tighter takes a part of it.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::{assigned, kind_of};
use super::kept::combined;
use super::names::{Bound, How};
use super::signature::{Signature, Type};
use super::token::Kind;
use super::{Source, piece};
use crate::compile::KEYWORDS;
use crate::problem::{Code, Problem};

pub(super) type Signatures = BTreeMap<String, Vec<Signature>>;

/// How tightly operators bind (the book, "Operators").
const BINDS: &[(&str, u8)] = &[
    ("||", 30),
    ("|", 30),
    ("^", 30),
    ("&&", 60),
    ("&", 60),
    ("==", 90),
    ("!=", 90),
    ("in", 110),
    ("<", 130),
    ("<=", 130),
    (">", 130),
    (">=", 130),
    ("??", 135),
    ("..", 140),
    ("..=", 140),
    ("+", 150),
    ("-", 150),
    ("*", 180),
    ("/", 180),
    ("%", 180),
    ("**", 190),
    ("<<", 210),
    (">>", 210),
];
pub(super) const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "**"];
/// Those that bind to the right.
const POWER: &str = "**";

fn binds(source: &Source<'_>, at: usize) -> Option<u8> {
    BINDS.iter().find(|(operator, _)| source.is(at, operator)).map(|(_, binds)| *binds)
}

/// Variables the script may make something of another kind of: assigned what is not surely of their own, or given to a function
/// of the script's own to change.
pub(super) fn changed(source: &Source<'_>) -> BTreeSet<String> {
    let is_own = |at: usize| {
        source.tokens.get(at).is_some_and(|token| {
            let own = |bound: &Bound| bound.name == token.text && matches!(bound.how, How::Function(_));
            token.text == "call" || source.bound.iter().any(own)
        })
    };
    let changes = |at: usize| {
        let name = source.tokens.get(at).map_or("", |token| token.text.as_str());
        let known = source.known(name).map(|known| &known.kind);
        let called = source.is_variable(at) && source.is(at + 1, ".") && is_own(at + 2);
        known.is_some_and(|kind| called || assigned(source, at) && !keeps(source, at, kind))
    };
    (0..source.tokens.len()).filter(|at| changes(*at)).map(|at| source.tokens[at].text.clone()).collect()
}

/// Whether the assignment to the variable here leaves it of its kind, as far as that is written.
fn keeps(source: &Source<'_>, at: usize, kind: &Type) -> bool {
    let first = at + 2 + usize::from(source.is(at + 2, "-"));
    // Of variables nobody knows yet whether they change.
    let is_literal = source.tokens.get(first).is_some_and(|token| token.kind != Kind::Name || is_truth(&token.text));
    let given = if is_literal { value(source, first) } else { Type::Any };
    match kind {
        Type::Text if source.is(at + 1, "+=") => true,
        Type::Float if !source.is(at + 1, "=") => matches!(given, Type::Integer | Type::Float),
        _ => given == *kind && given != Type::Any,
    }
}

pub(super) fn is_truth(word: &str) -> bool {
    word == "true" || word == "false"
}

/// The kind of the token that is all of an assigned value.
pub(super) fn value(source: &Source<'_>, at: usize) -> Type {
    let ends = at + 1 >= source.tokens.len() || source.is(at + 1, ";") || source.is(at + 1, "}");
    if ends && at < source.tokens.len() { single(source, at) } else { Type::Any }
}

/// The kind of a token by itself, if it is sure.
pub(super) fn single(source: &Source<'_>, at: usize) -> Type {
    let Some(token) = source.tokens.get(at) else { return Type::Any };
    let named = token.kind == Kind::Name && !is_truth(&token.text);
    if named && !source.is_variable(at) { Type::Any } else { kind_of(source, at) }
}

/// Operators and conditions.
pub(super) fn check(source: &Source<'_>, known: &Signatures) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let found = match (token.kind, token.text.as_str()) {
            (Kind::Symbol, "&&" | "||") if is_between(source, at) => {
                [left(source, at), right(source, at)].map(|side| wants_bool(source, at, side))
            }
            (Kind::Symbol, "!") => [wants_bool(source, at, negated(source, at)), None],
            (Kind::Symbol, operator) if ARITHMETIC.contains(&operator) => [operands(source, known, at), None],
            (Kind::Name, "if" | "while" | "until") => [wants_bool(source, at, condition(source, at)), None],
            (Kind::Name, _) if assigned(source, at) && !source.is(at + 1, "=") => [combined(source, at), None],
            _ => continue,
        };
        problems.extend(found.into_iter().flatten());
    }
    problems
}

/// Where an operand stands, and its kind.
type Operand = (usize, Type);

/// What stands between two values, not before one.
pub(super) fn is_between(source: &Source<'_>, at: usize) -> bool {
    at.checked_sub(1).and_then(|before| source.tokens.get(before)).is_some_and(|before| match before.kind {
        Kind::Open | Kind::Symbol => false,
        Kind::Name => !KEYWORDS.contains(&before.text.as_str()) || is_truth(&before.text),
        _ => true,
    })
}

/// The whole left operand, if it is one piece.
pub(super) fn left(source: &Source<'_>, operator: usize) -> Option<Operand> {
    let at = piece::begin(source, operator.checked_sub(1)?)?;
    let whole = || (at, piece::kind(source, at, operator));
    let Some(before) = at.checked_sub(1) else { return Some(whole()) };
    let token = source.tokens.get(before)?;
    let begins = match token.kind {
        Kind::Open => true,
        // A block: the next statement begins.
        Kind::Close => token.text == "}",
        Kind::Name if token.text != "in" => KEYWORDS.contains(&token.text.as_str()),
        Kind::Name | Kind::Symbol => {
            let leads = [";", ",", "=", "=>", ":"].contains(&token.text.as_str()) || assigned_by(source, before);
            leads || binds(source, before).zip(binds(source, operator)).is_some_and(|(before, own)| before < own)
        }
        _ => false,
    };
    begins.then(whole)
}

fn assigned_by(source: &Source<'_>, symbol: usize) -> bool {
    symbol.checked_sub(1).is_some_and(|name| assigned(source, name))
}

/// The whole right operand, if it is one piece.
pub(super) fn right(source: &Source<'_>, operator: usize) -> Option<Operand> {
    let at = operator + 1;
    let end = piece::end(source, at)?;
    let whole = match source.tokens.get(end) {
        None => true,
        Some(next) => match next.kind {
            Kind::Close => true,
            Kind::Open => next.text == "{",
            Kind::Name | Kind::Symbol => {
                let ends = [";", ",", "=>"].contains(&next.text.as_str());
                let both_power = source.is(operator, POWER) && source.is(end, POWER);
                let looser = binds(source, end).zip(binds(source, operator)).is_some_and(|(next, own)| next <= own);
                ends || (looser && !both_power)
            }
            _ => false,
        },
    };
    whole.then(|| (at, piece::kind(source, at, end)))
}

/// What `!` stands before.
fn negated(source: &Source<'_>, at: usize) -> Option<Operand> {
    let end = piece::end(source, at + 1)?;
    let goes_on = [".", "?.", "::", "[", "(", "?"].iter().any(|text| source.is(end, text));
    (!goes_on).then(|| (at + 1, piece::kind(source, at + 1, end)))
}

/// The condition of an `if`, `while` or `until`, if it is one piece.
fn condition(source: &Source<'_>, at: usize) -> Option<Operand> {
    let is_word = !source.before(at, ".");
    let end = piece::end(source, at + 1)?;
    let ends = end >= source.tokens.len() || ["{", ";", "}"].iter().any(|text| source.is(end, text));
    (is_word && ends).then(|| (at + 1, piece::kind(source, at + 1, end)))
}

fn wants_bool(source: &Source<'_>, at: usize, operand: Option<Operand>) -> Option<Problem> {
    let (place, kind) = operand?;
    // Of inputs as operands `calls` tells.
    let of_operator = source.tokens[at].kind == Kind::Symbol && source.tokens[at].text != "!";
    if kind == Type::Any || kind == Type::Bool || (of_operator && matches!(kind, Type::Own(_))) {
        return None;
    }
    let text = format!("`{}` wants {}, this is {kind}", source.tokens[at].text, Type::Bool);
    Some(source.problem(place, Code::Type, text))
}

/// Whether an operator can be done with two kinds: by Rhai itself, or by a function that somebody registered.
fn can(known: &Signatures, operator: &str, left: &Type, right: &Type) -> bool {
    let is_number = |kind: &Type| matches!(kind, Type::Any | Type::Integer | Type::Float | Type::Number);
    let is_text = |kind: &Type| matches!(kind, Type::Any | Type::Text);
    let is_letters = |kind: &Type| matches!(kind, Type::Any | Type::Text | Type::Char);
    let built_in = match operator {
        "+" => is_letters(left) || is_letters(right),
        "-" => is_text(left) && is_letters(right),
        _ => false,
    };
    let registered = |signature: &Signature| match signature.params.as_slice() {
        [(_, first), (_, second)] => left.fits(first) && right.fits(second),
        _ => false,
    };
    is_number(left) && is_number(right) || built_in || known.get(operator).into_iter().flatten().any(registered)
}

fn operands(source: &Source<'_>, known: &Signatures, at: usize) -> Option<Problem> {
    if !is_between(source, at) {
        return None;
    }
    let unknown = || (at, Type::Any);
    let (left, right) = (left(source, at).unwrap_or_else(unknown), right(source, at).unwrap_or_else(unknown));
    let is_input = |kind: &Type| matches!(kind, Type::Own(_));
    let operator = source.tokens[at].text.as_str();
    if is_input(&left.1) || is_input(&right.1) || can(known, operator, &left.1, &right.1) {
        return None;
    }
    let is_odd = |kind: &Type| !matches!(kind, Type::Any | Type::Integer | Type::Float | Type::Number);
    let place = if is_odd(&left.1) || !is_odd(&right.1) { left.0 } else { right.0 };
    let text = match (&left.1, &right.1) {
        (Type::Any, kind) | (kind, Type::Any) => format!("there is no `{operator}` of {kind}"),
        (left, right) => format!("there is no `{operator}` of {left} and {right}"),
    };
    Some(source.problem(place, Code::Type, text))
}
