//! The parent: one worker process a plugin, fed in batches, restarted when it dies, switched off when it keeps failing.
//!
//! Who pays for a fault: a payload that kills the worker is found by running its batch again one by one, so only it is
//! refused. Faults count for the device that caused them, so that one device with odd payloads does not take the
//! plugin from the others; a script that fails for everybody is switched off altogether. A success clears the count. A process
//! that is killed from outside, or starved on a machine that is busy, is nobody's fault: it is started and asked again, and what
//! still has no answer then counts for no device.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::{DeviceId, PluginName, Quantity};
use pitchside_script::{Program, Worker, WorkerError, WorkerLimits};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Folder;
use super::message::{Answer, Ask, Decoded, Outcome, Request};
use super::states::{Held, States};
use crate::error::DecodeError;

mod runner;

use runner::{Failed, Job, Runner};

/// Bounds on a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bounds on its process.
    pub worker: WorkerLimits,
    /// Payloads waiting; more make the sender wait.
    pub queue: usize,
    /// Payloads a call.
    pub batch: usize,
    /// Faults in a row after which a device is refused.
    pub faults_of_device: u32,
    /// Faults in a row, of all devices together, after which the plugin is switched off.
    pub faults_of_all: u32,
    /// The least time between two starts of the process.
    pub restart_after: Duration,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            worker: WorkerLimits { memory_bytes: 64 * 1024 * 1024, frame_bytes: 4 * 1024 * 1024, ..Default::default() },
            queue: 256,
            batch: 32,
            faults_of_device: 5,
            faults_of_all: 50,
            restart_after: Duration::from_millis(500),
        }
    }
}

/// The most devices whose faults are counted apart.
const DEVICES_MAX: usize = 4_096;
/// Troubles kept until somebody looks.
const TROUBLES_MAX: usize = 32;
/// What compiling a script may take: on a box that is busy with its start, longer than any call.
const LOAD: Duration = Duration::from_secs(10);

/// Why a plugin did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its process did not start or died at once.
    #[error("plugin {plugin}: {error}")]
    Worker {
        /// Which plugin.
        plugin: PluginName,
        /// Why.
        error: WorkerError,
    },
    /// Its script does not compile.
    #[error("plugin {plugin}:\n{}", .problems.join("\n"))]
    Script {
        /// Which plugin.
        plugin: PluginName,
        /// Every problem, a line each.
        problems: Vec<String>,
    },
}

/// A plugin that runs. Dropping it ends its process.
#[derive(Debug)]
pub struct Plugin {
    name: PluginName,
    outputs: Vec<Quantity>,
    /// What it keeps of devices; none if it declares nothing.
    states: Option<States>,
    limits: PluginLimits,
    jobs: mpsc::Sender<Job>,
    health: Arc<Mutex<Health>>,
}

/// How a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: PluginName,
    /// Payloads decoded or refused by the script.
    pub decoded: u64,
    /// Payloads the script failed on.
    pub faults: u64,
    /// Times its process was started again.
    pub restarts: u64,
    /// The number of its process, while it runs.
    pub process: Option<u32>,
    /// Switched off altogether.
    pub off: bool,
    /// Devices it is switched off for.
    pub off_for: BTreeSet<DeviceId>,
    /// What the last fault was.
    pub last_fault: Option<String>,
}

#[derive(Debug, Default)]
struct Health {
    decoded: u64,
    faults: u64,
    restarts: u64,
    process: Option<u32>,
    in_a_row: u32,
    of_device: BTreeMap<DeviceId, u32>,
    last_fault: Option<String>,
    /// What went wrong since somebody last looked.
    troubles: VecDeque<String>,
    /// And what there was no room for.
    troubles_lost: u64,
}

/// Whether a payload is new, or was kept because it could not be decoded before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// New: its faults count.
    First,
    /// Sent again, and read before: it changes nothing that is kept.
    Repeated,
    /// Kept: its faults count for nobody.
    Again,
}

impl Plugin {
    /// Starts the process of a plugin and loads its script. `program` calls [`super::worker_main`]. Needs a tokio
    /// runtime.
    pub async fn start(folder: &Folder, program: &Program, limits: PluginLimits) -> Result<Self, StartError> {
        Self::start_with(folder, program, limits, States::default()).await
    }

    /// As [`Plugin::start`], with what was kept of devices, by whichever version of it.
    pub async fn start_with(
        folder: &Folder,
        program: &Program,
        limits: PluginLimits,
        states: States,
    ) -> Result<Self, StartError> {
        let name = folder.manifest.name.clone();
        let state = folder.manifest.state.clone();
        let states = Some(states).filter(|_| !state.is_empty());
        let source = folder.source.clone();
        let load = Request::Load { name: name.to_string(), source, params: folder.params(), state };
        let worker_error = |error| StartError::Worker { plugin: name.clone(), error };
        let mut worker = Worker::spawn(program, limits.worker).await.map_err(worker_error)?;
        match call(&mut worker, &load, LOAD).await.map_err(worker_error)? {
            Answer::Loaded(Ok(())) => {}
            Answer::Loaded(Err(problems)) => return Err(StartError::Script { plugin: name, problems }),
            _ => return Err(worker_error(WorkerError::Down)),
        }
        let (jobs, queue) = mpsc::channel(limits.queue.max(1));
        let health = Arc::new(Mutex::new(Health { process: worker.id(), ..Health::default() }));
        let runner =
            Runner { name: name.clone(), load, worker, limits, health: Arc::clone(&health), started: Instant::now() };
        tokio::spawn(runner.run(queue));
        Ok(Self { name, outputs: folder.manifest.outputs.clone(), states, limits, jobs, health })
    }

