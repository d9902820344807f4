//! From publish to alert: devices that speak once a second, an app that listens to `alerts/#`. The time runs from just
//! before a reading is sealed to when the app has read the alert it fires.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pitchside_model::{Quantity, Timestamp};
use pitchside_wire::Content;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use crate::client::{Device, Line};
use crate::clinic::{APP, Clinic, Memory};
use crate::codec::Packet;
use crate::ingest::connect;
use crate::pack::{self, Record};
use crate::share;

/// One reading in so many fires.
const FIRES_EVERY: u64 = 50;
/// Time for the sessions to settle before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last alerts may take.
const LINGER: Duration = Duration::from_secs(2);

/// What came of it.
pub struct Outcome {
    /// Milliseconds, half of the alerts of each run.
    pub p50_ms: Vec<f64>,
    /// Milliseconds, 99 in 100 of the alerts of each run.
    pub p99_ms: Vec<f64>,
    /// The slowest of each run.
    pub max_ms: Vec<f64>,
    /// Alerts that never came, of all runs.
    pub missing: usize,
    /// Alerts that came, of all runs.
    pub alerts: usize,
    /// The gateway's memory at the end.
    pub memory: Memory,
}

/// When the readings that fire were published, by their device and device time.
type Published = Arc<Mutex<HashMap<(String, String), Instant>>>;

/// `count` devices at 1 Hz, `runs` times.
pub async fn measure(count: usize, length: Duration, runs: usize) -> anyhow::Result<Outcome> {
    let clinic = Clinic::open(count).await?;
    let devices = connect(&clinic).await?;
    let app = Line::open(clinic.mqtt, APP, Some((APP, &clinic.app_password)), "alerts/#").await?;
    let published = Published::default();
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let listening = tokio::spawn(listen(app, Arc::clone(&published), Arc::clone(&latencies)));
    let speaking: Vec<_> = devices
        .into_iter()
        .enumerate()
        .map(|(number, device)| {
            let first = Duration::from_secs_f64(number as f64 / count as f64);
            tokio::spawn(speak(device, number as u64, first, Arc::clone(&published), Arc::clone(&stop)))
        })
        .collect();
    let (mut p50_ms, mut p99_ms, mut max_ms, mut missing, mut alerts) = (vec![], vec![], vec![], 0, 0);
    tokio::time::sleep(WARM_UP).await;
    latencies.lock().await.clear();
    for _ in 0..runs {
        tokio::time::sleep(length).await;
        let mut run = std::mem::take(&mut *latencies.lock().await);
        run.sort_by(f64::total_cmp);
        alerts += run.len();
        p50_ms.push(share(&run, 0.5));
        p99_ms.push(share(&run, 0.99));
        max_ms.push(share(&run, 1.0));
    }
    stop.store(true, Ordering::Relaxed);
    for device in speaking {
        device.await??;
    }
    tokio::time::sleep(LINGER).await;
    let memory = clinic.memory()?;
    if listening.is_finished() {
        listening.await??;
    } else {
        listening.abort();
    }
    missing += published.lock().await.len();
    Ok(Outcome { p50_ms, p99_ms, max_ms, missing, alerts, memory })
}

/// One device, once a second.
async fn speak(
    mut device: Device,
    number: u64,
    first: Duration,
    published: Published,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + first, Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !stop.load(Ordering::Relaxed) {
        tokio::select! {
            _ = tick.tick() => {
                let fires = (device.made() + number) % FIRES_EVERY == FIRES_EVERY - 1;
                let time_us = crate::wall_us() / 1_000 * 1_000;
                if fires {
                    let key = (device.id.clone(), Timestamp(time_us).to_string());
                    published.lock().await.insert(key, Instant::now());
                }
                let value = pitchside_model::Decimal::integer(if fires { 210 } else { 110 + (number % 30) as i64 });
                let name = Quantity::HEART_RATE.name();
                let record = Record { name, unit: Some("beat/min"), after_ms: 0, value };
                device.write(Content::SenmlCbor, &pack::cbor(time_us, &[record]))?;
                device.send().await?;
            }
            received = device.receive() => received?,
        }
    }
    Ok(())
}

/// What an app is told, as far as it matters here.
#[derive(Deserialize)]
struct Told {
    alert: Option<ToldAlert>,
}

#[derive(Deserialize)]
struct ToldAlert {
    device: String,
    event_time: String,
}

/// The app.
async fn listen(mut app: Line, published: Published, latencies: Arc<Mutex<Vec<f64>>>) -> anyhow::Result<()> {
    loop {
        app.read().await?;
        let arrived = Instant::now();
        while let Some(packet) = app.packet()? {
            let Packet::Publish(_, id, json) = packet else { continue };
            if let Some(id) = id {
                app.acknowledge(id);
            }
            let event: Told = serde_json::from_slice(&json).context("an alert that is not JSON")?;
            let Some(alert) = event.alert else { continue };
            if let Some(sent) = published.lock().await.remove(&(alert.device, alert.event_time)) {
                latencies.lock().await.push(arrived.duration_since(sent).as_secs_f64() * 1_000.0);
            }
        }
        app.send().await?;
    }
}
