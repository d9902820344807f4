//! What `plugin.toml` says of what a decoder keeps of a device from one payload to the next.

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::reader::{Reader, Table};
use super::rule::{fields, plain};
use super::{Param, Plain};

/// The most bytes a decoder keeps of one device, as they are encoded.
pub const KEPT_BYTES_MAX: usize = 32 * 1024;

/// What the script of a decoder is given by these names.
const GIVEN: [&str; 2] = ["payload", "topic"];

/// The first value of a field. It keeps its kind; a list or a map begins empty, and what it holds later is the script's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Kept {
    /// As rules and derived streams have it.
    Plain(Plain),
    /// A list.
    List,
    /// A map.
    Map,
}

fn first(value: &DeValue<'_>) -> Option<Kept> {
    match value {
        DeValue::Array(items) if items.is_empty() => Some(Kept::List),
        DeValue::Table(table) if table.is_empty() => Some(Kept::Map),
        other => plain(other).map(Kept::Plain),
    }
}

pub(super) fn kept<'a>(r: &mut Reader<'a>, table: &mut Table<'a>, params: &[(String, Param)]) -> Vec<(String, Kept)> {
    let at = table.span_of("state");
    let fields = fields(r, table, params, (first, "a number, a bool, a short text, `[]` or `{}`"));
    if let (Some(name), Some(at)) =
        (fields.iter().map(|(name, _)| name).find(|name| GIVEN.contains(&name.as_str())), at)
    {
        r.problem(at, format!("`{name}` is what the script is given: choose another name"));
    }
    fields
}
