//! The front of the pipeline: what a gate brings is authenticated, decoded, handed to the rules at once and to the
//! journal; senders hear of it after the commit. One call of [`Intake::take`] is one read of one link.

mod commit;
mod gatehouse;
mod message;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_admin::{Board, Metrics};
use pitchside_auth::{Auth, Ended, PasswordLogin};
use pitchside_collect::{CloseReason, Link, Outbound};
use pitchside_decode::Decoders;
use pitchside_model::{DeviceId, Entry, Epoch, LinkId, Seq};
use pitchside_seal::closing::weight;
use pitchside_store::Store;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::firmware::Door;
use super::roster::{Roster, Row};
use super::rules::RulesFeed;
use super::sealing::Sealing;
use super::streams::{Noticed, Streams};
use crate::clock::Clock;
use crate::random::OsRandom;
use commit::Answering;

pub use gatehouse::Gatehouse;

/// Messages on their way to the disk, of all links together: beyond it, links wait.
const IN_FLIGHT_MAX: u32 = 65_536;

/// What the front needs of the rest.
pub struct Parts {
    /// The door.
    pub auth: Arc<Auth>,
    /// Payloads to readings.
    pub decoders: Arc<Decoders>,
    /// Journal, blocks, tables.
    pub store: Store,
    /// Who wears what.
    pub roster: Arc<Roster>,
    /// The page's tiles.
    pub board: Arc<Board>,
    /// The way to the rules.
    pub rules: RulesFeed,
    /// The open batch.
    pub sealing: Arc<Sealing>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The way to the firmware desk; none while firmware is off.
    pub firmware: Option<Door>,
    /// The gateway's clock.
    pub clock: Clock,
    /// Everything that answers senders.
    pub tasks: TaskTracker,
}

/// The front: its parts, and what it knows of links and streams.
pub struct Front {
    parts: Parts,
    streams: Mutex<Streams>,
    /// Message count of what has none of its own: hubs, wired lines, the gateway's own notices.
    own: OwnCount,
    links: Mutex<HashMap<LinkId, Open>>,
    /// Admitted, not yet opened.
    logins: Mutex<HashMap<LinkId, Arc<PasswordLogin>>>,
    room: Arc<Semaphore>,
}

impl Deref for Front {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// A message count for this run of the gateway: a random epoch, numbers from 0.
pub struct OwnCount {
    epoch: Epoch,
    next: std::sync::atomic::AtomicU64,
}

impl OwnCount {
    /// Begins a count.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { epoch: Epoch(u64::from_be_bytes(OsRandom.bytes()?)), next: 0.into() })
    }

    fn next(&self) -> (Epoch, Seq) {
        (self.epoch, Seq(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    }
}

struct Open {
    link: Link,
    answering: Answering,
    login: Option<Arc<PasswordLogin>>,
    /// The device in session on it.
    device: Option<DeviceId>,
    /// Frames of it that were refused.
    refusals: u32,
}

impl Front {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        Ok(Self {
            parts,
            streams: Mutex::default(),
            own: OwnCount::new()?,
            links: Mutex::default(),
            logins: Mutex::default(),
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize)),
        })
    }

    /// Takes up entries from before the gateway was started: which streams lived, and what the page shows of them.
    pub fn recall(&self, entries: &[Entry]) {
        let (uptime, now) = (self.clock.uptime(), self.clock.now());
        let mut streams = self.streams.lock();
        for entry in entries {
            streams.recall(entry, uptime, now);
            self.board.observe(entry);
            if let Some(firmware) = &self.firmware {
                firmware.observe(entry);
            }
        }
    }

    /// Records the streams that have been silent for too long.
    pub async fn record_silence(&self, silent_after_us: i64) {
        let gaps = self.streams.lock().silent(silent_after_us, self.clock.uptime(), self.clock.now());
        self.record(gaps).await;
    }

    /// Puts the database's roster in place: what devices say from now on is said of whoever wears them by it. What ends the streams
    /// of those who wore them until now is to be recorded.
    pub fn put_roster(&self, rows: HashMap<DeviceId, Row>) -> Vec<Noticed> {
        // Held over both, so that no entry is observed between them.
        let mut streams = self.streams.lock();
        let gaps = streams.handed_over(&rows, self.clock.uptime(), self.clock.now());
        self.roster.replace(rows);
        gaps
    }

    /// Closes the links of devices that are no longer let in, with a word of goodbye where the session has one.
    pub fn close(&self, ended: Vec<Ended>) {
        let open = self.links.lock();
        for end in ended {
            tracing::info!(device = %end.device, link = end.link.0, "no longer let in");
            let Some(open) = open.get(&end.link) else { continue };
            // A link that is already down needs no closing.
            if let Some(frame) = end.goodbye {
                let _ = open.link.send(Outbound::Frame(Bytes::from(frame)));
            }
            let _ = open.link.send(Outbound::Close(CloseReason::Revoked));
        }
    }

    /// A device ended its session in good order: its streams are over, not silent. The device.
    fn said_goodbye(&self, link: LinkId) -> Option<DeviceId> {
        let device = self.links.lock().get_mut(&link).and_then(|open| open.device.take())?;
        self.metrics.devices_connected.dec();
        Some(device)
    }

    /// Records what the gateway itself noticed (gaps, clock offsets): to the rules at once, then to the journal.
    pub async fn record(&self, noticed: Vec<Noticed>) {
        if noticed.is_empty() {
            return;
        }
        let entries: Vec<Entry> = noticed.into_iter().map(|noticed| self.own_entry(noticed)).collect();
        for entry in &entries {
            self.board.observe(entry);
        }
        let heard = self.rules.offer(&entries);
        let weight = entries.iter().map(weight).sum();
        match self.store.journal_append(entries).await {
            Ok(row) => {
                self.rules.stored(heard, row);
                self.sealing.note_entries(weight, self.clock.now());
            }
            Err(error) => {
                self.rules.not_stored(heard);
                tracing::error!(%error, "gaps could not be recorded");
            }
        }
    }

    fn own_entry(&self, noticed: Noticed) -> Entry {
        let (epoch, seq) = self.own.next();
        Entry {
            device: noticed.device,
            athlete: noticed.athlete,
            assurance: noticed.assurance,
            epoch,
            seq,
            readings: vec![noticed.reading],
        }
    }
}
