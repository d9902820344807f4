//! `plugin.toml`.

use std::fmt;

use pitchside_model::{PluginName, Quantity};
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::derived::{Derived, derived};
use super::kept::{Kept, kept};
use super::reader::{self, Reader, Table};
use super::setting::{self, Constant, SecretParam, TextParam};
use super::{Capability, FIELDS_MAX, Param, params, quantities, summary, version};
use crate::output::Step;
use crate::problem::{Problem, one_line_list};

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Payload to readings.
    Decoder,
    /// Alerts to requests.
    Output,
    /// Readings to readings of another quantity.
    Derived,
}

impl PluginKind {
    /// How the file of its script is called.
    pub const fn script_file(self) -> &'static str {
        match self {
            Self::Decoder => "decode.rhai",
            Self::Output => "output.rhai",
            Self::Derived => "derive.rhai",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decoder => "decoder",
            Self::Output => "output",
            Self::Derived => "derived",
        })
    }
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
    /// What it asks to have done for it, as written: `{name}` stands for what is chosen. Only outputs ask for something.
    pub wanted: Vec<String>,
    /// What it is derived from; only of derived streams.
    pub derived: Option<Derived>,
    /// What it keeps of each device, with the first values; only of decoders.
    pub state: Vec<(String, Kept)>,
    /// Numbers the admin may choose.
    pub params: Vec<(String, Param)>,
    /// Texts the admin may choose; of outputs only.
    pub texts: Vec<(String, TextParam)>,
    /// Secrets it names; of outputs only.
    pub secrets: Vec<(String, SecretParam)>,
    /// The steps in alerts' lives that an output is told of; a decoder hears of none.
    pub hears: Vec<Step>,
}

fn one_quantity(value: &DeValue<'_>) -> Result<Vec<Quantity>, String> {
    let found = quantities(value)?;
    if found.len() == 1 { Ok(found) } else { Err("must name one quantity: a derived stream makes one".to_owned()) }
}

/// What an output hears of that does not say: what there was when nobody could say.
const HEARS_DEFAULT: [Step; 2] = [Step::Raised, Step::Cleared];

fn hears(value: &DeValue<'_>) -> Result<Vec<Step>, String> {
    let mut found = Vec::new();
    for word in reader::list(value)? {
        let step = Step::parse(&word).ok_or_else(|| {
            format!("names no step `{word}`; there are {}", one_line_list(Step::ALL.into_iter().map(Step::word)))
        })?;
        if found.contains(&step) {
            return Err(format!("names `{word}` twice"));
        }
        found.push(step);
    }
    if found.is_empty() { Err("must name a step".to_owned()) } else { Ok(found) }
}

/// What is asked for, as written; each must be a capability with what stands there unless something else is chosen.
fn capabilities(value: &DeValue<'_>, constants: &[(String, Constant)]) -> Result<Vec<String>, String> {
    let texts = reader::list(value)?;
    if texts.is_empty() || texts.len() > FIELDS_MAX {
        return Err(format!("must name 1 to {FIELDS_MAX}"));
    }
    let mut found: Vec<Capability> = Vec::new();
    for text in &texts {
        let filled = setting::fill(text, constants).map_err(|why| format!("`{text}` {why}"))?;
        let capability = Capability::parse(&filled).map_err(|why| format!("`{text}` {why}"))?;
        if found.contains(&capability) {
            return Err(format!("names `{text}` twice"));
        }
        found.push(capability);
    }
    Ok(texts)
}

fn not_of<'a>(r: &mut Reader<'a>, table: &mut Table<'a>, key: &'static str, why: &str) {
    if let Some(at) = table.span_of(key) {
        r.problem(at, format!("{why}: take `{key}` out"));
        let _passed_over = r.optional(table, key, |_| Ok(()));
    }
}

impl PluginManifest {
    /// The three numbers of the version, to compare by.
    pub fn order(&self) -> [u32; 3] {
        let mut order = [0; 3];
        // Checked when it was read.
        order.iter_mut().zip(self.version.split('.')).for_each(|(number, text)| *number = text.parse().unwrap_or(0));
        order
    }

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
            "output" => Ok(PluginKind::Output),
            "derived" => Ok(PluginKind::Derived),
            _ => Err("must be \"decoder\", \"output\" or \"derived\"".to_owned()),
        });
        let params = params(r, &mut table);
        let maker = match kind {
            Some(PluginKind::Decoder) => Some("a decoder"),
            Some(PluginKind::Derived) => Some("a derived stream"),
            Some(PluginKind::Output) | None => None,
        };
        if let Some(maker) = maker {
            not_of(r, &mut table, "texts", &format!("{maker} has numbers to choose, no texts"));
            not_of(r, &mut table, "secrets", &format!("{maker} reaches out to nothing"));
            not_of(r, &mut table, "hears", &format!("{maker} hears of no alerts"));
        }
        let texts = setting::texts(r, &mut table, &params);
        let secrets = setting::secrets(r, &mut table);
        let (outputs, wanted) = Self::reach(r, &mut table, kind, (&params, &texts));
        let hears = r.optional(&mut table, "hears", hears).unwrap_or_else(|| match maker {
            Some(_) => Vec::new(),
            None => HEARS_DEFAULT.to_vec(),
        });
        let derived = match kind {
            Some(PluginKind::Derived) => derived(r, &mut table, &outputs, &params),
            _ => None,
        };
        let state = match kind {
            Some(PluginKind::Decoder) => kept(r, &mut table, &params),
            _ => Vec::new(),
        };
        r.finish(table);
        match (name, version, summary, kind) {
            (Some(name), Some(version), Some(summary), Some(kind)) if r.problems.is_empty() => Ok(Self {
                name,
                version,
                summary,
                kind,
                outputs,
                wanted,
                derived,
                state,
                params,
                texts,
                secrets,
                hears,
            }),
            _ => Err(reader.into_problems()),
        }
    }

    /// What it may answer with, and what it asks for: each kind has one of them.
    fn reach<'a>(
        r: &mut Reader<'a>,
        table: &mut Table<'a>,
        kind: Option<PluginKind>,
        (params, texts): (&[(String, Param)], &[(String, TextParam)]),
    ) -> (Vec<Quantity>, Vec<String>) {
        let numbers = params.iter().map(|(name, param)| (name.clone(), Constant::Number(param.default)));
        let lines = texts.iter().map(|(name, text)| (name.clone(), Constant::Text(text.example.clone())));
        let constants: Vec<_> = numbers.chain(lines).collect();
        let capabilities = |value: &DeValue<'_>| capabilities(value, &constants);
        let (outputs, capabilities) = match kind {
            Some(PluginKind::Decoder) => {
                not_of(r, table, "capabilities", "a decoder reaches out to nothing");
                (r.required(table, "outputs", quantities), None)
            }
            Some(PluginKind::Output) => {
                not_of(r, table, "outputs", "an output makes no readings");
                (None, r.required(table, "capabilities", capabilities))
            }
            Some(PluginKind::Derived) => {
                not_of(r, table, "capabilities", "a derived stream reaches out to nothing");
                (r.required(table, "outputs", one_quantity), None)
            }
            // Of an unknown kind neither is known to be wrong.
            None => (r.optional(table, "outputs", quantities), r.optional(table, "capabilities", capabilities)),
        };
        (outputs.unwrap_or_default(), capabilities.unwrap_or_default())
    }
}
