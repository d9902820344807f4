//! What a connected device is asked and told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bluer::gatt::WriteOp;
use bluer::gatt::remote::{Characteristic, CharacteristicWriteRequest};
use tokio::time::{interval, timeout};

use super::super::super::profile;
use super::super::super::queue::{Queue, Source};
use super::BluezPeer;

const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often what only can be read is read.
const READ_EVERY: Duration = Duration::from_secs(60);

/// A characteristic that is read again and again.
pub(super) struct Polled {
    pub characteristic: Characteristic,
    pub uuid: u16,
    /// It is subscribed to as well.
    pub heard: Option<Heard>,
}

/// What comes of a subscription.
#[derive(Default)]
pub(super) struct Heard {
    /// A value came since somebody asked.
    pub spoke: Arc<AtomicBool>,
    /// What is read comes that way, too: nobody knows whether it spoke, and it is read every time.
    pub tells_reads: bool,
}

impl Heard {
    fn has_spoken(&self) -> bool {
        self.spoke.swap(false, Ordering::Relaxed)
    }
}

/// The time as a clock of this kind shows it.
pub(super) fn shown(uuid: u16, time: &[u8; 10]) -> &[u8] {
    if uuid == profile::DATE_TIME { &time[..7] } else { &time[..] }
}

impl BluezPeer {
    /// An error may be BlueZ's own, or sent by whoever plays the device's address.
    fn answer<T>(&self, answer: bluer::Result<T>) -> Result<T, String> {
        answer.inspect(|_| self.answered.store(true, Ordering::Relaxed)).map_err(|error| error.to_string())
    }

    pub(super) async fn value(&self, characteristic: &Characteristic) -> Result<Vec<u8>, String> {
        match timeout(READ_WITHIN, characteristic.read()).await {
            Ok(read) => self.answer(read),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    pub(super) async fn read(&self, characteristic: &Characteristic, uuid: u16, into: &Queue) {
        match self.value(characteristic).await {
            Ok(value) => into.answer(Source::Gatt(uuid), &value),
            Err(why) => {
                tracing::info!(device = %self.target.id, characteristic = format!("{uuid:04x}"), why, "BLE: not read");
            }
        }
    }

    pub(super) fn read_on(&self, all: Vec<Polled>, into: &Arc<Queue>) {
        let into = Arc::clone(into);
        self.tasks.lock().spawn(async move {
            let mut tick = interval(READ_EVERY);
            // The first comes at once, and that value has been read.
            tick.tick().await;
            loop {
                tick.tick().await;
                for Polled { characteristic, uuid, heard } in &all {
                    if heard.as_ref().is_some_and(Heard::has_spoken) {
                        continue;
                    }
                    if let Ok(Ok(value)) = timeout(READ_WITHIN, characteristic.read()).await
                        && heard.as_ref().is_none_or(|heard| !heard.tells_reads)
                    {
                        into.answer(Source::Gatt(*uuid), &value);
                    }
                }
            }
        });
    }

    async fn set(&self, characteristic: &Characteristic, value: &[u8]) -> Result<(), String> {
        let request = CharacteristicWriteRequest { op_type: WriteOp::Request, ..Default::default() };
        match timeout(READ_WITHIN, characteristic.write_ext(value, &request)).await {
            Ok(written) => self.answer(written),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Tells the device that its clock is not ahead of UTC, if ours is set.
    pub(super) async fn set_zone(&self, characteristic: &Characteristic) {
        if (self.common.time)().is_some()
            && let Err(why) = self.set(characteristic, &profile::LOCAL_TIME_IS_UTC).await
        {
            tracing::info!(device = %self.target.id, why, "BLE: its time zone is not set");
        }
    }

    /// Sets the device's clock, if ours is set: what it measures from now on carries a time worth having. What the clock shows
    /// goes the way of all values, first of them: what the device dates is read by it. Whether it was set.
    pub(super) async fn set_clock(
        &self,
        characteristic: &Characteristic,
        uuid: u16,
        reads: bool,
        into: &Queue,
    ) -> bool {
        let Some(time) = (self.common.time)() else { return false };
        let value = shown(uuid, &time);
        match self.set(characteristic, value).await {
            Ok(()) => {
                tracing::info!(device = %self.target.id, "BLE: its clock is set");
                into.answer(Source::Gatt(uuid), value);
                true
            }
            Err(why) => {
                tracing::info!(device = %self.target.id, why, "BLE: its clock is not set");
                // It may have taken the time and refused the rest of the value (Current Time Service, «Data field ignored»).
                if reads {
                    self.read(characteristic, uuid, into).await;
                }
                false
            }
        }
    }

    /// What it says in Device Information, for the log: no reading waits until it has said that.
    pub(super) fn tell(&self, all: Vec<(Characteristic, u16)>) {
        let id = self.target.id.clone();
        self.tasks.lock().spawn(async move {
            for (characteristic, uuid) in all {
                if let Ok(Ok(value)) = timeout(READ_WITHIN, characteristic.read()).await
                    && let Some((what, text)) = profile::information(uuid, &value)
                {
                    tracing::info!(device = %id, what, text, "BLE: device information");
                }
            }
        });
    }
}
