//! Sensors that never stop talking, whatever happens to the gateway, and remember what was receipted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pitchside_tests::site::Site;
use pitchside_tests::{Sensor, Told, frames};
use pitchside_wire::{Content, Credential, Epoch, Seq};
use tokio::task::JoinHandle;

/// Messages of one sensor without an answer.
const IN_FLIGHT_MAX: usize = 32;
/// Between two attempts to get a link while there is no gateway.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// Milliseconds for which a heart is fast, and then slow.
const WAVE_MS: i64 = 1_000;

/// What one sensor said.
pub struct Said {
    /// Who.
    pub device: String,
    /// Its count.
    pub epoch: Epoch,
    /// Device time in milliseconds and value of each message.
    pub messages: BTreeMap<Seq, (i64, i64)>,
    /// Which were receipted.
    pub receipted: Vec<Seq>,
    /// Which were refused, and why.
    pub refused: Vec<(Seq, String)>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicU64,
    receipted: AtomicU64,
    finishing: AtomicBool,
}

/// All sensors.
pub struct Load {
    shared: Arc<Shared>,
    sensors: Vec<JoinHandle<Said>>,
}

impl Load {
    /// Starts them.
    pub fn start<'a>(site: &Arc<Site>, cards: impl Iterator<Item = (&'a str, Credential)>) -> Self {
        let shared = Arc::new(Shared::default());
        let sensors = cards.map(|(name, card)| {
            let sensor = Sensor::new(Arc::clone(site), name, card, false);
            tokio::spawn(talk(sensor, Arc::clone(site), Arc::clone(&shared)))
        });
        Self { sensors: sensors.collect(), shared }
    }

    /// Sessions begun or resumed so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Messages receipted so far.
    pub fn receipted(&self) -> u64 {
        self.shared.receipted.load(Ordering::Acquire)
    }

    /// Lets every sensor have its last receipts.
    pub async fn finish(self) -> Vec<Said> {
        self.shared.finishing.store(true, Ordering::Release);
        let mut said = Vec::new();
        for sensor in self.sensors {
            said.push(sensor.await.expect("a sensor ends well"));
        }
        said
    }
}

async fn talk(mut sensor: Sensor, site: Arc<Site>, shared: Arc<Shared>) -> Said {
    let mut said = Said {
        device: sensor.id().to_owned(),
        epoch: sensor.epoch(),
        messages: BTreeMap::new(),
        receipted: Vec::new(),
        refused: Vec::new(),
    };
    let mut last_ms = 0;
    loop {
        if sensor.try_connect().await.is_err() {
            tokio::time::sleep(TRY_EVERY).await;
            continue;
        }
        shared.connections.fetch_add(1, Ordering::AcqRel);
        loop {
            let finishing = shared.finishing.load(Ordering::Acquire);
            while !finishing && sensor.unanswered() < IN_FLIGHT_MAX {
                let at_ms = site.now_ms().max(last_ms + 1);
                last_ms = at_ms;
                let value = if at_ms / WAVE_MS % 2 == 0 { 100 } else { 190 } + at_ms % 10;
                let seq = sensor.push(Content::SenmlJson, frames::heart_rate(at_ms, value));
                said.messages.insert(seq, (at_ms, value));
            }
            let room = if finishing { 0 } else { IN_FLIGHT_MAX / 2 };
            let waited = sensor.run_until(|sensor| (sensor.unanswered() <= room).then_some(())).await;
            for (seq, told) in sensor.take_told() {
                match told {
                    Told::Stored => {
                        shared.receipted.fetch_add(1, Ordering::AcqRel);
                        said.receipted.push(seq);
                    }
                    Told::Refused(_, text) => said.refused.push((seq, text)),
                }
            }
            match waited {
                Ok(()) if finishing => return said,
                Ok(()) => {}
                Err(_) => break,
            }
        }
    }
}
