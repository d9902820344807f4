//! Rules on disk and their versions: reading and checking a draft, putting it in force, telling store and ledger.
//!
//! What is in force is what lies in the rules' folder; the gateway looks there by itself. Publishing takes a lock on that folder,
//! writes the rule beside it, then the version and the ledger's transaction in one commit, then swaps the rule's folder in one step. A
//! crash between the last two leaves a version that is not in force beside what was to be: whoever looks next puts it there ([`finish`]).
//!
//! A rule that came from a library and that nobody published or changed since goes on following that library: [`follow`].

mod changes;
mod disk;
mod follow;
mod publish;
pub mod standing;
mod unfinished;

use std::path::Path;

use pitchside_rules::history::RuleTexts;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_script::Problem;
use pitchside_store::{RuleText, RuleVersion, Tables};

use crate::cli::context::Context;
use crate::plugins::apart::Ran;
use crate::plugins::streams::Streams;

pub use changes::{in_order, up_to_block};
pub use disk::{BASE_FILE, Lock, base_of, read_texts, remove_rule, write_base, write_draft, write_rule};
pub use follow::{Followed, follow, follows};
pub use publish::{Draft, PublishError, Published, publish, record_as_found};
pub use unfinished::{finish, finish_what_is_left};

/// A rule's texts for the store.
pub fn to_text(name: &str, texts: &RuleTexts) -> RuleText {
    RuleText {
        name: name.to_owned(),
        manifest: texts.manifest.clone(),
        script: texts.script.clone(),
        cases: texts.cases.clone(),
        readme: texts.readme.clone(),
        rule_hash: texts.rule_hash(),
        text_hash: texts.text_hash(),
    }
}

/// A rule's texts from the store.
pub fn to_texts(text: &RuleText) -> RuleTexts {
    RuleTexts {
        manifest: text.manifest.clone(),
        script: text.script.clone(),
        cases: text.cases.clone(),
        readme: text.readme.clone(),
    }
}

/// Whether stored texts are still what their hashes say.
pub fn is_whole(text: &RuleText) -> bool {
    let texts = to_texts(text);
    texts.text_hash() == text.text_hash && texts.rule_hash() == text.rule_hash
}

/// The texts of a rule as they were in force last.
pub fn last_in_force(tables: &Tables, name: &str) -> anyhow::Result<Option<RuleText>> {
    let changes = tables.rule_changes()?;
    let hash = changes.iter().rev().find_map(|change| change.rules.iter().find(|(rule, _)| rule == name));
    let Some((_, hash)) = hash else { return Ok(None) };
    Ok(tables.rule_text(hash)?.filter(is_whole))
}

/// Runs the cases of the rule of this name: its manifest, script and cases. They are somebody's script, which need not end: whoever may not
/// wait for it for ever runs them apart.
pub type RunCases<'a> = &'a dyn Fn(&str, [String; 3]) -> Ran;

/// Reads and compiles a rule: it, or every problem. Of one that is `new` also what `rules check` calls an error is a problem, and
/// whatever its cases say; one that was in force before may come back though checks grew sharper since. Nothing but the cases is run.
pub fn checked(name: &str, texts: &RuleTexts, new: bool, run: RunCases<'_>) -> Result<RuleSource, PublishError> {
    let words = |found: Vec<Problem>| PublishError::Problems(found.iter().map(ToString::to_string).collect());
    if new {
        let found = pitchside_rules::lint_rule(name, &texts.manifest, &texts.script, &texts.cases);
        let errors: Vec<Problem> = found.into_iter().filter(Problem::is_error).collect();
        if !errors.is_empty() {
            return Err(words(errors));
        }
    }
    let rule = RuleSource::in_folder(name, &texts.manifest, &texts.script).map_err(words)?;
    let set = RuleSet::new([rule.clone()]).map_err(words)?;
    pitchside_rules::Engine::new(std::sync::Arc::new(set)).map_err(words)?;
    if !new {
        return Ok(rule);
    }
    let RuleTexts { manifest, script, cases, .. } = texts;
    let report = run(name, [manifest, script, cases].map(String::clone))?.map_err(PublishError::Problems)?;
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |failure| format!("{}: {failure}", case.name)));
    let failures: Vec<String> = report.problems.iter().map(ToString::to_string).chain(of_cases).collect();
    if failures.is_empty() { Ok(rule) } else { Err(PublishError::Problems(failures)) }
}

