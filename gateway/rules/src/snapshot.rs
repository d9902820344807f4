//! All that an engine remembers, as bytes: a worker that died is filled again with it, and goes on to the last bit alike.
//!
//! Postcard of [`Memory`]; only the same build reads it, and what does not fit is refused.

use pitchside_model::DeviceId;
use serde::{Deserialize, Serialize};

use crate::derive::streams::Kept as KeptStreams;
use crate::engine::{Device, Engine, RuleStatus};
use crate::id::Subject;
use crate::running::fresh_state;
use crate::state::Kept;

/// Why a snapshot was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot of this build.
    #[error("the snapshot cannot be read; feed the rules from the journal instead")]
    Unreadable,
    /// Taken under other rules.
    #[error("the snapshot was taken under other rules; feed the rules from the journal instead")]
    OtherRules,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    rules_hash: [u8; 32],
    messages: u64,
    devices: Vec<(DeviceId, Device)>,
    streams: KeptStreams,
    rules: Vec<Remembered>,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    status: RuleStatus,
    demerits: u32,
    clean: u32,
    overdraft: u64,
    states: Vec<(Subject, Kept)>,
}

impl Engine {
    /// All it remembers.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut devices: Vec<(DeviceId, Device)> = self.devices.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        devices.sort_by(|a, b| a.0.cmp(&b.0));
        let rules = self.rules.iter().map(|running| {
            let mut states: Vec<(Subject, Kept)> = running.states.iter().map(|(k, v)| (k.clone(), v.keep())).collect();
            states.sort_by(|a, b| a.0.cmp(&b.0));
            let (status, demerits, clean) = (running.status.clone(), running.demerits, running.clean);
            Remembered { status, demerits, clean, overdraft: running.overdraft, states }
        });
        let memory = Memory {
            rules_hash: self.rule_set().hash(),
            messages: self.messages,
            devices,
            streams: self.streams.keep(),
            rules: rules.collect(),
        };
        // Serialising plain data into memory cannot fail; an empty snapshot would be refused by `resume`.
        postcard::to_allocvec(&memory).unwrap_or_default()
    }

    /// Takes a snapshot of the same rules; on an error nothing changes.
    pub fn resume(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let memory: Memory = postcard::from_bytes(snapshot).map_err(|_| SnapshotError::Unreadable)?;
        if memory.rules_hash != self.rule_set().hash() || memory.rules.len() != self.rules.len() {
            return Err(SnapshotError::OtherRules);
        }
        let mut filled = Vec::new();
        for (running, kept) in self.rules.iter().zip(&memory.rules) {
            let mut states = std::collections::HashMap::new();
            for (subject, kept) in &kept.states {
                let mut state = fresh_state(&running.rule);
                if !state.resume(kept.clone()) {
                    return Err(SnapshotError::Unreadable);
                }
                states.insert(subject.clone(), state);
            }
            filled.push(states);
        }
        if !self.streams.resume(memory.streams) {
            return Err(SnapshotError::Unreadable);
        }
        for ((running, kept), states) in self.rules.iter_mut().zip(memory.rules).zip(filled) {
            (running.states, running.status) = (states, kept.status);
            (running.demerits, running.clean, running.overdraft) = (kept.demerits, kept.clean, kept.overdraft);
        }
        self.messages = memory.messages;
        self.devices = memory.devices.into_iter().collect();
        Ok(())
    }
}
