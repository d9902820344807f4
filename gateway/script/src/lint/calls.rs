//! Calls: how many arguments, and of which kind, as far as it is written.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{How, begins_closure};
use super::signature::{Signature, Type};
use super::token::Kind;
use super::{Role, Source, piece};
use crate::compile::BUILT_IN_CALLS;
use crate::problem::{Code, Problem, closest};

const OPERATORS: &[&str] =
    &["<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "/", "%", "**", "&&", "||", "+=", "-=", "*=", "/="];

const ASSIGNMENTS: &[&str] = &["=", "+=", "-=", "*=", "/=", "%=", "**=", "|=", "&=", "^=", "<<=", ">>="];

/// Where an argument stands and what it is: its first token.
struct Argument {
    at: usize,
    kind: Type,
}

/// Every call against what the function takes.
pub(crate) fn check(source: &Source<'_>, known: &BTreeMap<String, Vec<Signature>>, usages: &[&str]) -> Vec<Problem> {
    let is_call = |at: &usize| source.tokens[*at].kind == Kind::Name && source.is(*at + 1, "(");
    let calls = (0..source.tokens.len()).filter(is_call).filter(|at| !source.before(*at, "fn"));
    calls.filter_map(|at| call(source, known, usages, at)).collect()
}

/// Of what stands before the dot of a call at this place, the function nearest to the one that is called.
pub(super) fn nearest_of_receiver<'k>(
    source: &Source<'_>,
    known: &'k BTreeMap<String, Vec<Signature>>,
    place: (usize, usize),
) -> Option<&'k str> {
    let at = source.tokens.iter().position(|token| (token.line, token.column) == place && token.kind == Kind::Name)?;
    let is_method = source.before(at, ".") || source.before(at, "?.");
    let kind = Some(receiver(source, at)).filter(|kind| is_method && *kind != Type::Any)?;
    let takes = |signature: &Signature| signature.params.first().is_some_and(|(_, first)| *first == kind);
    let its_own = known.iter().filter(|(_, all)| all.iter().any(takes)).map(|(name, _)| name.as_str());
    closest(&source.tokens[at].text, its_own)
}

