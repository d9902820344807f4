//! What is wrong with a script though it compiles: calls with the wrong number or kind of arguments, code that never runs,
//! names nobody uses. And the names a syntax error hides from Rhai.
//!
//! It knows what is written: literals, and variables whose kind the manifest fixes. What is computed it leaves to the cases.
//!
//! | module | finds |
//! | --- | --- |
//! | `token` | tokens and brackets |
//! | `signature` | what functions take |
//! | `calls` | arguments |
//! | `names` | what is not there, what is not used |
//! | `flow` | what never runs |
//! | `spans` | texts that should be spans of time |

mod calls;
mod flow;
mod names;
mod signature;
mod spans;
#[cfg(test)]
mod tests;
pub(crate) mod token;

use std::collections::BTreeSet;

use crate::problem::{Code, PROBLEMS_MAX, Problem};
use crate::recover::{Recovered, recover};
use crate::sandbox::Sandbox;

pub use signature::{Signature, Type, signatures};
use token::{Kind, Token, closings, tokens};

/// What a variable the script finds is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is there for every script of the kind.
    Variable,
    /// An input: used by its functions only.
    Input,
    /// A param.
    Param,
    /// A state field: keeps its kind.
    State,
}

/// A variable the script finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Type,
    /// What it is there for.
    pub role: Role,
}

impl Known {
    /// A variable of which only the name is known.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Type::Any, role: Role::Variable }
    }
}

/// A source, cut up.
pub(crate) struct Source<'a> {
    file: &'a str,
    tokens: Vec<Token>,
    closings: Vec<usize>,
    known: &'a [Known],
    /// Names the script declares itself: variables, arguments, functions.
    bound: Vec<names::Bound>,
    /// Words elsewhere, in what does not parse: it may declare and use them.
    elsewhere: BTreeSet<String>,
}

impl Source<'_> {
    fn problem(&self, at: usize, code: Code, message: impl Into<String>) -> Problem {
        let place = self.tokens.get(at).map_or((0, 0), |token| (token.line, token.column));
        Problem::at(self.file, place, message).code(code)
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|t| t.text == text && !matches!(t.kind, Kind::Text | Kind::Char))
    }

    fn before(&self, at: usize, text: &str) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is(before, text))
    }

    /// Whether a name stands here by itself: no property, no module's, no function called.
    fn is_variable(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| t.kind == Kind::Name)
            && ![".", "?.", "::"].iter().any(|dot| self.before(at, dot))
            && !self.is(at + 1, "(")
            && !self.is(at + 1, "::")
    }

    /// What a variable is, unless the script declares or changes one of its name.
    fn known(&self, name: &str) -> Option<&Known> {
        let own = self.elsewhere.contains(name) || self.bound.iter().any(|bound| bound.name == name);
        self.known.iter().find(|known| known.name == name).filter(|_| !own)
    }
}

/// Everything this finds in a script, or in what of it parses. `known` are the variables it will find. Errors that [`Sandbox::compile`] tells are not
/// told again. `usages` are functions as they are written, e.g. `mean(span)`; arguments called `span` are spans of time.
pub fn lint(sandbox: &Sandbox, file: &str, source: &str, known: &[Known], usages: &[&str]) -> Vec<Problem> {
    if source.len() > sandbox.limits().source_bytes {
        return Vec::new();
    }
    let recovered = recover(sandbox.limits(), source);
    let parses = recovered.as_ref().map_or(source, |found| &found.sound);
    let (tokens, closings, bound) = cut_up(parses);
    let elsewhere = recovered.as_ref().map(|found| found.hidden.clone()).unwrap_or_default();
    let source = Source { file, tokens, closings, known, bound, elsewhere };
    let mut problems = calls::check(&source, sandbox.signatures(), usages);
    problems.extend(calls::inputs(&source));
    problems.extend(calls::state(&source));
    problems.extend(flow::check(&source));
    problems.extend(spans::check(&source, usages));
    problems.extend(names::within_functions(&source));
    problems.extend(names::unused(&source));
    problems.sort_by_key(|p| (p.line, p.column));
    problems.truncate(PROBLEMS_MAX);
    problems
}

fn cut_up(source: &str) -> (Vec<Token>, Vec<usize>, Vec<names::Bound>) {
    let tokens = tokens(source);
    let closings = closings(&tokens);
    let bound = names::bound(&tokens, &closings);
    (tokens, closings, bound)
}

/// Variables that are not there: all of them, also where a syntax error keeps Rhai from looking.
pub fn unknown_names(file: &str, source: &str, known: &[Known]) -> Vec<Problem> {
    let (tokens, closings, bound) = cut_up(source);
    let elsewhere = BTreeSet::new();
    names::unknown(&Source { file, tokens, closings, known, bound, elsewhere }, None)
}

/// Variables that are not there in a script that does not parse, as far as that can be known.
pub(crate) fn unknown_names_seen(file: &str, recovered: &Recovered, known: &[Known]) -> Vec<Problem> {
    let (tokens, closings, bound) = cut_up(&recovered.seen);
    let elsewhere = BTreeSet::new();
    names::unknown(&Source { file, tokens, closings, known, bound, elsewhere }, Some(recovered))
}

/// Whether a script mentions a variable.
pub fn mentions(source: &str, name: &str) -> bool {
    let (tokens, closings, _) = cut_up(source);
    let elsewhere = BTreeSet::new();
    let source = Source { file: "", tokens, closings, known: &[], bound: Vec::new(), elsewhere };
    (0..source.tokens.len()).any(|at| source.is_variable(at) && source.tokens[at].text == name)
}

/// Whether a script holds a text.
pub fn says(source: &str, text: &str) -> bool {
    tokens(source).iter().any(|token| token.kind == Kind::Text && token.text == text)
}
