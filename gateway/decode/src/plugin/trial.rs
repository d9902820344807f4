//! A new version of a plugin beside the one that runs: it is asked the same, what it says is compared and thrown away. Nothing
//! waits for it: a payload that finds no room is not compared, and counts for nothing. It keeps nothing: it is asked with what the
//! one that runs had kept of the device, so that each payload is compared on equal terms.

use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::{DeviceId, Reading, Timestamp, Value};
use tokio::sync::Semaphore;

use super::message::{Ask, Decoded, Outcome};
use super::worker::Turn;
use super::{Plugin, check};
use crate::error::DecodeError;
use crate::tolerance::Tolerances;

/// Payloads being compared at a time.
const AT_ONCE: usize = 32;
/// The most readings a difference shows of each version.
const SHOWN_MAX: usize = 8;

/// What has come of a trial so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Payloads that both versions were asked for.
    pub compared: u32,
    /// Payloads for which there was no room, or no process of the new version, though not for what that does.
    pub passed_over: u64,
    /// The first that they read differently.
    pub difference: Option<String>,
    /// How many they read differently.
    pub differences: u32,
    /// The first that the new version failed on, though the old one did not.
    pub failure: Option<String>,
}

/// A new version on trial.
#[derive(Debug)]
pub struct Trial {
    plugin: Plugin,
    findings: Mutex<Findings>,
    room: Arc<Semaphore>,
}

/// What a version says of a payload.
#[derive(Debug, PartialEq)]
enum Said {
    Readings(Vec<Reading>),
    Refused(String),
    Failed(String),
}

impl Trial {
    /// Tries this version.
    pub fn new(plugin: Plugin) -> Self {
        Self { plugin, findings: Mutex::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What has come of it.
    pub fn findings(&self) -> Findings {
        self.findings.lock().clone()
    }

    /// Asks the new version what the one that runs has answered, and compares.
    pub(crate) fn compare(
        self: &Arc<Self>,
        device: &DeviceId,
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
            // Where the one that runs fails itself, there is nothing to compare with.
            Err(_) => return,
        };
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.findings.lock().passed_over += 1;
            return;
        };
        let (trial, device) = (Arc::clone(self), device.clone());
        tokio::spawn(async move {
            let length = ask.payload.len();
            let answer = trial.plugin.decode(&device, ask, Turn::First).await;
            if answer.as_ref().is_err_and(DecodeError::is_from_outside) {
                trial.findings.lock().passed_over += 1;
                return;
            }
            let new = trial.said(answer.map(|Decoded { outcome, .. }| outcome), now, tolerances);
            trial.note(length, &old, &new);
            drop(place);
        });
    }

    fn said(&self, answer: Result<Outcome, DecodeError>, now: Timestamp, tolerances: Tolerances) -> Said {
        match answer {
            Ok(Outcome::Readings(raw)) => match check::readings(raw, self.plugin.outputs(), now, tolerances) {
                Ok(readings) => Said::Readings(readings),
                Err((_, fault)) if fault.is_of_the_payload() => Said::Refused(fault.code().to_owned()),
                Err((reading, fault)) => Said::Failed(format!("reading {reading} is nonsense: {fault}")),
            },
            Ok(Outcome::Refused(name)) => Said::Refused(name),
            Ok(Outcome::Fault(reason)) => Said::Failed(reason),
            Ok(Outcome::Unkept(unkept)) => Said::Failed(format!("it would keep what it may not: {}", unkept.fault())),
            Ok(Outcome::NotReadings(kind)) => Said::Failed(format!("it returned {kind}, not a list of readings")),
            Err(error) => Said::Failed(error.to_string()),
        }
    }

    fn note(&self, length: usize, old: &Said, new: &Said) {
        let mut findings = self.findings.lock();
        findings.compared = findings.compared.saturating_add(1);
        if let Said::Failed(reason) = new {
            findings.failure.get_or_insert_with(|| format!("on a payload of {length} bytes: {reason}"));
        } else if old != new {
            findings.differences = findings.differences.saturating_add(1);
            let text = || format!("a payload of {length} bytes: it was {}, it is {}", shown(old), shown(new));
            findings.difference.get_or_insert_with(text);
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
