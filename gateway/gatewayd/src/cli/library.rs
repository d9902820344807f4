//! What `pitchside rules` and `pitchside plugin` share: what is there, and what is wrong with it.

use serde::Serialize;

use super::output::{self, Output};
use super::{Failure, Outcome};

/// One rule or plugin.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) summary: String,
}

pub(super) fn print_items(items: &[Item], title: &str, output: &Output) -> Outcome {
    output.table(items, &[title, "VERSION", "SUMMARY"], |item| {
        vec![item.name.clone(), item.version.clone(), item.summary.clone()]
    })?;
    Ok(())
}

pub(super) fn refuse(problems: &[String]) -> Outcome {
    for problem in problems {
        output::note(problem);
    }
    Err(Failure::Failed(anyhow::anyhow!("{} problem(s)", problems.len())))
}

/// What a table says under FAILED. Of cases that could not be run it says neither that they failed nor that none did.
pub(super) fn failed(cases: usize, failed: usize, failures: &[String]) -> String {
    if cases == 0 && !failures.is_empty() { "-".to_owned() } else { failed.to_string() }
}
