//! `rules status` and `rules again`: which rules were switched off for their faults, and putting one back.

use std::time::{Duration, Instant};

use pitchside_model::RuleName;

use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::rulebook::standing;

/// How long the running gateway may take to put a rule back; it looks twice a second.
const WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `rules status`.
pub(super) fn status(context: &Context, output: &Output) -> Outcome {
    let rows = standing::read(&context.tables)?;
    output.table(&rows, &["RULE", "VERSION", "STATE", "LAST FAULT"], |row| {
        let state = if row.off { "switched off" } else { "runs" };
        let fault = row.last_fault.clone().unwrap_or_else(|| "-".to_owned());
        let name = if row.stream { format!("{} (stream)", row.rule) } else { row.rule.clone() };
        vec![name, row.version.clone(), state.to_owned(), fault]
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
