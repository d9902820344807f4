//! A connected device: its characteristics subscribed to and read, its link watched.

mod ask;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::plan::{Found, Plan, Step, plan};
use super::super::profile;
use super::super::queue::{Queue, Source};
use super::super::radio::{Peer, RadioError, Subscribed, Target};
use super::Common;
use super::connect::{disconnect, failed};
use super::early::Early;
use ask::{Heard, Polled, shown};

/// How long the device may take to name its services, and to accept each subscription.
const SERVICES_WITHIN: Duration = Duration::from_secs(20);
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);

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
    common: Common,
    /// Listens since before the link was there.
    early: Arc<Early>,
    /// It has answered on this link. That BlueZ calls its services resolved does not say so: it does after an error, too.
    answered: AtomicBool,
    /// Why the link is down, or of no use.
    over: watch::Sender<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
    /// PS/1: `dn`.
    down: Mutex<Option<Arc<Down>>>,
}

/// The characteristic `dn`: by file descriptor where BlueZ offers that and it takes the values of PS/1.
enum Down {
    Descriptor(CharacteristicWriter),
    Calls(Characteristic),
}

impl BluezPeer {
    pub(super) async fn new(
        device: Device,
        target: Target,
        bond: Option<Bond>,
        common: Common,
        early: Arc<Early>,
        life: CancellationToken,
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
                let event = tokio::select! {
                    event = events.next() => event,
                    // Killed, it tells nobody.
                    () = life.cancelled() => None,
                };
                match event {
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
        let (tasks, down) = (Mutex::new(tasks), Mutex::new(None));
        Ok(Self { device, target, bond, common, early, answered: AtomicBool::new(false), over, tasks, down })
    }

    async fn services(&self) -> Result<Vec<Service>, RadioError> {
        let services = timeout(SERVICES_WITHIN, self.device.services()).await;
        services.map_err(|_| RadioError::Failed("it did not name its services in time".to_owned()))?.map_err(failed)
    }

    /// Returns once BlueZ calls its services resolved, or its link is down.
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
        if !passed_over.is_empty() && self.common.passed_over.lock().insert(self.target.id.clone()) {
            for (uuid, others) in passed_over {
                tracing::warn!(device = %self.target.id, characteristic = format!("{uuid:04x}"), others, "BLE: it has this more than once; only the first is listened to");
            }
        }
        let mut subscribed = Subscribed { characteristics: Vec::new(), streams: false, value_bytes_max: 0 };
        let (mut polled, mut told, mut clock, mut unset, mut is_settled) = (Vec::new(), Vec::new(), None, false, false);
        for (step, Found { uuid, reads, notifies, by: characteristic, .. }) in steps {
            if step.measures() && !is_settled {
                is_settled = true;
                self.common.settle(&self.target.id, clock, unset);
                self.hand_over(into);
            }
            match step {
                Step::SetZone => self.set_zone(&characteristic).await,
                Step::SetClock => {
                    if self.set_clock(&characteristic, uuid, reads, into).await {
                        clock = Some(uuid);
                    } else {
                        unset = true;
                    }
                }
                Step::Tell => told.push((characteristic, uuid)),
                Step::ReadFirst => {
                    let read = self.value(&characteristic).await;
                    let value = read.map_err(|why| {
                        RadioError::Failed(format!("{uuid:04x}, which decides what it measures, was not read: {why}"))
                    })?;
                    into.answer(Source::Gatt(uuid), &value);
                }
                Step::ReadOnce => self.read(&characteristic, uuid, into).await,
                Step::Subscribe { read, streams } => {
                    if read {
                        self.read(&characteristic, uuid, into).await;
                    }
                    self.listen(&characteristic, Source::Gatt(uuid), notifies, false, into).await?;
                    subscribed.streams |= streams;
                }
                Step::Watch => {
                    self.read(&characteristic, uuid, into).await;
                    let heard = Some(self.listen(&characteristic, Source::Gatt(uuid), notifies, true, into).await?);
                    polled.push(Polled { characteristic, uuid, heard });
                }
                Step::Poll => {
                    self.read(&characteristic, uuid, into).await;
                    polled.push(Polled { characteristic, uuid, heard: None });
                }
                Step::Unusable => {
                    tracing::warn!(device = %self.target.id, characteristic = format!("{uuid:04x}"), "BLE: can be neither subscribed to nor read");
                }
            }
            if step.is_listened_to() {
                subscribed.characteristics.push(uuid);
            }
            // It may have answered for the first time.
            if is_settled {
                self.hand_over(into);
            }
        }
        if !polled.is_empty() {
            self.read_on(polled, into);
        }
        if !told.is_empty() {
            self.tell(told);
        }
        Ok(subscribed)
    }

