//! A publication that was cut off between the record and the rules' folder: its version is recorded, its texts lie beside the folder.

use std::path::Path;

use pitchside_rules::RuleSource;
use pitchside_store::{RuleVersion, Tables};

use super::disk::{For, Lock, Staged, clear, read_texts, staging};
use super::follow::names;
use super::follows;

/// As [`finish`], for whoever does not hold the lock. Does nothing where nothing is left.
pub fn finish_what_is_left(tables: &Tables, rules: &Path) -> anyhow::Result<()> {
    if !staging(rules, For::Publication)?.is_dir() {
        return Ok(());
    }
    // Whoever publishes at this moment holds it, and leaves nothing; the rules that run wait for nobody.
    let Some(_lock) = Lock::try_take(rules)? else { return Ok(()) };
    finish(tables, rules)
}

/// Puts in force what is left beside the rules' folder, if that is the version of its rule that was recorded last, and removes what is
/// not. The lock is held by the caller.
pub fn finish(tables: &Tables, rules: &Path) -> anyhow::Result<()> {
    let left = staging(rules, For::Publication)?;
    if !left.is_dir() {
        return Ok(());
    }
    for name in names(&left)? {
        let folder = left.join(&name);
        let Ok(texts) = read_texts(&folder) else { continue };
        let Some(newest) = tables.newest_live_rule_version(&name)? else { continue };
        // What followed a library was left by a program that staged it here, too.
        if newest.text_hash != texts.text_hash() || follows(&folder, &texts) {
            continue;
        }
        if is_as_before(tables, &newest, &rules.join(&name))? {
            Staged::left(rules, &name, For::Publication)?.put()?;
            tracing::warn!(
                rule = name,
                version = newest.number,
                "a publication was cut off; its version is in force now"
            );
        }
    }
    clear(&left)
}

/// Whether a rule's folder is what the publication found: the version before it, or nothing, or nothing that is in order. What somebody
/// put there by hand since is theirs.
fn is_as_before(tables: &Tables, newest: &RuleVersion, place: &Path) -> anyhow::Result<bool> {
    let Ok(found) = read_texts(place) else { return Ok(true) };
    if RuleSource::parse(&newest.name, &found.manifest, &found.script).is_err() {
        return Ok(true);
    }
    let versions = tables.rule_versions(Some(&newest.name))?;
    let before = versions.iter().rev().find(|version| !version.shadow && version.number < newest.number);
    Ok(before.is_some_and(|before| before.text_hash == found.text_hash()))
}
