//! `plugin.toml`.

use pitchside_model::{PluginName, Quantity};
use serde::{Deserialize, Serialize};

use super::reader::{self, Reader};
use super::{Param, params, quantities, summary, version};
use crate::problem::Problem;

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Payload to readings.
    Decoder,
}

/// What a plugin declares about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// Its name, as its folder is called.
    pub name: PluginName,
    /// Three numbers.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// What it is for.
    pub kind: PluginKind,
    /// The quantities it may answer with.
    pub outputs: Vec<Quantity>,
    /// Numbers the admin may choose.
    pub params: Vec<(String, Param)>,
}

impl PluginManifest {
    /// Reads a manifest. `file` names it in problems.
    pub fn parse(file: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let (mut reader, mut table) = Reader::open(file, source);
        if !reader.problems.is_empty() {
            return Err(reader.into_problems());
        }
        let r = &mut reader;
        let name = r.required(&mut table, "name", |v| PluginName::parse(&reader::text(v)?).map_err(|e| e.to_string()));
        let version = r.required(&mut table, "version", version);
        let summary = r.required(&mut table, "summary", summary);
        let kind = r.required(&mut table, "kind", |v| match reader::text(v)?.as_str() {
            "decoder" => Ok(PluginKind::Decoder),
            _ => Err("must be \"decoder\"".to_owned()),
        });
        let outputs = r.required(&mut table, "outputs", quantities);
        let params = params(r, &mut table);
        r.finish(table);
        match (name, version, summary, kind, outputs) {
            (Some(name), Some(version), Some(summary), Some(kind), Some(outputs)) if r.problems.is_empty() => {
                Ok(Self { name, version, summary, kind, outputs, params })
            }
            _ => Err(reader.into_problems()),
        }
    }
}
