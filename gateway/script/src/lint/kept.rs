//! State fields that would not stay of the kind they are: a fault at the first reading that does it.

use super::answers::{Value, answered};
use super::calls::assigned;
use super::kinds::{ARITHMETIC, Signatures, value};
use super::names::end_of_value;
use super::signature::Type;
use super::{Answer, Known, Role, Source};
use crate::problem::{Code, Problem};

/// The state field that is assigned to here.
fn field<'a>(source: &'a Source<'_>, at: usize) -> Option<&'a Known> {
    let known = source.known(&source.tokens[at].text)?;
    (known.role == Role::State && known.kind != Type::Any).then_some(known)
}

/// `()`, a reading's value or what an input says, in a state field that cannot hold it. Of literals by themselves `calls` tells. What the
/// script may change once more need not stay so.
pub(super) fn check(source: &Source<'_>, signatures: &Signatures, answer: &Answer<'_>) -> Vec<Problem> {
    let told = |at: usize| {
        let field = field(source, at).filter(|_| source.is(at + 1, "="))?;
        let again = |other: usize| {
            let is_it = source.tokens[other].text == field.name && source.is_variable(other);
            is_it && (assigned(source, other) || source.is(other + 1, "."))
        };
        if (0..source.tokens.len()).any(|other| other != at && again(other)) {
            return None;
        }
        let given = at + 2..end_of_value(source, at + 2);
        let what = match answered(source, signatures, answer, &given) {
            // Rhai's compiler, or `calls`, tells.
            Value::Of(_) if given.len() < 2 || source.is(given.start, "-") => return None,
            Value::Of(kind) if kind.fits(&field.kind) => return None,
            Value::OfInput if field.kind == Type::Float => return None,
            Value::Of(kind) => kind.to_string(),
            Value::OfInput => "a number with a point or ()".to_owned(),
        };
        Some(source.problem(given.start, Code::Type, format!("`{}` stays {}, this is {what}", field.name, field.kind)))
    };
    (0..source.tokens.len()).filter(|at| assigned(source, *at)).filter_map(told).collect()
}

/// `+=` and its kin where a state field would not stay what it is. One that is assigned to elsewhere may have become something else
/// before, or become what it was after.
pub(super) fn combined(source: &Source<'_>, at: usize) -> Option<Problem> {
    let name = source.tokens[at].text.as_str();
    let known = field(source, at)?;
    let elsewhere =
        |other: usize| source.tokens[other].text == name && source.is_variable(other) && source.is(other + 1, "=");
    if (0..source.tokens.len()).any(elsewhere) {
        return None;
    }
    let minus = usize::from(source.is(at + 2, "-"));
    let given = value(source, at + 2 + minus);
    let operator = source.tokens.get(at + 1)?.text.trim_end_matches('=');
    let stays = match (&known.kind, &given) {
        _ if !ARITHMETIC.contains(&operator) => true,
        (_, Type::Any | Type::Own(_)) => true,
        (Type::Integer, given) => *given == Type::Integer,
        (Type::Float, given) => matches!(given, Type::Integer | Type::Float),
        (Type::Text, given) => operator == "+" || operator == "-" && matches!(given, Type::Text | Type::Char),
        (kind, _) => *kind != Type::Bool,
    };
    let told = || source.problem(at + 2, Code::Type, format!("`{name}` stays {}, this is {given}", known.kind));
    (!stays).then(told)
}
