//! `pitchside doctor`: each finding with its evidence and the command that mends it; on an appliance, what mends it without a shell.
//!
//! | module | looks at |
//! | --- | --- |
//! | `machine` | clock, disk, key files, serial ports, radios, boot slots |
//! | `bluetooth` | who is connected, who waits, whether bonds can be told |
//! | `data` | the database, what waits in it, what was set aside, copies of keys |
//! | `delivery` | the alert path, by its last drill and by what runs |
//! | `firmware` | what the ledger says of releases, their contents, the box's own update |
//! | `appliance` | what mends a finding where there is no shell |
//! | `running` | the running gateway, by its health socket; the ledger, devices that fell silent |

mod appliance;
mod bluetooth;
mod data;
mod delivery;
mod firmware;
mod machine;
mod running;

use serde::Serialize;

use super::args::ConfigArg;
use super::context;
use super::output::Output;
use super::{Failure, Outcome};
use crate::clock::Clock;
use crate::identity::Identity;

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
    let settings = context::settings(config)?.settings;
    let now = Clock::System.now();
    let mut findings = machine::findings(&settings, now);
    findings.extend(running::gateway(&settings, now));
    findings.extend(bluetooth::findings(&settings));
    match Identity::load(&settings.gateway.key_dir) {
        Err(error) => findings.push(Finding::new("keys", false, format!("{error:#}"), "pitchside init --dir DIR")),
        Ok(_) => match context::open(config) {
            Ok(context) => {
                findings.extend(bluetooth::lost(&context));
                findings.extend(data::findings(&context, now));
                findings.extend(firmware::findings(&context, now));
                findings.extend(delivery::findings(&context, now));
                findings.extend(running::ledger(&context, now));
                findings.extend(running::silent(&context, now));
            }
            Err(Failure::Failed(error)) => findings.push(Finding::new(
                "database",
                false,
                format!("{error:#}"),
                "pitchside backup restore FILE --dir DIR --recovery-key FILE",
            )),
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
        let line = |check: &crate::pipeline::health::Check| {
            format!("{}  {}: {}", if check.ok { "ok" } else { "!!" }, check.what, check.evidence)
        };
        report.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    if report.healthy {
        return Ok(());
    }
    let sick: Vec<&str> = report.checks.iter().filter(|check| !check.ok).map(|check| check.what.as_str()).collect();
    Err(Failure::Failed(anyhow::anyhow!("not healthy: {}", sick.join(", "))))
}
