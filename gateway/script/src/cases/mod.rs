//! `cases.txt`: what a rule or decoder must do, as text. One format for tests, the command line and the web.
//!
//! ```text
//! file    = *( comment / blank / case )
//! comment = "#" …                                  from `#` at a line's start, or after white space
//! case    = "case" name LF 1*step
//! ```
//! The steps differ: [`rule`], [`plugin`], [`output`] and [`derived`]. Of rules and derived streams a line
//!
//! ```text
//! 1*( "with" param number )
//! ```
//! before the steps of a case fixes params for it; before the first case, for all. So the cases hold whatever an admin chooses.

pub mod derived;
pub mod output;
pub mod plugin;
mod report;
pub mod rule;
#[cfg(test)]
mod tests;

use pitchside_model::{Decimal, Quality, Quantity, Unit};

use crate::problem::{PROBLEMS_MAX, Problem};

pub use derived::{Made, parse_derived_cases, run_derived_cases};
pub use output::{OutputCase, parse_output_cases, run_output_cases};
pub use plugin::{Expected, PluginCase, PluginStep, parse_plugin_cases, run_plugin_cases};
pub use report::{CaseResult, Report};
pub use rule::{Content, Outcome, RuleCase, RuleStep, parse_rule_cases, run_rule_cases};

/// The most bytes of one cases file.
pub const CASES_BYTES_MAX: usize = 1024 * 1024;
/// The most steps of one file.
const STEPS_MAX: usize = 20_000;

/// A param that a case fixes.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    /// Its name.
    pub param: String,
    /// What it is in the case.
    pub value: f64,
    /// Where that is said: line and column, from 1.
    pub place: (usize, usize),
}

/// What a file says of a param, whatever else may be wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixing {
    /// The param.
    pub param: String,
    /// Its line and column, from 1.
    pub place: (usize, usize),
    /// What it is to be, and where that stands; none if that is missing or no number.
    pub value: Option<(f64, (usize, usize))>,
}

/// A case as it was read.
struct Case<S> {
    name: String,
    /// Where it begins.
    line: usize,
    fixed: Vec<Fixed>,
    steps: Vec<S>,
}

/// A word of a line and its column, from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub text: &'a str,
    pub column: usize,
}

/// A line being read: where problems are, and what they say.
pub(crate) struct Line<'a> {
    pub file: &'a str,
    pub number: usize,
}

impl Line<'_> {
    pub(crate) fn problem(&self, token: Token<'_>, message: impl Into<String>) -> Problem {
        Problem::at(self.file, (self.number, token.column), message)
    }
}

