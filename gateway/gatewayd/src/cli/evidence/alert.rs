//! Verifying the evidence of an alert: the proofs, then whether the rule in it raises the alert from the readings in it.

use std::path::Path;
use std::sync::Arc;

use ledger_block::evidence::alert::{self, AlertEvidence, AlertVerdict};
use ledger_block::policy::Policy;
use pitchside_rules::replay::{ENGINE_VERSION, Follows, follows};
use pitchside_rules::{RuleSet, RuleSource, history};
use pitchside_script::fault::one_line;
use serde::Serialize;

use crate::archive::alert::messages;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::rulebook::in_words;

#[derive(Serialize)]
struct Line {
    what: &'static str,
    at: Option<String>,
    by: Option<String>,
}

#[derive(Serialize)]
struct Said {
    #[serde(flatten)]
    alert: super::Said,
    message: String,
    rule_hash: String,
    /// The set with this rule is the one the block names: it was in force as the alert was raised. Otherwise that is the gateway's word.
    rules_in_block: bool,
    params: Vec<(String, f64)>,
    /// What evaluates it; what raised it is in the log.
    engine: String,
    readings: usize,
    blocks: usize,
    /// None if another version of the evaluation made it.
    follows: Option<Follows>,
    state_before_bytes: Option<usize>,
    log: Vec<Line>,
    made_at: String,
}

pub(super) fn verify(bytes: &[u8], file: &Path, policy: &Policy, output: &Output) -> Outcome {
    let tampered = |what: String| Failure::Tampered(format!("{}: {what}", file.display()));
    let verdict = match alert::verify(bytes, policy) {
        Ok(verdict) => verdict,
        Err(fault) if fault.is_tampered() => return Err(tampered(fault.to_string())),
        Err(fault) => return Err(Failure::Failed(anyhow::anyhow!("{}: {fault}", file.display()))),
    };
    let AlertVerdict { alert, said, .. } = &verdict;
    let name = alert.rule.as_str();
    let rule = RuleSource::parse(name, &said.manifest, &said.script)
        .map_err(|problems| in_words("the rule in the file cannot be read", &problems))?;
    let in_set = said.rules.iter().any(|(other, hash)| other == name && *hash == rule.hash);
    if !in_set || rule.name() != &alert.rule || rule.manifest.version != alert.rule_version {
        return Err(tampered("the rule in it is not the one the alert names".to_owned()));
    }
    let set_hash = history::set_hash(said.rules.iter().map(|(name, hash)| (name.as_str(), hash)));
    let params = rule.manifest.params.iter().map(|(name, param)| (one_line(name), param.default)).collect();
    let rule_hash = data_encoding::HEXLOWER.encode(&rule.hash);
    let unread = |problems: Vec<pitchside_script::Problem>| in_words("the rule in the file", &problems);
    let streams = streams(said).map_err(unread)?;
    let listed = |stream: &RuleSource| said.rules.contains(&(stream.listed_as(), stream.hash));
    if !streams.iter().all(listed) {
        return Err(tampered("a stream in it is not among those that were in force".to_owned()));
    }
    let set = RuleSet::new([rule]).map_err(unread)?.with_streams(streams).0;
    let follows = if said.engine == ENGINE_VERSION {
        let entries = messages(&verdict.readings);
        let answer = follows(&Arc::new(set), alert, &entries, said.before.as_deref());
        Some(answer.map_err(|problems| in_words("the rule in the file", &problems))?)
    } else {
        None
    };
    let log = said.log.iter().map(|line| Line {
        what: line.what.word(),
        at: line.at.map(|at| at.to_string()),
        by: line.by.as_deref().map(one_line),
    });
    let shown = Said {
        alert: super::said(&verdict.verdict),
        message: one_line(&alert.message),
        rule_hash,
        rules_in_block: set_hash == verdict.verdict.block.rules,
        params,
        engine: one_line(&said.engine),
        readings: verdict.readings.len(),
        blocks: verdict.blocks,
        follows,
        state_before_bytes: said.before.as_ref().map(Vec::len),
        log: log.collect(),
        made_at: said.made_at.to_string(),
    };
    if follows == Some(Follows::No) {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{}: every byte is as the gateway stated it, but the rule in it does not raise this alert from what it holds",
            file.display()
        )));
    }
    output.print(&shown, words)?;
    Ok(())
}

/// The streams of plugins that the rule names.
fn streams(said: &AlertEvidence) -> Result<Vec<RuleSource>, Vec<pitchside_script::Problem>> {
    let stream = |(manifest, script): &(String, String)| RuleSource::parse_stream("stream", manifest, script);
    said.streams.iter().map(stream).collect()
}

fn words(said: &Said) -> String {
    let alert = &said.alert;
    let whose = alert.athlete.as_ref().map_or_else(String::new, |athlete| format!(" of athlete {athlete}"));
    let value = alert.value.as_ref().map_or_else(String::new, |value| format!(": {value}"));
    let rules = if said.rules_in_block { "named by the block" } else { "by the gateway's word" };
    let follows = match said.follows {
        Some(Follows::FromReadings) => "the rule raises it again from these readings alone".to_owned(),
        Some(Follows::FromState) => "the rule raises it again in the state the gateway states".to_owned(),
        Some(Follows::No) => "the rule does not raise it again".to_owned(),
        None => format!("not evaluated again: made by {}, this is {ENGINE_VERSION}", said.engine),
    };
    let mut text = format!(
        "accepted\n{}{whose}{value}\n{}\ntime     {}\nblock    {} of gateway {}, sealed {}\nledger   {}, leaf {} of {}\n\
         rule     {} ({rules})\nengine   {}\nreadings {} in {} block(s), each proven\nreplay   {follows}",
        alert.what,
        said.message,
        alert.time,
        alert.block,
        alert.gateway,
        alert.sealed_at,
        alert.ledger,
        alert.leaf_index,
        alert.tree_size,
        said.rule_hash,
        said.engine,
        said.readings,
        said.blocks,
    );
    for (name, value) in &said.params {
        text.push_str(&format!("\nparam    {name} = {value}"));
    }
    for line in &said.log {
        let at = line.at.as_ref().map_or_else(String::new, |at| format!(" {at}"));
        let by = line.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        text.push_str(&format!("\nlog      {}{at}{by}", line.what));
    }
    text
}
