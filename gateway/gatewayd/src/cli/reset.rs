//! `pitchside alerts reset`.

use std::time::Instant;

use pitchside_model::AlertId;
use pitchside_store::Reset;

use super::args::ConfigArg;
use super::output::{self, Output};
use super::{Failure, Outcome, context};
use crate::clock::Clock;
use crate::reset::{self, ResetError};

/// Asks the running gateway to reset an alert, and waits for it.
pub fn reset(
    id: AlertId,
    note: Option<String>,
    author: Option<String>,
    config: &ConfigArg,
    output: &Output,
) -> Outcome {
    let context = context::open(config)?;
    let asked = Reset { by: author.unwrap_or_else(context::user), note: note.filter(|note| !note.is_empty()) };
    reset::ask(&context.tables, id, &asked, Clock::System.now()).map_err(|error| match error {
        ResetError::Unknown(_) => Failure::Usage(error.to_string()),
        ResetError::Over(_) | ResetError::NeedsDrill(_) | ResetError::Store(_) => Failure::from(error),
    })?;
    let began = Instant::now();
    let row = loop {
        if let Some(row) = reset::done(&context.tables, id)? {
            break row;
        }
        if began.elapsed() > reset::WITHIN {
            let said = "asked for; the rules of the gateway do not answer: it is reset once they run";
            return Err(Failure::Failed(anyhow::anyhow!("{id}: {said}")));
        }
        std::thread::sleep(reset::LOOK_EVERY);
    };
    let Some(done) = &row.reset else { return Err(Failure::Failed(anyhow::anyhow!(reset::over(&row)))) };
    let said = serde_json::json!({
        "alert": id, "rule": row.alert.rule, "cleared_at": row.cleared.map(|at| at.to_string()), "reset_by": done.by,
    });
    output.print(&said, |_| format!("{id} ({}) is reset", row.alert.rule))?;
    if done.by != asked.by {
        output::note(&format!("{} asked first", done.by));
    }
    Ok(())
}
