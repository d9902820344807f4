//! [`Auth`]: the door itself.
//!
//! Locks, in the order they are taken: changes to the roster, a device's seat (handshakes and revocations only), a session's state, the table's
//! shard (an instant). A frame of a live session takes a shard to read and its own session's state, nothing else.

mod answer;
mod bonded;
mod firmware;
mod frames;
mod handshake;
mod passwords;
mod roster;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use pitchside_model::{DeviceId, LinkId, Timestamp};
use pitchside_wire::{Kind, Millis, Random, SessionId};

use crate::bucket::{Keyed, Links};
use crate::door::{Accepted, Refusal};
use crate::guesses::Guesses;
use crate::kek::{GatewayIdentity, Kek, UnwrapError};
use crate::keystore::{KeyStore, KeyStoreError};
use crate::limits::{Limits, Rate};
use crate::login::{LoginState, Turnstile};
use crate::record::DeviceRecord;
use roster::Decoys;
use table::{Live, Table};

pub use answer::ReceiptError;
pub use roster::Ended;

/// Answers to frames of sessions nobody knows, per link.
const HINTS: Rate = Rate { burst: 4, refill_ms: 1_000 };

/// Names a session, as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey(SessionId);

/// Why the door could not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The database refused.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The KEK cannot wrap.
    #[error("the box's key cannot be used: {0}")]
    Kek(#[from] UnwrapError),
}

/// What a device has, once it has begun a handshake.
#[derive(Default)]
struct Seat {
    current: Option<Arc<Live>>,
    /// Highest P2 stamp of a confirmed handshake; `None` until read from the store.
    stamp: Option<u64>,
    /// Ends of the last genuine HELLOs, newest last: a replay of one costs the device nothing.
    heard: VecDeque<[u8; 8]>,
}

/// A handshake begun and not confirmed.
struct Pending {
    id: SessionId,
    device: DeviceId,
    at: Timestamp,
}

/// The door.
pub struct Auth {
    keys: Arc<dyn KeyStore>,
    kek: Kek,
    identity: GatewayIdentity,
    limits: Limits,
    roster: RwLock<HashMap<DeviceId, Arc<DeviceRecord>>>,
    /// One revocation or refresh at a time: neither may undo the other.
    changes: Mutex<()>,
    decoys: Decoys,
    table: Table,
    seats: Mutex<HashMap<DeviceId, Arc<Mutex<Seat>>>>,
    /// Oldest first.
    pending: Mutex<VecDeque<Pending>>,
    links: Links,
    hints: Links,
    names: Keyed,
    guesses: Guesses,
    turnstile: Turnstile,
    logins: Mutex<Vec<Weak<LoginState>>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("devices", &self.roster.read().len()).finish_non_exhaustive()
    }
}

/// Sessions count their age in milliseconds.
fn millis(now: Timestamp) -> Millis {
    Millis(now.millis().max(0).cast_unsigned())
}

impl Auth {
    /// Reads the devices, and takes their stored sessions up again. A session row that was changed is dropped, loudly.
    pub fn open(
        keys: Arc<dyn KeyStore>,
        kek: Kek,
        identity: GatewayIdentity,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let decoys = Decoys::new(&kek)?;
        let devices = keys.devices()?;
        let roster = devices.into_iter().map(|record| (record.id.clone(), Arc::new(record))).collect();
        let auth = Self {
            keys,
            kek,
            identity,
            limits,
            roster: RwLock::new(roster),
            changes: Mutex::default(),
            decoys,
            table: Table::default(),
            seats: Mutex::default(),
            pending: Mutex::default(),
            links: Links::new(limits.link, limits.links_max),
            hints: Links::new(HINTS, limits.links_max),
            names: Keyed::new(limits.device),
            guesses: Guesses::new(&limits),
            turnstile: Turnstile::new(limits.verifications_max, limits.verifications_waiting_max),
            logins: Mutex::default(),
        };
        auth.restore_sessions()?;
        Ok(auth)
    }

    /// Takes a frame that came on a link. `claimed`: the device the link belongs to by its topic; none on serial lines.
    /// HELLO, CONFIRM and CLOSE may wait for the store; other frames only when a ceiling is raised.
    pub fn accept(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Accepted, Refusal> {
        match Kind::of(frame) {
            Ok(Kind::Data) => self.data(link, claimed, frame, now),
            Ok(Kind::Firmware) => self.firmware(link, claimed, frame, now),
            Ok(Kind::Hello) => self.hello(link, claimed, frame, now, random),
            Ok(Kind::Confirm) => self.confirm(link, claimed, frame, now),
            Ok(Kind::Close) => self.close(link, claimed, frame, now),
            Ok(kind) => Err(self.refuse(link, frame, pitchside_wire::frame::FrameError::Kind(kind as u8).into(), now)),
            Err(error) => Err(self.refuse(link, frame, error.into(), now)),
        }
    }

    /// The link is gone: forgets what was remembered of it.
    pub fn closed(&self, link: LinkId) {
        self.links.forget(link);
        self.hints.forget(link);
    }

    fn seat(&self, device: &DeviceId) -> Arc<Mutex<Seat>> {
        Arc::clone(self.seats.lock().entry(device.clone()).or_default())
    }

    fn record(&self, device: &str) -> Option<Arc<DeviceRecord>> {
        self.roster.read().get(device).cloned()
    }
}
