//! The sensors' half of `firmware status`: what each runs, what it was offered, how far that is.

use std::io::IsTerminal as _;

use data_encoding::HEXLOWER;
use pitchside_store::{OpenError, RootKey, SensorFirmware, Tables};
use pitchside_wire::firmware::Stage;
use serde::Serialize;

use crate::cli::args::ConfigArg;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, context};
use crate::identity::Identity;
use crate::pipeline::firmware::barred::is_spent;
use crate::pipeline::firmware::reports::{reason_word, stage_word};

/// Characters of a full bar.
const BAR: usize = 20;

/// One sensor.
#[derive(Debug, Serialize)]
pub(super) struct SensorRow {
    device: String,
    hardware: String,
    component: String,
    running: String,
    counter: u32,
    pub release: Option<String>,
    target: Option<String>,
    state: String,
    percent: Option<u8>,
    reason: Option<&'static str>,
    attempts: u32,
    last_report: Option<String>,
    last_report_at: Option<String>,
    seen_at: String,
}

/// How far a release is on the sensors of this box.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    offered: usize,
    confirmed: usize,
    failed: usize,
}

impl Counts {
    /// Of a release.
    pub fn of(release: &str, rows: &[SensorRow]) -> Self {
        let of = |state: &dyn Fn(&SensorRow) -> bool| {
            rows.iter().filter(|row| row.release.as_deref() == Some(release) && state(row)).count()
        };
        let is = |row: &SensorRow, stage: Stage| row.last_report.as_deref() == Some(stage.word());
        // Who proved itself and runs something else is told with a reason, as who failed is.
        let confirmed = of(&|row: &SensorRow| is(row, Stage::Confirmed) && row.reason.is_none());
        let failed =
            of(&|row: &SensorRow| is(row, Stage::Failed) || (is(row, Stage::Confirmed) && row.reason.is_some()));
        Self { offered: of(&|_| true), confirmed, failed }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Self { offered, confirmed, failed } = self;
        match (offered, failed) {
            (0, _) => "-".to_owned(),
            (_, 0) => format!("{confirmed} of {offered}"),
            _ => format!("{confirmed} of {offered}, {failed} failed"),
        }
    }
}

fn row(kept: SensorFirmware) -> SensorRow {
    let stage = kept.stage.map(stage_word);
    let failed = kept.stage == Some(Stage::Failed as u8);
    let confirmed = kept.stage == Some(Stage::Confirmed as u8);
    let other = kept.target.as_ref().filter(|target| confirmed && **target != kept.version);
    let for_good = if is_spent(&kept) { ", and is not offered it again" } else { "" };
    let state = match (&kept.release, &kept.held, other, stage) {
        (_, Some(held), _, _) => format!("held: {held}"),
        (None, None, _, _) => "nothing offered".to_owned(),
        (Some(_), None, Some(target), _) => format!("runs {} after confirming {target}{for_good}", kept.version),
        (Some(_), None, None, Some(word)) if failed => format!("{word}: {}{for_good}", reason_word(kept.reason)),
        (Some(_), None, None, Some(word)) => word.to_owned(),
        (Some(_), None, None, None) if kept.have > 0 => "pulling".to_owned(),
        (Some(_), None, None, None) => "offered".to_owned(),
    };
    let percent = kept.have.min(kept.size).saturating_mul(100).checked_div(kept.size);
    SensorRow {
        device: kept.device.to_string(),
        hardware: kept.hardware,
        component: kept.component,
        running: kept.version,
        counter: kept.counter,
        release: kept.release.map(|release| HEXLOWER.encode(&release)),
        target: kept.target,
        state,
        percent: percent.and_then(|percent| u8::try_from(percent).ok()),
        reason: (failed || (confirmed && kept.reason != 0)).then(|| reason_word(kept.reason)),
        attempts: kept.attempts,
        last_report: stage.map(str::to_owned),
        last_report_at: kept.reported_at.map(|at| at.to_string()),
        seen_at: kept.seen_at.to_string(),
    }
}

/// Every sensor that spoke of firmware; none at a publisher's place, which has no database.
pub(super) fn rows(config: &ConfigArg) -> Result<Vec<SensorRow>, Failure> {
    let settings = context::settings(config)?.settings;
    let identity = Identity::load(&settings.gateway.key_dir)?;
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = match Tables::attach(&settings.gateway.data_dir, root) {
        Ok(tables) => tables,
        Err(OpenError::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    Ok(tables.sensor_firmware().map_err(anyhow::Error::from)?.into_iter().map(row).collect())
}

/// A table of them, with bars where somebody looks.
pub(super) fn show(rows: &[SensorRow], output: &Output) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let bars = std::io::stdout().is_terminal();
    output.table(rows, &["SENSOR", "HARDWARE", "RUNS", "TARGET", "DONE", "STATE", "LAST REPORT"], |row| {
        let done = row.percent.map_or_else(String::new, |percent| done(percent, bars));
        let target = row.target.clone().unwrap_or_default();
        let at = row.last_report_at.as_deref().and_then(|at| at.get(..19)).unwrap_or_default().to_owned();
        vec![row.device.clone(), row.hardware.clone(), row.running.clone(), target, done, row.state.clone(), at]
    })
}

fn done(percent: u8, bar: bool) -> String {
    if !bar {
        return format!("{percent}%");
    }
    let full = usize::from(percent.min(100)) * BAR / 100;
    format!("[{}{}] {percent:>3}%", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_another_version_than_it_confirmed_is_no_success() {
        let kept = |version: &str, reason: u8| SensorFirmware {
            device: pitchside_model::DeviceId::parse("s7").unwrap(),
            hardware: "r2".to_owned(),
            component: "strap".to_owned(),
            version: version.to_owned(),
            counter: 1,
            seen_at: pitchside_model::Timestamp(1),
            release: Some([7; 32]),
            target: Some("1.7.0".to_owned()),
            size: 10,
            have: 10,
            attempts: 0,
            stage: Some(Stage::Confirmed as u8),
            reason,
            text: String::new(),
            reported_at: None,
            held: None,
        };
        let shown = |version: &str, reason: u8| {
            let rows = [row(kept(version, reason))];
            let counts = Counts::of(&HEXLOWER.encode(&[7; 32]), &rows);
            (rows[0].state.clone(), rows[0].reason, counts.text())
        };
        let version = pitchside_wire::firmware::Reason::VERSION.0;
        let other = "runs 1.0.9 after confirming 1.7.0, and is not offered it again".to_owned();
        assert_eq!(shown("1.7.0", 0), ("confirmed".to_owned(), None, "1 of 1".to_owned()));
        assert_eq!(shown("1.0.9", version), (other, Some("version"), "0 of 1, 1 failed".to_owned()));
    }

    #[test]
    fn a_bar_is_as_full_as_it_says() {
        assert_eq!(done(50, true), "[##########..........]  50%");
        assert_eq!((done(0, false), done(100, true)), ("0%".to_owned(), format!("[{}] 100%", "#".repeat(20))));
    }
}
