//! The front of the pipeline: what a gate brings is authenticated, decoded, handed to the rules at once and to the
//! journal; senders hear of it after the commit. One call of [`Intake::take`] is one read of one link.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_admin::{Board, Metrics};

use pitchside_auth::{Accepted, Auth, Ended, PasswordLogin, Role};
use pitchside_collect::{
    Admission, Channel, CloseReason, Inbound, Intake, Link, Outbound, RefusalCode, Refused, Rights, Settled, Ticket,
};
use pitchside_decode::{DecodeError, Decoders};
use pitchside_model::{Authentic, DeviceId, Entry, Epoch, LinkId, Medium, Payload, PayloadKind, Seq, Timestamp, Value};
use pitchside_store::{Claim, Store};
use pitchside_wire::Reason;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::batch::{Answer, Batch};
use super::roster::Roster;
use super::rules::RulesFeed;
use super::sealing::Sealing;
use super::streams::{Noticed, Streams};
use crate::clock::Clock;
use crate::random::OsRandom;

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
    login: Option<Arc<PasswordLogin>>,
    /// The device in session on it.
    device: Option<DeviceId>,
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

    /// Records the streams that have been silent for too long.
    pub async fn record_silence(&self, silent_after_us: i64) {
        let gaps = self.streams.lock().silent(silent_after_us, self.clock.now());
        self.record(gaps).await;
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
        self.sealing.note_entries(&entries, self.clock.now());
        match self.store.journal_append(entries).await {
            Ok(row) if !heard => self.rules.missed(row),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "gaps could not be recorded"),
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

    /// A frame of PS/1: a handshake step, or a message.
    async fn frame(&self, link: &Link, item: Inbound, now: Timestamp, batch: &mut Batch) {
        let claimed = link.device.as_ref();
        match self.auth.accept(link.id, claimed, &item.bytes, now, &mut OsRandom) {
            Ok(Accepted::Message { session, message, epoch, seq }) => {
                self.message(link, item.ticket, Some(session), message, epoch, seq, now, batch).await;
            }
            Ok(Accepted::Reply(frame)) => {
                let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                settle_now(link, item.ticket, Settled::Stored);
            }
            Ok(Accepted::Established { device, reply, supersedes }) => {
                self.established(link, device, supersedes);
                if let Some(frame) = reply {
                    let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                }
                settle_now(link, item.ticket, Settled::Stored);
            }
            Ok(Accepted::Nothing) => settle_now(link, item.ticket, Settled::Stored),
            Err(refusal) => {
                self.metrics.refused(refusal.word());
                tracing::info!(link = link.id.0, peer = %link.peer, reason = %refusal, "frame refused");
                if let Some(frame) = refusal.answer() {
                    let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                }
                if refusal.must_close() {
                    let _ = link.send(Outbound::Close(CloseReason::NotAuthenticated));
                }
                let text = "not accepted".to_owned();
                settle_now(link, item.ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text });
            }
        }
    }

    fn established(&self, link: &Link, device: DeviceId, supersedes: Option<LinkId>) {
        link.authenticated();
        let mut open = self.links.lock();
        if let Some(old) = supersedes.filter(|old| *old != link.id).and_then(|old| open.get_mut(&old)) {
            old.device = None;
            let _ = old.link.send(Outbound::Close(CloseReason::Superseded));
        }
        if let Some(open) = open.get_mut(&link.id)
            && open.device.replace(device).is_none()
        {
            self.metrics.devices_connected.inc();
        }
    }

    /// An authentic message: found to be new, decoded, put into the batch.
    #[allow(clippy::too_many_arguments, reason = "one message and where it came from")]
    async fn message(
        &self,
        link: &Link,
        ticket: Ticket,
        session: Option<pitchside_auth::SessionKey>,
        message: Authentic<Payload>,
        epoch: Epoch,
        seq: Seq,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        self.metrics.messages.inc();
        let device = message.device().clone();
        let mut answer = Answer { ticket, device: device.clone(), session, epoch, seq, pending: false, refusal: None };
        let dropped = match self.store.claim(&device, epoch, seq) {
            Claim::New => 0,
            Claim::Skipped(count) => count,
            claim @ (Claim::Duplicate | Claim::Pending) => {
                self.metrics.refused("duplicate");
                answer.pending = claim == Claim::Pending;
                batch.answers.push(answer);
                return;
            }
            Claim::TooOld => {
                answer.refusal = Some((
                    Reason::OUT_OF_WINDOW,
                    RefusalCode::Other,
                    "outside the 1024 messages that may be in flight".to_owned(),
                ));
                self.metrics.refused("out_of_window");
                batch.answers.push(answer);
                return;
            }
        };
        let decoded = match message.content().kind {
            PayloadKind::Vendor => self.vendor(&device, &message, now).await,
            _ => self.decoders.native(&message, now),
        };
        match decoded {
            Ok(readings) => {
                let roster = self.roster.load();
                let mut entry = Entry {
                    athlete: roster.get(device.as_str()).and_then(|row| row.athlete.clone()),
                    device,
                    assurance: message.assurance(),
                    epoch,
                    seq,
                    readings,
                };
                if dropped > 0 {
                    super::streams::add_dropped(&mut entry, dropped, now);
                }
                batch.entries.push(entry);
            }
            Err(error) => {
                self.refused(link, &message, &error, now).await;
                // The number is used up: an entry without readings makes the refusal durable and the count whole.
                batch.entries.push(Entry {
                    athlete: None,
                    device,
                    assurance: message.assurance(),
                    epoch,
                    seq,
                    readings: Vec::new(),
                });
                answer.refusal = Some((reason(&error), RefusalCode::PayloadInvalid, error.to_string()));
            }
        }
        batch.answers.push(answer);
    }

    async fn vendor(
        &self,
        device: &DeviceId,
        message: &Authentic<Payload>,
        now: Timestamp,
    ) -> Result<Vec<pitchside_model::Reading>, DecodeError> {
        let roster = self.roster.load();
        let decoder = roster.get(device.as_str()).and_then(|row| row.decoder.clone());
        match decoder {
            Some(plugin) => self.decoders.vendor(&plugin, message, now).await,
            None => Err(DecodeError::NoPlugin),
        }
    }

    /// Keeps what could not be decoded, so that nothing a known device said is lost.
    async fn refused(&self, link: &Link, message: &Authentic<Payload>, error: &DecodeError, now: Timestamp) {
        self.metrics.refused("payload");
        tracing::warn!(link = link.id.0, device = %message.device(), reason = %error, "payload refused");
        let (store, device) = (self.store.clone(), message.device().clone());
        let (bytes, reason) = (message.content().bytes.clone(), error.to_string());
        let kept = tokio::task::spawn_blocking(move || store.quarantine(Some(&device), &bytes, &reason, now)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "a refused payload could not be kept");
        }
    }

    /// What a hub or a wired line sent: no session, no count of its own.
    async fn plain(&self, link: &Link, item: Inbound, now: Timestamp, batch: &mut Batch) {
        let login = self.links.lock().get(&link.id).and_then(|open| open.login.clone());
        let Some(login) = login else {
            self.metrics.refused("not_authenticated");
            let text = "this link has not signed in".to_owned();
            settle_now(link, item.ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text });
            return;
        };
        let kind = if self.roster.load().get(login.device().as_str()).is_some_and(|row| row.decoder.is_some()) {
            PayloadKind::Vendor
        } else {
            senml_kind(&item.bytes)
        };
        let message = match login.vouch(link.id, Payload { kind, bytes: item.bytes.to_vec() }) {
            Ok(message) => message,
            Err(ended) => {
                self.metrics.refused("login_ended");
                let _ = link.send(Outbound::Close(CloseReason::Revoked));
                let text = ended.to_string();
                settle_now(link, item.ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text });
                return;
            }
        };
        let (epoch, seq) = self.own.next();
        self.message(link, item.ticket, None, message, epoch, seq, now, batch).await;
    }

    /// Hands the batch on: the rules hear of it now, the senders when it is durable.
    async fn commit(self: &Arc<Self>, link: &Link, batch: Batch) {
        let mut noticed = Vec::new();
        {
            let mut streams = self.streams.lock();
            for entry in &batch.entries {
                noticed.extend(streams.observe(entry));
            }
        }
        let (mut readings, mut samples) = (0, 0);
        for entry in &batch.entries {
            self.board.observe(entry);
            readings += entry.readings.len() as u64;
            for reading in &entry.readings {
                if let Value::Wave(wave) = &reading.value {
                    samples += wave.samples.len() as u64;
                }
            }
        }
        let heard = self.rules.offer(&batch.entries);
        let now = self.clock.now();
        let Batch { mut entries, answers } = batch;
        entries.extend(noticed.into_iter().map(|noticed| self.own_entry(noticed)));
        self.sealing.note_entries(&entries, now);
        let permits = u32::try_from(answers.len()).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX);
        // The semaphore is never closed.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(permits).await else { return };
        // In the order of the link: a replay must find what the rules heard in the order they heard it.
        let entered = if entries.is_empty() { None } else { Some(self.store.journal_enter(entries).await) };
        let (front, link) = (Arc::clone(self), link.clone());
        self.tasks.spawn(async move {
            let stored = match entered {
                None => front.store.journal_barrier().await.map(|()| None),
                Some(Ok(entered)) => entered.durable().await.map(Some),
                Some(Err(error)) => Err(error),
            };
            match stored {
                Ok(row) => {
                    if let Some(row) = row.filter(|_| !heard) {
                        front.rules.missed(row);
                    }
                    front.metrics.readings.inc_by(readings);
                    front.metrics.samples.inc_by(samples);
                    let (stored, lost): (Vec<_>, Vec<_>) =
                        answers.into_iter().partition(|answer| front.is_durable(answer));
                    front.answer(&link, stored);
                    if !lost.is_empty() {
                        front.unavailable(&link, &lost);
                    }
                }
                Err(error) => {
                    front.metrics.refused("not_stored");
                    tracing::warn!(link = link.id.0, %error, "nothing of a batch was stored or acknowledged");
                    front.unavailable(&link, &answers);
                }
            }
            drop(room);
        });
    }

    /// All earlier appends are settled now, so a pending copy is either durable or was never stored.
    fn is_durable(&self, answer: &Answer) -> bool {
        if !answer.pending {
            return true;
        }
        match self.store.claim(&answer.device, answer.epoch, answer.seq) {
            Claim::Duplicate => true,
            Claim::New | Claim::Skipped(_) => {
                self.store.release(&answer.device, answer.epoch, answer.seq);
                false
            }
            Claim::Pending | Claim::TooOld => false,
        }
    }

    fn unavailable(&self, link: &Link, answers: &[Answer]) {
        let settled = answers.iter().map(|answer| (answer.ticket, Settled::Unavailable)).collect();
        let _ = link.send(Outbound::Settled(settled));
    }

    fn answer(&self, link: &Link, answers: Vec<Answer>) {
        let now = self.clock.now();
        let (receipts, settled) = Batch::settle(answers);
        for (session, receipt) in receipts {
            match self.auth.receipt(session, &receipt, now) {
                Ok(frames) => {
                    for frame in frames {
                        let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                    }
                }
                // The session ended meanwhile: the device asks again under the next one and is answered then.
                Err(error) => tracing::debug!(link = link.id.0, %error, "no session for a receipt"),
            }
        }
        let _ = link.send(Outbound::Settled(settled));
    }
}

