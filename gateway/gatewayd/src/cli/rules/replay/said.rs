//! What a replay came to, as JSON and in words.

use anyhow::Context as _;
use pitchside_model::AlertId;
use pitchside_rules::replay::{ENGINE_VERSION, Outcome as Came};
use serde::Serialize;

use super::Replayed;

/// What a replay came to, for people and machines.
#[derive(Serialize)]
pub(super) struct Said {
    alert: String,
    result: &'static str,
    rule: String,
    rule_version: String,
    rule_hash: String,
    set_hash: String,
    engine: &'static str,
    /// What raised it.
    raised_by: String,
    readings: u64,
    blocks: u64,
    differences: Vec<pitchside_rules::replay::Difference>,
    /// If it was not raised: what the rule raised nearest to it.
    nearest: Option<String>,
}

/// The same, of a replay.
pub(super) fn said(id: AlertId, replayed: &Replayed) -> anyhow::Result<Said> {
    let hex = |hash: &[u8]| data_encoding::HEXLOWER.encode(hash);
    let (result, differences, nearest) = match &replayed.outcome {
        Came::Identical => ("identical", Vec::new(), None),
        Came::Different(differences) => ("different", differences.clone(), None),
        Came::NotRaised(near) => ("not raised", Vec::new(), near.as_ref().map(|near| near.event_time.to_string())),
    };
    let text = replayed.stretch.text.as_ref().context("a rule without its texts")?;
    Ok(Said {
        alert: id.to_string(),
        result,
        rule: replayed.sealed.rule.to_string(),
        rule_version: replayed.sealed.rule_version.clone(),
        rule_hash: hex(&text.rule_hash),
        set_hash: hex(&replayed.stretch.set_hash),
        engine: ENGINE_VERSION,
        raised_by: replayed.stretch.engine.clone(),
        readings: replayed.readings,
        blocks: replayed.walked.opened,
        differences,
        nearest,
    })
}

/// In words.
pub(super) fn words(said: &Said) -> String {
    let mut text = format!(
        "{}\nalert    {}\nrule     {} {} ({})\nengine   {}\nheard    {} readings in {} verified blocks",
        said.result, said.alert, said.rule, said.rule_version, said.rule_hash, said.engine, said.readings, said.blocks
    );
    if said.raised_by != said.engine {
        text.push_str(&format!("\nraised by {}", said.raised_by));
    }
    for difference in &said.differences {
        text.push_str(&format!(
            "\n{}: sealed {:?}, replayed {:?}",
            difference.field, difference.sealed, difference.replayed
        ));
    }
    if said.result == "not raised" {
        let near = said.nearest.as_deref().unwrap_or("none at all");
        text.push_str(&format!("\nnearest alert the rule raises about the same subject: {near}"));
    }
    text
}
