//! Answers that are none, and what a value is where an answer or a state field wants another.

use std::collections::BTreeSet;
use std::ops::Range;

use super::calls::assigned;
use super::kinds::{Signatures, single};
use super::names::{bodies, end_of_value};
use super::signature::{Signature, Type};
use super::token::Kind;
use super::{Answer, Source};
use crate::problem::{Code, Problem};

/// What a value is, as far as that is written.
pub(super) enum Value {
    Of(Type),
    /// A number, or `()` where there is none.
    OfInput,
}

/// Where a script ends, in which value, as far as that is written.
#[derive(Default)]
struct Ends {
    /// What is answered there. What is empty comes to `()`.
    values: Vec<Range<usize>>,
    /// What is last and may come to `()`: an `if` without `else`, a `switch` without `_`, a loop that is left by more than its end.
    open: Vec<usize>,
}

/// Answers that are none: the last statement, those at the end of the blocks of an `if` that is last, and what is returned.
pub(super) fn answers(source: &Source<'_>, known: &Signatures, answer: &Answer<'_>) -> Vec<Problem> {
    if is_empty(source) && !answer.kinds.contains(&Type::Nothing) {
        let text = format!("{}, this is (): there is nothing in the script", answer.told);
        return vec![Problem::at(source.file, (1, 1), text).code(Code::Type)];
    }
    let mut ends = Ends::default();
    last(source, 0..source.tokens.len(), &mut ends);
    let bodies = bodies(source);
    let is_return = |at: &usize| {
        let is_word = source.tokens[*at].kind == Kind::Name && source.is(*at, "return") && !source.before(*at, ".");
        is_word && !bodies.iter().any(|body| body.contains(at))
    };
    let returns: Vec<usize> = (0..source.tokens.len()).filter(is_return).collect();
    ends.values.extend(returns.iter().map(|at| at + 1..end_of_value(source, at + 1)));
    let told = |range: Range<usize>| {
        let is_nothing = comes_to_nothing(source, &range);
        let came = if is_nothing { Value::Of(Type::Nothing) } else { answered(source, known, answer, &range) };
        let what = match came {
            Value::Of(kind) if kind == Type::Any || answer.kinds.contains(&kind) => return None,
            Value::OfInput if answer.kinds.contains(&Type::Float) => return None,
            Value::Of(kind) => kind.to_string(),
            Value::OfInput => "a number or ()".to_owned(),
        };
        let place = if range.is_empty() { range.start.saturating_sub(1) } else { range.start };
        let problem = source.problem(place, Code::Type, format!("{}, this is {what}", answer.told));
        // A script that returns before need not come so far.
        Some(if is_nothing && !returns.is_empty() { problem.warning() } else { problem })
    };
    let open = |at: &usize| {
        let (nowhere, help) = match source.tokens[*at].text.as_str() {
            "if" => ("where the condition does not hold", "an `if` that is last needs an `else`"),
            "switch" => ("where no case fits", "a `switch` that is last needs a case `_`"),
            _ => ("where the loop comes to its end", "what is answered then stands behind it"),
        };
        let text = format!("{}, this is () {nowhere}", answer.told);
        source.problem(*at, Code::Type, text).warning().help(help)
    };
    let may_be_open = !answer.kinds.contains(&Type::Nothing);
    let mut problems: Vec<Problem> = ends.open.iter().filter(|_| may_be_open).map(open).collect();
    problems.extend(ends.values.into_iter().filter_map(told));
    problems
}