    /// Hands over what it said by itself, once it has answered: whoever plays its address can say something, too.
    fn hand_over(&self, into: &Arc<Queue>) {
        if self.answered.load(Ordering::Relaxed) {
            self.early.hand_over(into);
        }
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
        let (way, value_bytes_max) = match timeout(SUBSCRIBE_WITHIN, down.write_io()).await {
            Ok(Ok(writer)) if writer.mtu() >= fragment::VALUE_BYTES_MIN => {
                let value_bytes_max = writer.mtu();
                (Down::Descriptor(writer), value_bytes_max)
            }
            // bluer takes 5 bytes off the ATT MTU where 3 are due, and its descriptor takes no more: too few at the default MTU. Let go
            // of, it makes way for calls, which take all 20.
            _ => (Down::Calls(down), fragment::VALUE_BYTES_MIN),
        };
        *self.down.lock() = Some(Arc::new(way));
        self.listen(&up, Source::Ps1, true, false, into).await?;
        Ok(Subscribed { characteristics: Vec::new(), streams: false, value_bytes_max })
    }

    /// Subscribes: by file descriptor where BlueZ offers that and the characteristic notifies; by D-Bus, where BlueZ confirms
    /// each value to the device, if it indicates. What was subscribed to before the link was there stays so. `polled`: it is read again
    /// and again, and D-Bus does not tell what was read from what the device said.
    async fn listen(
        &self,
        characteristic: &Characteristic,
        source: Source,
        notifies: bool,
        polled: bool,
        into: &Arc<Queue>,
    ) -> Result<Heard, RadioError> {
        let late = || RadioError::Failed("a subscription was not accepted in time".to_owned());
        let over = self.over.clone();
        if let Some(ear) = self.early.ear(characteristic.id()) {
            // BlueZ tells nobody if the device did not take it.
            if characteristic.notifying().await.map_err(failed)? == Some(true) {
                self.tasks.lock().spawn(async move {
                    let _ = ear.await;
                    end(&over, "a subscription ended");
                });
                self.answered.store(true, Ordering::Relaxed);
                return Ok(Heard::default());
            }
            // Gone before it is asked for anew: else it would be taken for the one there is.
            ear.abort();
            let _ = ear.await;
        }
        let heard = Heard::default();
        let (into, spoke) = (Arc::clone(into), Arc::clone(&heard.spoke));
        if notifies && let Ok(Ok(reader)) = timeout(SUBSCRIBE_WITHIN, characteristic.notify_io()).await {
            self.tasks.lock().spawn(async move {
                // No bytes: the device notified nothing, or the descriptor is closed, and then it says so without end.
                let mut empty = 0;
                while empty < EMPTY_MAX
                    && let Ok(value) = reader.recv().await
                {
                    empty = if value.is_empty() { empty + 1 } else { 0 };
                    if empty == 0 {
                        spoke.store(true, Ordering::Relaxed);
                        into.push(source, &value);
                    }
                }
                end(&over, "a subscription ended");
            });
            self.answered.store(true, Ordering::Relaxed);
            return Ok(heard);
        }
        let values = timeout(SUBSCRIBE_WITHIN, characteristic.notify()).await.map_err(|_| late())?.map_err(failed)?;
        self.tasks.lock().spawn(async move {
            let mut values = pin!(values);
            while let Some(value) = values.next().await {
                if polled {
                    into.answer(source, &value);
                } else {
                    into.push(source, &value);
                }
            }
            end(&over, "a subscription ended");
        });
        self.answered.store(true, Ordering::Relaxed);
        Ok(Heard { tells_reads: true, ..heard })
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

    fn said_before(&self, into: &Arc<Queue>) -> bool {
        // What speaks PS/1 says it again; who has not answered may be anybody.
        if self.target.bonding.is_none() || !self.answered.load(Ordering::Relaxed) {
            return false;
        }
        if self.early.holds()
            && let Some(clock) = self.common.understood(&self.target.id)
        {
            if let Some((uuid, time)) = clock {
                into.answer(Source::Gatt(uuid), shown(uuid, &time));
            }
            self.hand_over(into);
        }
        into.is_owed()
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
