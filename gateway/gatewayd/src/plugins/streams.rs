//! Plugins of kind `derived`, as the rules take them.

use std::path::Path;

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::RuleName;
use pitchside_rules::history::RuleTexts;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_script::Problem;
use pitchside_script::manifest::PluginKind;
use pitchside_store::{RuleText, Tables};

use super::wanted::Inventory;

/// One that is enabled.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// As it is evaluated.
    pub source: RuleSource,
    /// As it is kept, for as long as blocks name it.
    pub texts: RuleTexts,
    /// How often it was switched on or installed: another number, and its faults are forgotten.
    pub generation: u64,
}

impl Stream {
    /// For the store, beside the rules' texts.
    pub fn to_text(&self) -> RuleText {
        crate::rulebook::to_text(&self.source.listed_as(), &self.texts)
    }
}

/// Everything there is of the kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Streams {
    /// By name.
    pub enabled: Vec<Stream>,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
    /// Folders of the library that could not be read: what ran of them may go on.
    unreadable: Vec<String>,
}

impl Streams {
    /// The enabled ones of library and packages that can run as they are set.
    pub fn of(inventory: &Inventory) -> Self {
        let (problems, unreadable) = (inventory.problems.clone(), inventory.unreadable.clone());
        let mut streams = Self { enabled: Vec::new(), problems, unreadable };
        for (name, wanted) in &inventory.plugins {
            if !wanted.enabled || wanted.folder.manifest.kind != PluginKind::Derived || !wanted.unset().is_empty() {
                continue;
            }
            match source(&wanted.folder) {
                Ok(source) => streams.enabled.push(Stream {
                    source,
                    texts: RuleTexts {
                        manifest: wanted.folder.manifest_text.clone(),
                        script: wanted.folder.source.clone(),
                        cases: wanted.folder.cases.clone(),
                        readme: String::new(),
                    },
                    generation: wanted.row.as_ref().map_or(0, |row| row.generation),
                }),
                Err(problems) => {
                    let problems = problems.iter().map(|problem| format!("plugin {name}: {problem}"));
                    streams.problems.extend(problems);
                }
            }
        }
        streams
    }

    /// As library and database have them now.
    pub fn read(library: Option<&Path>, tables: &Tables) -> anyhow::Result<Self> {
        Ok(Self::of(&Inventory::read(library, tables).context("reading the plugins")?))
    }

    /// With what ran before of folders that cannot be read now: half written, most likely.
    pub fn after(mut self, before: &Self) -> Self {
        let kept =
            before.enabled.iter().filter(|old| self.unreadable.iter().any(|name| name == old.source.name().as_str()));
        let kept: Vec<Stream> = kept.cloned().collect();
        self.enabled.extend(kept);
        self
    }

    /// Those that are the same but were switched on, or installed, since.
    pub fn switched_on_since(&self, before: &Self) -> Vec<RuleName> {
        let again = |new: &&Stream| {
            let mut old = before.enabled.iter();
            old.any(|old| old.source == new.source && old.generation != new.generation)
        };
        self.enabled.iter().filter(again).map(|stream| stream.source.name().clone()).collect()
    }

    /// The texts of those that run in a set.
    pub fn texts_of(&self, set: &RuleSet) -> anyhow::Result<Vec<RuleText>> {
        let text = |source: &RuleSource| -> anyhow::Result<RuleText> {
            let found = self.enabled.iter().find(|stream| stream.source.name() == source.name());
            let found = found.filter(|stream| stream.source.hash == source.hash);
            Ok(found.with_context(|| format!("the texts of {} are missing", source.listed_as()))?.to_text())
        };
        set.streams().iter().map(text).collect()
    }

    /// As rules take them.
    pub fn sources(&self) -> Vec<RuleSource> {
        self.enabled.iter().map(|stream| stream.source.clone()).collect()
    }

    /// A set of rules with the streams it would run with; and why others are left out.
    pub fn with(&self, set: RuleSet) -> (RuleSet, Vec<Problem>) {
        set.with_working_streams(self.sources())
    }
}

fn source(folder: &Folder) -> Result<RuleSource, Vec<Problem>> {
    RuleSource::parse_stream(folder.manifest.name.as_str(), &folder.manifest_text, &folder.source)
}

/// A problem that names its file as it lies in the plugin's folder.
pub(super) fn in_folder(problem: Problem, name: &str) -> Problem {
    let file = problem.file.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    Problem { file: file.unwrap_or(problem.file), ..problem }
}
