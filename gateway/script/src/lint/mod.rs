//! What is wrong with a script though it compiles: calls with the wrong number or kind of arguments, code that never runs,
//! names nobody uses. And the names a syntax error hides from Rhai.
//!
//! It knows what is written: literals, variables whose kind the manifest fixes, what inputs say and functions return. What is computed
//! of those it leaves to the cases.
//!
//! | module | finds |
//! | --- | --- |
//! | `token` | tokens and brackets |
//! | `signature` | what functions take |
//! | `calls` | arguments |
//! | `kinds` | operators and conditions of the wrong kind |
//! | `answers` | answers of the wrong kind |
//! | `piece` | the kind of what is written as one piece |
//! | `never` | comparisons that never hold |
//! | `kept` | state fields that are set to another kind |
//! | `names` | what is not there, what is not used |
//! | `named` | names that helpers remember by |
//! | `flow` | what never runs |
//! | `written` | arguments that must be written out: spans of time, percents |

mod answers;
mod calls;
mod flow;
mod kept;
mod kinds;
mod named;
mod names;
mod never;
mod piece;
mod signature;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod written;

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

/// What scripts of a kind are for, as far as it decides what is wrong with one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Purpose<'a> {
    /// Functions as they are written, e.g. `mean(span)`; arguments called `span` are spans of time.
    pub usages: &'a [&'a str],
    /// What it answers; none: nothing is known of that.
    pub answer: Option<Answer<'a>>,
    /// Variables that are one of a few texts, and which.
    pub values: &'a [(&'a str, &'a [&'a str])],
    /// Helpers that remember by a name; none: it has none.
    pub memory: Option<Memory<'a>>,
}

/// Helpers that remember by a name, which is their first argument: the second is a span, the others are conditions.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    /// How they are called.
    pub helpers: &'a [&'a str],
    /// The longest name, in bytes.
    pub name_bytes_max: usize,
    /// The most names of one script.
    pub names_max: usize,
}

/// What a script may answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Values of these kinds.
    pub kinds: &'a [Type],
    /// The same in words: `a rule answers true, false or a message`.
    pub told: &'a str,
    /// Properties and functions of inputs: if the engine does not say otherwise they give a number, or `()`.
    pub of_inputs: &'a [&'a str],
    /// Variables that are a number with a point, or `()`.
    pub numbers: &'a [&'a str],
}

/// A source, cut up.
pub(crate) struct Source<'a> {
    file: &'a str,
    tokens: Vec<Token>,
    closings: Vec<usize>,
    known: &'a [Known],
    /// Names the script declares itself: variables, arguments, functions.
    bound: Vec<names::Bound>,
    /// Variables that may be of another kind than they began with.
    changed: BTreeSet<String>,
    /// Words elsewhere, in what does not parse: it may declare and use them.
    elsewhere: BTreeSet<String>,
    /// The functions of the box, and what the script is to answer, where that is known.
    signatures: Option<&'a kinds::Signatures>,
    answer: Option<Answer<'a>>,
}

impl<'a> Source<'a> {
    fn new(file: &'a str, text: &str, known: &'a [Known]) -> Self {
        let tokens = tokens(text);
        let closings = closings(&tokens);
        let bound = names::bound(&tokens, &closings);
        let (changed, elsewhere) = (BTreeSet::new(), BTreeSet::new());
        Self { file, tokens, closings, known, bound, changed, elsewhere, signatures: None, answer: None }
    }

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

    /// Whether a name stands here by itself: no property, no module's, no key, no function called.
    fn is_variable(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| t.kind == Kind::Name)
            && ![".", "?.", "::"].iter().any(|dot| self.before(at, dot))
            && !self.is(at + 1, "(")
            && ![":", "::"].iter().any(|colon| self.is(at + 1, colon))
    }

    /// What a variable is, unless the script declares or changes one of its name.
    fn known(&self, name: &str) -> Option<&Known> {
        let own = self.elsewhere.contains(name) || self.bound.iter().any(|bound| bound.name == name);
        self.known.iter().find(|known| known.name == name).filter(|_| !own)
    }

    /// The kind a variable of the box is sure to have wherever it stands.
    fn kind(&self, name: &str) -> Type {
        self.known(name).filter(|_| !self.changed.contains(name)).map_or(Type::Any, |known| known.kind.clone())
    }
}

/// Everything this finds in a script, or in what of it parses. `known` are the variables it will find. Errors that [`Sandbox::compile`] tells are not
/// told again.
pub fn lint(sandbox: &Sandbox, file: &str, source: &str, known: &[Known], purpose: &Purpose<'_>) -> Vec<Problem> {
    if source.len() > sandbox.limits().source_bytes {
        return Vec::new();
    }
    let recovered = recover(sandbox.limits(), source);
    let parses = recovered.as_ref().map_or(source, |found| &found.sound);
    let mut source = Source::new(file, parses, known);
    source.elsewhere = recovered.as_ref().map(|found| found.hidden.clone()).unwrap_or_default();
    source.changed = kinds::changed(&source);
    let signatures = sandbox.signatures();
    (source.signatures, source.answer) = (Some(signatures), purpose.answer.filter(|_| recovered.is_none()));
    let mut problems = calls::check(&source, signatures, purpose.usages);
    problems.extend(calls::inputs(&source));
    problems.extend(calls::state(&source));
    problems.extend(kinds::check(&source, signatures));
    // What is last in what parses need not be what the script answers.
    if let Some(answer) = purpose.answer.filter(|_| recovered.is_none()) {
        problems.extend(answers::answers(&source, signatures, &answer));
        problems.extend(kept::check(&source, signatures, &answer));
    }
    problems.extend(never::check(&source, purpose.values));
    problems.extend(flow::check(&source));
    problems.extend(written::check(&source, purpose.usages));
    problems.extend(purpose.memory.map(|memory| named::check(&source, &memory)).unwrap_or_default());
    problems.extend(names::within_functions(&source));
    problems.extend(names::hiding(&source));
    problems.extend(names::unused(&source));
    problems.sort_by_key(|p| (p.line, p.column));
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// Of calls of functions that are not there: suggests what the value before the dot has, if something of that is near.
pub fn suggest_of_receivers(sandbox: &Sandbox, source: &str, known: &[Known], problems: &mut [Problem]) {
    let mut source = Source::new("", source, known);
    source.changed = kinds::changed(&source);
    for problem in problems.iter_mut().filter(|problem| problem.code == Code::UnknownFunction) {
        let place = (problem.line, problem.column);
        if let Some(right) = calls::nearest_of_receiver(&source, sandbox.signatures(), place) {
            problem.help = Some(format!("did you mean `{right}`?"));
        }
    }
}

/// Variables that are not there: all of them, also where a syntax error keeps Rhai from looking.
pub fn unknown_names(file: &str, source: &str, known: &[Known]) -> Vec<Problem> {
    names::unknown(&Source::new(file, source, known), None)
}

/// Variables that are not there in a script that does not parse, as far as that can be known.
pub(crate) fn unknown_names_seen(file: &str, recovered: &Recovered, known: &[Known]) -> Vec<Problem> {
    names::unknown(&Source::new(file, &recovered.seen, known), Some(recovered))
}

/// Whether a script mentions a variable.
pub fn mentions(source: &str, name: &str) -> bool {
    let source = Source::new("", source, &[]);
    (0..source.tokens.len()).any(|at| source.is_variable(at) && source.tokens[at].text == name)
}

/// Whether a script holds a text.
pub fn says(source: &str, text: &str) -> bool {
    tokens(source).iter().any(|token| token.kind == Kind::Text && token.text == text)
}