/// A file cut into cases; `step` reads one line. All problems are reported.
fn parse<S>(
    file: &str,
    source: &str,
    step: impl Fn(&Line<'_>, &str) -> Result<S, Problem>,
) -> Result<Vec<Case<S>>, Vec<Problem>> {
    parse_fixing(file, source, step, |_, _| None)
}

/// The same; `fixed` reads a line that fixes params, if it is one.
fn parse_fixing<S>(
    file: &str,
    source: &str,
    step: impl Fn(&Line<'_>, &str) -> Result<S, Problem>,
    fixed: impl Fn(&Line<'_>, &str) -> Option<Vec<Result<Fixed, Problem>>>,
) -> Result<Vec<Case<S>>, Vec<Problem>> {
    if source.len() > CASES_BYTES_MAX {
        return Err(vec![Problem::of(file, format!("{} bytes; at most {CASES_BYTES_MAX} are read", source.len()))]);
    }
    let mut problems = Vec::new();
    let mut cases: Vec<Case<S>> = Vec::new();
    let mut of_all = Vec::new();
    let mut steps = 0;
    // Lines of the file that hold a step, good or bad.
    let mut last_step = 0;
    let mut empty = Vec::new();
    for (number, text) in lines(source) {
        let line = Line { file, number };
        let at = |message: &str| Problem::at(file, (number, 1), message);
        if problems.len() >= PROBLEMS_MAX {
            break;
        }
        if let Some(name) = text.strip_prefix("case").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
            let name = name.trim();
            if cases.iter().any(|case| case.name == name) {
                problems.push(at(&format!("there is a case \"{name}\" already")));
            }
            empty.extend(cases.last().map(|case| case.line).filter(|line| last_step < *line));
            cases.push(Case { name: name.to_owned(), line: number, fixed: Vec::new(), steps: Vec::new() });
            continue;
        }
        if let Some(fixed) = fixed(&line, text) {
            let case = cases.last_mut();
            if case.as_ref().is_some_and(|case| last_step > case.line) {
                let column = text.chars().take_while(|c| c.is_whitespace()).count() + 1;
                problems.push(Problem::at(file, (number, column), "what is fixed stands before the case's steps"));
            }
            let all = case.map_or(&mut of_all, |case| &mut case.fixed);
            for one in fixed {
                match one {
                    Ok(one) if all.iter().any(|other: &Fixed| other.param == one.param) => {
                        problems.push(Problem::at(file, one.place, format!("`{}` is fixed twice", one.param)));
                    }
                    Ok(one) => all.push(one),
                    Err(problem) => problems.push(problem),
                }
            }
            continue;
        }
        last_step = number;
        steps += 1;
        if steps > STEPS_MAX {
            problems.push(at(&format!("more than {STEPS_MAX} steps")));
            break;
        }
        match (step(&line, text), cases.last_mut()) {
            (Ok(step), Some(case)) => case.steps.push(step),
            (Ok(_), None) => problems.push(at("a step before the first case").help("begin with `case NAME`")),
            (Err(problem), _) => problems.push(problem),
        }
    }
    empty.extend(cases.last().map(|case| case.line).filter(|line| last_step < *line));
    for Case { name, line, .. } in &cases {
        if name.is_empty() {
            problems.push(Problem::at(file, (*line, 1), "a case needs a name"));
        } else if empty.contains(line) {
            problems.push(Problem::at(file, (*line, 1), format!("the case \"{name}\" has no steps")));
        }
    }
    if cases.is_empty() && problems.is_empty() {
        problems.push(Problem::of(file, "there is no case").help("write `case NAME` and its steps below"));
    }
    problems.sort_by_key(|p| (p.line, p.column));
    if !problems.is_empty() {
        return Err(problems);
    }
    for case in &mut cases {
        let others = of_all.iter().filter(|one| !case.fixed.iter().any(|own| own.param == one.param));
        let others: Vec<Fixed> = others.cloned().collect();
        case.fixed.extend(others);
    }
    Ok(cases)
}

/// What the lines of a file fix, also where something else is wrong with it.
pub fn fixings(source: &str) -> Vec<Fixing> {
    if source.len() > CASES_BYTES_MAX {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, text) in lines(source) {
        let words = tokens(text, 1);
        found.extend(each_fixed(&words).into_iter().flatten().filter_map(|words| {
            let param = words.get(1)?;
            let value = words.get(2).and_then(|word| Some((finite(word.text)?, (line, word.column))));
            Some(Fixing { param: param.text.to_owned(), place: (line, param.column), value })
        }));
    }
    found
}

/// The lines that say something, without their comments, numbered from 1.
fn lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    // An editor's mark of UTF-8 is no part of the text.
    let lines = source.strip_prefix('\u{feff}').unwrap_or(source).lines().enumerate();
    lines.map(|(index, text)| (index + 1, uncomment(text).trim_end())).filter(|(_, text)| !text.trim().is_empty())
}

/// The words of a line that begins with `with`, from each `with` to the next: Rhai lets no param be called so.
fn each_fixed<'w, 'a>(words: &'w [Token<'a>]) -> Option<impl Iterator<Item = &'w [Token<'a>]>> {
    let is_one = words.first().is_some_and(|word| word.text == "with");
    is_one.then(|| words.chunk_by(|_, next| next.text != "with"))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// What a line fixes, if it begins with `with`, and what is wrong with that.
fn fixed(line: &Line<'_>, text: &str) -> Option<Vec<Result<Fixed, Problem>>> {
    let words = tokens(text, 1);
    Some(each_fixed(&words)?.map(|words| one_fixed(line, words)).collect())
}

fn one_fixed(line: &Line<'_>, words: &[Token<'_>]) -> Result<Fixed, Problem> {
    let end = words.last().map_or(1, |last| last.column + last.text.chars().count());
    let missing = |what: &str| line.problem(Token { text: "", column: end }, format!("{what} is missing"));
    let param = words.get(1).ok_or_else(|| missing("a param"))?;
    let number = words.get(2).ok_or_else(|| missing("a number"))?;
    if let Some(more) = words.get(3) {
        let text = format!("`{}`: write `with PARAM NUMBER`, and the next the same way", more.text);
        return Err(line.problem(*more, text));
    }
    let value = finite(number.text).ok_or_else(|| line.problem(*number, format!("`{}` is no number", number.text)))?;
    Ok(Fixed { param: param.text.to_owned(), value, place: (line.number, param.column) })
}

