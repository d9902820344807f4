//! The names a manifest gives its script, as far as they can be read: something else may be wrong with it.

use pitchside_model::Quantity;
use toml::de::DeValue;

use super::reader::{self, Reader};
use super::rule::plain;
use super::{Param, Plain, is_variable};
use crate::compile::KEYWORDS;
use crate::problem::place;

/// What stands for the bounds of a param.
const UNREAD: Param = Param { default: 0.0, min: 0.0, max: 0.0, whole: false };

/// The names a script finds beside those that every script of its kind finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declared {
    /// Quantities that are there.
    pub inputs: Vec<Quantity>,
    /// Params; what they are is not read.
    pub params: Vec<(String, Param)>,
    /// State fields, with [`Plain::Nothing`] where the first value is none.
    pub state: Vec<(String, Plain)>,
    /// Whether these are all: what names no quantity, or is no table, may have given others.
    pub whole: bool,
    /// Where each param and field stands.
    places: Vec<(String, (usize, usize))>,
}

impl Declared {
    /// Reads `inputs`, `params` and `state` of a `rule.toml`, or of a `plugin.toml` that has them.
    pub fn read(source: &str) -> Self {
        let (mut reader, mut table) = Reader::open("", source);
        let inputs = reader.required(&mut table, "inputs", reader::list);
        let params = reader.values(&mut table, "params");
        let state = reader.values(&mut table, "state");
        let names = inputs.unwrap_or_default();
        let known: Vec<Quantity> = names.iter().filter_map(|name| Quantity::parse(name)).collect();
        let mut declared = Self { whole: reader.problems.is_empty() && known.len() == names.len(), ..Self::default() };
        for quantity in known {
            if !declared.inputs.contains(&quantity) {
                declared.inputs.push(quantity);
            }
        }
        for (name, at, _) in params {
            if declared.takes(&name, place(source, at.start)) {
                declared.params.push((name, UNREAD));
            }
        }
        for (name, at, value) in state {
            if declared.takes(&name, place(source, at.start)) {
                let first: &DeValue<'_> = value.get_ref();
                declared.state.push((name, plain(first).unwrap_or(Plain::Nothing)));
            }
        }
        declared
    }

    /// What cannot be a variable no script can mean; of two of one name the first counts.
    fn takes(&mut self, name: &str, at: (usize, usize)) -> bool {
        let is_new = !self.places.iter().any(|(known, _)| known == name);
        let may_be = is_variable(name) && !KEYWORDS.contains(&name);
        if is_new && may_be {
            self.places.push((name.to_owned(), at));
        }
        is_new && may_be
    }

    /// Line and column where a param or field is declared; 0 if it is not.
    pub fn place(&self, name: &str) -> (usize, usize) {
        self.places.iter().find(|(known, _)| known == name).map_or((0, 0), |(_, at)| *at)
    }
}
