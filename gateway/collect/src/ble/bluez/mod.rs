//! The real radio: BlueZ over D-Bus.
//!
//! Everything BlueZ does on our behalf dies with it (agent, scans, subscriptions), and a restart is told by nobody: so the
//! owner of its name is asked for once a second, and when that changes everything begins anew.
//!
//! | module | holds |
//! | --- | --- |
//! | `bus` | who owns `org.bluez`, and what it knows of a device |
//! | `agent` | codes while pairing; everybody else is refused |
//! | `scan` | one adapter: powered, listening |
//! | `bonds` | bonds that are given up, removed |
//! | `connect` | connect, bond, and what is known of the bond |
//! | `early` | what a bonded device says by itself before it is subscribed to |
//! | `peer` | a connected device: subscriptions, reads, writes |

mod agent;
mod bonds;
mod bus;
mod connect;
mod early;
mod peer;
mod scan;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bluer::{Adapter, Address, Session};
use parking_lot::Mutex;
use pitchside_model::{BleAddress, DeviceId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::core::AdapterName;
use super::doubt::Doubts;
use super::memory::Memory;
use super::radio::{Peer, Radio, RadioError, RadioEvent, Target, Targets};

/// How often BlueZ and its adapters are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How devices are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Listening only, by an advertisement monitor. Needs a BlueZ with `Experimental = true`; without it the adapter scans
    /// actively, and the log says so.
    Passive,
    /// Asking every device for more, all the time.
    Active,
}

/// Which adapter, by what it is called or by its own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// e.g. `hci0`. Names go round when adapters are plugged in another order.
    Name(String),
    /// Its address, whatever it is called today.
    Address(BleAddress),
}

/// One adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterConfig {
    /// Which.
    pub which: Which,
    /// Connections it may hold.
    pub slots: usize,
    /// How devices are found.
    pub scan: Scan,
}

/// The radio.
pub struct Bluez {
    adapters: Vec<AdapterConfig>,
    /// Folder with what BlueZ stored of bonds.
    bonds: PathBuf,
    memory: Arc<dyn Memory>,
    common: Common,
    doubts: Mutex<Doubts>,
    codes: agent::Codes,
    life: Mutex<Option<Life>>,
    /// Adapters on which somebody is being connected: an active scan pauses.
    busy: Mutex<HashMap<AdapterName, watch::Sender<bool>>>,
}

/// The time as Current Time has it (GATT Specification Supplement), in UTC; its first seven octets are the Date Time. None while
/// the gateway's clock is not set.
pub type CurrentTime = Arc<dyn Fn() -> Option<[u8; 10]> + Send + Sync>;

/// What all connections share.
#[derive(Clone)]
struct Common {
    time: CurrentTime,
    /// Whose further instances of a characteristic were named.
    passed_over: Arc<Mutex<HashSet<DeviceId>>>,
    /// Devices that were once asked for all that their values are read by, and by which characteristic their clock was set; none: they
    /// have no clock that can be. Not those that have one and whose clock was not set.
    settled: Arc<Mutex<HashMap<DeviceId, Option<u16>>>>,
    unheard: early::Unheard,
}

impl Common {
    /// It was asked for all that its values are read by: what it says is understood, and will be over later links that end before they
    /// get here. Not over those if it has a clock and none was set: that it was right today says nothing of then.
    fn settle(&self, device: &DeviceId, clock: Option<u16>, unset: bool) {
        let mut settled = self.settled.lock();
        if clock.is_some() || !unset {
            settled.insert(device.clone(), clock);
        } else {
            settled.remove(device);
        }
    }

    /// Whether what it says is understood without asking it anything, and what its clock shows if it has one: one that was set keeps the
    /// time. Without a time of our own nobody can say.
    fn understood(&self, device: &DeviceId) -> Option<Option<(u16, [u8; 10])>> {
        match self.settled.lock().get(device).copied()? {
            None => Some(None),
            Some(clock) => (self.time)().map(|time| Some((clock, time))),
        }
    }
}