/// Whether nothing in a script is ever run: it is empty, or has functions alone.
fn is_empty(source: &Source<'_>) -> bool {
    let mut at = 0;
    while at < source.tokens.len() {
        if source.is(at, "fn") {
            let Some(body) = (at + 1..source.tokens.len()).find(|at| source.is(*at, "{")) else { return false };
            at = source.closings[body];
        } else if !source.is(at, ";") && !source.is(at, "private") {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether a statement comes to `()`, whatever is in it: one that declares or assigns a variable, or a loop that nothing leaves.
fn comes_to_nothing(source: &Source<'_>, statement: &Range<usize>) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| source.is(statement.start, word));
    if statement.is_empty() || begins(&["let", "const"]) || assigned(source, statement.start) {
        return !statement.is_empty();
    }
    begins(&["for", "while"]) && only_block(source, statement).is_some() && !is_left(source, statement)
}

/// Whether something leaves a statement before its end.
fn is_left(source: &Source<'_>, statement: &Range<usize>) -> bool {
    statement.clone().any(|at| ["return", "break", "throw"].iter().any(|word| source.is(at, word)))
}

/// The brace of the block that ends a statement. What stands behind a loop may be the value of the next one.
fn only_block(source: &Source<'_>, statement: &Range<usize>) -> Option<usize> {
    block_of(source, statement.start + 1..statement.end).filter(|open| source.closings[*open] + 1 == statement.end)
}

/// Whether a statement is a `switch` or loop that comes to an answer only if a case fits, or something leaves it.
fn may_come_to_nothing(source: &Source<'_>, statement: &Range<usize>) -> bool {
    let Some(open) = only_block(source, statement) else { return false };
    if source.is(statement.start, "switch") {
        return !has_all_cases(source, open);
    }
    let for_ever = open == statement.start + 2 && source.is(statement.start + 1, "true");
    let is_loop = ["for", "while"].iter().any(|word| source.is(statement.start, word));
    is_loop && !for_ever && is_left(source, statement)
}

/// Whether one case of a `switch` always fits: it has `_`, or both `true` and `false` without a condition.
fn has_all_cases(source: &Source<'_>, open: usize) -> bool {
    let (mut cases, mut at) = (BTreeSet::new(), open + 1);
    while at < source.closings[open] {
        let token = &source.tokens[at];
        if token.kind == Kind::Open {
            at = source.closings[at];
        } else if token.kind == Kind::Name && (source.is(at + 1, "=>") || source.is(at + 1, "|")) {
            cases.insert(token.text.as_str());
        }
        at += 1;
    }
    cases.contains("_") || (cases.contains("true") && cases.contains("false"))
}

/// The last statement of a block, or those at the end of its own blocks if it is an `if`.
fn last(source: &Source<'_>, mut block: Range<usize>, ends: &mut Ends) {
    // With a semicolon behind it, too, the last statement is what a block comes to.
    while !block.is_empty() && source.is(block.end - 1, ";") {
        block.end -= 1;
    }
    let (mut begin, mut at) = (block.start, block.start);
    while at < block.end {
        let token = &source.tokens[at];
        if token.kind == Kind::Open {
            at = source.closings[at];
            let next = source.tokens.get(at + 1).filter(|_| source.is(at, "}") && at + 1 < block.end);
            let goes_on = ["else", "while", "until", "catch", "in"];
            let begins = next.is_some_and(|next| match next.kind {
                Kind::Name => !goes_on.contains(&next.text.as_str()),
                Kind::Integer | Kind::Float | Kind::Text | Kind::Char => true,
                _ => next.text == "`",
            });
            if begins {
                begin = at + 1;
            }
        } else if source.is(at, ";") {
            begin = at + 1;
        }
        at += 1;
    }
    let statement = begin..block.end;
    if statement.is_empty() {
        return;
    }
    if may_come_to_nothing(source, &statement) {
        return ends.open.push(statement.start);
    }
    let Some((blocks, is_open)) = blocks(source, &statement) else { return ends.values.push(statement) };
    if is_open && !source.is(statement.start + 1, "true") {
        ends.open.push(statement.start);
    }
    for block in blocks {
        if block.is_empty() { ends.values.push(block) } else { last(source, block, ends) }
    }
}

/// The blocks of an `if` with its `else`s, if that is all a statement is; and whether the last `else` is missing.
fn blocks(source: &Source<'_>, statement: &Range<usize>) -> Option<(Vec<Range<usize>>, bool)> {
    let (mut blocks, mut at) = (Vec::new(), statement.start);
    loop {
        if !source.is(at, "if") {
            return None;
        }
        let open = block_of(source, at + 1..statement.end)?;
        blocks.push(open + 1..source.closings[open]);
        at = source.closings[open] + 1;
        if at >= statement.end {
            return Some((blocks, true));
        }
        if !source.is(at, "else") {
            return None;
        }
        at += 1;
        if source.is(at, "{") {
            blocks.push(at + 1..source.closings[at]);
            return (source.closings[at] + 1 == statement.end).then_some((blocks, false));
        }
    }
}

/// The brace that opens the block behind a condition.
fn block_of(source: &Source<'_>, range: Range<usize>) -> Option<usize> {
    let mut at = range.start;
    while at < range.end {
        if source.is(at, "{") && !source.before(at, "#") {
            return (source.closings[at] < range.end).then_some(at);
        }
        at = if source.tokens[at].kind == Kind::Open { source.closings[at] } else { at } + 1;
    }
    None
}

pub(super) fn answered(source: &Source<'_>, known: &Signatures, answer: &Answer<'_>, range: &Range<usize>) -> Value {
    let (from, count) = (range.start, range.len());
    let closes = |open: usize| source.closings.get(open).is_some_and(|close| close + 1 == range.end);
    let input = Type::Own("Input".to_owned());
    match count {
        0 => Value::Of(Type::Nothing),
        1 if is_number(source, answer, from) => Value::OfInput,
        1 => Value::Of(single(source, from)),
        2 if source.is(from, "(") && closes(from) => Value::Of(Type::Nothing),
        2 if source.is(from, "-") => Value::Of(single(source, from + 1)),
        _ if source.is(from, "[") && closes(from) => Value::Of(Type::Array),
        _ if source.is(from, "#") && source.is(from + 1, "{") && closes(from + 1) => Value::Of(Type::Map),
        _ if source.is(from, "`") && closes(from) => Value::Of(Type::Text),
        _ if single(source, from) == input && (source.is(from + 1, ".") || source.is(from + 1, "?.")) => {
            let name = source.tokens.get(from + 2).map_or("", |token| token.text.as_str());
            let called = source.is(from + 3, "(") && closes(from + 3);
            if !answer.of_inputs.contains(&name) || !(count == 3 || called) {
                return Value::Of(Type::Any);
            }
            let of_input = |s: &&Signature| s.params.first().is_some_and(|(_, kind)| *kind == input);
            let kinds: BTreeSet<&Type> =
                known.get(name).filter(|_| called).into_iter().flatten().filter(of_input).map(|s| &s.returns).collect();
            match (kinds.first(), kinds.len()) {
                (Some(kind), 1) if **kind != Type::Any => Value::Of((*kind).clone()),
                _ => Value::OfInput,
            }
        }
        _ => Value::Of(Type::Any),
    }
}

/// Whether a variable stands here that is a number, or `()`: nothing else the script made of it.
pub(super) fn is_number(source: &Source<'_>, answer: &Answer<'_>, at: usize) -> bool {
    let name = source.tokens[at].text.as_str();
    let is_own = source.known(name).is_some() && !source.changed.contains(name);
    is_own && source.is_variable(at) && answer.numbers.contains(&name)
}
