//! `rules publish`, `checkout`, `merge`, `history`, `diff`, `rollback`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use pitchside_rules::RuleSet;
use pitchside_rules::history::{self, RuleTexts};
use pitchside_store::{ActState, RuleVersion, Tables};
use serde::Serialize;

use super::rules_folder;
use crate::cli::args::{ConfigArg, PublishArgs};
use crate::cli::context::user;
use crate::cli::context::{self, Context};
use crate::cli::library::refuse;
use crate::cli::output::{self, Output, line};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::plugins::apart::Apart;
use crate::rulebook::{self, Draft, Lock, PublishError, Published, Version};

fn hex(hash: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

/// The rule's name a draft's folder states.
pub(super) fn name_of(dir: &Path) -> Result<String, Failure> {
    let dir = std::path::absolute(dir).with_context(|| dir.display().to_string())?;
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| Failure::Usage(format!("{} is no rule's folder", dir.display())))
}

/// What was published.
#[derive(Serialize)]
struct Said {
    rule: String,
    number: u32,
    version: String,
    rule_hash: String,
    set_hash: String,
    shadow: bool,
    /// The ledger is told with the next contact.
    ledger: bool,
}

/// The number it was published under.
fn publish_draft(draft: &Draft, context: &Context, output: &Output) -> Result<u32, Failure> {
    let rules = rules_folder(context)?;
    // Cases run in a process of their own, which is ended when it is late; it is started only if there are any to run.
    let published = rulebook::publish(context, &rules, draft, Clock::System.now(), &|name, texts| {
        Apart::start()?.of_rule(name, texts)
    });
    let Published { number, label, rule_hash, set_hash, told } = match published {
        Ok(published) => published,
        Err(PublishError::Problems(problems)) => return refuse(&problems).map(|()| 0),
        Err(error @ PublishError::NoBase { .. }) => return Err(Failure::Usage(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    if draft.shadow {
        super::shadow::begin(context, &draft.name, &draft.texts)?;
    }
    let said = Said {
        rule: draft.name.clone(),
        number,
        version: label,
        rule_hash: hex(&rule_hash),
        set_hash: hex(&set_hash),
        shadow: draft.shadow,
        ledger: told,
    };
    output.print(&said, |said| {
        let where_ = if said.shadow { "runs in the shadow" } else { "is in force" };
        let told = if said.ledger { "; the ledger will be told" } else { "" };
        let (rule, number, version) = (&said.rule, said.number, &said.version);
        format!("published {rule}@{number} ({version}): it {where_}{told}\nrule hash {}", said.rule_hash)
    })?;
    Ok(number)
}

/// `rules publish`.
pub fn publish(args: &PublishArgs, context: &Context, output: &Output) -> Outcome {
    let texts = rulebook::read_texts(&args.dir)?;
    let base = match args.base {
        Some(base) => Some(base),
        None => rulebook::base_of(&args.dir)?,
    };
    let draft = Draft {
        name: name_of(&args.dir)?,
        texts,
        base,
        author: args.author.clone().unwrap_or_else(user),
        note: args.note.clone(),
        shadow: args.shadow,
        back: false,
        rollback: false,
    };
    let number = publish_draft(&draft, context, output)?;
    // The draft goes on from what it has become.
    if rulebook::base_of(&args.dir)?.is_some() {
        rulebook::write_base(&args.dir, number)?;
    }
    Ok(())
}

/// A rule that was never published is recorded as it is found, so that it has a version.
fn ensure_version(context: &Context, name: &str) -> Outcome {
    let rules = rules_folder(context)?;
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let _lock = Lock::take(&rules)?;
    Ok(rulebook::record_as_found(context, &rules, name, Clock::System.now())?)
}

/// `rules checkout`.
pub fn checkout(rule: &str, dir: &Path, context: &Context, output: &Output) -> Outcome {
    ensure_version(context, rule)?;
    let found = rulebook::version(&context.tables, rule)?;
    let Version { name, number, shadow, texts } = &found;
    if name_of(dir)? != *name {
        let shown = dir.display();
        return Err(Failure::Usage(format!("a rule's folder is called as the rule: give {shown}/{name}")));
    }
    if dir.exists() {
        return Err(Failure::Usage(format!("{} is there already; name a folder that is not", dir.display())));
    }
    rulebook::write_draft(dir, texts)?;
    rulebook::write_base(dir, *number)?;
    let said = serde_json::json!({ "rule": name, "number": number, "shadow": shadow, "dir": dir });
    output.print(&said, |_| format!("{}{} is in {}", found.id(), found.watched(), dir.display()))?;
    if !rule.contains('@')
        && let Some(newer) = context.tables.newest_rule_version(name)?.filter(|newest| newest.number > *number)
    {
        let id = format!("{name}@{}", newer.number);
        output::note(&format!("{id} is only watched (a shadow): `pitchside rules checkout {id} DIR` copies that out"));
    }
    Ok(())
}

/// `rules merge`.
pub fn merge(dir: &Path, base: Option<u32>, context: &Context, output: &Output) -> Outcome {
    let name = name_of(dir)?;
    ensure_version(context, &name)?;
    let ours = rulebook::read_texts(dir)?;
    let marked = history::conflict_marks(&ours);
    if !marked.is_empty() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "nothing was merged: {}; keep what is right of the merge before, remove the marks, then publish",
            marked.join("; ")
        )));
    }
    let base = match base {
        Some(base) => base,
        None => rulebook::base_of(dir)?
            .ok_or_else(|| Failure::Usage("say which version the draft began from: --base VERSION".to_owned()))?,
    };
    let base = rulebook::version(&context.tables, &format!("{name}@{base}"))?;
    let theirs = rulebook::version(&context.tables, &name)?;
    // What is only watched is nobody's to build on.
    if theirs.shadow || theirs.number <= base.number {
        let said = serde_json::json!({ "rule": name, "base": base.number, "merged": base.number, "conflicts": [] });
        output.print(&said, |_| {
            format!("nothing of {name} was put in force since @{}; {} stays as it is", base.number, dir.display())
        })?;
        return Ok(());
    }
    let base = rulebook::origin(&context.tables, base)?;
    let (newest, base_number) = (theirs.number, base.number);
    let merged = history::merge(&base.texts, &ours, &theirs.texts);
    rulebook::write_draft(dir, &merged.texts)?;
    rulebook::write_base(dir, newest)?;
    let conflicts = merged.conflicts.clone();
    let said = serde_json::json!({ "rule": name, "base": base_number, "merged": newest, "conflicts": conflicts });
    output.print(&said, |_| {
        if conflicts.is_empty() {
            format!(
                "{} now holds {name}@{newest} and your changes since @{base_number}; check and publish it",
                dir.display()
            )
        } else {
            format!(
                "{name}@{newest} is put into {}; both changed the same lines of: {}",
                dir.display(),
                conflicts.join(", ")
            )
        }
    })?;
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!(
        "{} file(s) hold marks (<<<<<<<): keep what is right, remove the marks, then publish",
        conflicts.len()
    )))
}

