//! What never runs.

use super::Source;
use super::token::Kind;
use crate::problem::{Code, Problem};

pub(crate) fn check(source: &Source<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Name) {
        match token.text.as_str() {
            "return" | "throw" | "break" | "continue" if begins_statement(source, at) => {
                let behind = end_of_statement(source, at);
                if let Some(next) = behind.and_then(|end| source.tokens.get(end + 1))
                    && next.kind != Kind::Close
                    && !(next.kind == Kind::Name && next.text == "fn")
                    && let Some(end) = behind
                {
                    let text = format!("this never runs: `{}` comes before it", token.text);
                    problems.push(source.problem(end + 1, Code::Unreachable, text).warning());
                }
            }
            "if" => {
                let constant = source.tokens.get(at + 1).filter(|t| t.text == "true" || t.text == "false");
                if let Some(constant) = constant.filter(|t| t.kind == Kind::Name && source.is(at + 2, "{")) {
                    let always = if constant.text == "true" { "always" } else { "never" };
                    let text = format!("`if {}` {always} holds", constant.text);
                    problems.push(source.problem(at, Code::Unreachable, text).warning());
                }
            }
            _ => {}
        }
    }
    problems
}

fn begins_statement(source: &Source<'_>, at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|before| source.tokens.get(before)) else { return true };
    matches!(before.text.as_str(), ";" | "{" | "}") && !matches!(before.kind, Kind::Text | Kind::Char)
}

/// The `;` that ends the statement; none if its block ends first.
fn end_of_statement(source: &Source<'_>, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let token = source.tokens.get(at)?;
        match token.kind {
            Kind::Open => at = *source.closings.get(at)?,
            Kind::Close => return None,
            Kind::Symbol if token.text == ";" => return Some(at),
            _ => {}
        }
        at += 1;
    }
}