fn call(source: &Source<'_>, known: &BTreeMap<String, Vec<Signature>>, usages: &[&str], at: usize) -> Option<Problem> {
    let name = source.tokens[at].text.as_str();
    if BUILT_IN_CALLS.contains(&name) || source.elsewhere.contains(name) {
        return None;
    }
    let written = arguments(source, at + 1);
    let is_method = source.before(at, ".") || source.before(at, "?.");
    let own: BTreeSet<usize> = source
        .bound
        .iter()
        .filter(|bound| bound.name == name)
        .filter_map(|bound| if let How::Function(count) = bound.how { Some(count) } else { None })
        .collect();
    if own.contains(&written.len()) || source.bound.iter().any(|b| b.name == name && b.how == How::Variable) {
        return None;
    }
    let mut passed = Vec::new();
    if is_method {
        passed.push(Argument { at, kind: receiver(source, at) });
    }
    passed.extend(written);
    let signatures = known.get(name).map(Vec::as_slice).unwrap_or_default();
    if signatures.is_empty() && own.is_empty() {
        // An unknown function; Rhai's compiler told.
        return None;
    }
    let hidden = usize::from(is_method);
    let of_receiver: Vec<&Signature> = signatures
        .iter()
        .filter(|s| !is_method || s.params.first().is_some_and(|(_, kind)| passed[0].kind.fits(kind)))
        .collect();
    if is_method && of_receiver.is_empty() && own.is_empty() {
        let subject = &source.tokens[at - 2].text;
        let kind = &passed[0].kind;
        let others = known.iter().filter(|(_, all)| all.iter().any(|s| s.params.first().is_some_and(|p| p.1 == *kind)));
        let problem = source.problem(at, Code::Type, format!("`{subject}` is {kind}, which has no `{name}`"));
        return Some(problem.suggest(name, others.map(|(name, _)| name.as_str())));
    }
    let fitting: Vec<&&Signature> = of_receiver.iter().filter(|s| s.params.len() == passed.len()).collect();
    if fitting.is_empty() {
        let counts: BTreeSet<usize> =
            of_receiver.iter().filter_map(|s| s.params.len().checked_sub(hidden)).chain(own).collect();
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        let given = passed.len() - hidden;
        let plural = if counts == ["1"] { "" } else { "s" };
        let text = format!("`{name}` takes {} argument{plural}, not {given}", counts.join(" or "));
        let written = usages.iter().find(|usage| usage.split('(').next() == Some(name));
        let help = written.map(ToString::to_string).or_else(|| usage(&of_receiver, hidden));
        return Some(source.problem(at, Code::Arguments, text).help_some(help));
    }
    if fitting.iter().any(|s| s.params.iter().zip(&passed).all(|((_, wanted), got)| got.kind.fits(wanted))) {
        return None;
    }
    // The first argument that none takes of those that take what stands before it.
    let takes = |s: &Signature, count: usize| {
        s.params.iter().zip(&passed).take(count).all(|((_, wanted), got)| got.kind.fits(wanted))
    };
    let wrong = (0..passed.len()).find(|i| !fitting.iter().any(|s| takes(s, i + 1)))?;
    let wanted: BTreeSet<&Type> = fitting.iter().filter(|s| takes(s, wrong)).map(|s| &s.params[wrong].1).collect();
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let got = &passed[wrong];
    let text = format!("`{name}` wants {}, this is {}", wanted.join(" or "), got.kind);
    let problem = source.problem(got.at, Code::Type, text);
    let minus = if source.is(got.at, "-") { source.tokens.get(got.at + 1) } else { None };
    let written = minus.map_or_else(|| source.tokens[got.at].text.clone(), |number| format!("-{}", number.text));
    Some(match (&got.kind, wanted.iter().any(|w| *w == Type::Float.to_string())) {
        (Type::Integer, true) if minus.unwrap_or(&source.tokens[got.at]).kind == Kind::Integer => {
            problem.help(format!("write `{written}.0`"))
        }
        (Type::Integer, true) => problem.help("put `.to_float()` behind it"),
        (Type::Own(own), true) if own == "Input" => problem.help(format!("write `{written}.value`")),
        _ => problem,
    })
}

/// How a function is called, by the names of its parameters, if it has names.
fn usage(signatures: &[&Signature], hidden: usize) -> Option<String> {
    let signature = signatures.first()?;
    let names: Vec<&str> = signature.params.iter().skip(hidden).map(|(name, _)| name.as_str()).collect();
    (!names.is_empty() && !names.contains(&"_")).then(|| format!("{}({})", signature.name, names.join(", ")))
}

/// What stands before the dot, if it is one variable or literal by itself.
fn receiver(source: &Source<'_>, at: usize) -> Type {
    let Some(subject) = at.checked_sub(2) else { return Type::Any };
    if source.tokens[subject].kind == Kind::Name && !source.is_variable(subject) {
        return Type::Any;
    }
    kind_of(source, subject)
}

/// The kind of a single token.
pub(super) fn kind_of(source: &Source<'_>, at: usize) -> Type {
    let token = &source.tokens[at];
    match token.kind {
        Kind::Integer => Type::Integer,
        Kind::Float => Type::Float,
        Kind::Text => Type::Text,
        Kind::Char => Type::Char,
        Kind::Name if token.text == "true" || token.text == "false" => Type::Bool,
        Kind::Name => source.kind(&token.text),
        _ => Type::Any,
    }
}

/// The arguments between the bracket at `open` and its closing one.
fn arguments(source: &Source<'_>, open: usize) -> Vec<Argument> {
    let close = source.closings[open];
    let (mut found, mut first, mut at) = (Vec::new(), open + 1, open + 1);
    while at < close {
        let token = &source.tokens[at];
        if token.kind == Kind::Open {
            at = source.closings[at];
        } else if token.kind == Kind::Symbol && token.text == "|" && begins_closure(&source.tokens, at) {
            at = (at + 1..close).find(|at| source.is(*at, "|")).unwrap_or(close);
        } else if token.kind == Kind::Symbol && token.text == "," {
            found.push(argument(source, first, at));
            first = at + 1;
        }
        at += 1;
    }
    // A comma may trail.
    if first < close {
        found.push(argument(source, first, close));
    }
    found
}

