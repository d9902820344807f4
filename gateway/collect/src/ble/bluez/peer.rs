//! A connected device: its characteristics subscribed to and read, its link watched.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bluer::gatt::CharacteristicWriter;
use bluer::gatt::WriteOp;
use bluer::gatt::remote::{Characteristic, CharacteristicWriteRequest, Service};
use bluer::{Device, DeviceEvent, DeviceProperty, Uuid, UuidExt as _};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use pitchside_model::{Bond, Profiles};
use pitchside_wire::fragment;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::super::plan::{Found, Plan, Step, plan};
use super::super::profile;
use super::super::queue::{Queue, Source};
use super::super::radio::{Peer, RadioError, Subscribed, Target};
use super::connect::{disconnect, failed};
use super::{CurrentTime, PassedOver};

/// How long the device may take to name its services, and to accept each subscription.
const SERVICES_WITHIN: Duration = Duration::from_secs(20);
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often what only can be read is read.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Empty values in a row after which a descriptor counts as closed.
const EMPTY_MAX: u32 = 64;

/// The first reason stays.
fn end(over: &watch::Sender<Option<String>>, why: &str) {
    over.send_if_modified(|said| {
        let first = said.is_none();
        said.get_or_insert_with(|| why.to_owned());
        first
    });
}

/// A connected device.
pub(super) struct BluezPeer {
    device: Device,
    target: Target,
    bond: Option<Bond>,
    time: CurrentTime,
    passed_over: PassedOver,
    /// Why the link is down, or of no use.
    over: watch::Sender<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
    /// PS/1: `dn`.
    down: Mutex<Option<Arc<Down>>>,
}

/// The characteristic `dn`: by file descriptor where BlueZ offers that.
enum Down {
    Descriptor(CharacteristicWriter),
    Calls(Characteristic),
}

impl BluezPeer {
    pub(super) async fn new(
        device: Device,
        target: Target,
        bond: Option<Bond>,
        time: CurrentTime,
        passed_over: PassedOver,
    ) -> Result<Self, RadioError> {
        let over = watch::Sender::new(None);
        // Watched from here on; what happened before is asked for after.
        let events = device.events().await.map_err(failed)?;
        if !device.is_connected().await.map_err(failed)? {
            return Err(RadioError::Failed("the link went down at once".to_owned()));
        }
        let bonded = bond.is_some();
        let mut tasks = JoinSet::new();
        let sender = over.clone();
        tasks.spawn(async move {
            let mut events = pin!(events);
            let why = loop {
                match events.next().await {
                    Some(DeviceEvent::PropertyChanged(DeviceProperty::Connected(false))) => break "the link went down",
                    Some(DeviceEvent::PropertyChanged(DeviceProperty::Paired(false))) if bonded => {
                        break "the bond was removed";
                    }
                    Some(_) => {}
                    None => break "BlueZ no longer knows the device",
                }
            };
            end(&sender, why);
        });
        Ok(Self { device, target, bond, time, passed_over, over, tasks: Mutex::new(tasks), down: Mutex::new(None) })
    }

    async fn services(&self) -> Result<Vec<Service>, RadioError> {
        let services = timeout(SERVICES_WITHIN, self.device.services()).await;
        services.map_err(|_| RadioError::Failed("it did not name its services in time".to_owned()))?.map_err(failed)
    }

    /// Returns once it has named its services, or its link is down.
    pub(super) async fn named(&self) -> Result<(), RadioError> {
        tokio::select! {
            named = self.services() => named.map(|_| ()),
            why = self.ended() => Err(RadioError::Failed(why)),
        }
    }

    pub(super) async fn is_up(&self) -> bool {
        self.device.is_connected().await.unwrap_or(false)
    }

    /// Every characteristic with a 16-bit UUID, in no order.
    async fn characteristics(&self) -> Result<Vec<Found<Characteristic>>, RadioError> {
        let mut found = Vec::new();
        for service in self.services().await? {
            let Some(service_uuid) = service.uuid().await.map_err(failed)?.as_u16() else { continue };
            for characteristic in service.characteristics().await.map_err(failed)? {
                let Some(uuid) = characteristic.uuid().await.map_err(failed)?.as_u16() else { continue };
                let flags = characteristic.flags().await.map_err(failed)?;
                found.push(Found {
                    service: service_uuid,
                    uuid,
                    handle: characteristic.id(),
                    reads: flags.read,
                    writes: flags.write,
                    notifies: flags.notify,
                    indicates: flags.indicate,
                    by: characteristic,
                });
            }
        }
        Ok(found)
    }