/// The reason a device is told, from the decoder's stable name.
fn reason(error: &DecodeError) -> Reason {
    match error {
        DecodeError::NoPlugin | DecodeError::UnknownPlugin(_) | DecodeError::NotVendor(_) => Reason::NO_DECODER,
        DecodeError::PluginFault { .. } | DecodeError::Nonsense { .. } | DecodeError::SwitchedOff { .. } => {
            Reason::DECODER_FAILED
        }
        DecodeError::Refused { .. } => Reason::MALFORMED,
        DecodeError::Senml { .. } | DecodeError::Wave(_) => match error.code() {
            "unknown_unit" | "unit_mismatch" | "inexact_unit" | "no_unit" | "unknown_quantity" => Reason::UNKNOWN_UNIT,
            "not_finite" | "out_of_range" | "value_type" | "two_values" | "no_value" => Reason::BAD_VALUE,
            "time_range" | "time_too_far" | "period" => Reason::BAD_TIME,
            "too_many" => Reason::TOO_LARGE,
            _ => Reason::MALFORMED,
        },
    }
}

/// JSON begins with a bracket; a CBOR array never has that byte.
fn senml_kind(bytes: &[u8]) -> PayloadKind {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[' | b'{') => PayloadKind::SenmlJson,
        _ => PayloadKind::SenmlCbor,
    }
}

fn settle_now(link: &Link, ticket: Ticket, settled: Settled) {
    let _ = link.send(Outbound::Settled(vec![(ticket, settled)]));
}

/// The front as a gate sees it.
#[derive(Clone)]
pub struct Gatehouse(pub Arc<Front>);

#[async_trait]
impl Intake for Gatehouse {
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused> {
        let front = &self.0;
        let (Some(name), Some(password)) = (ask.username, ask.password) else {
            return Ok(Rights::Ps1 { device: ask.client });
        };
        let (auth, now) = (Arc::clone(&front.auth), front.clock.now());
        let login = tokio::task::spawn_blocking(move || auth.admit_password(&name, &password, now))
            .await
            .map_err(|_| Refused::Busy)?
            .map_err(|refusal| {
                front.metrics.refused(refusal.word());
                tracing::info!(link = ask.link.0, peer = %ask.peer, reason = %refusal, "sign-in refused");
                if refusal.is_busy() { Refused::Busy } else { Refused::BadCredentials }
            })?;
        let rights = match login.role() {
            Role::Hub => Rights::Hub { device: login.device().clone() },
            Role::App { filters } => Rights::App { name: login.device().clone(), filters: filters.clone() },
        };
        front.logins.lock().insert(ask.link, Arc::new(login));
        Ok(rights)
    }

    async fn opened(&self, link: Link) {
        let front = &self.0;
        let mut login = front.logins.lock().remove(&link.id);
        if link.medium == Medium::Serial
            && let Some(device) = &link.device
        {
            match front.auth.admit_wired(device) {
                Ok(wired) => login = Some(Arc::new(wired)),
                Err(refusal) => {
                    tracing::warn!(%device, reason = %refusal, "a wired line is not let in; enrol its device")
                }
            }
        }
        if let Some(login) = &login {
            login.attach(link.id);
            link.authenticated();
        }
        front.links.lock().insert(link.id, Open { link, login, device: None });
    }

    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        let front = &self.0;
        let now = front.clock.now();
        let mut batch = Batch::default();
        for item in inbound {
            match item.channel {
                Channel::Handshake | Channel::Up => front.frame(link, item, now, &mut batch).await,
                Channel::Topic(_) | Channel::Line => front.plain(link, item, now, &mut batch).await,
            }
        }
        if !batch.is_empty() {
            front.commit(link, batch).await;
        }
    }

    async fn closed(&self, link: LinkId) {
        let front = &self.0;
        front.auth.closed(link);
        front.logins.lock().remove(&link);
        let Some(open) = front.links.lock().remove(&link) else { return };
        let device = match (&open.device, &open.login) {
            (Some(device), _) => {
                front.metrics.devices_connected.dec();
                device.clone()
            }
            (None, Some(login)) => login.device().clone(),
            (None, None) => return,
        };
        let gaps = front.streams.lock().disconnected(&device, front.clock.now());
        front.record(gaps).await;
    }
}