/// Where each argument of the call with this bracket begins.
pub(crate) fn argument_starts(source: &Source<'_>, open: usize) -> Vec<usize> {
    arguments(source, open).into_iter().map(|argument| argument.at).collect()
}

fn argument(source: &Source<'_>, from: usize, to: usize) -> Argument {
    let kind = match to - from {
        1 => piece::kind(source, from, to),
        2 if source.is(from, "-") => kind_of(source, from + 1),
        _ if source.is(from, "[") && source.closings[from] + 1 == to => Type::Array,
        _ if source.is(from, "|") || source.is(from, "||") => Type::Function,
        _ if source.is(from, "`") && source.closings[from] + 1 == to => Type::Text,
        _ if piece::end(source, from) == Some(to) => piece::kind(source, from, to),
        _ => Type::Any,
    };
    Argument { at: from, kind }
}

/// Inputs that are used like numbers or maps.
pub(crate) fn inputs(source: &Source<'_>) -> Vec<Problem> {
    let is_input = |at: &usize| {
        source.is_variable(*at) && source.known(&source.tokens[*at].text).is_some_and(|k| k.role == Role::Input)
    };
    let operated = |at: usize| {
        let after = source.tokens.get(at + 1).is_some_and(|t| OPERATORS.contains(&t.text.as_str()));
        let ends = ![".", "?.", "["].iter().any(|more| source.is(at + 1, more));
        let before = at.checked_sub(1).and_then(|b| source.tokens.get(b));
        let led = before.is_some_and(|t| t.kind == Kind::Symbol && OPERATORS.contains(&t.text.as_str()));
        after || (led && ends)
    };
    let told = |at: usize| {
        let name = &source.tokens[at].text;
        let what = if operated(at) {
            "a number"
        } else if source.is(at + 1, "[") {
            "a map or a list"
        } else {
            return None;
        };
        let text = format!("`{name}` is an input, not {what}");
        Some(source.problem(at, Code::Type, text).help(format!("write `{name}.value`")))
    };
    (0..source.tokens.len()).filter(is_input).filter_map(told).collect()
}

/// Whether a variable stands here that is assigned to.
pub(super) fn assigned(source: &Source<'_>, at: usize) -> bool {
    source.is_variable(at) && ASSIGNMENTS.iter().any(|assignment| source.is(at + 1, assignment))
}

/// Literals of another kind assigned to what keeps its kind, and anything to what cannot be changed.
pub(crate) fn state(source: &Source<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for at in (0..source.tokens.len()).filter(|at| assigned(source, *at)) {
        let Some(known) = source.known(&source.tokens[at].text) else { continue };
        let (name, minus, plain) = (&known.name, usize::from(source.is(at + 2, "-")), source.is(at + 1, "="));
        match known.role {
            Role::Input | Role::Param if plain || known.role == Role::Param => {
                let text = format!("`{name}` cannot be changed");
                problems.push(source.problem(at, Code::Type, text).help("keep what changes in a state field"));
            }
            // Of `+=` and its kin `kinds` tells.
            Role::State if plain => {
                let value = at + 2 + minus;
                let ends = source.is(value + 1, ";") || source.is(value + 1, "}") || value + 1 >= source.tokens.len();
                let kind = source.tokens.get(value).map_or(Type::Any, |_| kind_of(source, value));
                if ends && !kind.fits(&known.kind) {
                    let text = format!("`{name}` stays {}, this is {kind}", known.kind);
                    let problem = source.problem(value, Code::Type, text);
                    let pointed = kind == Type::Integer && known.kind == Type::Float;
                    let help = pointed.then(|| format!("write `{}.0`", source.tokens[value].text));
                    problems.push(problem.help_some(help));
                }
            }
            _ => {}
        }
    }
    problems
}
