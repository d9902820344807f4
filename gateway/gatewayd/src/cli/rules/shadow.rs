//! `rules shadow`: which rules are only watched, and what they have said. What lies in the shadows' folder runs; the gateway looks
//! there by itself.

use std::path::PathBuf;

use anyhow::Context as _;
use pitchside_model::{AlertEvent, RuleName};
use pitchside_rules::RuleSet;
use pitchside_rules::history::RuleTexts;
use serde::Serialize;

use crate::cli::args::Switch;
use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::pipeline::shadow::SHADOW_FOLDER;
use crate::rulebook::{self, Lock, Version, remove_rule, write_rule};

fn folder(context: &Context) -> anyhow::Result<PathBuf> {
    let folder = context.settings.gateway.data_dir.join(SHADOW_FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Puts a rule into the shadow.
pub fn begin(context: &Context, name: &str, texts: &RuleTexts) -> anyhow::Result<()> {
    let folder = folder(context)?;
    let _lock = Lock::take(&folder)?;
    write_rule(&folder, name, texts)
}

/// `rules shadow`.
pub fn shadow(name: Option<&str>, switch: Option<Switch>, last: u32, context: &Context, output: &Output) -> Outcome {
    match (name, switch) {
        (None, _) => list(context, output),
        (Some(name), None) => log(name, last, context, output),
        (Some(which), Some(Switch::On)) => {
            // Without a number it is the newest of all: what is in force need not be watched.
            let newest = context.tables.newest_rule_version(which)?;
            let found = match newest {
                Some(newest) => rulebook::with_texts(&context.tables, newest)?,
                None if !which.contains('@') => {
                    return Err(Failure::Failed(anyhow::anyhow!(
                        "{which} was never published, so it has no version to watch: `pitchside rules publish DIR --shadow` puts a draft \
                         into the shadow"
                    )));
                }
                None => rulebook::version(&context.tables, which)?,
            };
            let Version { name, number, texts, .. } = found;
            begin(context, &name, &texts)?;
            let said = serde_json::json!({ "rule": name, "number": number, "shadow": true });
            output.print(&said, |_| {
                format!("{name}@{number} runs in the shadow: `pitchside rules shadow {name}` shows what it says")
            })?;
            Ok(())
        }
        (Some(which), Some(Switch::Off)) => {
            let (name, number) = which.split_once('@').map_or((which, None), |(name, number)| (name, Some(number)));
            let folder = folder(context)?;
            let _lock = Lock::take(&folder)?;
            // A path that is no name, such as an empty one, would be that of the folder itself, with every rule in it.
            if RuleName::parse(name).is_err() || !folder.join(name).is_dir() {
                return Err(Failure::Failed(anyhow::anyhow!("'{name}' does not run in the shadow")));
            }
            if number.is_some()
                && rulebook::version(&context.tables, which)?.texts != rulebook::read_texts(&folder.join(name))?
            {
                return Err(Failure::Failed(anyhow::anyhow!(
                    "{name} runs in the shadow, but not as {which}: `pitchside rules shadow {name} off` switches it off, whichever it is"
                )));
            }
            remove_rule(&folder, name)?;
            let said = serde_json::json!({ "rule": name, "shadow": false });
            output.print(&said, |_| format!("{name} no longer runs in the shadow; what it said stays in the log"))?;
            Ok(())
        }
    }
}

#[derive(Serialize)]
struct Running {
    rule: String,
    version: String,
    rule_hash: String,
}

fn list(context: &Context, output: &Output) -> Outcome {
    let set = RuleSet::read(&folder(context)?)
        .map_err(|problems| rulebook::in_words("the rules in the shadow cannot be read", &problems))?;
    let rows: Vec<Running> = set
        .rules()
        .iter()
        .map(|rule| Running {
            rule: rule.name().to_string(),
            version: rule.manifest.version.clone(),
            rule_hash: data_encoding::HEXLOWER.encode(&rule.hash),
        })
        .collect();
    output.table(&rows, &["RULE", "VERSION", "HASH"], |row| {
        vec![row.rule.clone(), row.version.clone(), row.rule_hash.chars().take(8).collect()]
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Line {
    logged_at: String,
    event: &'static str,
    alert: String,
    event_time: String,
    athlete: Option<String>,
    device: Option<String>,
    value: Option<String>,
    message: Option<String>,
}

fn log(name: &str, last: u32, context: &Context, output: &Output) -> Outcome {
    let rows = context.tables.shadow_log(Some(name), last)?;
    let lines: Vec<Line> = rows
        .iter()
        .map(|row| match &row.event {
            AlertEvent::Raised(alert) => Line {
                logged_at: row.at.to_string(),
                event: "would raise",
                alert: alert.id.to_string(),
                event_time: alert.event_time.to_string(),
                athlete: alert.athlete.as_ref().map(ToString::to_string),
                device: Some(alert.device.to_string()),
                value: alert.value.map(|value| format!("{value} {}", alert.unit)),
                message: Some(alert.message.clone()),
            },
            AlertEvent::Cleared { id, event_time } => Line {
                logged_at: row.at.to_string(),
                event: "would clear",
                alert: id.to_string(),
                event_time: event_time.to_string(),
                athlete: None,
                device: None,
                value: None,
                message: None,
            },
        })
        .collect();
    output.table(&lines, &["WHEN", "WHAT", "ATHLETE", "VALUE", "ALERT"], |line| {
        let dash = || "-".to_owned();
        vec![
            line.event_time.clone(),
            line.event.to_owned(),
            line.athlete.clone().or_else(|| line.device.clone()).unwrap_or_else(dash),
            line.value.clone().unwrap_or_else(dash),
            line.alert.clone(),
        ]
    })?;
    Ok(())
}
