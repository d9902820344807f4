//! The running gateway, by its health socket; blocks that wait for the ledger; devices that fell silent.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_config::Settings;
use pitchside_model::{DeviceId, Timestamp};
use pitchside_store::{Level, RowId, StoreError, Tables};

use super::Finding;
use crate::cli::context::Context;
use crate::pipeline::health::{Report, SOCKET};

/// How long the gateway may take to answer; its own probe has 5 s.
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// The server's certificate is made at the start, for 396 days.
const CERTIFICATE_US: i64 = 396 * DAY_US;
const DAY_US: i64 = 86_400_000_000;
/// Days before its end that the certificate is worth a word.
const RENEW_DAYS: i64 = 30;
/// Blocks that wait for the ledger for longer are worth a word.
const WAITING_US: i64 = 3_600_000_000;
/// Journal rows looked through for devices.
const ROWS_BACK: i64 = 2_000;
const BITE: usize = 8 << 20;

/// Asks the running gateway.
pub fn ask(data: &Path) -> anyhow::Result<Report> {
    let path = data.join(SOCKET);
    let stream = UnixStream::connect(&path).with_context(|| {
        format!("the gateway does not run, or cannot be asked at {}: systemctl start pitchside", path.display())
    })?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut line = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut line).context("the gateway does not answer; it hangs")?;
    serde_json::from_slice(&line).context("the gateway hung up without an answer: ask as its own user, or as root")
}

/// What the running gateway says of itself.
pub fn gateway(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let report = match ask(&settings.gateway.data_dir) {
        Ok(report) => report,
        Err(error) => return vec![Finding::new("gateway", false, format!("{error:#}"), "systemctl start pitchside")],
    };
    let sick: Vec<String> = report
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {}", check.what, check.evidence))
        .collect();
    let evidence = if sick.is_empty() { "runs, and makes progress".to_owned() } else { sick.join("; ") };
    let mut findings = vec![Finding::new("gateway", sick.is_empty(), evidence, "systemctl restart pitchside")];
    if let Some(link) = report.checks.iter().find(|check| check.what == "ledger" && settings.ledger.is_some()) {
        let connected = link.evidence.starts_with("connected");
        let mend = settings.ledger.as_ref().map_or_else(String::new, |ledger| {
            let (host, port) = ledger.address.rsplit_once(':').unwrap_or((ledger.address.as_str(), ""));
            format!("ip route get {host}; pitchside config show (is ledger.address right, and port {port} open?)")
        });
        findings.push(Finding::new("way to the ledger", connected, link.evidence.clone(), mend));
    }
    let until = Timestamp(report.started_at_us.saturating_add(CERTIFICATE_US));
    let days = until.micros_since(now) / DAY_US;
    findings.push(Finding::new(
        "certificate",
        days > RENEW_DAYS,
        format!("valid until {until}, {days} days"),
        "systemctl restart pitchside",
    ));
    findings
}

/// Blocks that wait, and for how long.
pub fn ledger(context: &Context, now: Timestamp) -> Vec<Finding> {
    let Some(ledger) = &context.settings.ledger else {
        let evidence = "none configured: blocks stay on this box";
        return vec![Finding::new("ledger", false, evidence, "pitchside config explain ledger.address")];
    };
    let looked = || -> Result<Finding, StoreError> {
        let backlog = context.tables.backlog()?;
        let oldest = backlog.oldest.map_or_else(|| "none".to_owned(), |at| at.to_string());
        let waiting = backlog.oldest.is_some_and(|at| now.micros_since(at) > WAITING_US);
        // A block refused for good waits for ever at R0, with later ones behind it.
        let confirmed = context.tables.blocks_at(Level::R1, 1)?.len();
        let evidence = format!(
            "{} block(s) wait for {}, the oldest since {oldest}{}",
            backlog.blocks,
            ledger.address,
            if confirmed > 0 { "; some are sequenced, not yet published" } else { "" }
        );
        Ok(Finding::new("ledger", !waiting, evidence, "pitchside blocks list; journalctl -u pitchside -g ledger"))
    };
    vec![looked().unwrap_or_else(|error| Finding::new("ledger", false, error.to_string(), "pitchside doctor"))]
}

/// Devices that somebody wears and that said nothing for long.
pub fn silent(context: &Context, now: Timestamp) -> Vec<Finding> {
    let looked = || -> Result<Finding, StoreError> {
        let heard = last_heard(&context.tables)?;
        let limit = i64::from(context.settings.gateway.silent_after_s).saturating_mul(8_000_000);
        let is_heard = |device: &DeviceId| heard.get(device).is_some_and(|at| now.micros_since(*at) <= limit);
        let assignments = context.tables.assignments()?;
        if !assignments.iter().any(|assignment| is_heard(&assignment.device)) {
            // Nobody trains: nobody is missing.
            let evidence = format!("no training runs: none of {} assigned devices is heard", assignments.len());
            return Ok(Finding::well("silent devices", evidence));
        }
        let quiet: Vec<String> = assignments
            .into_iter()
            .filter_map(|assignment| match heard.get(&assignment.device) {
                Some(at) if now.micros_since(*at) <= limit => None,
                Some(at) => Some(format!("{} since {at}", assignment.device)),
                None => Some(format!("{} not heard lately", assignment.device)),
            })
            .collect();
        let evidence = match quiet.as_slice() {
            [] => "none of those assigned".to_owned(),
            few if few.len() <= 5 => few.join(", "),
            many => format!("{} and {} more", many.get(..5).unwrap_or_default().join(", "), many.len() - 5),
        };
        Ok(Finding::new(
            "silent devices",
            quiet.is_empty(),
            evidence,
            "pitchside readings --device ID; look at its battery and range",
        ))
    };
    vec![looked().unwrap_or_else(|error| Finding::new("silent devices", false, error.to_string(), "pitchside doctor"))]
}

/// When each device was last heard, as far as the newest rows of the journal say.
fn last_heard(tables: &Tables) -> Result<HashMap<DeviceId, Timestamp>, StoreError> {
    let mut heard: HashMap<DeviceId, Timestamp> = HashMap::new();
    let mut after = RowId(tables.newest_row()?.0.saturating_sub(ROWS_BACK).max(0));
    loop {
        let rows = tables.journal_since(after, BITE)?;
        let Some(last) = rows.last() else { return Ok(heard) };
        after = last.id;
        for entry in rows.into_iter().flat_map(|row| row.entries) {
            // What the gateway itself notes of a device (a gap) is no word of it.
            let own = entry.readings.iter().filter(|reading| !matches!(reading.value, pitchside_model::Value::Gap(_)));
            if let Some(at) = own.map(|reading| reading.gateway_time).max() {
                let newest = heard.entry(entry.device).or_insert(at);
                *newest = (*newest).max(at);
            }
        }
    }
}
