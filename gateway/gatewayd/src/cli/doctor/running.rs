//! The running gateway, by its health socket; devices that fell silent.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_model::{DeviceId, Timestamp};
use pitchside_store::{RowId, StoreError, Tables};

use super::Finding;
use crate::cli::context::Context;
use crate::pipeline::health::{Report, SOCKET};

/// How long the gateway may take to answer; each of its proofs has 5 s, and they are made beside each other.
const ANSWER: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const DAY_US: i64 = 86_400_000_000;
/// So many whole days before its end the certificate was made anew, 30 days before it, or this fails.
const RENEWED_DAYS: i64 = 29;
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
pub fn gateway(report: &anyhow::Result<Report>, now: Timestamp) -> Vec<Finding> {
    let report = match report {
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
    vec![
        Finding::new("gateway", sick.is_empty(), evidence, "systemctl restart pitchside"),
        certificate(report.certificate_until_us.map(Timestamp), now),
    ]
}

/// It is made anew by itself, long before it ends: one that is not shows that this fails.
fn certificate(until: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(until) = until else {
        let evidence = "the gateway that runs is of another version, and does not say until when it is valid";
        return Finding::new("certificate", false, evidence, "systemctl restart pitchside");
    };
    let days = until.micros_since(now) / DAY_US;
    Finding::new(
        "certificate",
        days >= RENEWED_DAYS,
        format!("valid until {until}, {days} days"),
        "journalctl -u pitchside -g certificate; systemctl restart pitchside",
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_known_by_its_own_end_not_by_when_the_gateway_started() {
        let now = Timestamp(1_000 * DAY_US);
        assert!(certificate(Some(Timestamp(1_030 * DAY_US)), now).ok, "made anew while running");
        let sick = certificate(Some(Timestamp(1_028 * DAY_US)), now);
        assert!(!sick.ok && sick.evidence.ends_with("28 days"), "{sick:?}");
        assert!(!certificate(None, now).ok);
    }
}
