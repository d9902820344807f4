//! `rule.toml` and `plugin.toml`. A key nobody knows is refused; every problem is reported, not only the first.

pub mod capability;
mod declared;
mod derived;
mod kept;
mod plugin;
mod reader;
mod rule;
pub mod setting;
#[cfg(test)]
mod tests;

use std::ops::Range;

use pitchside_model::Quantity;
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

pub use capability::Capability;
pub use declared::Declared;
pub use derived::Derived;
pub use kept::{KEPT_BYTES_MAX, Kept};
pub use plugin::{PluginKind, PluginManifest};
pub use rule::{RuleCategory, RuleManifest, RuleScope};
pub use setting::{Chosen, Constant, SecretKind, SecretParam, TextParam};

use crate::compile::KEYWORDS;
use crate::problem::{closest, one_line_list};
use crate::sandbox::FORBIDDEN;
use reader::{Reader, Table};

/// The most params, state fields, inputs or outputs of one script.
pub const FIELDS_MAX: usize = 32;
const SUMMARY_CHARS_MAX: usize = 160;

/// A number an admin may choose, within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// What it is unless chosen.
    pub default: f64,
    /// The lowest choice.
    pub min: f64,
    /// The highest choice.
    pub max: f64,
    /// Only whole numbers mean something: a port, a count, yes or no.
    pub whole: bool,
}

/// A plain value: of a declared state field, and nothing else survives from call to call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Plain {
    /// Nothing yet.
    Nothing,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A short text.
    Text(String),
}

/// Whether a text can be a variable of a script: ASCII letters, digits and `_`, not led by a digit, at most 48 bytes.
pub fn is_variable(text: &str) -> bool {
    let mut bytes = text.bytes();
    let led = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    led && text.len() <= 48 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn version(value: &DeValue<'_>) -> Result<String, String> {
    let text = reader::text(value)?;
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.len() <= 6 && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 3 && parts.iter().all(number) {
        Ok(text)
    } else {
        Err("must be three numbers, e.g. \"1.0.0\"".to_owned())
    }
}

fn summary(value: &DeValue<'_>) -> Result<String, String> {
    let text = reader::text(value)?;
    let length = text.chars().count();
    if length == 0 || length > SUMMARY_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("must be one line of 1 to {SUMMARY_CHARS_MAX} characters"));
    }
    Ok(text)
}

fn quantities(value: &DeValue<'_>) -> Result<Vec<Quantity>, String> {
    let names = reader::list(value)?;
    let mut found = Vec::new();
    for name in &names {
        let quantity =
            Quantity::parse(name).ok_or_else(|| match closest(name, Quantity::all().map(Quantity::name)) {
                Some(right) => format!("names no quantity `{name}`; did you mean `{right}`?"),
                None => format!(
                    "names no quantity `{name}`; there are {}",
                    one_line_list(Quantity::all().map(Quantity::name))
                ),
            })?;
        if found.contains(&quantity) {
            return Err(format!("names `{name}` twice"));
        }
        found.push(quantity);
    }
    if found.is_empty() || found.len() > FIELDS_MAX {
        return Err(format!("must name 1 to {FIELDS_MAX} quantities"));
    }
    Ok(found)
}

fn params<'a>(reader: &mut Reader<'a>, table: &mut Table<'a>) -> Vec<(String, Param)> {
    let mut params = Vec::new();
    for (name, at, mut table) in reader.children(table, "params") {
        let default = reader.required(&mut table, "default", reader::number);
        let min = reader.required(&mut table, "min", reader::number);
        let max = reader.required(&mut table, "max", reader::number);
        let whole = reader.optional(&mut table, "whole", reader::truth).unwrap_or(false);
        reader.finish(table);
        variable(reader, &at, &name, params.len());
        let (Some(default), Some(min), Some(max)) = (default, min, max) else { continue };
        if min > max {
            reader.problem(at.clone(), format!("`params.{name}`: min {min} is above max {max}"));
        } else if !(min <= default && default <= max) {
            let text = format!("`params.{name}`: the default {default} is not within min {min} and max {max}");
            reader.problem(at.clone(), text);
        }
        if whole && [default, min, max].iter().any(|number| number.fract() != 0.0) {
            reader.problem(at.clone(), format!("`params.{name}` is whole: so are its default, min and max"));
        }
        params.push((name, Param { default, min, max, whole }));
    }
    params
}

fn variable(reader: &mut Reader<'_>, at: &Range<usize>, name: &str, so_far: usize) {
    if !is_variable(name) {
        reader.problem(at.clone(), format!("`{name}` cannot be a variable: use ASCII letters, digits and `_`"));
    }
    if KEYWORDS.contains(&name) || FORBIDDEN.iter().any(|(word, _)| *word == name) {
        reader.problem(at.clone(), format!("`{name}` is a word of the language: choose another name"));
    }
    if so_far >= FIELDS_MAX {
        reader.problem(at.clone(), format!("at most {FIELDS_MAX} of these"));
    }
}