    /// Its name.
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// The quantities it may answer with.
    pub fn outputs(&self) -> &[Quantity] {
        &self.outputs
    }

    /// Whether it keeps something of devices.
    pub(crate) const fn keeps(&self) -> bool {
        self.states.is_some()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let health = self.health.lock();
        let off_for =
            |(device, faults): (&DeviceId, &u32)| (*faults >= self.limits.faults_of_device).then(|| device.clone());
        Status {
            name: self.name.clone(),
            decoded: health.decoded,
            faults: health.faults,
            restarts: health.restarts,
            process: health.process,
            off: health.in_a_row >= self.limits.faults_of_all,
            off_for: health.of_device.iter().filter_map(off_for).collect(),
            last_fault: health.last_fault.clone(),
        }
    }

    /// What went wrong since the last call, the oldest first, and how much more did that there was no room for.
    pub fn take_troubles(&self) -> (Vec<String>, u64) {
        let mut health = self.health.lock();
        (health.troubles.drain(..).collect(), std::mem::take(&mut health.troubles_lost))
    }

    /// Forgets the faults: switched on again, for everybody.
    pub fn reset(&self) {
        let mut health = self.health.lock();
        health.in_a_row = 0;
        health.of_device.clear();
    }

    /// What it keeps of a device, for one payload; none if it keeps nothing. Waits for the payload before.
    pub(crate) async fn hold(&self, device: &DeviceId) -> Option<Held> {
        match &self.states {
            Some(states) => Some(states.hold(device).await),
            None => None,
        }
    }

    /// Forgets what it kept of a device.
    pub(crate) fn forget(&self, device: &DeviceId) {
        self.states.iter().for_each(|states| states.forget(device));
    }

    /// What the script makes of a payload. Waits while the queue is full.
    pub(crate) async fn decode(&self, device: &DeviceId, ask: Ask, turn: Turn) -> Result<Decoded, DecodeError> {
        if let Some(faults) = self.faults(device, turn) {
            return Err(DecodeError::SwitchedOff { plugin: self.name.to_string(), faults });
        }
        let (reply, answer) = oneshot::channel();
        let gone = |()| {
            let reason = "it has stopped".to_owned();
            DecodeError::PluginFault { plugin: self.name.to_string(), reason, from_outside: false }
        };
        self.jobs.send(Job { ask, reply }).await.map_err(|_| gone(()))?;
        match answer.await.map_err(|_| gone(()))? {
            Err(Failed { reason, from_outside: true }) => {
                // Said, and counted for nobody.
                self.count_fault(device, &reason, Turn::Again);
                Err(DecodeError::PluginFault { plugin: self.name.to_string(), reason, from_outside: true })
            }
            Ok(Decoded { outcome: Outcome::Fault(reason), .. }) | Err(Failed { reason, .. }) => {
                Err(self.fault(device, reason, turn))
            }
            Ok(decoded) => Ok(decoded),
        }
    }

    /// The faults a device is refused for, if it is.
    fn faults(&self, device: &DeviceId, turn: Turn) -> Option<u32> {
        let health = self.health.lock();
        if health.in_a_row >= self.limits.faults_of_all {
            return Some(health.in_a_row);
        }
        if turn == Turn::Again {
            return None;
        }
        health.of_device.get(device).copied().filter(|faults| *faults >= self.limits.faults_of_device)
    }

    /// A payload was decoded, or refused by a script that works.
    pub(crate) fn success(&self, device: &DeviceId) {
        let mut health = self.health.lock();
        health.decoded += 1;
        health.in_a_row = 0;
        health.of_device.remove(device);
    }

    /// The script failed on a payload.
    pub(crate) fn fault(&self, device: &DeviceId, reason: String, turn: Turn) -> DecodeError {
        self.count_fault(device, &reason, turn);
        DecodeError::PluginFault { plugin: self.name.to_string(), reason, from_outside: false }
    }

    /// Counts a fault, and says so when it was one too many.
    pub(crate) fn count_fault(&self, device: &DeviceId, reason: &str, turn: Turn) {
        let mut health = self.health.lock();
        health.faults += 1;
        health.last_fault = Some(reason.to_owned());
        if health.troubles.len() < TROUBLES_MAX {
            health.troubles.push_back(reason.to_owned());
        } else {
            health.troubles_lost = health.troubles_lost.saturating_add(1);
        }
        if turn == Turn::Again {
            return;
        }
        health.in_a_row = health.in_a_row.saturating_add(1);
        let all = health.in_a_row;
        if health.of_device.len() >= DEVICES_MAX && !health.of_device.contains_key(device) {
            health.of_device.clear();
        }
        let own = health.of_device.entry(device.clone()).or_default();
        *own = own.saturating_add(1);
        let own = *own;
        drop(health);
        if own == self.limits.faults_of_device {
            tracing::warn!(plugin = %self.name, %device, faults = own, %reason, "plugin switched off for a device");
        }
        if all == self.limits.faults_of_all {
            tracing::error!(plugin = %self.name, faults = all, %reason, "plugin switched off");
        }
    }
}

async fn call(worker: &mut Worker, request: &Request, deadline: Duration) -> Result<Answer, WorkerError> {
    let request = postcard::to_allocvec(request).map_err(|_| WorkerError::Down)?;
    let answer = worker.call(&request, deadline).await?;
    Ok(postcard::from_bytes(&answer).unwrap_or(Answer::NotUnderstood))
}
