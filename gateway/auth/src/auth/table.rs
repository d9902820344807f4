//! Sessions by number, in shards, each behind its own lock.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use pitchside_model::{Assurance, DeviceId, LinkId, Timestamp};
use pitchside_wire::{Session, SessionId, Stamp};

use crate::bucket::Bucket;

const SHARDS: usize = 64;

/// SHA-256 of a device's stored secret.
pub(super) type Binding = [u8; 32];

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Answered, not confirmed.
    Pending { since: Timestamp, stamp: Option<Stamp> },
    /// In use.
    Live,
    /// Over; kept only by those who still hold it.
    Ended,
}

/// What changes in a session.
pub(super) struct State {
    pub session: Session,
    pub stage: Stage,
    /// Where it was confirmed last; none after a restart.
    pub link: Option<LinkId>,
    pub advanced_at: Option<Timestamp>,
    /// None until the first ceiling is stored.
    pub ceilings: Option<Bucket>,
}

/// A session.
pub(super) struct Live {
    pub id: SessionId,
    pub device: DeviceId,
    pub assurance: Assurance,
    /// Digest of the device's stored secret: a session does not outlive a new enrolment, not even on disk.
    pub binding: Binding,
    pub state: Mutex<State>,
}

impl Live {
    pub fn new(session: Session, device: DeviceId, assurance: Assurance, binding: Binding, stage: Stage) -> Arc<Self> {
        let id = session.id();
        let state = State { session, stage, link: None, advanced_at: None, ceilings: None };
        Arc::new(Self { id, device, assurance, binding, state: Mutex::new(state) })
    }
}

/// All sessions.
pub(super) struct Table {
    shards: [RwLock<HashMap<SessionId, Arc<Live>>>; SHARDS],
}

impl Default for Table {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()) }
    }
}

impl Table {
    fn shard(&self, id: SessionId) -> &RwLock<HashMap<SessionId, Arc<Live>>> {
        &self.shards[id.0 as usize % SHARDS]
    }

    pub fn get(&self, id: SessionId) -> Option<Arc<Live>> {
        self.shard(id).read().get(&id).cloned()
    }

    /// False if the number is taken.
    pub fn insert(&self, live: &Arc<Live>) -> bool {
        let mut shard = self.shard(live.id).write();
        if shard.contains_key(&live.id) {
            return false;
        }
        shard.insert(live.id, Arc::clone(live));
        true
    }

    pub fn remove(&self, id: SessionId) {
        self.shard(id).write().remove(&id);
    }

    /// Every session of the device, begun ones included.
    pub fn of_device(&self, device: &DeviceId) -> Vec<Arc<Live>> {
        let of = |shard: &RwLock<HashMap<SessionId, Arc<Live>>>| {
            shard.read().values().filter(|live| live.device == *device).cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}
