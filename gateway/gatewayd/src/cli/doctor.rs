//! `pitchside doctor`: each finding with its evidence and the command that mends it; on an appliance, what mends it without a shell.
//!
//! | module | looks at |
//! | --- | --- |
//! | `machine` | clock, disk, key files, serial ports, radios, boot slots |
//! | `bluetooth` | who is connected, who waits, whether bonds can be told |
//! | `chain` | where the chain begins, waits, or lost its end |
//! | `data` | the database, what waits in it, what was set aside, copies of keys, what a backup would take |
//! | `delivery` | the alert path, by its last drill and by what runs |
//! | `firmware` | what the ledger says of releases, their contents, the box's own update |
//! | `ledger` | the way to the ledger, and a ledger that refuses, is not believed or is not known |
//! | `opening` | keys and a database that do not open |
//! | `appliance` | what mends a finding where there is no shell |
//! | `running` | the running gateway, by its health socket; devices that fell silent |

mod appliance;
mod bluetooth;
mod chain;
mod data;
mod delivery;
mod firmware;
mod ledger;
mod machine;
mod opening;
mod running;

use pitchside_config::Loaded;
use serde::Serialize;

use super::args::ConfigArg;
use super::context;
use super::output::Output;
use super::{Failure, Outcome};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::pipeline::health::{Check, Report};

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    ok: bool,
    what: &'static str,
    evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(what: &'static str, ok: bool, evidence: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { ok, what, evidence: evidence.into(), mend: (!ok).then(|| mend.into()) }
    }

    fn well(what: &'static str, evidence: impl Into<String>) -> Self {
        Self::new(what, true, evidence, "")
    }
}

/// `pitchside doctor`. What cannot be looked at is itself a finding: one trouble must not hide the others.
pub fn doctor(config: &ConfigArg, output: &Output) -> Outcome {
    let Loaded { settings, files, .. } = context::settings(config)?;
    let now = Clock::System.now();
    let mut findings = machine::findings(&settings, now);
    let report = running::ask(&settings.gateway.data_dir);
    findings.extend(running::gateway(&report, now));
    let link = report.as_ref().ok().and_then(Report::ledger_link);
    findings.extend(ledger::way(&settings, link));
    let fault = ledger::fault(&settings, link);
    findings.extend(bluetooth::findings(&settings));
    let identity = Identity::load(&settings.gateway.key_dir);
    findings.extend(identity.as_ref().ok().and_then(|_| opening::unfinished(&settings)));
    match identity {
        Err(error) => findings.push(opening::keys(&settings, &files, &error)),
        Ok(_) => match context::open(config) {
            Ok(context) => {
                findings.extend(bluetooth::lost(&context));
                findings.extend(data::findings(&context, fault, now));
                findings.extend(firmware::findings(&context, now));
                findings.extend(delivery::findings(&context, now));
                findings.extend(ledger::waiting(&context, fault, now));
                findings.extend(running::silent(&context, now));
            }
            Err(Failure::Failed(error)) => findings.push(opening::database(&settings, &error)),
            Err(other) => return Err(other),
        },
    }
    if machine::is_appliance() {
        appliance::mends(&mut findings);
    }
    let sick = findings.iter().filter(|finding| !finding.ok).count();
    output.table(&findings, &["", "WHAT", "EVIDENCE", "MEND"], |f| {
        let mark = if f.ok { "ok" } else { "!!" };
        vec![mark.to_owned(), f.what.to_owned(), f.evidence.clone(), f.mend.clone().unwrap_or_default()]
    })?;
    if sick > 0 {
        return Err(Failure::Failed(anyhow::anyhow!("{sick} finding(s) need attention")));
    }
    Ok(())
}

/// `pitchside doctor --health`: only what the running gateway says of itself.
pub fn health(config: &ConfigArg, output: &Output) -> Outcome {
    let settings = context::settings(config)?.settings;
    let report = running::ask(&settings.gateway.data_dir)?;
    output.print(&report, |report| {
        let line =
            |check: &Check| format!("{}  {}: {}", if check.ok { "ok" } else { "!!" }, check.what, check.evidence);
        report.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if report.healthy {
        return Ok(());
    }
    let sick: Vec<&str> = report.checks.iter().filter(|check| !check.ok).map(|check| check.what.as_str()).collect();
    Err(Failure::Failed(anyhow::anyhow!("not healthy: {}", sick.join(", "))))
}
