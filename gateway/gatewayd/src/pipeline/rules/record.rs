//! Which rules came into force, kept with their texts: a replay and evidence need them for as long as the blocks stand.

use std::path::Path;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_rules::RuleSet;
use pitchside_rules::replay::ENGINE_VERSION;
use pitchside_store::{RuleChange, RuleText, Store};

use crate::blocking;
use crate::plugins::streams::Streams;
use crate::rulebook::{last_in_force, read_texts, to_text};

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
