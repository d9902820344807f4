//! A new version of a plugin beside the one that runs: it reads the same payloads, what it says is compared and thrown away. Nothing
//! waits for it: a payload that finds no room is not compared, and counts for nothing.
//!
//! What it keeps of a device is its own, as it would be if it ran: it begins from what the one that runs has kept of the device by then,
//! and goes on from what it kept itself. A version that spoils what it keeps reads the first payload well and the second wrong. It must
//! hear all that changes what the other keeps: where a payload of a device passed it by, or the other forgot the device, the next begins anew.

mod own;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pitchside_model::{DeviceId, Reading, Timestamp, Value};
use pitchside_script::manifest::KEPT_BYTES_MAX;
use tokio::sync::mpsc;

use self::own::{Cell, Own};
use super::kept::Unkept;
use super::message::{Ask, Decoded, Outcome};
use super::states::Place;
use super::worker::Turn;
use super::{Plugin, check};
use crate::error::DecodeError;
use crate::tolerance::Tolerances;

/// Payloads that wait to be compared.
const WAITING_MAX: usize = 128;
/// The most readings a difference shows of each version.
const SHOWN_MAX: usize = 8;

/// What has come of a trial so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Payloads that both versions were asked for; where the new one keeps something, each after one that it read from what it kept itself.
    pub compared: u32,
    /// Payloads with which a device began: read by both from what the old version had kept, they show nothing of what the new one keeps.
    pub begun: u32,
    /// Payloads for which there was no room, or no process of the new version, though not for what that does.
    pub passed_over: u64,
    /// The first that they read differently.
    pub difference: Option<String>,
    /// How many they read differently.
    pub differences: u32,
    /// The first that the new version failed on, though the old one did not.
    pub failure: Option<String>,
}

/// A new version on trial. Dropped, its process ends.
#[derive(Debug)]
pub struct Trial {
    /// Whether the version keeps something of devices.
    keeps: bool,
    own: Mutex<Own>,
    findings: Arc<Mutex<Findings>>,
    jobs: mpsc::Sender<Job>,
}

/// What a version says of a payload.
#[derive(Debug, PartialEq)]
enum Said {
    Readings(Vec<Reading>),
    Refused(String),
    Failed(String),
}

/// A payload that the one that runs has answered.
#[derive(Debug)]
struct Job {
    device: DeviceId,
    /// As the one that runs was asked.
    ask: Ask,
    now: Timestamp,
    tolerances: Tolerances,
    old: Said,
    /// Where the new version keeps what it keeps of the device; none if it keeps nothing.
    cell: Option<Cell>,
}

impl Trial {
    /// Tries this version. Needs a tokio runtime.
    pub fn new(plugin: Plugin) -> Self {
        let (jobs, queue) = mpsc::channel(WAITING_MAX);
        let (keeps, findings) = (plugin.keeps(), Arc::<Mutex<Findings>>::default());
        tokio::spawn(Asking { plugin, findings: Arc::downgrade(&findings) }.run(queue));
        Self { keeps, own: Mutex::default(), findings, jobs }
    }

    /// What has come of it.
    pub fn findings(&self) -> Findings {
        self.findings.lock().clone()
    }

    /// The next payload of a device begins anew, from what the one that runs has kept by then.
    pub(crate) fn forget(&self, device: &DeviceId) {
        self.own.lock().forget(device);
    }

    /// As [`Trial::forget`], of all devices: it was not beside the one that runs for a while.
    pub(crate) fn begin_anew(&self) {
        self.own.lock().clear();
    }

    /// Has the new version asked what the one that runs has answered, and compared. To be called in the order of a device's payloads, with
    /// the place where the one that runs keeps what it keeps of the device.
    pub(crate) fn compare(
        &self,
        device: &DeviceId,
        beside: Place,
        ask: Ask,
        (now, tolerances): (Timestamp, Tolerances),
        old: &Result<Vec<Reading>, DecodeError>,
    ) {
        let old = match old {
            Ok(readings) => Said::Readings(readings.clone()),
            Err(DecodeError::Refused { reason, .. }) => Said::Refused(reason.clone()),
            Err(DecodeError::Nonsense { fault, .. }) if fault.is_of_the_payload() => {
                Said::Refused(fault.code().to_owned())
            }
            // Where the one that runs fails itself, there is nothing to compare with; nor does it keep anything of it.
            Err(_) => return,
        };
        let Ok(place) = self.jobs.try_reserve() else {
            self.findings.lock().passed_over += 1;
            self.forget(device);
            return;
        };
        let cell = self.keeps.then(|| self.own.lock().cell(device, beside));
        place.send(Job { device: device.clone(), ask, now, tolerances, old, cell });
    }
}

/// The task that asks the new version, one payload after the other.
struct Asking {
    plugin: Plugin,
    /// Gone with the trial.
    findings: Weak<Mutex<Findings>>,
}

