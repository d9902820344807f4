//! `pitchside evidence`.

mod alert;

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use ledger_block::evidence::alert::ALERT_EVIDENCE_BYTES_MAX;
use ledger_block::evidence::{self, Verdict};
use ledger_block::policy::{POLICY_BYTES_MAX, Policy};
use ledger_block::record::Record;
use pitchside_model::{AlertEvent, AlertId, Value};
use pitchside_script::fault::one_line;
use serde::Serialize;

use super::args::{ConfigArg, EvidenceCommand};
use super::output::{self, Output};
use super::{Failure, Outcome, context};
use crate::archive;
use crate::files::{read_bounded, write_secret};

/// `pitchside evidence`.
pub fn evidence(command: &EvidenceCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        EvidenceCommand::Export { id, out, record_only } => {
            let context = context::open(config)?;
            let bytes = match AlertId::parse(id) {
                Some(alert) if !record_only => archive::alert::evidence(&context, alert)?,
                _ => archive::evidence(&context, id)?,
            };
            if out.as_os_str() == "-" {
                std::io::stdout().lock().write_all(&bytes).context("writing to standard output")?;
            } else {
                write_secret(out, &bytes)?;
                output::note(&format!("wrote {} bytes to {}", bytes.len(), out.display()));
            }
            Ok(())
        }
        EvidenceCommand::Verify { file, policy } => verify(file, policy, output),
    }
}

/// What a verdict says, for people and machines. Its texts are one line each, whatever the file holds: whoever verifies reads what was
/// found, and not what the file's maker would have it look like.
#[derive(Serialize)]
pub(super) struct Said {
    pub(super) accepted: bool,
    pub(super) what: String,
    pub(super) device: Option<String>,
    pub(super) athlete: Option<String>,
    pub(super) value: Option<String>,
    pub(super) time: String,
    pub(super) assurance: Option<String>,
    pub(super) gateway: String,
    pub(super) block: u64,
    pub(super) sealed_at: String,
    pub(super) ledger: String,
    pub(super) tree_size: u64,
    pub(super) leaf_index: u64,
}

fn verify(file: &Path, policy: &Path, output: &Output) -> Outcome {
    let policy = read_policy(policy)?;
    let bytes = read_bounded(file, ALERT_EVIDENCE_BYTES_MAX)?;
    if evidence::alert::is_one(&bytes) {
        return alert::verify(&bytes, file, &policy, output);
    }
    match evidence::verify(&bytes, &policy) {
        Ok(verdict) => {
            output.print(&said(&verdict), |said| {
                let whose = said.athlete.as_ref().map_or_else(String::new, |athlete| format!(" of athlete {athlete}"));
                let value = said.value.as_ref().map_or_else(String::new, |value| format!(": {value}"));
                let sender = match (&said.device, &said.assurance) {
                    (Some(device), Some(assurance)) => format!("\nsent by  {device} (assurance {assurance})"),
                    (Some(device), None) => format!("\ndevice   {device}"),
                    _ => String::new(),
                };
                format!(
                    "accepted\n{}{whose}{value}\ntime     {}{sender}\nblock    {} of gateway {}, sealed {}\nledger   {}, leaf {} of {}",
                    said.what, said.time, said.block, said.gateway, said.sealed_at, said.ledger, said.leaf_index, said.tree_size
                )
            })?;
            Ok(())
        }
        Err(fault) if fault.is_tampered() => Err(Failure::Tampered(format!("{}: {fault}", file.display()))),
        Err(fault) => Err(Failure::Failed(anyhow::anyhow!("{}: {fault}", file.display()))),
    }
}

/// Reads a C2SP policy.
pub fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = read_bounded(path, POLICY_BYTES_MAX).context("reading the policy")?;
    Policy::parse(&bytes).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

pub(super) fn said(verdict: &Verdict) -> Said {
    let said = Said {
        accepted: true,
        what: String::new(),
        device: None,
        athlete: None,
        value: None,
        time: String::new(),
        assurance: None,
        gateway: data_encoding::HEXLOWER.encode(&verdict.block.gateway.0),
        block: verdict.block.index.0,
        sealed_at: verdict.sealed_at().to_string(),
        ledger: one_line(&verdict.ledger.checkpoint.origin),
        tree_size: verdict.ledger.checkpoint.size,
        leaf_index: verdict.leaf_index,
    };
    let said = match &verdict.record {
        Record::Reading(record) => Said {
            what: record.reading.quantity.to_string(),
            device: Some(record.device.to_string()),
            athlete: record.athlete.as_ref().map(ToString::to_string),
            value: Some(match &record.reading.value {
                Value::Number(number) => format!("{number} {}", record.reading.unit),
                Value::Wave(wave) => {
                    format!("{} samples every {} ns in {}", wave.samples.len(), wave.period_ns, record.reading.unit)
                }
                Value::Gap(gap) => format!("gap ({})", gap.reason.name().replace('_', " ")),
            }),
            time: record.reading.device_time.to_string(),
            assurance: Some(record.assurance.to_string()),
            ..said
        },
        Record::Alert(record) => match &record.0 {
            AlertEvent::Raised(alert) => Said {
                what: format!("alert {} ({}) by rule {} {}", alert.id, alert.priority, alert.rule, alert.rule_version),
                device: Some(alert.device.to_string()),
                athlete: alert.athlete.as_ref().map(ToString::to_string),
                value: alert.value.map(|value| format!("{} {value} {}", alert.quantity, alert.unit)),
                time: alert.event_time.to_string(),
                ..said
            },
            AlertEvent::Cleared { id, event_time } => {
                Said { what: format!("alert {id} cleared"), time: event_time.to_string(), ..said }
            }
        },
    };
    let line = |text: Option<String>| text.map(|text| one_line(&text));
    Said {
        what: one_line(&said.what),
        device: line(said.device),
        athlete: line(said.athlete),
        value: line(said.value),
        ..said
    }
}
