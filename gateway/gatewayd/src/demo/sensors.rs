//! The sensor programs: one process each, and what they say on their standard output.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::time::Duration;

use anyhow::Context as _;
use pitchside_store::Store;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::children::{self, Beside};
use super::home::{Home, secret_file, terminal};
use super::squad::{Pace, Places, SQUAD};
use crate::cli::output::note;

/// How long sensors may take to stop.
const STOP_MAX: Duration = Duration::from_secs(10);
const NARRATE_EVERY: Duration = Duration::from_millis(500);
/// How many alerts the narrator looks at.
const ALERTS_SHOWN: u32 = 100;

/// One line of a sensor.
#[derive(Debug, Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    readings: u64,
    #[serde(default)]
    acknowledged: u64,
}

/// What one sensor came to.
struct Ended {
    device: &'static str,
    readings: u64,
    acknowledged: u64,
    well: bool,
}

/// What all of them came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Readings sent.
    pub sent: u64,
    /// Readings acknowledged, by device.
    pub acknowledged: BTreeMap<String, u64>,
    /// Sensors that failed.
    pub failed: Vec<&'static str>,
}

/// The running sensors.
pub struct Sensors {
    running: JoinSet<anyhow::Result<Ended>>,
    stop: CancellationToken,
    ended: Vec<Ended>,
}

impl Sensors {
    /// Writes each sensor's specification and starts it.
    pub fn start(home: &Home, pace: Pace) -> anyhow::Result<Self> {
        let program = children::program("pitchside-sensor")?;
        let mqtt = &home.settings.mqtt;
        let (plain, tls) =
            (mqtt.tcp.first().context("no plain address")?, mqtt.tls.as_ref().context("no TLS address")?);
        let authority = home.settings.gateway.key_dir.join(crate::tls::CA_FILE);
        let (mut running, stop) = (JoinSet::new(), CancellationToken::new());
        for wearable in SQUAD {
            let terminal = terminal(&home.dir, wearable.device);
            let places = Places {
                recordings: &home.recordings,
                secret: &secret_file(&home.dir, wearable.device),
                mqtt: *plain,
                tls: *tls,
                authority: &authority,
                terminal: &terminal,
            };
            let folder = home.dir.join("sensors");
            let file = folder.join(format!("{}.toml", wearable.device));
            std::fs::write(&file, wearable.specification(&places, pace))
                .with_context(|| format!("writing {}", file.display()))?;
            let log = folder.join(format!("{}.log", wearable.device));
            let beside = Beside::start(&program, &[OsStr::new("--spec"), file.as_os_str()], &log)?;
            note(&format!("{} wears {} ({})", wearable.athlete, wearable.what, wearable.device));
            running.spawn(follow(wearable.device, beside, stop.clone()));
        }
        Ok(Self { running, stop, ended: Vec::new() })
    }

    /// Resolves when every sensor has ended. May be cancelled and called again.
    pub async fn finished(&mut self) {
        while let Some(ended) = self.running.join_next().await {
            match ended {
                Ok(Ok(ended)) => self.ended.push(ended),
                Ok(Err(error)) => tracing::error!(error = %format!("{error:#}"), "a sensor could not be followed"),
                Err(error) => tracing::error!(%error, "a sensor could not be followed"),
            }
        }
    }

    /// Ends those that still run, and adds up.
    pub async fn tally(mut self) -> anyhow::Result<Tally> {
        self.stop.cancel();
        if tokio::time::timeout(STOP_MAX, self.finished()).await.is_err() {
            tracing::warn!("not every sensor stopped in time; what they sent last is not counted");
        }
        let mut tally = Tally::default();
        for ended in self.ended {
            tally.sent += ended.readings;
            tally.acknowledged.insert(ended.device.to_owned(), ended.acknowledged);
            if !ended.well {
                tally.failed.push(ended.device);
            }
        }
        Ok(tally)
    }
}

async fn follow(device: &'static str, mut sensor: Beside, stop: CancellationToken) -> anyhow::Result<Ended> {
    let (mut readings, mut acknowledged) = (0, 0);
    let mut told = false;
    loop {
        let line = tokio::select! {
            line = sensor.line() => line?,
            () = stop.cancelled(), if !told => {
                told = true;
                sensor.terminate();
                continue;
            }
        };
        let Some(text) = line else { break };
        let line: Line = serde_json::from_str(&text).with_context(|| format!("{device} said: {text}"))?;
        (readings, acknowledged) = (line.readings.max(readings), line.acknowledged.max(acknowledged));
        match line.event.as_str() {
            "connected" => note(&format!("{device} is connected")),
            "unplugged" => note(&format!("{device} has lost its link")),
            "refused" => note(&format!("{device} was refused: {text}")),
            _ => {}
        }
    }
    let well = sensor.ended().await?;
    Ok(Ended { device, readings, acknowledged, well })
}

/// Tells of new alerts and blocks, until aborted.
pub async fn narrate(store: Store) {
    let (mut told, mut blocks) = (HashSet::new(), None);
    loop {
        tokio::time::sleep(NARRATE_EVERY).await;
        let reader = store.clone();
        let news = tokio::task::spawn_blocking(move || (reader.alerts(ALERTS_SHOWN), reader.last_block())).await;
        let Ok((Ok(alerts), Ok(block))) = news else { continue };
        for row in alerts.iter().rev() {
            if told.insert(row.alert.id) {
                let athlete = row.alert.athlete.as_ref().map_or("nobody", |athlete| athlete.as_str());
                note(&format!("Alert ({}): {athlete}: {}", row.alert.priority, row.alert.message));
            }
        }
        let index = block.map(|block| (block.key.index, block.readings));
        if index != blocks {
            blocks = index;
            if let Some((index, readings)) = index {
                let s = if readings == 1 { "" } else { "s" };
                note(&format!("Block {index} sealed: {readings} reading{s}"));
            }
        }
    }
}
