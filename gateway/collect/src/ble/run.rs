//! Between core and radio: events in, actions out, one task a connection.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitchside_model::{BleAddress, DeviceId, Pairing};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, asked};
use super::core::{Action, Core, CoreConfig, End, Event, Known, Ms, Status};
use super::radio::{Radio, RadioEvent, Target, Targets};
use crate::intake::Intake;

/// How often the core is asked what to do when nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// Words that may wait for the core.
const EVENTS_MAX: usize = 1_024;

/// What Bluetooth needs.
pub struct Parts {
    /// The adapters.
    pub radio: Arc<dyn Radio>,
    /// The gateway.
    pub intake: Arc<dyn Intake>,
    /// The devices to look for.
    pub targets: Targets,
    /// How the core decides.
    pub config: CoreConfig,
    /// Jitter begins here: another number in every run.
    pub seed: u64,
}

/// Bluetooth, running.
#[derive(Debug)]
pub struct Ble {
    status: watch::Receiver<Vec<Status>>,
    task: JoinHandle<()>,
}

impl Ble {
    /// How every device is doing, and news of it.
    pub fn status(&self) -> watch::Receiver<Vec<Status>> {
        self.status.clone()
    }

    /// Waits until everything is disconnected, after the shutdown token fired.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "Bluetooth ended badly");
        }
    }
}

/// Serves Bluetooth until `shutdown` fires. To be called inside a tokio runtime.
pub fn start(parts: Parts, shutdown: CancellationToken) -> Ble {
    let (sender, status) = watch::channel(Vec::new());
    let task = tokio::spawn(async move {
        let (said, heard) = mpsc::channel(EVENTS_MAX);
        let runner = Runner {
            core: Core::new(parts.config, parts.seed),
            begun: Instant::now(),
            targets: HashMap::new(),
            said,
            open: HashMap::new(),
            tasks: JoinSet::new(),
            whose: HashMap::new(),
            stop: shutdown.child_token(),
            parts,
        };
        runner.run(heard, sender, shutdown).await;
    });
    Ble { status, task }
}

struct Runner {
    parts: Parts,
    core: Core,
    begun: Instant,
    targets: HashMap<BleAddress, Target>,
    /// For connections to tell the core.
    said: mpsc::Sender<Event>,
    /// Takes a connection down.
    open: HashMap<DeviceId, CancellationToken>,
    tasks: JoinSet<End>,
    whose: HashMap<Id, DeviceId>,
    stop: CancellationToken,
}