/// One version, for people and machines.
#[derive(Serialize)]
struct Row {
    rule: String,
    number: u32,
    version: String,
    published_at: String,
    author: String,
    note: String,
    state: &'static str,
    rule_hash: String,
    ledger: &'static str,
}

/// What the ledger knows of a version.
fn ledger(tables: &Tables, version: &RuleVersion) -> anyhow::Result<&'static str> {
    let Some(leaf) = &version.leaf_hash else { return Ok("-") };
    Ok(match tables.act_state(leaf)? {
        Some(ActState::Waiting) => "waiting",
        Some(ActState::Told) => "told",
        Some(ActState::Refused) => "refused",
        None => "unknown",
    })
}

/// `rules history`.
pub fn history(name: Option<&str>, context: &Context, output: &Output) -> Outcome {
    let dir = context.settings.rules.dir.as_deref();
    let live = dir.and_then(|dir| RuleSet::read(dir).ok());
    // All four files: a version that differs in its cases alone is another one.
    let in_force: BTreeMap<String, [u8; 32]> = live
        .iter()
        .flat_map(|set| set.rules())
        .filter_map(|rule| {
            let texts = rulebook::read_texts(&dir?.join(rule.name().as_str())).ok()?;
            Some((rule.name().to_string(), texts.text_hash()))
        })
        .collect();
    let versions = context.tables.rule_versions(name)?;
    let mut rows = Vec::new();
    for version in &versions {
        let text = context.tables.rule_text(&version.text_hash)?.context("the texts of a version are missing")?;
        // Of several versions alike the newest is the one in force.
        let later = versions.iter().any(|other| {
            other.name == version.name
                && other.number > version.number
                && other.text_hash == version.text_hash
                && !other.shadow
        });
        let is_live = !version.shadow && !later && in_force.get(&version.name) == Some(&version.text_hash);
        rows.push(Row {
            rule: version.name.clone(),
            number: version.number,
            version: version.label.clone(),
            published_at: version.published_at.to_string(),
            author: version.author.clone(),
            note: version.note.clone(),
            state: match (version.shadow, is_live) {
                (true, _) => "shadow",
                (false, true) => "in force",
                (false, false) => "-",
            },
            rule_hash: hex(&text.rule_hash),
            ledger: ledger(&context.tables, version)?,
        });
    }
    output.table(&rows, &["VERSION", "HASH", "PUBLISHED", "BY", "STATE", "LEDGER", "NOTE"], |row| {
        vec![
            format!("{}@{} ({})", row.rule, row.number, row.version),
            row.rule_hash.chars().take(8).collect(),
            row.published_at.clone(),
            row.author.clone(),
            row.state.to_owned(),
            row.ledger.to_owned(),
            row.note.clone(),
        ]
    })?;
    let unrecorded =
        live.iter().flat_map(|set| set.rules()).filter(|rule| name.is_none_or(|name| rule.name().as_str() == name));
    for rule in unrecorded {
        let name = rule.name().as_str();
        let newest = rows.iter().rev().find(|row| row.rule == name && row.state != "shadow");
        if newest.is_none_or(|row| row.state != "in force") {
            output::note(&format!(
                "{name}: what is in force was not published; the next publication records it as a version"
            ));
        }
    }
    Ok(())
}

