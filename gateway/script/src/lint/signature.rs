//! What the functions of an engine take, read from the signatures the engine tells.

use std::collections::BTreeMap;
use std::fmt;

use rhai::Engine;

/// A type as far as it is known before a script runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Not known, or anything.
    Any,
    /// `()`.
    Nothing,
    /// True or false.
    Bool,
    /// 64 bits.
    Integer,
    /// With a point.
    Float,
    /// A number with a point, or `()` where there is none: what inputs say.
    Number,
    /// A text.
    Text,
    /// One character.
    Char,
    /// A list.
    Array,
    /// Bytes.
    Blob,
    /// An object map.
    Map,
    /// A function pointer or closure.
    Function,
    /// Of ours: `Input`, `reading`.
    Own(String),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "anything",
            Self::Nothing => "()",
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::Float => "a number with a point",
            Self::Number => "a number or ()",
            Self::Text => "a text",
            Self::Char => "a character",
            Self::Array => "a list",
            Self::Blob => "a blob",
            Self::Map => "a map",
            Self::Function => "a function",
            Self::Own(name) if name == "Input" => "an input",
            Self::Own(name) => name,
        })
    }
}

impl Type {
    /// The type a signature names.
    pub fn parse(text: &str) -> Self {
        let bare = text.trim().trim_start_matches('&').trim_start_matches("mut ").trim();
        match bare.rsplit("::").next().unwrap_or(bare).trim() {
            "" | "_" | "?" | "Dynamic" => Self::Any,
            "()" => Self::Nothing,
            "bool" => Self::Bool,
            "i64" | "INT" | "int" => Self::Integer,
            "f64" | "FLOAT" | "float" => Self::Float,
            "str" | "String" | "string" | "ImmutableString" | "SmartString" => Self::Text,
            "char" => Self::Char,
            "Array" | "array" => Self::Array,
            "Blob" | "blob" => Self::Blob,
            "Map" | "map" => Self::Map,
            "FnPtr" | "Fn" => Self::Function,
            other => Self::Own(other.to_owned()),
        }
    }

    /// Whether a value of this type may be passed where `wanted` is.
    pub fn fits(&self, wanted: &Self) -> bool {
        let may_be = *self == Self::Number && matches!(wanted, Self::Float | Self::Nothing);
        *self == Self::Any || *wanted == Self::Any || self == wanted || may_be
    }
}

/// One function: its parameters' names (`_` if it has none) and types. A method's first parameter is what stands before
/// the dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Name and type.
    pub params: Vec<(String, Type)>,
    /// What it answers.
    pub returns: Type,
}

/// All functions of an engine, by name.
pub fn signatures(engine: &Engine) -> BTreeMap<String, Vec<Signature>> {
    let mut found: BTreeMap<String, Vec<Signature>> = BTreeMap::new();
    for text in engine.gen_fn_signatures(true) {
        if let Some(signature) = parse(&text) {
            let known = found.entry(signature.name.clone()).or_default();
            if signature.params.iter().any(|(_, kind)| no_script_has(kind)) {
                continue;
            }
            if !known.contains(&signature) {
                known.push(signature);
            }
        }
    }
    // The engine tells them in an order of its own, another every time.
    found.values_mut().for_each(|known| known.sort());
    found
}

/// Numbers of other sizes than Rhai's own are taken by functions, but no script has one.
fn no_script_has(kind: &Type) -> bool {
    let sizes = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "u128", "i128", "f32"];
    matches!(kind, Type::Own(name) if sizes.contains(&name.as_str()))
}

