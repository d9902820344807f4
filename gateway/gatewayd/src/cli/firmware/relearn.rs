//! `pitchside firmware relearn`: the mend of a damaged memory of releases.

use anyhow::Context as _;
use serde::Serialize;

use crate::adapters::releases;
use crate::cli::args::ConfigArg;
use crate::cli::output::Output;
use crate::cli::{Outcome, context};
use crate::named::policy_of;

#[derive(Serialize)]
struct Forgotten {
    release_policy: String,
}

/// `firmware relearn`.
pub(super) fn relearn(config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let ledger = context.settings.ledger.as_ref().context("the settings name no ledger")?;
    let anchors = releases::anchors(&context.settings.firmware, policy_of(ledger)?)?;
    let anchors = anchors.context("the settings name no release policy (firmware.release_policy)")?;
    releases::forget(&context.tables, &anchors).map_err(anyhow::Error::from)?;
    output.print(&Forgotten { release_policy: anchors.first_policy.to_string() }, |_| {
        "forgotten; restart the gateway: the ledger tells it again, from no older log than the last checkpoint that was verified"
            .to_owned()
    })?;
    Ok(())
}
