//! Names: what a script declares, what it uses though it is not there, what it declares and never uses.

use std::collections::BTreeSet;

use super::token::{Kind, Token};
use super::{Role, Source};
use crate::compile::{BUILT_IN_CALLS, KEYWORDS};
use crate::problem::{Code, PROBLEMS_MAX, Problem};
use crate::recover::{Doubt, Recovered};
use crate::sandbox::FORBIDDEN;

/// A name a script declares, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    pub name: String,
    pub at: usize,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Variable,
    Loop,
    Argument,
    /// With how many arguments.
    Function(usize),
}

/// Everything a script declares.
pub(crate) fn bound(tokens: &[Token], closings: &[usize]) -> Vec<Bound> {
    let mut found = Vec::new();
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text.as_str());
    let is_name = |at: usize| tokens.get(at).is_some_and(|t| t.kind == Kind::Name);
    let mut bind = |at: usize, how: How| {
        if is_name(at) {
            found.push(Bound { name: text(at).to_owned(), at, how });
        }
    };
    for (at, token) in tokens.iter().enumerate() {
        match (token.kind, token.text.as_str()) {
            (Kind::Name, "let" | "const") => bind(at + 1, How::Variable),
            (Kind::Name, "catch") if text(at + 1) == "(" => bind(at + 2, How::Argument),
            (Kind::Name, "for") => {
                let end = if text(at + 1) == "(" { closings[at + 1] } else { at + 2 };
                (at + 1..end.min(tokens.len())).for_each(|at| bind(at, How::Loop));
            }
            (Kind::Name, "fn") if text(at + 2) == "(" => {
                let close = closings[at + 2].min(tokens.len());
                let arguments: Vec<usize> = (at + 3..close).filter(|at| is_name(*at)).collect();
                bind(at + 1, How::Function(arguments.len()));
                arguments.into_iter().for_each(|at| bind(at, How::Argument));
            }
            (Kind::Symbol, "|") if begins_closure(tokens, at) => {
                let end = (at + 1..tokens.len()).find(|at| text(*at) == "|").unwrap_or(at);
                (at + 1..end).for_each(|at| bind(at, How::Argument));
            }
            _ => {}
        }
    }
    found
}

/// Whether `|` stands where a value begins, not between two.
pub(crate) fn begins_closure(tokens: &[Token], at: usize) -> bool {
    // Names and commas up to the next `|`.
    let mut after = tokens.get(at + 1..).unwrap_or_default().iter();
    let closed = after.find(|t| t.kind != Kind::Name && t.text != ",").is_some_and(|t| t.text == "|");
    begins_value(tokens, at) && closed
}

/// Whether a value begins here, and is not between two.
fn begins_value(tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|before| tokens.get(before)) else { return true };
    match before.kind {
        Kind::Open => true,
        Kind::Symbol => matches!(before.text.as_str(), "," | "=" | "=>" | ";" | ":"),
        Kind::Name => matches!(before.text.as_str(), "return" | "throw"),
        _ => false,
    }
}

/// Variables that nobody declares; in a script that does not parse, those that nobody can have declared.
pub(crate) fn unknown(source: &Source<'_>, recovered: Option<&Recovered>) -> Vec<Problem> {
    let names: BTreeSet<&str> = source.known.iter().map(|k| k.name.as_str()).collect();
    let own: BTreeSet<&str> = source.bound.iter().map(|b| b.name.as_str()).collect();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(at, _)| source.is_variable(*at)) {
        let name = token.text.as_str();
        // `#{name: value}`, and what is no variable at all.
        let is_key = source.is(at + 1, ":") && (source.before(at, "{") || source.before(at, ","));
        let is_word = KEYWORDS.contains(&name)
            || BUILT_IN_CALLS.contains(&name)
            || name == "_"
            || FORBIDDEN.iter().any(|(word, _)| *word == name);
        if is_key || is_word || names.contains(&name) || own.contains(&name) || told.contains(&name) {
            continue;
        }
        let doubt = recovered.map_or(Doubt::None, |found| found.doubt(name, (token.line, token.column)));
        if doubt == Doubt::Certain {
            continue;
        }
        told.insert(name);
        let problem = source
            .problem(at, Code::UnknownVariable, format!("`{name}` is not a variable here"))
            .suggest(name, names.iter().chain(&own).copied());
        if doubt == Doubt::None || problem.help.is_some() {
            problems.push(problem);
        }
        if told.len() > PROBLEMS_MAX {
            break;
        }
    }
    problems
}

