//! A folder of rules: `<rule>/{rule.toml, rule.rhai, cases.txt, README.md}`.
//!
//! Reading checks folders and manifests and runs no script; [`RuleSet::load`] also compiles, as `rules check` and the
//! tests want. The gateway only reads, and lets its worker compile.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use pitchside_model::{Quantity, RuleName};
use pitchside_script::manifest::RuleManifest;
use pitchside_script::{Problem, files};
use serde::{Deserialize, Serialize};

use crate::derive::makers;
use crate::drill::RESERVED;
use crate::id::hash_parts;

/// The most rules of one set.
pub const RULES_MAX: usize = 10_000;
/// The most bytes of one file of a rule.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Leads the name of a stream in lists of what is in force.
pub const STREAM_PREFIX: &str = "derived/";
/// What every rule's folder must hold.
pub(crate) const FILES: [&str; 4] = ["rule.toml", "rule.rhai", "cases.txt", "README.md"];

/// One rule, or one stream that a plugin derives, as text with its manifest read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleSource {
    /// What it declares.
    pub manifest: RuleManifest,
    /// Its script.
    pub script: String,
    /// BLAKE3 of manifest and script: the same hash is the same rule.
    pub hash: [u8; 32],
    /// What it makes, if it is no rule but a stream: [`crate::scripted`].
    pub makes: Option<Quantity>,
}

impl RuleSource {
    /// Reads a rule from its manifest and script.
    pub fn parse(folder: &str, manifest: &str, script: &str) -> Result<Self, Vec<Problem>> {
        let hash = hash_parts("pitchside rule v1", [manifest.as_bytes(), script.as_bytes()]);
        let manifest = RuleManifest::parse(&format!("{folder}/rule.toml"), manifest)?;
        Ok(Self { manifest, script: script.to_owned(), hash, makes: None })
    }

    /// Reads a rule that is to lie in a folder of rules: under its own name, and under none of the gateway's.
    pub fn in_folder(folder: &str, manifest: &str, script: &str) -> Result<Self, Vec<Problem>> {
        let rule = Self::parse(folder, manifest, script)?;
        let problem = |text: String| Problem::of(&format!("{folder}/rule.toml"), text);
        if rule.name().as_str() != folder {
            let text = format!("the rule is called `{}`, its folder `{folder}`", rule.name());
            return Err(vec![problem(text).help("give both one name")]);
        }
        if RESERVED.contains(&folder) {
            let text = format!("`{folder}` is the name of a rule of the gateway's own");
            return Err(vec![problem(text).help("give it another name")]);
        }
        Ok(rule)
    }

    /// Its name.
    pub fn name(&self) -> &RuleName {
        &self.manifest.name
    }

    /// The script's file, as problems name it.
    pub fn file(&self) -> String {
        format!("{}/{}", self.manifest.name, if self.makes.is_some() { "derive.rhai" } else { "rule.rhai" })
    }

    /// The manifest's file, as problems name it.
    pub fn manifest_file(&self) -> String {
        format!("{}/{}", self.manifest.name, if self.makes.is_some() { "plugin.toml" } else { "rule.toml" })
    }

    /// How lists of what is in force name it: a stream as no rule can be called.
    pub fn listed_as(&self) -> String {
        match self.makes {
            Some(_) => format!("{STREAM_PREFIX}{}", self.manifest.name),
            None => self.manifest.name.to_string(),
        }
    }
}

/// The rules in force, in the order of their names, and the streams of plugins that they want.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RuleSet {
    pub(crate) rules: Vec<RuleSource>,
    pub(crate) streams: Vec<RuleSource>,
}

impl RuleSet {
    /// A set of these rules.
    pub fn new(rules: impl IntoIterator<Item = RuleSource>) -> Result<Self, Vec<Problem>> {
        let mut named = BTreeMap::new();
        let mut problems = Vec::new();
        for rule in rules {
            let file = rule.file();
            if named.insert(rule.name().clone(), rule).is_some() {
                problems.push(Problem::of(&file, "there are two rules of this name"));
            }
        }
        if named.len() > RULES_MAX {
            problems.push(Problem::of("rules", format!("{} rules; at most {RULES_MAX} are taken", named.len())));
        }
        if problems.is_empty() {
            Ok(Self { rules: named.into_values().collect(), streams: Vec::new() })
        } else {
            Err(problems)
        }
    }

