//! What a bonded device indicates before anybody asks it for anything.
//!
//! A bonded device keeps its subscriptions over the end of a link (Core 5.4, vol. 3 part G, 3.3.3.3) and may indicate as soon as the
//! next one is encrypted. BlueZ confirms an indication whether anybody listens or not, and the device then forgets what was confirmed.
//! So a device is subscribed to before it is connected: of one whose attributes it knows BlueZ takes that, and listens from the first
//! moment of the link (BlueZ 5.82, src/gatt-client.c, `characteristic_start_notify`, `btd_gatt_client_connected`). Anew before each
//! link, for BlueZ drops a subscription without a word if the link ends while it is written to the device.
//!
//! What comes waits here until it is known what it means: the clock set, the site read. The host takes bytes of a link that is not
//! encrypted yet, from whoever plays the device's address; so they count only once the device has answered a read, a write or a
//! subscription on this link: what came over a link that ended before that is lost, and told as such with whatever the device says
//! next. That proves less than the key would: while a controller waits for the encryption to begin (40 s at most: Core 5.4, vol. 6
//! part B, 5.2) it sends none of our questions, but takes what comes, and an answer that is guessed, at the right moment, looks like
//! one that was given. BlueZ tells nobody whether a link is encrypted.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bluer::Device;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use pitchside_model::{DeviceId, Profiles};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::plan::{Step, plan};
use super::super::queue::{Queue, Source};
use super::bus::Objects;

/// How long BlueZ may take: nothing of it waits for the device. Longer than a subscription on another device may take: bluer makes
/// them one after the other.
const WITHIN: Duration = Duration::from_secs(12);

/// What was confirmed to devices and lost, and has not been told yet.
pub(super) type Unheard = Arc<Mutex<HashMap<DeviceId, HashMap<Source, u64>>>>;

/// Listens to one device, from before its link is there to the link's end.
pub(super) struct Early {
    id: DeviceId,
    queue: Queue,
    /// Those who listen, by the handle of what they listen to.
    ears: Mutex<HashMap<u16, AbortOnDropHandle<()>>>,
    unheard: Unheard,
}

impl Early {
    /// Nobody listens yet.
    pub(super) fn new(id: DeviceId, unheard: Unheard) -> Arc<Self> {
        Arc::new(Self { id, queue: Queue::default(), ears: Mutex::default(), unheard })
    }

    /// Subscribes to whatever the device indicates, as far as BlueZ knows it.
    pub(super) async fn listen(self: &Arc<Self>, device: &Device, profiles: Profiles, objects: &Objects) {
        let why = match timeout(WITHIN, self.subscribe(device, profiles, objects)).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(device = %self.id, why, "BLE: not listened to before its link is there: what it says first may be lost");
    }

    async fn subscribe(self: &Arc<Self>, device: &Device, profiles: Profiles, objects: &Objects) -> Result<(), String> {
        let failed = |error: bluer::Error| error.to_string();
        let found = objects.characteristics(device).await?;
        for (step, found) in plan(profiles, found).steps {
            // What notifies needs no confirmation. What is read besides would come twice: BlueZ tells subscribers what is read.
            if found.notifies || !matches!(step, Step::Subscribe { read: false, .. }) {
                continue;
            }
            let service = device.service(found.by).await.map_err(failed)?;
            let characteristic = service.characteristic(found.handle).await.map_err(failed)?;
            let values = characteristic.notify().await.map_err(failed)?;
            let (early, source) = (Arc::downgrade(self), Source::Gatt(found.uuid));
            let ear = tokio::spawn(async move {
                let mut values = pin!(values);
                while let Some(value) = values.next().await
                    && let Some(early) = early.upgrade()
                {
                    early.queue.push(source, &value);
                }
            });
            self.ears.lock().insert(found.handle, AbortOnDropHandle::new(ear));
        }
        Ok(())
    }

    /// Who listens to what stands at this handle; whoever asked has them now.
    pub(super) fn ear(&self, handle: u16) -> Option<AbortOnDropHandle<()>> {
        self.ears.lock().remove(&handle)
    }

    /// Whether something came that was not handed over.
    pub(super) fn holds(&self) -> bool {
        self.queue.holds()
    }

    /// Hands over what came, with what was lost before, and from now on whatever comes.
    pub(super) fn hand_over(&self, into: &Arc<Queue>) {
        for (source, count) in self.unheard.lock().remove(&self.id).unwrap_or_default() {
            into.lose(source, count);
        }
        self.queue.forward(into);
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        let lost = self.queue.abandon();
        if lost.is_empty() {
            return;
        }
        tracing::warn!(device = %self.id, "BLE: what it said by itself is lost: its link ended before it was known to be the device, or what it says");
        let mut unheard = self.unheard.lock();
        let counts = unheard.entry(self.id.clone()).or_default();
        for (source, count) in lost {
            let known = counts.entry(source).or_default();
            *known = known.saturating_add(count);
        }
    }
}
