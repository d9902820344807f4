//! `pitchside doctor`: each finding with its evidence and the command that mends it.

use pitchside_config::Settings;
use pitchside_model::Timestamp;
use pitchside_store::Tables;
use serde::Serialize;

use super::args::ConfigArg;
use super::context::{self, Context};
use super::output::Output;
use super::{Failure, Outcome};
use crate::clock::Clock;
use crate::pipeline::undecoded::troubles;
use crate::tls;

/// Earlier than this the clock was never set: the first release of this program.
const CLOCK_FLOOR_MS: i64 = 1_767_225_600_000;

#[derive(Serialize)]
struct Finding {
    ok: bool,
    what: &'static str,
    evidence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(what: &'static str, ok: bool, evidence: String, mend: impl Into<String>) -> Self {
        Self { ok, what, evidence, mend: (!ok).then(|| mend.into()) }
    }
}

/// `pitchside doctor`.
pub fn doctor(config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let findings = examine(&context)?;
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

/// Since when the oldest waits, if one does.
fn since(oldest: Option<Timestamp>) -> String {
    oldest.map_or_else(String::new, |at| format!(", the oldest since {at}"))
}

/// Where devices can come in.
fn listeners(settings: &Settings) -> Finding {
    let mqtt = &settings.mqtt;
    let addresses = mqtt
        .tcp
        .iter()
        .chain(&mqtt.tls)
        .chain(&mqtt.websocket)
        .map(ToString::to_string)
        .chain(settings.serial.iter().map(|port| port.path.display().to_string()));
    let listed: Vec<_> = addresses.collect();
    let evidence =
        if listed.is_empty() { "none configured: no device can send anything".to_owned() } else { listed.join(", ") };
    Finding::new(
        "listeners",
        !listed.is_empty(),
        evidence,
        "set mqtt.tls, or mqtt.tcp on loopback, or [[serial]] in the settings",
    )
}

/// How plugins were when the gateway last looked, and what waits for them.
fn plugins(tables: &Tables) -> anyhow::Result<Vec<Finding>> {
    let troubles = troubles(tables);
    let evidence = if troubles.is_empty() { "all that devices need run".to_owned() } else { troubles.join("; ") };
    let waiting = tables.undecoded_waiting()?;
    Ok(vec![
        Finding::new(
            "plugins at work",
            troubles.is_empty(),
            evidence,
            "pitchside plugin test, then restart the gateway",
        ),
        Finding::new(
            "undecoded payloads",
            waiting.payloads == 0,
            format!("{} wait for their plugin{}", waiting.payloads, since(waiting.oldest)),
            "install or correct the plugin and restart the gateway: they are decoded then",
        ),
    ])
}

fn examine(context: &Context) -> anyhow::Result<Vec<Finding>> {
    let Context { settings, tables, .. } = context;
    let now = Clock::System.now();
    let mut findings = vec![Finding::new(
        "clock",
        now.millis() >= CLOCK_FLOOR_MS,
        format!("the system's clock says {now}"),
        "timedatectl set-ntp true",
    )];
    let free = rustix::fs::statvfs(&settings.gateway.data_dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    findings.push(match free {
        Ok(free) => Finding::new(
            "disk",
            free > settings.journal.reserve_bytes.saturating_mul(2),
            format!("{} MiB free in {}", free >> 20, settings.gateway.data_dir.display()),
            format!("df -h {}", settings.gateway.data_dir.display()),
        ),
        Err(error) => Finding::new("disk", false, error.to_string(), "check gateway.data_dir"),
    });
    let authority = settings.gateway.key_dir.join(tls::CA_FILE);
    findings.push(Finding::new(
        "certificate authority",
        authority.is_file(),
        authority.display().to_string(),
        "pitchside init",
    ));
    findings.push(listeners(settings));
    let devices = tables.devices()?;
    let active = devices.iter().filter(|device| device.revoked_at.is_none()).count();
    findings.push(Finding::new("devices", active > 0, format!("{active} enrolled"), "pitchside device enrol ID"));
    for (what, dir, mend) in [
        ("rules", &settings.rules.dir, "set rules.dir in the settings"),
        ("plugins", &settings.plugins.dir, "set plugins.dir in the settings"),
    ] {
        let there = dir.as_ref().is_some_and(|dir| dir.is_dir());
        let evidence = dir.as_ref().map_or_else(|| "none configured".to_owned(), |dir| dir.display().to_string());
        findings.push(Finding::new(what, there, evidence, mend));
    }
    findings.extend(plugins(tables)?);
    let aside = tables.rows_set_aside()?;
    findings.push(Finding::new(
        "journal",
        aside == 0,
        format!("{aside} row(s) set aside in journal_damaged"),
        "keep a copy of the data folder and see the log; their messages are in no block",
    ));
    let backlog = tables.backlog()?;
    let waiting = backlog.oldest.is_some_and(|at| now.micros_since(at) > 3_600_000_000);
    findings.push(match &settings.ledger {
        Some(ledger) => Finding::new(
            "ledger",
            !waiting,
            format!("{} block(s) wait for {}{}", backlog.blocks, ledger.address, since(backlog.oldest)),
            "check ledger.address and the network; pitchside blocks list",
        ),
        None => Finding::new(
            "ledger",
            false,
            "none configured: blocks stay on this box".to_owned(),
            "set [ledger] in the settings",
        ),
    });
    let refused = tables.quarantined(1_000)?.len();
    findings.push(Finding::new(
        "refused payloads",
        refused == 0,
        format!("{refused} kept"),
        "pitchside plugin test, or ask the device's maker",
    ));
    Ok(findings)
}