    /// Reads every rule below `folder`; compiles nothing. Files of the folder itself (its README) are passed over.
    pub fn read(folder: &Path) -> Result<Self, Vec<Problem>> {
        let (rules, problems) = Self::read_each(folder)?;
        match Self::new(rules) {
            Ok(set) if problems.is_empty() => Ok(set),
            Ok(_) => Err(problems),
            Err(found) => Err(problems.into_iter().chain(found).collect()),
        }
    }

    /// The rules below `folder` that can be read, and what is wrong with the others.
    pub fn read_each(folder: &Path) -> Result<(Vec<RuleSource>, Vec<Problem>), Vec<Problem>> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for name in folders(folder)? {
            match read_rule(&folder.join(&name), &name) {
                Ok(rule) => rules.push(rule),
                Err(found) => problems.extend(found),
            }
        }
        Ok((rules, problems))
    }

    /// Reads and compiles every rule below `folder`.
    pub fn load(folder: &Path) -> Result<Self, Vec<Problem>> {
        Self::read(folder)?.compiled()
    }

    /// Reads and compiles the rule whose own folder this is.
    pub fn load_rule(folder: &Path, name: &str) -> Result<Self, Vec<Problem>> {
        Self::new([read_rule(folder, name)?])?.compiled()
    }

    fn compiled(self) -> Result<Self, Vec<Problem>> {
        let sandbox = crate::rule::sandbox();
        let problems: Vec<Problem> =
            self.rules.iter().filter_map(|rule| crate::rule::Rule::new(&sandbox, rule).err()).flatten().collect();
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    /// The rules, by name.
    pub fn rules(&self) -> &[RuleSource] {
        &self.rules
    }

    /// The streams of plugins that its rules want, by name.
    pub fn streams(&self) -> &[RuleSource] {
        &self.streams
    }

    /// Whether a quantity is made here, by the box itself or by a plugin.
    pub fn derives(&self, quantity: Quantity) -> bool {
        let native = makers(|made| made == quantity).next().is_some();
        native || self.streams.iter().any(|stream| stream.makes == Some(quantity))
    }

    /// Everything that is evaluated: the rules, then the streams.
    pub fn all(&self) -> impl Iterator<Item = &RuleSource> {
        self.rules.iter().chain(&self.streams)
    }

    /// The hash of the whole set, for block headers. Streams come after the rules, under their names in lists.
    pub fn hash(&self) -> [u8; 32] {
        let names: Vec<String> = self.all().map(RuleSource::listed_as).collect();
        let parts = names.iter().zip(self.all()).flat_map(|(name, rule)| [name.as_bytes(), rule.hash.as_slice()]);
        hash_parts("pitchside rule set v1", parts)
    }
}

/// The names of the folders below `folder`, sorted. Those that begin with a dot are nobody's rules: what keeps versions or a desktop
/// leaves such behind.
pub(crate) fn folders(folder: &Path) -> Result<Vec<String>, Vec<Problem>> {
    let shown = folder.display().to_string();
    let failed = |e: std::io::Error| vec![Problem::of(&shown, format!("cannot be read: {e}"))];
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.file_type().map_err(failed)?.is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_rule(folder: &Path, name: &str) -> Result<RuleSource, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut texts = FILES.map(|file| match read_file(&folder.join(file)) {
        Ok(text) => text,
        Err(why) => {
            problems.push(Problem::of(&format!("{name}/{file}"), why));
            String::new()
        }
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let (manifest, script) = (std::mem::take(&mut texts[0]), std::mem::take(&mut texts[1]));
    RuleSource::in_folder(name, &manifest, &script)
}

/// A small text file.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    let file = files::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut text = String::new();
    let length = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| format!("cannot be read: {e}"))?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}