    async fn bonded(&self, profiles: Profiles, into: &Arc<Queue>) -> Result<Subscribed, RadioError> {
        let Plan { steps, passed_over } = plan(profiles, self.characteristics().await?);
        if !steps.iter().any(|(step, _)| step.measures()) {
            let words = profile::words(profiles).join(", ");
            return Err(RadioError::Refused(format!("it has none of what it was enrolled for: {words}")));
        }
        if !passed_over.is_empty() && self.passed_over.lock().insert(self.target.id.clone()) {
            for (uuid, others) in passed_over {
                tracing::warn!(device = %self.target.id, characteristic = format!("{uuid:04x}"), others, "BLE: it has this more than once; only the first is listened to");
            }
        }
        let mut subscribed = Subscribed { characteristics: Vec::new(), streams: false, value_bytes_max: 0 };
        let mut polled = Vec::new();
        for (step, Found { uuid, reads, notifies, by: characteristic, .. }) in steps {
            match step {
                Step::SetZone => self.set_zone(&characteristic).await,
                Step::SetClock => self.set_clock(&characteristic, uuid, reads, into).await,
                Step::Tell => self.tell(&characteristic, uuid).await,
                Step::ReadFirst => {
                    let read = self.value(&characteristic).await;
                    let value = read.map_err(|why| {
                        RadioError::Failed(format!("{uuid:04x}, which decides what it measures, was not read: {why}"))
                    })?;
                    into.push(Source::Gatt(uuid), &value);
                }
                Step::ReadOnce => self.read(&characteristic, uuid, into).await,
                Step::Subscribe { read, streams } => {
                    if read {
                        self.read(&characteristic, uuid, into).await;
                    }
                    self.listen(&characteristic, Source::Gatt(uuid), notifies, into).await?;
                    subscribed.streams |= streams;
                }
                Step::Poll => {
                    self.read(&characteristic, uuid, into).await;
                    polled.push((characteristic, uuid));
                }
                Step::Unusable => {
                    tracing::warn!(device = %self.target.id, characteristic = format!("{uuid:04x}"), "BLE: can be neither subscribed to nor read");
                }
            }
            if step.is_listened_to() {
                subscribed.characteristics.push(uuid);
            }
        }
        if !polled.is_empty() {
            self.read_on(polled, into);
        }
        Ok(subscribed)
    }

    async fn ps1(&self, into: &Arc<Queue>) -> Result<Subscribed, RadioError> {
        let (mut up, mut down) = (None, None);
        for service in self.services().await? {
            if service.uuid().await.map_err(failed)? != Uuid::from_u128(fragment::SERVICE) {
                continue;
            }
            for characteristic in service.characteristics().await.map_err(failed)? {
                match characteristic.uuid().await.map_err(failed)?.as_u128() {
                    fragment::UP => up = Some(characteristic),
                    fragment::DOWN => down = Some(characteristic),
                    _ => {}
                }
            }
        }
        let (Some(up), Some(down)) = (up, down) else {
            return Err(RadioError::Refused("it has no PS/1 service".to_owned()));
        };
        // First the way down: the device may speak as soon as it is subscribed to.
        let (way, mtu) = match timeout(SUBSCRIBE_WITHIN, down.write_io()).await {
            Ok(Ok(writer)) => {
                let mtu = writer.mtu();
                (Down::Descriptor(writer), mtu)
            }
            _ => (Down::Calls(down), fragment::VALUE_BYTES_MIN),
        };
        *self.down.lock() = Some(Arc::new(way));
        self.listen(&up, Source::Ps1, true, into).await?;
        Ok(Subscribed { characteristics: Vec::new(), streams: false, value_bytes_max: mtu })
    }

    /// Subscribes: by file descriptor where BlueZ offers that and the characteristic notifies; by D-Bus, where BlueZ confirms
    /// each value to the device, if it indicates.
    async fn listen(
        &self,
        characteristic: &Characteristic,
        source: Source,
        notifies: bool,
        into: &Arc<Queue>,
    ) -> Result<(), RadioError> {
        let late = || RadioError::Failed("a subscription was not accepted in time".to_owned());
        if notifies && let Ok(Ok(reader)) = timeout(SUBSCRIBE_WITHIN, characteristic.notify_io()).await {
            let (into, over) = (Arc::clone(into), self.over.clone());
            self.tasks.lock().spawn(async move {
                // No bytes: the device notified nothing, or the descriptor is closed, and then it says so without end.
                let mut empty = 0;
                while empty < EMPTY_MAX
                    && let Ok(value) = reader.recv().await
                {
                    empty = if value.is_empty() { empty + 1 } else { 0 };
                    if empty == 0 {
                        into.push(source, &value);
                    }
                }
                end(&over, "a subscription ended");
            });
            return Ok(());
        }
        let values = timeout(SUBSCRIBE_WITHIN, characteristic.notify()).await.map_err(|_| late())?.map_err(failed)?;
        let (into, over) = (Arc::clone(into), self.over.clone());
        self.tasks.lock().spawn(async move {
            let mut values = pin!(values);
            while let Some(value) = values.next().await {
                into.push(source, &value);
            }
            end(&over, "a subscription ended");
        });
        Ok(())
    }