/// Arguments, loop and caught variables of the name of a param or input: Rhai puts the constant's value in their place, whatever they hold.
/// Told where a script is checked, not where it is loaded: one that is in force goes on as it did.
pub(crate) fn hiding(source: &Source<'_>) -> Vec<Problem> {
    let is_constant = |name: &str| {
        source.known.iter().any(|known| known.name == name && matches!(known.role, Role::Param | Role::Input))
    };
    let hides = |bound: &&Bound| matches!(bound.how, How::Argument | How::Loop) && is_constant(&bound.name);
    let problem = |bound: &Bound| {
        let text = format!("`{}` has the name of a param or input, which would stand in its place", bound.name);
        source.problem(bound.at, Code::Name, text).help("choose another name")
    };
    source.bound.iter().filter(hides).take(PROBLEMS_MAX).map(problem).collect()
}

/// Variables of the box within functions and closures, which see their arguments and constants only. Rhai tells when they run.
pub(crate) fn within_functions(source: &Source<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let bodies = bodies(source);
    for at in (0..source.tokens.len()).filter(|at| bodies.iter().any(|body| body.contains(at))) {
        let Some(known) = source.known(&source.tokens[at].text) else { continue };
        if source.is_variable(at) && known.role != Role::Param {
            let text = format!("`{}` is not a variable within a function", known.name);
            let problem = source.problem(at, Code::UnknownVariable, text);
            problems.push(problem.help("a function sees its arguments and params only: pass it"));
        }
    }
    problems
}

/// Where the bodies of functions and closures stand.
pub(super) fn bodies(source: &Source<'_>) -> Vec<std::ops::Range<usize>> {
    let tokens = &source.tokens;
    let closing = |open: usize| source.closings.get(open).copied().unwrap_or(tokens.len());
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begin = match token.text.as_str() {
            "fn" if token.kind == Kind::Name && source.is(at + 2, "(") => closing(at + 2) + 1,
            "|" if token.kind == Kind::Symbol && begins_closure(tokens, at) => {
                (at + 1..tokens.len()).find(|at| source.is(*at, "|")).map_or(tokens.len(), |end| end + 1)
            }
            "||" if token.kind == Kind::Symbol && begins_value(tokens, at) => at + 1,
            _ => continue,
        };
        let end = if source.is(begin, "{") { closing(begin) } else { end_of_value(source, begin) };
        found.push(begin..end);
    }
    found
}

/// Where the value that begins here ends.
pub(super) fn end_of_value(source: &Source<'_>, from: usize) -> usize {
    let mut at = from;
    while let Some(token) = source.tokens.get(at) {
        match token.kind {
            Kind::Open => at = source.closings.get(at).copied().unwrap_or(source.tokens.len()),
            Kind::Close => return at,
            Kind::Symbol if token.text == "," || token.text == ";" => return at,
            _ => {}
        }
        at += 1;
    }
    source.tokens.len()
}

/// What a script declares and does not use.
pub(crate) fn unused(source: &Source<'_>) -> Vec<Problem> {
    let used = |name: &str, at: usize| {
        let other = |(other, token): (usize, &Token)| other != at && token.text == name && token.kind == Kind::Name;
        // A function may be named by a pointer: Fn("name").
        let pointed = |token: &Token| token.kind == Kind::Text && token.text == name;
        source.tokens.iter().enumerate().any(other) || source.tokens.iter().any(pointed)
    };
    source
        .bound
        .iter()
        .filter(|bound| !bound.name.starts_with('_') && !source.elsewhere.contains(&bound.name))
        .filter(|bound| !used(&bound.name, bound.at))
        .filter_map(|bound| {
            let what = match bound.how {
                How::Variable => "the variable",
                How::Function(_) => "the function",
                How::Loop | How::Argument => return None,
            };
            let text = format!("{what} `{}` is not used", bound.name);
            Some(source.problem(bound.at, Code::Unused, text).warning())
        })
        .chain(shadowed(source))
        .collect()
}

/// Own variables that hide what the box sets.
fn shadowed<'a>(source: &'a Source<'_>) -> impl Iterator<Item = Problem> + 'a {
    source.bound.iter().filter(|bound| bound.how == How::Variable).filter_map(|bound| {
        let known = source.known.iter().find(|known| known.name == bound.name)?;
        let what = match known.role {
            Role::Variable => "a variable of the box",
            Role::Input => "an input",
            Role::Param => "a param",
            Role::State => "a state field, which keeps what it was",
        };
        let text = format!("`{}` hides {what}", bound.name);
        Some(source.problem(bound.at, Code::Name, text).warning().help("choose another name, or leave out `let`"))
    })
}