/// The texts of a folder, or of a version.
fn side(which: &str, config: &ConfigArg) -> Result<(String, RuleTexts), Failure> {
    let path = Path::new(which);
    if path.join("rule.toml").is_file() {
        return Ok((which.trim_end_matches('/').to_owned(), rulebook::read_texts(path)?));
    }
    let context = context::open(config)?;
    ensure_version(&context, which)?;
    let found = rulebook::version(&context.tables, which)?;
    Ok((found.id(), found.texts))
}

/// `rules diff`.
pub fn diff(old: &str, new: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let ((old_name, old), (new_name, new)) = (side(old, config)?, side(new, config)?);
    let text = history::diff(&old, &new, &old_name, &new_name);
    if output.is_json() {
        let files: Vec<&str> =
            old.files().iter().zip(new.files()).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect();
        output.print(&serde_json::json!({ "old": old_name, "new": new_name, "files": files, "diff": text }), |_| {
            String::new()
        })?;
    } else if text.is_empty() {
        line(&format!("{old_name} and {new_name} are the same"))?;
    } else {
        line(text.trim_end())?;
    }
    Ok(())
}

/// What is put in force again, and by whom.
pub struct Rollback<'a> {
    /// The rule.
    pub name: &'a str,
    /// Its old version.
    pub version: u32,
    /// Why.
    pub note: Option<&'a str>,
    /// Who.
    pub author: Option<&'a str>,
}

/// `rules rollback`.
pub fn rollback(back: &Rollback<'_>, context: &Context, output: &Output) -> Outcome {
    ensure_version(context, back.name)?;
    let Version { name, number, shadow, texts } =
        rulebook::version(&context.tables, &format!("{}@{}", back.name, back.version))?;
    let newest = context.tables.newest_rule_version(&name)?.map(|version| version.number);
    let to =
        if shadow { format!("version {number}, so far only watched") } else { format!("back to version {number}") };
    let note = back.note.map_or_else(|| to.clone(), |note| format!("{to}: {note}"));
    let draft = Draft {
        name,
        texts,
        base: newest,
        author: back.author.map_or_else(user, str::to_owned),
        note,
        shadow: false,
        // What was only watched was never in force.
        back: !shadow,
        rollback: true,
    };
    publish_draft(&draft, context, output).map(drop)
}
