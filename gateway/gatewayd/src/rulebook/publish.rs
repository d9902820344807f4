//! Putting a draft in force: once, by whoever comes first.

use std::path::Path;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use ledger_block::ingest::{Act, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::policy::Policy;
use pitchside_model::Timestamp;
use pitchside_rules::RuleSource;
use pitchside_rules::history::{RuleTexts, conflict_marks};
use pitchside_store::{NewRuleVersion, Published as Stored, RuleVersion, Tables};

use super::disk::{BASE_FILE, For, Lock, read_texts, stage};
use super::{RunCases, checked, finish, follows, set_with, to_text, watched};
use crate::cli::context::Context;

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The rule's name.
    pub name: String,
    /// Its files.
    pub texts: RuleTexts,
    /// The version it began from; none is right only for a rule that is new.
    pub base: Option<u32>,
    /// Who publishes it.
    pub author: String,
    /// Why.
    pub note: String,
    /// Only to be watched.
    pub shadow: bool,
    /// It was in force before: going back must fail neither for a case nor for what `rules check` says today.
    pub back: bool,
    /// It is an older version as it was; who loses a race has nothing to merge.
    pub rollback: bool,
}

impl Draft {
    fn overtaken_by(&self, between: RuleVersion) -> PublishError {
        PublishError::Overtaken { between: Box::new(between), rollback: self.rollback }
    }
}

/// A version that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u32,
    /// The version its manifest states.
    pub label: String,
    /// Hash of the rule.
    pub rule_hash: [u8; 32],
    /// Hash of the rules in force with it.
    pub set_hash: [u8; 32],
    /// Whether the ledger will be told.
    pub told: bool,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The draft is not in order.
    #[error("the draft has {} problem(s); nothing was published", .0.len())]
    Problems(Vec<String>),
    /// It does not say which version it began from.
    #[error("{}", no_base(.0))]
    NoBase(Box<RuleVersion>),
    /// Somebody else published meanwhile.
    #[error("{}", overtaken(.between, .rollback))]
    Overtaken {
        /// What came between.
        between: Box<RuleVersion>,
        /// Whether an older version was to be put in force again.
        rollback: bool,
    },
    /// The base is a version that does not exist.
    #[error("{}", unknown_base(.name, .base, .newest))]
    UnknownBase {
        /// The rule.
        name: String,
        /// What the draft says.
        base: u32,
        /// Its newest version; 0 if it was never published.
        newest: u32,
    },
    /// It changes nothing.
    #[error("the draft is version {0} to the letter; there is nothing to publish")]
    Unchanged(u32),
    /// What was to be put in force again is.
    #[error("{name}@{number} is in force already, and what was to be put in force again is the same to the letter")]
    InForce {
        /// The rule.
        name: String,
        /// The version in force.
        number: u32,
    },
    /// Something else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

fn no_base(at: &RuleVersion) -> String {
    let RuleVersion { name, number, author, .. } = at;
    format!(
        "{name} is at version {number}{} published by {author}: say which version the draft began from with --base (`pitchside rules \
         diff {name}@{number} DIR` shows what it changes)",
        if at.shadow { watched(true) } else { "," }
    )
}

fn unknown_base(name: &str, base: &u32, newest: &u32) -> String {
    let said =
        format!("--base, or the file {BASE_FILE} in the draft's folder, says that the draft began from version {base}");
    match newest {
        0 => format!(
            "{name} was never published, but {said}: remove {BASE_FILE} from a folder that was copied from another rule's draft"
        ),
        _ => format!("{name} has no version {base}; the newest is {newest}: {said}"),
    }
}

fn overtaken(between: &RuleVersion, rollback: &bool) -> String {
    let RuleVersion { name, number, author, published_at, note, shadow, .. } = between;
    let now = if *rollback {
        format!("Look at `pitchside rules history {name}`, then roll back again")
    } else if *shadow {
        format!(
            "`pitchside rules diff {name}@{number} DIR` shows what differs; with --base {number} yours is watched in its place"
        )
    } else {
        "`pitchside rules merge DIR` puts both together; then publish again".to_owned()
    };
    format!(
        "not {}: version {number} of {name}{} came between, published by {author} at {published_at} (\"{note}\"). {now}",
        if *rollback { "rolled back" } else { "published" },
        watched(*shadow)
    )
}

impl From<pitchside_store::StoreError> for PublishError {
    fn from(error: pitchside_store::StoreError) -> Self {
        Self::Other(error.into())
    }
}

/// Who is named as author of what lay in the folder without having been published.
const FOUND: &str = "(found in the folder)";

/// Puts in force what a publication that was cut off has recorded. Then records what lies in the rules' folder as a version of its own if
/// it is none: put there by hand, or before there were versions. The lock is held by the caller.
pub fn record_as_found(context: &Context, rules: &Path, name: &str, now: Timestamp) -> Result<(), PublishError> {
    finish(&context.tables, rules)?;
    let folder = rules.join(name);
    if !folder.is_dir() {
        return Ok(());
    }
    let texts = read_texts(&folder)?;
    let tables = &context.tables;
    let in_force = in_force(tables, name)?;
    if in_force.as_ref().is_some_and(|version| version.text_hash == texts.text_hash()) {
        return Ok(());
    }
    let Ok(rule) = RuleSource::parse(name, &texts.manifest, &texts.script) else { return Ok(()) };
    let newest = tables.newest_rule_version(name)?.map_or(0, |version| version.number);
    let note = match newest {
        0 => "in force before the first version",
        _ if follows(&folder, &texts) => "changed with the library",
        _ => "changed by hand",
    };
    let set = set_with(context, rules, name, Some(rule.clone()))?;
    let new = NewRuleVersion {
        text: to_text(name, &texts),
        label: rule.manifest.version,
        author: FOUND.to_owned(),
        note: note.to_owned(),
        at: now,
        shadow: false,
        base: newest,
        set_hash: set.hash(),
        act: act(context, set.hash(), now)?,
    };
    match tables.publish_rule(new)? {
        Stored::As(_) => Ok(()),
        Stored::Overtaken(between) => Err(PublishError::Overtaken { between: Box::new(between), rollback: false }),
    }
}