/// The rules in force, with one put in place of its predecessor, or left out; and the streams of plugins they run with.
pub fn set_with(context: &Context, rules: &Path, name: &str, rule: Option<RuleSource>) -> anyhow::Result<RuleSet> {
    let live = RuleSet::read(rules).map_err(|problems| in_words("the rules in force cannot be read", &problems))?;
    let others = live.rules().iter().filter(|other| other.name().as_str() != name).cloned();
    let set =
        RuleSet::new(others.chain(rule)).map_err(|problems| in_words("the rules do not go together", &problems))?;
    let streams = Streams::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    Ok(streams.with(set).0)
}

/// Problems as one error.
pub fn in_words(what: &str, problems: &[Problem]) -> anyhow::Error {
    let shown: Vec<String> = problems.iter().take(5).map(ToString::to_string).collect();
    anyhow::anyhow!("{what}: {}", shown.join("; "))
}

/// A version, with its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The rule.
    pub name: String,
    /// Its number.
    pub number: u32,
    /// To be watched, not in force.
    pub shadow: bool,
    /// Its files.
    pub texts: RuleTexts,
}

impl Version {
    /// As people write it.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.number)
    }

    /// For messages: what must be known of one that is only watched, and nothing of any other.
    pub const fn watched(&self) -> &'static str {
        watched(self.shadow)
    }
}

/// See [`Version::watched`].
pub const fn watched(shadow: bool) -> &'static str {
    if shadow { ", which is only watched (a shadow)," } else { "" }
}

/// The version of `NAME@NUMBER`. If no number is given, the newest that was put in force: what is only watched must be asked for by its
/// number, unless there is nothing else.
pub fn version(tables: &Tables, which: &str) -> anyhow::Result<Version> {
    let (name, found) = match which.split_once('@') {
        Some((name, number)) => {
            let number: u32 =
                number.parse().map_err(|_| anyhow::anyhow!("'{which}' is not a version: write e.g. heat-illness@2"))?;
            (name, tables.rule_version(name, number)?)
        }
        None => match tables.newest_live_rule_version(which)? {
            Some(live) => (which, Some(live)),
            None => (which, tables.newest_rule_version(which)?),
        },
    };
    let found = found.ok_or_else(|| {
        anyhow::anyhow!("there is no version {which}; `pitchside rules history {name}` lists what there is")
    })?;
    with_texts(tables, found)
}

/// A version that is known, with its texts.
pub fn with_texts(tables: &Tables, found: RuleVersion) -> anyhow::Result<Version> {
    let RuleVersion { name, number, shadow, text_hash, .. } = found;
    let text = tables
        .rule_text(&text_hash)?
        .ok_or_else(|| anyhow::anyhow!("the texts of {name}@{number} are missing from the store"))?;
    Ok(Version { name, number, shadow, texts: to_texts(&text) })
}

/// Where a draft that began from this version began to differ from what was in force: at that version itself, or, if it is only watched,
/// at the newest before it that was put in force. What was tried in the shadow is then a change of the draft's own.
pub fn origin(tables: &Tables, base: Version) -> anyhow::Result<Version> {
    if !base.shadow {
        return Ok(base);
    }
    let versions = tables.rule_versions(Some(&base.name))?;
    let before = versions.into_iter().rev().find(|version| !version.shadow && version.number < base.number);
    before.map_or(Ok(base), |before| with_texts(tables, before))
}