/// The line without its comment. `#` inside quotes stays.
fn uncomment(line: &str) -> &str {
    let (mut quoted, mut before) = (false, ' ');
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return &line[..at],
            _ => {}
        }
        before = c;
    }
    line
}

/// Left and right of `->`, with the column of the right side.
fn halves<'a>(line: &Line<'_>, text: &'a str) -> Result<(Vec<Token<'a>>, Vec<Vec<Token<'a>>>), Problem> {
    let Some((left, right)) = text.split_once("->") else {
        return Err(Problem::at(line.file, (line.number, 1), "a step needs `->`").help("input -> what comes out"));
    };
    let right_column = left.chars().count() + 3;
    let mut groups = Vec::new();
    if !right.trim().is_empty() {
        let mut column = right_column;
        for part in split_unquoted(right) {
            groups.push(tokens(part, column));
            column += part.chars().count() + 1;
        }
    }
    Ok((tokens(left, 1), groups))
}

/// Parts between commas that stand in no quotes.
fn split_unquoted(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Words between white space; what stands in quotes is one word, quotes included.
fn tokens(text: &str, first_column: usize) -> Vec<Token<'_>> {
    let (mut tokens, mut start, mut quoted) = (Vec::new(), None, false);
    let column = |at: usize| first_column + text[..at].chars().count();
    for (at, c) in text.char_indices() {
        if c == '"' {
            quoted = !quoted;
        }
        match (start, c.is_whitespace() && !quoted) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                tokens.push(Token { text: &text[from..at], column: column(from) });
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        tokens.push(Token { text: &text[from..], column: column(from) });
    }
    tokens
}

/// The quality flag of a word such as `poor_contact`.
pub fn quality(word: &str) -> Option<Quality> {
    Some(match word {
        "implausible" => Quality::IMPLAUSIBLE,
        "future" => Quality::FUTURE,
        "late" => Quality::LATE,
        "no_clock" => Quality::NO_CLOCK,
        "poor_contact" => Quality::POOR_CONTACT,
        _ => return None,
    })
}

pub(crate) fn quantity(line: &Line<'_>, token: Token<'_>) -> Result<Quantity, Problem> {
    Quantity::parse(token.text).ok_or_else(|| {
        line.problem(token, format!("`{}` is not a quantity", token.text))
            .suggest(token.text, Quantity::all().map(Quantity::name))
    })
}

fn value(line: &Line<'_>, token: Token<'_>) -> Result<Decimal, Problem> {
    Decimal::parse(token.text).map_err(|e| line.problem(token, format!("`{}` is {e}", token.text)))
}

fn unit(line: &Line<'_>, token: Token<'_>, quantity: Quantity) -> Result<Unit, Problem> {
    Unit::parse(token.text).ok_or_else(|| {
        line.problem(token, format!("`{}` is not a UCUM unit the box knows", token.text))
            .help(format!("{quantity} is in {}", quantity.unit()))
    })
}