impl Asking {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.recv().await {
            let Some(findings) = self.findings.upgrade() else { return };
            self.compare(job, &findings).await;
        }
    }

    async fn compare(&self, job: Job, findings: &Mutex<Findings>) {
        let Job { device, mut ask, now, tolerances, old, cell } = job;
        let own = cell.as_ref().and_then(|cell| cell.lock().clone());
        let how = How { length: ask.payload.len(), begins: cell.is_some() && own.is_none(), own: own.is_some() };
        if let Some(own) = own {
            ask.state = own;
        }
        let before = cell.is_some().then(|| ask.state.clone());
        let answer = self.plugin.decode(&device, ask, Turn::First).await;
        if answer.as_ref().is_err_and(DecodeError::is_from_outside) {
            findings.lock().passed_over += 1;
            // What it would have kept of this one is missing: the device begins anew.
            if let Some(cell) = cell {
                *cell.lock() = None;
            }
            return;
        }
        let (new, after) = self.said(answer, now, tolerances);
        if let (Some(cell), Some(kept)) = (cell, after.or(before)) {
            *cell.lock() = Some(kept);
        }
        findings.lock().note(how, &old, &new);
    }

    /// What the new version says, and what it keeps from now on if that is something else: of what was not read, nothing.
    fn said(
        &self,
        answer: Result<Decoded, DecodeError>,
        now: Timestamp,
        tolerances: Tolerances,
    ) -> (Said, Option<Vec<u8>>) {
        let Decoded { outcome, state } = match answer {
            Ok(decoded) => decoded,
            Err(error) => return (Said::Failed(error.to_string()), None),
        };
        let unkept = |unkept: &Unkept| Said::Failed(format!("it would keep what it may not: {}", unkept.fault()));
        let said = match outcome {
            Outcome::Readings(raw) => match check::readings(raw, self.plugin.outputs(), now, tolerances) {
                Ok(_) if state.as_ref().is_some_and(|state| state.len() > KEPT_BYTES_MAX) => unkept(&Unkept::TooLarge),
                Ok(readings) => return (Said::Readings(readings), state),
                Err((_, fault)) if fault.is_of_the_payload() => Said::Refused(fault.code().to_owned()),
                Err((reading, fault)) => Said::Failed(format!("reading {reading} is nonsense: {fault}")),
            },
            Outcome::Refused(name) => Said::Refused(name),
            Outcome::Fault(reason) => Said::Failed(reason),
            Outcome::Unkept(why) => unkept(&why),
            Outcome::NotReadings(kind) => Said::Failed(format!("it returned {kind}, not a list of readings")),
        };
        (said, None)
    }
}

/// How the new version was asked.
#[derive(Debug, Clone, Copy)]
struct How {
    /// Bytes of the payload.
    length: usize,
    /// From what the old version had kept, to go on from there.
    begins: bool,
    /// From what it kept itself.
    own: bool,
}

impl Findings {
    fn note(&mut self, how: How, old: &Said, new: &Said) {
        let count = if how.begins { &mut self.begun } else { &mut self.compared };
        *count = count.saturating_add(1);
        let payload = || {
            let after = if how.own { ", with what it kept of those before" } else { "" };
            format!("a payload of {} bytes{after}", how.length)
        };
        if let Said::Failed(reason) = new {
            self.failure.get_or_insert_with(|| format!("on {}: {reason}", payload()));
        } else if old != new {
            self.differences = self.differences.saturating_add(1);
            let text = || format!("{}: it was {}, it is {}", payload(), shown(old), shown(new));
            self.difference.get_or_insert_with(text);
        }
    }
}

fn shown(said: &Said) -> String {
    match said {
        Said::Refused(name) => format!("error {name}"),
        Said::Failed(reason) => reason.clone(),
        Said::Readings(readings) if readings.is_empty() => "nothing".to_owned(),
        Said::Readings(readings) => {
            let one = |reading: &Reading| {
                let value = match &reading.value {
                    Value::Number(number) => format!("{number} {}", reading.unit),
                    Value::Gap(gap) => format!("gap {}", gap.reason.name()),
                    Value::Wave(wave) => format!("wave {}", wave.samples.len()),
                };
                format!("{} {value} at {}", reading.quantity, reading.device_time)
            };
            let mut list = readings.iter().take(SHOWN_MAX).map(one).collect::<Vec<_>>().join(", ");
            if readings.len() > SHOWN_MAX {
                list.push_str(&format!(" and {} more", readings.len() - SHOWN_MAX));
            }
            list
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_whose_payload_finds_no_room_begins_anew_and_nothing_waits_for_it() {
        let (jobs, mut queue) = mpsc::channel(1);
        let trial = Trial { keeps: true, own: Mutex::default(), findings: Arc::default(), jobs };
        let says = |device: &str| {
            let device = DeviceId::parse(device).unwrap();
            let when = (Timestamp(0), Tolerances::default());
            trial.compare(&device, Place::default(), Ask::default(), when, &Ok(Vec::new()));
        };
        let mut next = || queue.try_recv().unwrap().cell.unwrap();
        says("hub");
        let first = next();
        says("hub");
        assert!(Arc::ptr_eq(&first, &next()), "it goes on");
        says("other");
        says("hub");
        assert_eq!(trial.findings(), Findings { passed_over: 1, ..Findings::default() });
        let other = next();
        says("hub");
        assert!(!Arc::ptr_eq(&first, &next()), "a payload of it passed the trial by");
        says("other");
        assert!(Arc::ptr_eq(&other, &next()), "none of this one did");
    }
}
