//! The desk that sensors speak to about firmware: one task, one queue, no lock that readings wait for. A word that finds the
//! queue full is dropped; its sender says it again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledger_block::GatewayKey;
use ledger_block::release::{Component, HardwareId, ReleaseId};
use pitchside_admin::Metrics;
use pitchside_auth::{Auth, SessionKey};
use pitchside_collect::{Link, Outbound};
use pitchside_model::{DeviceId, Entry};
use pitchside_store::{FirmwareOutcome, SensorFirmware, Store};
use pitchside_wire::firmware::{Down, Phase, Pull, Report, Status, Up, Wait, WaitCode};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::pace::{ALL_BYTES_PER_S, DEVICE_BYTES_PER_S, DEVICE_KEPT_WORDS_PER_S, DEVICE_PULLS_PER_S, Pace};
use super::proofs::{Proofs, Read};
use super::shelf::Shelf;
use super::vitals::Vitals;
use crate::blocking;
use crate::clock::Clock;
use crate::pipeline::roster::Roster;

/// Words that wait for the desk, of all devices together.
const WORDS_MAX: usize = 1_024;
/// How often those who wait for the end of a training session, or for charge, are looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A word about firmware, and where its answer goes.
pub struct Heard {
    /// The link it came by.
    pub link: Link,
    /// The session it was sealed in.
    pub session: SessionKey,
    /// Who said it.
    pub device: DeviceId,
    /// The word, not read yet.
    pub word: Vec<u8>,
}

/// The way from the front to the desk. Never waits.
#[derive(Clone)]
pub struct Door {
    queue: mpsc::Sender<Heard>,
    vitals: Arc<Vitals>,
}

impl Door {
    /// A door, and what lies behind it.
    pub fn new() -> (Self, mpsc::Receiver<Heard>) {
        let (queue, receiver) = mpsc::channel(WORDS_MAX);
        (Self { queue, vitals: Arc::default() }, receiver)
    }

    /// Hands a word on; false if there is no room.
    pub fn hear(&self, heard: Heard) -> bool {
        self.queue.try_send(heard).is_ok()
    }

    /// Who trains.
    pub const fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// Takes what an entry tells of training and batteries.
    pub fn observe(&self, entry: &Entry) {
        self.vitals.observe(entry);
    }
}

/// How this box asks the ledger for a halt, and tells it what it counted.
pub struct Halter {
    /// Its name there.
    pub name: DeviceId,
    /// The log's origin line.
    pub origin: String,
    /// Its key.
    pub key: GatewayKey,
    /// Wakes sync.
    pub wake: Arc<Notify>,
}

/// What the desk needs.
pub struct DeskParts {
    /// Releases and contents.
    pub shelf: Arc<Shelf>,
    /// Seals answers.
    pub auth: Arc<Auth>,
    /// What sensors said, kept.
    pub store: Store,
    /// Who wears what.
    pub roster: Arc<Roster>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The gateway's clock.
    pub clock: Clock,
    /// The way to a halt.
    pub halter: Arc<Halter>,
}

/// A device in session that spoke of firmware.
pub(super) struct Seat {
    pub link: Link,
    pub session: SessionKey,
    pub status: Status,
    pub hardware: HardwareId,
    pub component: Component,
    /// There is a release for it, but not now.
    pub waits: bool,
    /// It was told that there is nothing, or nothing now, and does not ask again before long.
    pub sent_away: bool,
    /// Pulls that wait for a proof, in their order.
    pub parked: VecDeque<Pull>,
    pub pulls: Pace,
    pub kept: Pace,
    pub bytes: Pace,
    /// Number of the last report that was noted.
    pub noted: Option<u32>,
    /// It has said since that another image is to run, or runs: what its status says is over.
    pub stale: bool,
    /// It said so of one that proved itself: the next status tells whether that is so.
    pub unproven: Option<Report>,
}

