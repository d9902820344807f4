//! What `plugin.toml` says of a derived stream beside what all plugins say.

use pitchside_model::{Quality, Quantity};
use serde::{Deserialize, Serialize};

use super::reader::{Reader, Table};
use super::rule::{ACCEPT_DEFAULT, GAP_AFTER_DEFAULT, accept, duration, state};
use super::{Param, Plain, quantities};
use crate::span;

/// What a stream is derived from, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// What it is made of. The first leads: the stream is of the device that counts there.
    pub inputs: Vec<Quantity>,
    /// Fields that survive from call to call, with their first values.
    pub state: Vec<(String, Plain)>,
    /// Flags that do not keep a reading from the script; they are passed on.
    pub accept: Quality,
    /// A hole in the readings longer than this is a gap (microseconds).
    pub gap_after: i64,
}

pub(super) fn derived<'a>(
    r: &mut Reader<'a>,
    table: &mut Table<'a>,
    outputs: &[Quantity],
    params: &[(String, Param)],
) -> Option<Derived> {
    let at = table.span_of("inputs");
    let inputs = r.required(table, "inputs", quantities);
    let accept = r.optional(table, "accept", accept);
    let gap_after = r.optional(table, "gap_after", duration);
    let state = state(r, table, params);
    let inputs = inputs?;
    if let (Some(own), Some(at)) = (outputs.iter().find(|output| inputs.contains(output)), at) {
        r.problem(at, format!("`inputs` names `{own}`, which the stream makes itself"));
    }
    let gap_after = gap_after.or_else(|| span::parse(GAP_AFTER_DEFAULT)).unwrap_or(i64::MAX);
    Some(Derived { inputs, state, accept: accept.unwrap_or(ACCEPT_DEFAULT), gap_after })
}
