//! `rules status` and `rules again`: which rules were switched off for their faults or hear nothing, and putting one back.

use std::iter;
use std::time::{Duration, Instant};

use pitchside_model::RuleName;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::plugins::deaf::{self, Deaf};
use crate::rulebook::standing::{self, Standing};

/// How long the running gateway may take to put a rule back; it looks twice a second.
const WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a rule does, and what it does not hear.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    standing: Standing,
    /// What it hears nothing of, and why, a few words each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deaf: Vec<String>,
}

/// `rules status`.
pub(super) fn status(context: &Context, output: &Output) -> Outcome {
    let deaf = deaf::on_box(context)?;
    let row = |standing: Standing| {
        let is_its = |deaf: &&Deaf| !standing.stream && deaf.rule == standing.rule;
        Row { deaf: deaf.iter().filter(is_its).map(ToString::to_string).collect(), standing }
    };
    let rows: Vec<Row> = standing::read(&context.tables)?.into_iter().map(row).collect();
    output.table(&rows, &["RULE", "VERSION", "STATE", "LAST FAULT"], |Row { standing, deaf }| {
        let state = if standing.off { "switched off" } else { "runs" };
        let state = iter::once(state).chain(deaf.iter().map(String::as_str)).collect::<Vec<_>>().join("; ");
        let fault = standing.last_fault.clone().unwrap_or_else(|| "-".to_owned());
        let name = if standing.stream { format!("{} (stream)", standing.rule) } else { standing.rule.clone() };
        vec![name, standing.version.clone(), state, fault]
    })?;
    Ok(())
}

/// `rules again`.
pub(super) fn again(name: &RuleName, context: &Context, output: &Output) -> Outcome {
    let is_off = || -> anyhow::Result<Option<bool>> {
        let rows = standing::read(&context.tables)?;
        Ok(rows.iter().find(|row| row.rule == name.as_str()).map(|row| row.off))
    };
    match is_off()? {
        None => return Err(Failure::Usage(format!("no rule {name} runs; `pitchside rules status` lists them"))),
        Some(false) => return Err(Failure::Failed(anyhow::anyhow!("{name} runs: it was not switched off"))),
        Some(true) => context.tables.ask_again(name)?,
    }
    let began = Instant::now();
    while is_off()? == Some(true) {
        if began.elapsed() > WITHIN {
            let said = "asked for; the gateway does not answer: it is put back once the gateway runs";
            return Err(Failure::Failed(anyhow::anyhow!("{name}: {said}")));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    output.print(&serde_json::json!({ "rule": name, "off": false }), |_| format!("{name} runs again"))?;
    Ok(())
}
