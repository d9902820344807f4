//! Durable, authenticated ingest: many P1 sessions, QoS 1, as fast as receipts R0 come back. A message counts when its
//! receipt has arrived: it was opened, decoded, offered to the rules, committed and synced, and the receipt sealed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use pitchside_model::{Decimal, Quantity};
use pitchside_wire::Content;
use pitchside_wire::waveform::Waveform;
use tokio::sync::Barrier;

use crate::client::Device;
use crate::clinic::{Clinic, Memory, recording};
use crate::pack::{self, Record};

/// Devices that shake hands at the same time.
const HANDSHAKES_AT_ONCE: usize = 16;
/// How long the last receipts and the last block may take.
const LINGER: Duration = Duration::from_secs(120);
/// Where the time stands in a waveform body, and samples in one.
const WAVE_TIME_AT: usize = 16;
const WAVE_SAMPLES: usize = 360;
/// Messages are made when at least this part of the window is free.
const BURSTS_A_WINDOW: u64 = 4;

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// So many readings of a quantity, in SenML-CBOR.
    Pack(Quantity, usize),
    /// 360 samples of a real ECG.
    Wave,
}

impl Shape {
    /// What is counted: readings, or samples.
    pub const fn units(self) -> u64 {
        match self {
            Self::Pack(_, readings) => readings as u64,
            Self::Wave => WAVE_SAMPLES as u64,
        }
    }
}

/// How hard and how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Connections.
    pub connections: usize,
    /// Messages of a device without a receipt.
    pub window: u64,
    /// One run.
    pub length: Duration,
    /// Runs.
    pub runs: usize,
}

/// What came of it.
pub struct Outcome {
    /// Readings or samples a second, each run.
    pub rates: Vec<f64>,
    /// Seconds after each run until all of it was in blocks.
    pub sealing_s: Vec<f64>,
    /// The gateway's memory at the end of each run.
    pub memory: Vec<Memory>,
}

/// Loads a fresh clinic.
pub async fn measure(shape: Shape, plan: Plan) -> anyhow::Result<Outcome> {
    let clinic = Clinic::open(plan.connections).await?;
    let mut outcome = Outcome { rates: Vec::new(), sealing_s: Vec::new(), memory: Vec::new() };
    let bodies = Arc::new(Bodies::new(shape)?);
    for _ in 0..plan.runs {
        let devices = connect(&clinic).await?;
        let go = Arc::new(Barrier::new(devices.len()));
        let tasks: Vec<_> = devices
            .into_iter()
            .map(|device| tokio::spawn(run(device, Arc::clone(&bodies), plan, Arc::clone(&go))))
            .collect();
        let mut receipted = 0;
        let mut devices = Vec::new();
        for task in tasks {
            let (device, in_time) = task.await??;
            receipted += in_time;
            devices.push(device);
        }
        outcome.rates.push((receipted * shape.units()) as f64 / plan.length.as_secs_f64());
        outcome.memory.push(clinic.memory()?);
        outcome.sealing_s.push(clinic.sealed(LINGER).await?.as_secs_f64());
        drop(devices);
    }
    Ok(outcome)
}

/// All devices of the clinic, each with a fresh session.
pub async fn connect(clinic: &Clinic) -> anyhow::Result<Vec<Device>> {
    let handshakes = clinic.devices.iter().map(|(id, credential)| Device::connect(clinic.mqtt, id, credential));
    let connected: Vec<_> = futures_util::stream::iter(handshakes).buffered(HANDSHAKES_AT_ONCE).collect().await;
    connected.into_iter().collect()
}

/// One device; returns the messages receipted before the time was up.
async fn run(mut device: Device, bodies: Arc<Bodies>, plan: Plan, go: Arc<Barrier>) -> anyhow::Result<(Device, u64)> {
    go.wait().await;
    let until = Instant::now() + plan.length;
    while Instant::now() < until {
        let room = plan.window.saturating_sub(device.outstanding());
        if room >= plan.window / BURSTS_A_WINDOW {
            for _ in 0..room {
                let number = device.made();
                device.write(bodies.content(), &bodies.body(crate::wall_us(), number))?;
            }
            device.send().await?;
        }
        device.receive().await?;
    }
    let in_time = device.receipted;
    let drained = tokio::time::timeout(LINGER, async {
        while device.outstanding() > 0 || device.pubacks < device.made() {
            device.receive().await?;
        }
        anyhow::Ok(())
    });
    drained.await.context("receipts or PUBACKs are missing")??;
    ensure!(device.refused == 0, "the gateway refused {} messages", device.refused);
    Ok((device, in_time))
}

/// Makes bodies.
pub struct Bodies {
    shape: Shape,
    wave: Vec<u8>,
}

impl Bodies {
    /// Prepares what all bodies of a shape share.
    pub fn new(shape: Shape) -> anyhow::Result<Self> {
        let wave = if shape == Shape::Wave { wave()? } else { Vec::new() };
        Ok(Self { shape, wave })
    }

    const fn content(&self) -> Content {
        match self.shape {
            Shape::Pack(..) => Content::SenmlCbor,
            Shape::Wave => Content::Waveform,
        }
    }

    /// The body of this moment.
    pub fn body(&self, time_us: i64, number: u64) -> Vec<u8> {
        let Shape::Pack(quantity, readings) = self.shape else {
            let mut body = self.wave.clone();
            if let Some(place) = body.get_mut(WAVE_TIME_AT..WAVE_TIME_AT + 8) {
                place.copy_from_slice(&time_us.to_le_bytes());
            }
            return body;
        };
        let record = |i: i64| Record {
            name: quantity.name(),
            unit: Some("beat/min"),
            after_ms: i,
            // Wanders like a heart rate; stays below what any rule minds.
            value: Decimal::integer(110 + (number as i64 + i) / 8 % 32),
        };
        if readings == 1 {
            return pack::cbor(time_us, &[record(0)]);
        }
        let records: Vec<Record> = (0..readings as i64).map(record).collect();
        pack::cbor(time_us, &records)
    }
}

fn wave() -> anyhow::Result<Vec<u8>> {
    let samples = ecg()?.into_iter().take(WAVE_SAMPLES).collect();
    let code = Quantity::ECG.code();
    let wave = Waveform { quantity: code, exponent: 0, offset: 0, period_ns: 2_777_778, start_us: 1, samples };
    Ok(wave.encode()?)
}

/// The 360 Hz recording, in microvolt.
pub fn ecg() -> anyhow::Result<Vec<i32>> {
    let text = std::fs::read_to_string(recording("ecg-360hz.csv"))?;
    text.lines().skip(1).map(|line| line.trim().parse().context("a line of the ECG recording")).collect()
}