/// One life of bluetoothd.
#[derive(Clone)]
struct Life {
    session: Session,
    objects: bus::Objects,
    /// It is over.
    over: CancellationToken,
}

fn address(address: Address) -> BleAddress {
    BleAddress(address.0)
}

impl Bluez {
    /// A radio of these adapters. Nothing is opened yet; what is missing is waited for.
    pub fn new(adapters: Vec<AdapterConfig>, bonds: PathBuf, memory: Arc<dyn Memory>, time: CurrentTime) -> Self {
        let (passed_over, settled, unheard) = (Arc::default(), Arc::default(), Arc::default());
        let common = Common { time, passed_over, settled, unheard };
        let (doubts, codes) = (Mutex::default(), agent::Codes::default());
        Self { adapters, bonds, memory, common, doubts, codes, life: Mutex::default(), busy: Mutex::default() }
    }

    fn busy(&self, adapter: &AdapterName) -> watch::Sender<bool> {
        self.busy.lock().entry(Arc::clone(adapter)).or_insert_with(|| watch::Sender::new(false)).clone()
    }

    fn life(&self) -> Result<Life, RadioError> {
        self.life.lock().clone().ok_or_else(|| RadioError::Failed("bluetoothd is not running".to_owned()))
    }

    /// The adapters of the settings that are there, with the name each has now, and its address.
    async fn present(&self, session: &Session) -> bluer::Result<Vec<(AdapterName, BleAddress, AdapterConfig)>> {
        let mut present = Vec::new();
        for name in session.adapter_names().await? {
            // Pulled a moment ago: that is no word on the others.
            let Ok(own) = session.adapter(&name)?.address().await.map(address) else { continue };
            let matches = |config: &&AdapterConfig| match &config.which {
                Which::Name(wanted) => *wanted == name,
                Which::Address(wanted) => *wanted == own,
            };
            if let Some(config) = self.adapters.iter().find(matches) {
                present.push((AdapterName::from(name), own, config.clone()));
            }
        }
        Ok(present)
    }

    /// Serves one life of bluetoothd.
    async fn serve(
        &self,
        bus: &bus::Bus,
        owner: &str,
        targets: &Targets,
        events: &mpsc::Sender<RadioEvent>,
        stop: &CancellationToken,
    ) -> bluer::Result<()> {
        let session = Session::new().await?;
        // Held as long as this life lasts: dropping it takes the agent away.
        let _agent = session.register_agent(agent::agent(targets.clone(), self.codes.clone())).await?;
        // Whatever becomes of us: who is connected then, is not any more.
        let over = CancellationToken::new();
        let ends = over.clone().drop_guard();
        *self.life.lock() = Some(Life { session: session.clone(), objects: bus.objects(), over });
        tracing::info!(owner, "BLE: bluetoothd is there");
        let mut running: HashMap<AdapterName, CancellationToken> = HashMap::new();
        let mut tasks: JoinSet<AdapterName> = JoinSet::new();
        let mut failing: HashSet<AdapterName> = HashSet::new();
        let mut bonds_kept = HashSet::new();
        let result = loop {
            if bus.owner().await.as_deref() != Some(owner) {
                break Ok(());
            }
            let present = match self.present(&session).await {
                Ok(present) => present,
                Err(error) => break Err(error),
            };
            for (name, token) in &running {
                let gone = !present.iter().any(|(there, ..)| there == name);
                let off = !gone && !powered(&session, name).await;
                if gone || off {
                    token.cancel();
                }
            }
            for (name, own, config) in present {
                if running.contains_key(&name) {
                    continue;
                }
                match prepare(&session, &name).await {
                    Ok(adapter) => {
                        failing.remove(&name);
                        let (token, busy) = (stop.child_token(), self.busy(&name));
                        running.insert(Arc::clone(&name), token.clone());
                        let scan = scan::AdapterTask {
                            adapter,
                            name,
                            own,
                            config,
                            busy,
                            targets: targets.clone(),
                            events: events.clone(),
                        };
                        tasks.spawn(scan.run(token));
                    }
                    // Said once: it may stay off for long.
                    Err(error) if failing.insert(Arc::clone(&name)) => {
                        tracing::warn!(adapter = %name, %error, "BLE: the adapter cannot be switched on; try `rfkill unblock bluetooth`");
                    }
                    Err(_) => {}
                }
            }
            self.remove_given_up(&session, &mut bonds_kept).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(ended) = tasks.join_next() => if let Ok(name) = ended { running.remove(&name); },
                () = sleep(LOOK_EVERY) => {}
            }
        };
        *self.life.lock() = None;
        // Before the scans are waited for: a link that is of no use must not pass for one meanwhile.
        drop(ends);
        running.values().for_each(CancellationToken::cancel);
        while tasks.join_next().await.is_some() {}
        result
    }
}