/// The desk.
pub struct Desk {
    pub(super) parts: DeskParts,
    pub(super) vitals: Arc<Vitals>,
    pub(super) seats: HashMap<DeviceId, Seat>,
    /// As they are stored.
    pub(super) rows: HashMap<DeviceId, SensorFirmware>,
    /// Releases this box has asked to halt: the request is kept until the ledger has it.
    pub(super) asked: HashSet<ReleaseId>,
    pub(super) proofs: Proofs,
    read: mpsc::Receiver<Read>,
    pub(super) all: Pace,
}

impl Desk {
    /// Takes up what was stored.
    ///
    /// # Errors
    /// The store refused.
    pub fn new(parts: DeskParts, door: &Door) -> anyhow::Result<Self> {
        let rows = parts.store.sensor_firmware()?.into_iter().map(|row| (row.device.clone(), row)).collect();
        let asked: HashSet<ReleaseId> = parts.store.acts_about()?.into_iter().map(ReleaseId).collect();
        let shelf = Arc::clone(&parts.shelf);
        let reader = move |id, offset, length| shelf.read(id, offset, length).map_err(|error| error.to_string());
        let ((proofs, read), vitals) = (Proofs::new(Arc::new(reader)), Arc::clone(&door.vitals));
        let (seats, all) = (HashMap::new(), Pace::new(ALL_BYTES_PER_S));
        Ok(Self { parts, vitals, seats, rows, asked, proofs, read, all })
    }