    async fn value(&self, characteristic: &Characteristic) -> Result<Vec<u8>, String> {
        match timeout(READ_WITHIN, characteristic.read()).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn read(&self, characteristic: &Characteristic, uuid: u16, into: &Queue) {
        match self.value(characteristic).await {
            Ok(value) => into.push(Source::Gatt(uuid), &value),
            Err(why) => {
                tracing::info!(device = %self.target.id, characteristic = format!("{uuid:04x}"), why, "BLE: not read");
            }
        }
    }

    fn read_on(&self, characteristics: Vec<(Characteristic, u16)>, into: &Arc<Queue>) {
        let into = Arc::clone(into);
        self.tasks.lock().spawn(async move {
            let mut tick = interval(READ_EVERY);
            // The first comes at once, and that value has been read.
            tick.tick().await;
            loop {
                tick.tick().await;
                for (characteristic, uuid) in &characteristics {
                    if let Ok(Ok(value)) = timeout(READ_WITHIN, characteristic.read()).await {
                        into.push(Source::Gatt(*uuid), &value);
                    }
                }
            }
        });
    }

    async fn set(&self, characteristic: &Characteristic, value: &[u8]) -> Result<(), String> {
        let request = CharacteristicWriteRequest { op_type: WriteOp::Request, ..Default::default() };
        match timeout(READ_WITHIN, characteristic.write_ext(value, &request)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Tells the device that its clock is not ahead of UTC, if ours is set.
    async fn set_zone(&self, characteristic: &Characteristic) {
        if (self.time)().is_some()
            && let Err(why) = self.set(characteristic, &profile::LOCAL_TIME_IS_UTC).await
        {
            tracing::info!(device = %self.target.id, why, "BLE: its time zone is not set");
        }
    }

    /// Sets the device's clock, if ours is set: what it measures from now on carries a time worth having. What the clock shows
    /// goes the way of all values, first of them: what the device dates is read by it.
    async fn set_clock(&self, characteristic: &Characteristic, uuid: u16, reads: bool, into: &Queue) {
        let Some(time) = (self.time)() else { return };
        let value = if uuid == profile::DATE_TIME { &time[..7] } else { &time[..] };
        match self.set(characteristic, value).await {
            Ok(()) => {
                tracing::info!(device = %self.target.id, "BLE: its clock is set");
                into.push(Source::Gatt(uuid), value);
            }
            Err(why) => {
                tracing::info!(device = %self.target.id, why, "BLE: its clock is not set");
                // It may have taken the time and refused the rest of the value (Current Time Service, «Data field ignored»).
                if reads {
                    self.read(characteristic, uuid, into).await;
                }
            }
        }
    }

    /// What it says in Device Information, for the log.
    async fn tell(&self, characteristic: &Characteristic, uuid: u16) {
        let Ok(value) = self.value(characteristic).await else { return };
        if let Some((what, text)) = profile::information(uuid, &value) {
            tracing::info!(device = %self.target.id, what, text, "BLE: device information");
        }
    }
}

#[async_trait]
impl Peer for BluezPeer {
    fn bond(&self) -> Option<Bond> {
        self.bond
    }

    async fn subscribe(&self, into: Arc<Queue>) -> Result<Subscribed, RadioError> {
        match self.target.bonding {
            Some(bonding) => self.bonded(bonding.profiles, &into).await,
            None => self.ps1(&into).await,
        }
    }

    async fn write(&self, value: &[u8]) -> Result<(), RadioError> {
        let down = self.down.lock().clone().ok_or_else(|| RadioError::Failed("not subscribed".to_owned()))?;
        match &*down {
            Down::Descriptor(writer) => writer.send(value).await.map_err(|error| RadioError::Failed(error.to_string())),
            Down::Calls(characteristic) => {
                let request = CharacteristicWriteRequest { op_type: WriteOp::Command, ..Default::default() };
                characteristic.write_ext(value, &request).await.map_err(failed)
            }
        }
    }

    async fn ended(&self) -> String {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "BlueZ is gone".to_owned(),
        }
    }

    async fn disconnect(&self) {
        self.tasks.lock().abort_all();
        disconnect(&self.device).await;
    }
}