impl Runner {
    async fn run(
        mut self,
        mut heard: mpsc::Receiver<Event>,
        status: watch::Sender<Vec<Status>>,
        shutdown: CancellationToken,
    ) {
        let (report, mut reports) = mpsc::channel(EVENTS_MAX);
        let (radio, targets) = (Arc::clone(&self.parts.radio), self.parts.targets.clone());
        let stop_radio = CancellationToken::new();
        let watching = tokio::spawn({
            let stop = stop_radio.clone();
            async move { radio.watch(targets, report, stop).await }
        });
        let mut targets = self.parts.targets.clone();
        self.enrolled(&targets.borrow_and_update().clone());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut targets_end = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                changed = targets.changed(), if !targets_end => match changed {
                    Ok(()) => self.enrolled(&targets.borrow_and_update().clone()),
                    Err(_) => targets_end = true,
                },
                Some(ended) = self.tasks.join_next_with_id() => {
                    // What it told before comes before.
                    while let Ok(event) = heard.try_recv() {
                        self.core.handle(event, self.now());
                    }
                    self.ended(ended);
                }
                Some(report) = reports.recv() => self.reported(report),
                Some(event) = heard.recv() => self.core.handle(event, self.now()),
                _ = tick.tick() => {}
            }
            for action in self.core.poll(self.now()) {
                self.obey(action);
            }
            let now = self.core.status();
            status.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
        // Connections end first, while the radio can still take them down.
        self.stop.cancel();
        heard.close();
        while self.tasks.join_next().await.is_some() {}
        stop_radio.cancel();
        drop(reports);
        if let Err(error) = watching.await {
            tracing::error!(%error, "the radio ended badly");
        }
    }

    fn now(&self) -> Ms {
        Ms::try_from(self.begun.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }

    fn enrolled(&mut self, targets: &[Target]) {
        let known = targets
            .iter()
            .map(|target| Known { id: target.id.clone(), version: version(target), home: target.home })
            .collect();
        for target in targets {
            if !self.targets.contains_key(&target.address) {
                tracing::info!(device = %target.id, address = %target.address, asked = %asked(target), "BLE: looking for it");
            }
        }
        // An address that was enrolled is its device's, whoever else once told it.
        let identities = targets.iter().filter_map(|target| Some((target.identity?, target.clone())));
        let addresses = targets.iter().map(|target| (target.address, target.clone()));
        self.targets = identities.chain(addresses).collect();
        self.core.handle(Event::Enrolled(known), self.now());
    }

    fn reported(&mut self, report: RadioEvent) {
        let device = |address: &BleAddress| self.targets.get(address).map(|target| target.id.clone());
        let event = match report {
            RadioEvent::AdapterUp { adapter, address, slots } => {
                tracing::info!(adapter = %adapter, slots, "BLE: adapter is up");
                Event::AdapterUp { adapter, address, slots }
            }
            RadioEvent::AdapterDown { adapter } => {
                tracing::warn!(adapter = %adapter, "BLE: adapter is gone");
                Event::AdapterDown { adapter }
            }
            RadioEvent::Seen { adapter, address, rssi, bonded } => match device(&address) {
                Some(device) => Event::Seen { adapter, device, rssi, bonded },
                None => return,
            },
            RadioEvent::Lost { adapter, address } => match device(&address) {
                Some(device) => Event::Lost { adapter, device },
                None => return,
            },
        };
        self.core.handle(event, self.now());
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Connect { adapter, device } => {
                let Some(target) = self.targets.values().find(|target| target.id == device).cloned() else {
                    self.core.handle(Event::Ended { device, end: End::Failed }, self.now());
                    return;
                };
                let stop = self.stop.child_token();
                self.open.insert(device.clone(), stop.clone());
                let connection = Connection {
                    radio: Arc::clone(&self.parts.radio),
                    intake: Arc::clone(&self.parts.intake),
                    adapter,
                    target,
                    events: self.said.clone(),
                    stop,
                };
                let task = self.tasks.spawn(connection.serve());
                self.whose.insert(task.id(), device);
            }
            Action::Disconnect { device, why } => {
                tracing::info!(device = %device, ?why, "BLE: disconnecting");
                if let Some(stop) = self.open.get(&device) {
                    stop.cancel();
                }
            }
            Action::Waits { device, waiting } => {
                tracing::warn!(device = %device, waiting, "BLE: in range, but every slot is taken; it gets a turn when another's is over");
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, End), tokio::task::JoinError>) {
        let (id, end) = match ended {
            Ok((id, end)) => (id, end),
            Err(error) => {
                tracing::error!(%error, "a Bluetooth connection ended badly");
                (error.id(), End::Failed)
            }
        };
        let Some(device) = self.whose.remove(&id) else { return };
        self.open.remove(&device);
        self.core.handle(Event::Ended { device, end }, self.now());
    }
}

/// Changes with anything a connection is made by. Not with a code, which is read off and told while the pairing waits for it, nor
/// with the identity address, which is told while it bonds.
fn version(target: &Target) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.address.hash(&mut hasher);
    match target.bonding {
        None => 0u64.hash(&mut hasher),
        Some(bonding) => {
            (1 + u64::from(matches!(bonding.pairing, Pairing::JustWorks))).hash(&mut hasher);
            bonding.profiles.hash(&mut hasher);
        }
    }
    hasher.finish()
}