async fn powered(session: &Session, name: &str) -> bool {
    match session.adapter(name) {
        Ok(adapter) => adapter.is_powered().await.unwrap_or(false),
        Err(_) => false,
    }
}

async fn prepare(session: &Session, name: &str) -> bluer::Result<Adapter> {
    let adapter = session.adapter(name)?;
    adapter.set_powered(true).await?;
    // Bonds are kept only while the adapter is pairable; who may pair is the agent's decision.
    adapter.set_pairable(true).await?;
    Ok(adapter)
}

#[async_trait]
impl Radio for Bluez {
    async fn watch(&self, targets: Targets, events: mpsc::Sender<RadioEvent>, stop: CancellationToken) {
        let (mut missing, mut bus) = (false, None);
        while !stop.is_cancelled() {
            // Kept while it lives: a box without a radio waits so for as long as it runs.
            let connected = match bus.take() {
                Some(bus) => Some(bus),
                None => {
                    bus::Bus::connect().await.inspect_err(|error| tracing::debug!(%error, "BLE: no system bus")).ok()
                }
            };
            let owner = match &connected {
                Some(bus) => bus.owner().await,
                None => None,
            };
            match (&connected, owner) {
                (Some(bus), Some(owner)) => {
                    missing = false;
                    if let Err(error) = self.serve(bus, &owner, &targets, &events, &stop).await {
                        tracing::warn!(%error, "BLE: bluetoothd failed; beginning anew");
                    } else if !stop.is_cancelled() {
                        tracing::warn!("BLE: bluetoothd is gone; waiting for it");
                    }
                }
                _ if !missing => {
                    missing = true;
                    tracing::warn!(
                        "BLE: bluetoothd is not running, or there is no radio; waiting. `systemctl status bluetooth`"
                    );
                }
                _ => {}
            }
            bus = connected.filter(bus::Bus::is_alive);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn connect(&self, adapter: &AdapterName, target: &Target) -> Result<Box<dyn Peer>, RadioError> {
        let life = self.life()?;
        Ok(Box::new(self.attempt(&life, adapter, target).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_understood_unasked_if_it_has_no_clock_or_one_that_was_set_and_our_own_is() {
        let ours = Arc::new(Mutex::new(Some([7; 10])));
        let shown = Arc::clone(&ours);
        let time: CurrentTime = Arc::new(move || *shown.lock());
        let (passed_over, settled, unheard) = (Arc::default(), Arc::default(), Arc::default());
        let common = Common { time, passed_over, settled, unheard };
        let device = DeviceId::parse("thermo").unwrap();
        assert_eq!(common.understood(&device), None, "it was never asked");
        common.settle(&device, None, false);
        assert_eq!(common.understood(&device), Some(None));
        common.settle(&device, None, true);
        assert_eq!(common.understood(&device), None, "it refused to be set");
        // One of two was set.
        common.settle(&device, Some(0x2A08), true);
        assert_eq!(common.understood(&device), Some(Some((0x2A08, [7; 10]))));
        *ours.lock() = None;
        assert_eq!(common.understood(&device), None, "what its clock shows nobody can say");
        common.settle(&device, None, false);
        assert_eq!(common.understood(&device), Some(None));
    }
}
