//! Which rules came into force, kept with their texts: a replay and evidence need them for as long as the blocks stand.

use std::path::Path;

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_rules::library::STREAM_PREFIX;
use pitchside_rules::replay::ENGINE_VERSION;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_store::{RuleChange, RuleText, Tables};

use crate::blocking;
use crate::plugins::streams::Streams;
use crate::rulebook::{in_words, is_whole, read_texts, to_text};

/// The texts of a set. They are taken before anything is waited for: its folder may hold others by then.
pub(super) fn texts(tables: &Tables, folder: &Path, set: &RuleSet, streams: &Streams) -> anyhow::Result<Vec<RuleText>> {
    blocking::here(|| {
        let rules = set.rules().iter().map(|rule| text_of(tables, folder, rule));
        let rules = rules.collect::<anyhow::Result<Vec<RuleText>>>()?;
        Ok(rules.into_iter().chain(streams.texts_of(set)?).collect())
    })
}

fn text_of(tables: &Tables, folder: &Path, rule: &RuleSource) -> anyhow::Result<RuleText> {
    let name = rule.name().as_str();
    let found = read_texts(&folder.join(name)).ok().map(|texts| to_text(name, &texts));
    if let Some(text) = found.filter(|text| text.rule_hash == rule.hash) {
        return Ok(text);
    }
    // It stands in for one that is not in order, and was in force before; or the folder has changed since the worker read it. What is
    // published is kept before it lies there. Of a change by hand nothing is left: the next look finds the other, and comes here again.
    let kept = tables.text_of_rule(&rule.hash)?.filter(|text| text.name == name && is_whole(text));
    kept.with_context(|| format!("{name} has changed again"))
}

/// Remembers a set. Without that the rules run all the same, and their alerts cannot be replayed: it is said aloud.
pub(super) fn remember(tables: &Tables, set: &RuleSet, texts: anyhow::Result<Vec<RuleText>>, from: Timestamp) {
    let kept = blocking::here(|| {
        let texts = texts?;
        let rules = texts.iter().map(|text| (text.name.clone(), text.text_hash)).collect();
        let change = RuleChange { at: from, set_hash: set.hash(), rules, engine: ENGINE_VERSION.to_owned() };
        Ok::<_, anyhow::Error>(tables.note_rules(change, texts)?)
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

#[cfg(test)]
mod tests {
    use pitchside_rules::history::RuleTexts;
    use pitchside_store::{NewRuleVersion, RootKey, Store};

    use super::*;
    use crate::rulebook::write_draft;

    const NAME: &str = "heart-rate-ceiling";

    /// Somebody's version of a rule.
    fn version(of: &str) -> RuleTexts {
        let mut texts = read_texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules").join(NAME)).unwrap();
        texts.script.push_str(&format!("// {of}\n"));
        texts
    }

    fn publish(store: &Store, of: &str, base: u32) {
        let new = NewRuleVersion {
            text: to_text(NAME, &version(of)),
            label: "1.0.0".to_owned(),
            author: of.to_owned(),
            note: "another".to_owned(),
            at: Timestamp(1),
            shadow: false,
            base,
            set_hash: [0; 32],
            act: None,
        };
        store.publish_rule(new).unwrap();
    }

    /// What a worker takes that looks at the folder now.
    fn taken(rules: &Path, of: &str) -> RuleSet {
        write_draft(&rules.join(NAME), &version(of)).unwrap();
        RuleSet::read(rules).unwrap()
    }

    #[test]
    fn what_was_published_is_remembered_though_its_folder_holds_the_next_already() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let (rules, none) = (dir.path().join("rules"), Streams::default());
        let remember = |set: &RuleSet, at: i64| {
            remember(&store, set, texts(&store, &rules, set, &none), Timestamp(at));
            in_force(&store, &set.hash()).unwrap().is_some()
        };
        assert!(remember(&taken(&rules, "ann"), 1));
        publish(&store, "bea", 0);
        let of_bea = taken(&rules, "bea");
        publish(&store, "cyd", 1);
        let of_cyd = taken(&rules, "cyd");
        assert!(remember(&of_bea, 2), "its folder holds the next");
        assert!(remember(&of_cyd, 3));
        let sets: Vec<_> = store.rule_changes().unwrap().into_iter().map(|change| change.set_hash).collect();
        assert_eq!(sets[1..], [of_bea.hash(), of_cyd.hash()]);
    }

    #[test]
    fn what_was_changed_by_hand_is_remembered_if_its_texts_were_taken_before_the_next_change() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let (rules, none) = (dir.path().join("rules"), Streams::default());
        let of_ann = taken(&rules, "ann");
        let in_time = texts(&store, &rules, &of_ann, &none);
        taken(&rules, "bea");
        let too_late = texts(&store, &rules, &of_ann, &none);
        assert_eq!(too_late.unwrap_err().to_string(), "heart-rate-ceiling has changed again");
        remember(&store, &of_ann, in_time, Timestamp(1));
        assert!(in_force(&store, &of_ann.hash()).unwrap().is_some());
    }
}