/// The version that was put in force last; shadows are not in force.
fn in_force(tables: &Tables, name: &str) -> Result<Option<RuleVersion>, PublishError> {
    Ok(tables.newest_live_rule_version(name)?)
}

/// Whether a draft says where it began, and nothing came between: of what is to be in force only what was put in force, for nobody
/// builds on what is only watched; of what is to be watched any version, for only one is watched at a time.
fn began_from(draft: &Draft, newest: Option<&RuleVersion>, rival: Option<&RuleVersion>) -> Result<(), PublishError> {
    let last = newest.map_or(0, |newest| newest.number);
    match (newest, draft.base) {
        (None, None) => Ok(()),
        (Some(newest), None) => Err(PublishError::NoBase(Box::new(rival.unwrap_or(newest).clone()))),
        (_, Some(base)) if base > last => {
            Err(PublishError::UnknownBase { name: draft.name.clone(), base, newest: last })
        }
        (_, Some(base)) => match rival.filter(|rival| rival.number > base) {
            Some(between) => Err(draft.overtaken_by(between.clone())),
            None => Ok(()),
        },
    }
}

/// Publishes a draft: checked, compiled, its cases run by `run`; recorded with the transaction that tells the ledger; put in force.
pub fn publish(
    context: &Context,
    rules: &Path,
    draft: &Draft,
    now: Timestamp,
    run: RunCases<'_>,
) -> Result<Published, PublishError> {
    let marked = conflict_marks(&draft.texts);
    // What was in force with something that looks like one must not fail for it.
    if !marked.is_empty() && !draft.back {
        return Err(PublishError::Problems(marked.iter().map(|mark| format!("{}/{mark}", draft.name)).collect()));
    }
    // Before the lock: cases may take their time.
    let rule = checked(&draft.name, &draft.texts, !draft.back, run)?;
    let _lock = Lock::take(rules)?;
    record_as_found(context, rules, &draft.name, now)?;
    let newest = context.tables.newest_rule_version(&draft.name)?;
    let rival = if draft.shadow { newest.clone() } else { in_force(&context.tables, &draft.name)? };
    began_from(draft, newest.as_ref(), rival.as_ref())?;
    // Under the lock nothing comes between any more; the store counts every version.
    let base = newest.map_or(0, |newest| newest.number);
    let unchanged = rival.filter(|last| last.text_hash == draft.texts.text_hash() && last.shadow == draft.shadow);
    let on_disk = read_texts(&rules.join(&draft.name)).is_ok_and(|texts| texts == draft.texts);
    if let Some(same) = unchanged.filter(|_| draft.shadow || on_disk) {
        let number = same.number;
        return Err(if draft.rollback {
            PublishError::InForce { name: draft.name.clone(), number }
        } else {
            PublishError::Unchanged(number)
        });
    }
    let (label, rule_hash) = (rule.manifest.version.clone(), rule.hash);
    let set = set_with(context, rules, &draft.name, Some(rule))?;
    let act = if draft.shadow { None } else { act(context, set.hash(), now)? };
    let told = act.is_some();
    // Before it is recorded: a folder that takes no rule leaves no version behind.
    let staged = if draft.shadow { None } else { Some(stage(rules, &draft.name, &draft.texts, For::Publication)?) };
    let new = NewRuleVersion {
        text: to_text(&draft.name, &draft.texts),
        label: label.clone(),
        author: draft.author.clone(),
        note: draft.note.clone(),
        at: now,
        shadow: draft.shadow,
        base,
        set_hash: set.hash(),
        act,
    };
    let number = match context.tables.publish_rule(new)? {
        Stored::As(number) => number,
        Stored::Overtaken(between) => return Err(draft.overtaken_by(between)),
    };
    if let Some(staged) = staged {
        let name = &draft.name;
        staged.put().with_context(|| {
            format!("{name}@{number} is recorded, but not in force; publish it again, from version {number}")
        })?;
    }
    Ok(Published { number, label, rule_hash, set_hash: set.hash(), told })
}

/// The transaction `rule`: this set of rules is in force on this box. None without a ledger.
fn act(context: &Context, set_hash: [u8; 32], now: Timestamp) -> anyhow::Result<Option<([u8; 32], Vec<u8>)>> {
    let Some(ledger) = &context.settings.ledger else { return Ok(None) };
    let bytes =
        std::fs::read(&ledger.policy).with_context(|| format!("reading the policy {}", ledger.policy.display()))?;
    let policy = Policy::parse(&bytes).with_context(|| format!("the policy {}", ledger.policy.display()))?;
    let origin = policy.logs().first().context("the policy names no log")?.key.name().to_owned();
    let signer = context.settings.gateway.name.clone();
    let transaction = Transaction { signer, time: now, act: Act::Rule { rules: set_hash } };
    let leaf = transaction.sign(&origin, &GatewayKey::new(&context.identity.sign))?;
    Ok(Some((leaf_hash(&leaf), leaf)))
}

#[cfg(test)]
mod tests;