    /// Runs until stopped.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Heard>, stop: CancellationToken) {
        let mut news = self.parts.shelf.news();
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = news.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    blocking::here(|| self.look(false));
                }
                Some(read) = self.read.recv() => blocking::here(|| self.was_read(read)),
                heard = queue.recv() => match heard {
                    Some(heard) => blocking::here(|| self.hear(heard)),
                    None => return,
                },
                _ = every.tick() => blocking::here(|| self.look(true)),
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let up = match Up::parse(&heard.word) {
            Ok(up) => up,
            Err(error) => {
                self.parts.metrics.refused("firmware_word");
                tracing::debug!(device = %heard.device, %error, "a word about firmware was not read");
                return;
            }
        };
        if let Up::Status(status) = up {
            return self.status(heard, status);
        }
        let Some(seat) = self.seats.get_mut(&heard.device).filter(|seat| seat.session == heard.session) else {
            // Somebody who has not said what runs on it, in this session: it will, when told that nothing is known.
            let wait = Wait { code: WaitCode::Unknown, after_s: 1, digest: digest_of(&up) };
            return self.answer(&heard, &Down::Wait(wait));
        };
        let pace = if matches!(up, Up::Report(_)) { &mut seat.kept } else { &mut seat.pulls };
        if !pace.has(1) {
            self.parts.metrics.refused("firmware_flood");
            return;
        }
        pace.spend(1);
        match up {
            Up::Pull(pull) => self.pull(&heard.device, pull),
            Up::Report(report) => self.report(&heard.device, report),
            Up::Status(_) => {}
        }
    }

    fn status(&mut self, heard: Heard, status: Status) {
        let (Ok(hardware), Ok(component)) = (status.hardware.parse(), status.component.parse()) else {
            self.parts.metrics.refused("firmware_word");
            return;
        };
        let device = heard.device.clone();
        let before = self.seats.remove(&device);
        // A new session does not buy a new credit.
        let fresh = (Pace::new(DEVICE_PULLS_PER_S), Pace::new(DEVICE_KEPT_WORDS_PER_S), Pace::new(DEVICE_BYTES_PER_S));
        let ((pulls, mut kept, bytes), unproven) = match before {
            Some(seat) => ((seat.pulls, seat.kept, seat.bytes), seat.unproven),
            None => (fresh, None),
        };
        // One too many is heard, but neither kept nor answered: its sender asks again.
        let may = kept.has(1);
        kept.spend(1);
        if may {
            self.vitals.battery_said(&device, status.battery);
            self.note_status(&device, &status);
        }
        let seat = Seat {
            link: heard.link,
            session: heard.session,
            status,
            hardware,
            component,
            waits: false,
            sent_away: false,
            parked: VecDeque::new(),
            pulls,
            kept,
            bytes,
            noted: None,
            stale: false,
            unproven: None,
        };
        self.seats.insert(device.clone(), seat);
        if let Some(report) = unproven {
            self.prove(&device, report);
        }
        if may {
            self.make_ready(&device);
            self.decide(&device, true);
        } else {
            self.parts.metrics.refused("firmware_flood");
        }
    }

    /// What runs, kept if it has changed.
    fn note_status(&mut self, device: &DeviceId, status: &Status) {
        let now = self.parts.clock.now();
        let before = self.rows.get(device);
        let mut row = before.cloned().unwrap_or_else(|| fresh(device));
        (row.hardware, row.component) = (status.hardware.clone(), status.component.clone());
        row.version = status.version.to_string();
        row.counter = row.counter.max(status.counter);
        if row.release == Some(status.release) {
            row.have = if status.phase == Phase::Pulling { status.have.into() } else { row.size };
        }
        let same = before.is_some_and(|before| SensorFirmware { seen_at: row.seen_at, ..before.clone() } == row);
        // When it was last seen is worth a write an hour.
        if !same || now.hour() != row.seen_at.hour() {
            row.seen_at = now;
            self.keep(row, None);
        }
    }

    /// Keeps a row; false, and said, if the store refuses.
    pub(super) fn keep(&mut self, row: SensorFirmware, outcome: Option<FirmwareOutcome>) -> bool {
        match self.parts.store.put_sensor_firmware(row.clone(), outcome.clone()) {
            Ok(()) => {
                self.parts.shelf.barred().said(&row);
                outcome.iter().for_each(|outcome| self.parts.shelf.barred().ended(outcome));
                self.rows.insert(row.device.clone(), row);
                true
            }
            Err(error) => {
                tracing::warn!(device = %row.device, %error, "what a sensor said of its firmware was not stored");
                false
            }
        }
    }

    /// Says something to a device at the desk. One that is gone leaves its seat.
    pub(super) fn say(&mut self, device: &DeviceId, down: &Down) {
        let Some(seat) = self.seats.get(device) else { return };
        if !send(&self.parts, &seat.link, seat.session, down) {
            self.seats.remove(device);
        }
    }

    fn answer(&self, heard: &Heard, down: &Down) {
        send(&self.parts, &heard.link, heard.session, down);
    }
}

fn send(parts: &DeskParts, link: &Link, session: SessionKey, down: &Down) -> bool {
    let word = match down.encode() {
        Ok(word) => word,
        Err(error) => {
            tracing::error!(%error, "a word about firmware was not said");
            return true;
        }
    };
    match parts.auth.say_firmware(session, link.id, &word, parts.clock.now()) {
        Ok(frame) => link.send(Outbound::Frame(Bytes::from(frame))).is_ok(),
        Err(error) => {
            tracing::debug!(link = link.id.0, %error, "no session for a word about firmware");
            false
        }
    }
}

fn digest_of(up: &Up) -> [u8; 32] {
    match up {
        Up::Pull(pull) => pull.digest,
        Up::Status(_) | Up::Report(_) => [0; 32],
    }
}

pub(super) fn fresh(device: &DeviceId) -> SensorFirmware {
    SensorFirmware {
        device: device.clone(),
        hardware: String::new(),
        component: String::new(),
        version: String::new(),
        counter: 0,
        seen_at: pitchside_model::Timestamp::default(),
        release: None,
        target: None,
        size: 0,
        have: 0,
        attempts: 0,
        stage: None,
        reason: 0,
        text: String::new(),
        reported_at: None,
        held: None,
    }
}
