//! All that an engine remembers, as bytes: a worker that died is filled again with it, and goes on to the last bit alike.
//!
//! A word that names the layout, and postcard of [`Memory`]. Another layout, as the other slot of a box may have left it, is refused.

use pitchside_model::{AthleteId, DeviceId};
use serde::{Deserialize, Serialize};

use crate::derive::DERIVATIONS;
use crate::derive::streams::Kept as KeptStreams;
use crate::devices::Device;
use crate::engine::{Engine, RuleStatus};
use crate::id::{Map, Subject};
use crate::running::{Running, fresh_state};
use crate::state::{Kept, State};

/// What every snapshot of this layout begins with. The number rises with every change of [`Memory`], and of what it holds; so does that of
/// [`crate::replay::ENGINE_VERSION`], for evidence holds a part of it.
pub const LAYOUT: &[u8] = b"pitchside-rules-memory/7\n";

/// Why a snapshot was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot, or of another layout.
    #[error("the snapshot cannot be read; feed the rules from the journal instead")]
    Unreadable,
    /// Taken under other rules.
    #[error("the snapshot was taken under other rules; feed the rules from the journal instead")]
    OtherRules,
}

/// The hash of the rules that a snapshot was taken under; none if it cannot be read.
pub fn rules_of(snapshot: &[u8]) -> Option<[u8; 32]> {
    // The first of [`Memory`], and an array is its bytes.
    snapshot.strip_prefix(LAYOUT)?.first_chunk().copied()
}

/// The same snapshot without what is known of an athlete; none if it knows nothing of them, or cannot be read.
pub fn without(snapshot: &[u8], athlete: &AthleteId) -> Option<Vec<u8>> {
    let mut memory: Memory = postcard::from_bytes(snapshot.strip_prefix(LAYOUT)?).ok()?;
    let subject = Subject::Athlete(athlete.clone());
    // What is made for each device goes with whoever may have worn it; its windows are short.
    let kept = memory.streams.len();
    memory.streams.retain(|(made, _, _)| {
        usize::try_from(*made).ok().and_then(|made| DERIVATIONS.get(made)).is_none_or(|made| !made.of_device)
    });
    let mut is_known = memory.streams.len() != kept;
    // What is known of a device they wore, or still stands of it, is theirs, too.
    let mut worn = false;
    let mut stays = |whose: &Subject| {
        let is_theirs = *whose == subject;
        is_known |= is_theirs;
        !is_theirs
    };
    memory.streams.retain(|(_, whose, _)| stays(whose));
    for rule in memory.rules.iter_mut().chain(&mut memory.scripted) {
        rule.states.retain(|(whose, _)| stays(whose));
        let all = rule.states.len();
        rule.states.retain(|(_, kept)| !kept.is_of(athlete));
        worn |= rule.states.len() != all;
    }
    if !is_known && !worn {
        return None;
    }
    postcard::to_extend(&memory, LAYOUT.to_vec()).ok()
}

#[derive(Serialize, Deserialize)]
struct Memory {
    rules_hash: [u8; 32],
    messages: u64,
    devices: Vec<(DeviceId, Device)>,
    streams: KeptStreams,
    rules: Vec<Remembered>,
    scripted: Vec<Remembered>,
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
        let memory = Memory {
            rules_hash: self.rule_set().hash(),
            messages: self.messages,
            devices: self.devices.keep(),
            streams: self.streams.keep(),
            rules: self.rules.iter().map(Remembered::of).collect(),
            scripted: self.scripted.running.iter().map(Remembered::of).collect(),
        };
        // Serialising plain data into memory cannot fail; an empty snapshot would be refused by `resume`.
        postcard::to_extend(&memory, LAYOUT.to_vec()).unwrap_or_default()
    }

    /// Takes a snapshot of the same rules; on an error nothing changes.
    pub fn resume(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let memory = snapshot.strip_prefix(LAYOUT).ok_or(SnapshotError::Unreadable)?;
        let memory: Memory = postcard::from_bytes(memory).map_err(|_| SnapshotError::Unreadable)?;
        if memory.rules_hash != self.rule_set().hash() || memory.rules.len() != self.rules.len() {
            return Err(SnapshotError::OtherRules);
        }
        if memory.scripted.len() != self.scripted.running.len() {
            return Err(SnapshotError::OtherRules);
        }
        let rules = filled(&self.rules, &memory.rules)?;
        let scripted = filled(&self.scripted.running, &memory.scripted)?;
        if !self.streams.resume(memory.streams) {
            return Err(SnapshotError::Unreadable);
        }
        let running = self.rules.iter_mut().chain(&mut self.scripted.running);
        let kept = memory.rules.into_iter().chain(memory.scripted);
        for ((running, kept), states) in running.zip(kept).zip(rules.into_iter().chain(scripted)) {
            (running.states, running.status) = (states, kept.status);
            (running.demerits, running.clean, running.overdraft) = (kept.demerits, kept.clean, kept.overdraft);
            running.count_samples();
        }
        self.messages = memory.messages;
        self.devices.resume(memory.devices);
        Ok(())
    }
}

impl Remembered {
    fn of(running: &Running) -> Self {
        let mut states: Vec<(Subject, Kept)> = running.states.iter().map(|(k, v)| (k.clone(), v.keep())).collect();
        states.sort_by(|a, b| a.0.cmp(&b.0));
        let (status, demerits, clean) = (running.status.clone(), running.demerits, running.clean);
        Self { status, demerits, clean, overdraft: running.overdraft, states }
    }
}

/// The states of each rule, filled with what was kept.
fn filled(running: &[Running], kept: &[Remembered]) -> Result<Vec<Map<Subject, State>>, SnapshotError> {
    let one = |(running, kept): (&Running, &Remembered)| {
        let states = kept.states.iter().map(|(subject, kept)| {
            let mut state = fresh_state(&running.rule);
            state.resume(kept.clone()).then(|| (subject.clone(), state)).ok_or(SnapshotError::Unreadable)
        });
        states.collect()
    };
    running.iter().zip(kept).map(one).collect()
}