/// `name(param: type, …) -> type`.
fn parse(text: &str) -> Option<Signature> {
    let (name, rest) = text.split_once('(')?;
    let mut depth = 1;
    let end = rest.char_indices().find_map(|(at, c)| {
        depth += match c {
            '(' | '<' | '[' => 1,
            ')' | ']' => -1,
            '>' if !rest[..at].ends_with('-') => -1,
            _ => 0,
        };
        (depth == 0).then_some(at)
    })?;
    // Rust's words before a name (`mut item`) are no part of it.
    let last_word = |name: &str| name.split_whitespace().next_back().unwrap_or_default().to_owned();
    let params: Vec<(String, Type)> = split(&rest[..end])
        .into_iter()
        .map(|param| match param.split_once(':') {
            Some((name, kind)) if !kind.starts_with(':') => (last_word(name), Type::parse(kind)),
            _ => (last_word(param), Type::Any),
        })
        .collect();
    let returns = rest[end + 1..].trim().strip_prefix("->").map(str::trim);
    // Functions that tell nothing of what they take (`to_float(_)`) tell nothing of what they answer.
    let untold = !params.is_empty() && params.iter().all(|(name, kind)| name == "_" && *kind == Type::Any);
    let returns = match returns {
        Some(kind) => Type::parse(answered(kind)),
        None if untold => Type::Any,
        None => Type::Nothing,
    };
    Some(Signature { name: name.rsplit("::").next()?.trim().to_owned(), params, returns })
}

/// What a function answers if it does not fail: the first of `Result<…>`.
fn answered(kind: &str) -> &str {
    let result = kind.split_once('<').filter(|(outer, _)| outer.contains("Result"));
    let inner = result.and_then(|(_, inner)| inner.strip_suffix('>'));
    inner.and_then(|inner| split(inner).first().copied()).unwrap_or(kind)
}

/// Parts between commas that stand in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, sandbox};

    #[test]
    fn a_signature_reads_as_rhai_writes_it() {
        let found = parse("splice(array: &mut Array, start: i64, len: i64, replace: Array)").unwrap();
        assert_eq!((found.name.as_str(), found.params.len(), &found.params[1].1), ("splice", 4, &Type::Integer));
        let found = parse("f(_: &mut Input, _: f64) -> Result<Dynamic, Box<EvalAltResult>>").unwrap();
        assert_eq!(found.params[0].1, Type::Own("Input".to_owned()));
        assert_eq!(found.returns, Type::Any);
        assert_eq!(parse("+(_, _)").unwrap().params.len(), 2);
        let found = parse("append(string: &mut ImmutableString, mut item: Dynamic)").unwrap();
        assert_eq!((&found.params[1], &found.returns), (&("item".to_owned(), Type::Any), &Type::Nothing));
        assert_eq!(parse("append(string: &mut ImmutableString, mut item)").unwrap().params[1].0, "item");
    }

    #[test]
    fn what_a_function_answers_is_read_whole() {
        let returns = |text: &str| parse(text).unwrap().returns;
        assert_eq!(returns("range(from: i64, to: i64) -> Range<i64>"), Type::Own("Range<i64>".to_owned()));
        let step = "range(from: i64, to: i64, step: i64) -> Result<StepRange<i64>, Box<EvalAltResult>>";
        assert_eq!(returns(step), Type::Own("StepRange<i64>".to_owned()));
        assert_eq!(returns("f(x: i64) -> core::result::Result<i64,alloc::boxed::Box<EvalAltResult>>"), Type::Integer);
        assert_eq!(returns("clear(array: &mut Array)"), Type::Nothing);
        // Nothing is known of these, whatever they take.
        assert_eq!((returns("to_float(_)"), returns("f(_: f64)")), (Type::Any, Type::Nothing));
    }

    #[test]
    fn the_engine_tells_the_types_of_its_functions() {
        let known = signatures(&sandbox::engine(&Limits::RULE));
        let starts = &known["starts_with"];
        assert!(starts.iter().any(|s| s.params.iter().map(|p| &p.1).eq([&Type::Text, &Type::Text])), "{starts:?}");
        assert!(known["abs"].iter().any(|s| s.params[0].1 == Type::Float && s.returns == Type::Float));
    }
}
