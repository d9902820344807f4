//! Which rules came into force, kept with their texts: a replay and evidence need them for as long as the blocks stand.

use std::path::Path;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_rules::library::STREAM_PREFIX;
use pitchside_rules::replay::ENGINE_VERSION;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_store::{RuleChange, RuleText, Store, Tables};

use crate::blocking;
use crate::plugins::streams::Streams;
use crate::rulebook::{in_words, is_whole, last_in_force, read_texts, to_text};

/// Remembers a set. Without that the rules run all the same, and their alerts cannot be replayed: it is said aloud.
pub(super) fn remember(store: &Store, folder: &Path, set: &RuleSet, streams: &Streams, from: Timestamp) {
    let kept = blocking::here(|| {
        let rules = set
            .rules()
            .iter()
            .map(|rule| {
                let name = rule.name().as_str();
                let found = read_texts(&folder.join(name)).ok().map(|texts| to_text(name, &texts));
                if let Some(text) = found.filter(|text| text.rule_hash == rule.hash) {
                    return Ok(text);
                }
                // It stands in for one that is not in order; or the folder has changed since the worker read it: the next look finds
                // that, and comes here again.
                let last = last_in_force(store, name)?.filter(|text| text.rule_hash == rule.hash);
                last.with_context(|| format!("{name} has changed again"))
            })
            .collect::<anyhow::Result<Vec<RuleText>>>()?;
        let texts: Vec<RuleText> = rules.into_iter().chain(streams.texts_of(set)?).collect();
        let rules = texts.iter().map(|text| (text.name.clone(), text.text_hash)).collect();
        let change = RuleChange { at: from, set_hash: set.hash(), rules, engine: ENGINE_VERSION.to_owned() };
        Ok::<_, anyhow::Error>(store.note_rules(change, texts)?)
    });
    match kept {
        Ok(true) => tracing::info!("other rules are in force; their texts are kept"),
        Ok(false) => {}
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "the rules in force could not be kept: alerts of theirs cannot be replayed");
        }
    }
}

/// The rules that were in force under a hash, with the streams of plugins that ran with them; none if that is not remembered.
pub(super) fn in_force(tables: &Tables, set_hash: &[u8; 32]) -> anyhow::Result<Option<RuleSet>> {
    let changes = tables.rule_changes()?;
    let Some(change) = changes.iter().rev().find(|change| change.set_hash == *set_hash) else { return Ok(None) };
    Ok(Some(as_of(tables, change)?).filter(|set| set.hash() == *set_hash))
}

/// The rules that came into force with a change, without those whose texts are missing or cannot be read any more.
pub(super) fn as_of(tables: &Tables, change: &RuleChange) -> anyhow::Result<RuleSet> {
    let (mut rules, mut streams) = (Vec::new(), Vec::new());
    for (name, text_hash) in &change.rules {
        let Some(text) = tables.rule_text(text_hash)?.filter(is_whole) else {
            tracing::warn!(rule = %name, "the texts of a rule that was in force are missing");
            continue;
        };
        let (read, of_its_kind) = match name.strip_prefix(STREAM_PREFIX) {
            Some(stream) => (RuleSource::parse_stream(stream, &text.manifest, &text.script), &mut streams),
            None => (RuleSource::in_folder(name, &text.manifest, &text.script), &mut rules),
        };
        match read {
            Ok(read) => of_its_kind.push(read),
            Err(problems) => {
                let error = in_words("it cannot be read", &problems);
                tracing::warn!(rule = %name, error = format!("{error:#}"), "a rule that was in force is left out");
            }
        }
    }
    let rules = RuleSet::new(rules).map_err(|problems| in_words("they do not go together", &problems))?;
    let (set, _) = rules.with_streams(streams);
    Ok(set)
}
