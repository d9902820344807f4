//! One message: authenticated, found to be new, decoded, put into the batch.

use std::time::Duration;

use bytes::Bytes;
use pitchside_auth::{Accepted, LoginEnded, PasswordLogin, SessionKey};
use pitchside_collect::{Channel, CloseReason, Inbound, Link, Outbound, RefusalCode, Settled, Ticket};
use pitchside_decode::DecodeError;
use pitchside_model::{Authentic, DeviceId, Entry, Epoch, LinkId, Payload, PayloadKind, Reading, Seq, Timestamp};
use pitchside_seal::closing::weight;
use pitchside_store::{Claim, StoreError};
use pitchside_wire::Reason;

use super::Front;
use crate::pipeline::batch::{Answer, Batch, Due};
use crate::pipeline::firmware::Heard;
use crate::pipeline::streams::add_dropped;
use crate::random::OsRandom;

/// Refused frames of one link that the log names.
const LOGGED_MAX: u32 = 16;

/// Whether a message is new, or one we have had that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Repeated,
}

/// When something came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    /// To the gate: what it measured just then is dated by that.
    arrived: Timestamp,
    /// To the front: what is heard now has this gateway time, for in that order it is heard again, by a replay, too.
    now: Timestamp,
}

impl Came {
    /// It waited at the gate for so long: in whole milliseconds, as the clock tells them.
    pub(super) fn after(waited: Duration, now: Timestamp) -> Self {
        let millis = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        Self { arrived: now.plus_micros(millis.saturating_mul(-1_000)), now }
    }
}

impl Front {
    /// A frame of PS/1: a handshake step, or a message.
    pub(super) async fn frame(&self, link: &Link, item: Inbound, came: Came, batch: &mut Batch) {
        let claimed = link.device.as_ref();
        match self.auth.accept(link.id, claimed, &item.bytes, came.now, &mut OsRandom) {
            Ok(Accepted::Message { session, message, epoch, seq }) => {
                self.message(link, item.ticket, Some(session), message, epoch, seq, 0, came, batch).await;
            }
            Ok(Accepted::Reply(frame)) => {
                let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                batch.known(item.ticket, Settled::Stored);
            }
            Ok(Accepted::Established { device, reply, supersedes }) => {
                self.established(link, device, supersedes);
                if let Some(frame) = reply {
                    let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                }
                batch.known(item.ticket, Settled::Stored);
            }
            Ok(Accepted::Firmware { session, device, word }) => {
                // Never waits for the desk, nor the desk for it: readings go before.
                let heard = Heard { link: link.clone(), session, device, word };
                if self.firmware.as_ref().is_some_and(|firmware| !firmware.hear(heard)) {
                    self.metrics.refused("firmware_busy");
                }
                batch.known(item.ticket, Settled::Stored);
            }
            Ok(Accepted::Nothing) => {
                batch.ended.extend(self.said_goodbye(link.id));
                batch.known(item.ticket, Settled::Stored);
            }
            Err(refusal) => {
                self.metrics.refused(refusal.word());
                match self.refusals(link.id) {
                    ..LOGGED_MAX => {
                        let device = claimed.and_then(|device| self.roster.known(device.as_str()));
                        let device = device.as_ref().map(tracing::field::display);
                        tracing::info!(link = link.id.0, peer = %link.peer, device, reason = %refusal, "frame refused");
                    }
                    LOGGED_MAX => tracing::warn!(link = link.id.0, "more refused frames of this link are only counted"),
                    _ => {}
                }
                if let Some(frame) = refusal.answer() {
                    let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                }
                if refusal.must_close() {
                    let _ = link.send(Outbound::Close(CloseReason::NotAuthenticated));
                }
                let text = "not accepted".to_owned();
                batch.known(item.ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text });
            }
        }
    }

    /// How many frames of a link were refused before, and counts one more.
    fn refusals(&self, link: LinkId) -> u32 {
        self.links.lock().get_mut(&link).map_or(0, |open| {
            open.refusals = open.refusals.saturating_add(1);
            open.refusals - 1
        })
    }

    fn established(&self, link: &Link, device: DeviceId, supersedes: Option<LinkId>) {
        link.authenticated();
        let mut open = self.links.lock();
        if let Some(old) = supersedes.filter(|old| *old != link.id).and_then(|old| open.get_mut(&old)) {
            if old.device.take().is_some() {
                self.metrics.devices_connected.dec();
            }
            let _ = old.link.send(Outbound::Close(CloseReason::Superseded));
        }
        if let Some(open) = open.get_mut(&link.id)
            && open.device.replace(device).is_none()
        {
            self.metrics.devices_connected.inc();
        }
    }

    /// An authentic message: found to be new, decoded, put into the batch. `lost`: so many before it were lost at the gate, where
    /// no numbers tell.
    #[allow(clippy::too_many_arguments, reason = "one message and where it came from")]
    async fn message(
        &self,
        link: &Link,
        ticket: Ticket,
        session: Option<SessionKey>,
        message: Authentic<Payload>,
        epoch: Epoch,
        seq: Seq,
        lost: u64,
        Came { arrived, now }: Came,
        batch: &mut Batch,
    ) {
        self.metrics.messages.inc();
        let device = message.device().clone();
        let mut answer = Answer { ticket, device: device.clone(), session, epoch, seq, pending: false, refusal: None };
        // Numbers the gateway gave itself (hubs, wired lines) can't be duplicates, and their holes are nobody's loss.
        let claim = if session.is_some() { self.store.claim(&device, epoch, seq) } else { Claim::New };
        let dropped = match claim {
            Claim::New => lost,
            Claim::Skipped(count) => count,
            Claim::Duplicate | Claim::Pending => {
                self.metrics.refused("duplicate");
                answer.pending = claim == Claim::Pending;
                // What was refused the first time is refused again: its receipt must not say that it was stored. What its
                // plugin could not read, then or now, was kept.
                if let Err(error) = self.decode(&device, &message, arrived, Turn::Repeated).await
                    && !error.is_ours()
                {
                    answer.refusal = Some(refusal(&error));
                }
                batch.answers.push(Due::Stored(answer));
                return;
            }
            Claim::TooOld => {
                let text = "outside the 1024 messages that may be in flight".to_owned();
                answer.refusal = Some((Reason::OUT_OF_WINDOW, RefusalCode::Other, text));
                self.metrics.refused("out_of_window");
                batch.answers.push(Due::Stored(answer));
                return;
            }
        };
        let decoded = self.decode(&device, &message, arrived, Turn::First).await;
        let athlete = self.roster.load().get(device.as_str()).and_then(|row| row.athlete.clone());
        let mut entry = Entry { athlete, device, assurance: message.assurance(), epoch, seq, readings: Vec::new() };
        match decoded {
            Ok(mut readings) => {
                readings.iter_mut().for_each(|reading| reading.gateway_time = now);
                entry.readings = readings;
            }
            Err(error) if error.is_ours() => {
                tracing::debug!(link = link.id.0, reason = %error, "payload kept until its plugin can read it");
                if dropped > 0 {
                    add_dropped(&mut entry, dropped, now);
                }
                match self.keep(entry, message.content(), arrived).await {
                    // It is durable, whatever becomes of the batch: told as lost, it would be counted twice.
                    Ok(()) if session.is_none() => batch.known(answer.ticket, Settled::Stored),
                    Ok(()) => batch.answers.push(Due::Stored(answer)),
                    // Neither kept nor acknowledged: its sender has it still.
                    Err(error) => {
                        self.metrics.refused("not_kept");
                        tracing::warn!(link = link.id.0, %error, "payload neither decoded nor kept nor acknowledged");
                        batch.known(answer.ticket, Settled::Unavailable);
                    }
                }
                return;
            }
            // The number is used up: an entry without readings makes the refusal durable and the count whole.
            Err(error) => {
                self.refused(link, &message, &error, now).await;
                answer.refusal = Some(refusal(&error));
            }
        }
        if dropped > 0 {
            add_dropped(&mut entry, dropped, now);
        }
        batch.entries.push(entry);
        batch.answers.push(Due::Stored(answer));
    }

    async fn decode(
        &self,
        device: &DeviceId,
        message: &Authentic<Payload>,
        now: Timestamp,
        turn: Turn,
    ) -> Result<Vec<Reading>, DecodeError> {
        match message.content().kind {
            PayloadKind::Vendor => self.vendor(device, message, now, turn).await,
            _ => self.decoders.native(message, now),
        }
    }

    async fn vendor(
        &self,
        device: &DeviceId,
        message: &Authentic<Payload>,
        now: Timestamp,
        turn: Turn,
    ) -> Result<Vec<Reading>, DecodeError> {
        let roster = self.roster.load();
        let decoder = roster.get(device.as_str()).and_then(|row| row.decoder.clone());
        match (decoder, turn) {
            (Some(plugin), Turn::First) => self.decoders.vendor(&plugin, message, now).await,
            (Some(plugin), Turn::Repeated) => self.decoders.vendor_repeated(&plugin, message, now).await,
            (None, _) => Err(DecodeError::NoPlugin),
        }
    }

    /// Makes a payload durable that its plugin cannot read now; [`crate::pipeline::undecoded`] does the rest. The entry has no
    /// reading of it yet, but may have a gap.
    async fn keep(&self, entry: Entry, payload: &Payload, now: Timestamp) -> Result<(), StoreError> {
        let (heard, weight) = (self.rules.offer(std::slice::from_ref(&entry)), weight(&entry));
        let (bytes, topic) = (&payload.bytes, payload.topic.as_deref());
        match self.store.journal_undecoded(entry, bytes, topic, now).await {
            Ok(row) => {
                self.rules.stored(heard, row);
                self.sealing.note_entries(weight, now);
                self.metrics.undecoded.inc();
                Ok(())
            }
            Err(error) => {
                self.rules.not_stored(heard);
                Err(error)
            }
        }
    }

    /// Keeps the beginning of what was refused, so that nothing a known device said is lost.
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
    pub(super) async fn plain(&self, link: &Link, item: Inbound, came: Came, batch: &mut Batch) {
        let login = self.links.lock().get(&link.id).and_then(|open| open.login.clone());
        let Some(login) = login else {
            self.metrics.refused("not_authenticated");
            let text = "this link has not signed in".to_owned();
            batch.known(item.ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text });
            return;
        };
        let (characteristic, topic, dropped) = match item.channel {
            Channel::Gatt { characteristic, dropped } => (Some(characteristic), None, dropped),
            Channel::Topic(topic) => (None, Some(topic), 0),
            Channel::Line { dropped } => (None, None, dropped),
            Channel::Handshake | Channel::Up => (None, None, 0),
        };
        if item.bytes.is_empty() && dropped > 0 {
            if !login.is_live() {
                return self.login_ended(link, item.ticket, &LoginEnded::Ended, batch);
            }
            return self.only_dropped(&login, item.ticket, dropped, came.now, batch);
        }
        let kind = if let Some(characteristic) = characteristic {
            PayloadKind::Gatt { characteristic }
        } else if self.roster.load().get(login.device().as_str()).is_some_and(|row| row.decoder.is_some()) {
            PayloadKind::Vendor
        } else {
            senml_kind(&item.bytes)
        };
        // Only a decoder has a use for the topic; SenML names its readings itself.
        let topic = topic.filter(|_| kind == PayloadKind::Vendor);
        let message = match login.vouch(link.id, Payload { kind, bytes: item.bytes.to_vec(), topic }) {
            Ok(message) => message,
            Err(ended) => return self.login_ended(link, item.ticket, &ended, batch),
        };
        let (epoch, seq) = self.own.next();
        self.message(link, item.ticket, None, message, epoch, seq, dropped, came, batch).await;
    }

    /// What comes over a link whose login no longer holds is nobody's.
    fn login_ended(&self, link: &Link, ticket: Ticket, ended: &LoginEnded, batch: &mut Batch) {
        self.metrics.refused("login_ended");
        let _ = link.send(Outbound::Close(CloseReason::Revoked));
        batch.known(ticket, Settled::Refused { code: RefusalCode::NotAuthorized, text: ended.to_string() });
    }

    /// Values or lines were lost on the way in and none came after them: a gap alone, with the assurance of its link.
    fn only_dropped(&self, login: &PasswordLogin, ticket: Ticket, dropped: u64, now: Timestamp, batch: &mut Batch) {
        let device = login.device().clone();
        let (epoch, seq) = self.own.next();
        let athlete = self.roster.load().get(device.as_str()).and_then(|row| row.athlete.clone());
        let mut entry =
            Entry { athlete, device: device.clone(), assurance: login.assurance(), epoch, seq, readings: Vec::new() };
        add_dropped(&mut entry, dropped, now);
        batch.entries.push(entry);
        let answer = Answer { ticket, device, session: None, epoch, seq, pending: false, refusal: None };
        batch.answers.push(Due::Stored(answer));
    }
}

/// The reason a device is told, from the decoder's stable name.
fn reason(error: &DecodeError) -> Reason {
    match error {
        DecodeError::NoPlugin | DecodeError::UnknownPlugin(_) | DecodeError::NotVendor(_) => Reason::NO_DECODER,
        // Kept, not refused.
        DecodeError::PluginFault { .. } | DecodeError::Unkept { .. } | DecodeError::SwitchedOff { .. } => {
            Reason::DECODER_FAILED
        }
        DecodeError::Nonsense { .. } if error.is_ours() => Reason::DECODER_FAILED,
        DecodeError::Refused { .. } => Reason::MALFORMED,
        DecodeError::Senml { .. } | DecodeError::Wave(_) | DecodeError::Gatt { .. } | DecodeError::Nonsense { .. } => {
            match error.code() {
                "unknown_unit" | "unit_mismatch" | "inexact_unit" | "no_unit" | "unknown_quantity" => {
                    Reason::UNKNOWN_UNIT
                }
                "not_finite" | "out_of_range" | "value_type" | "two_values" | "no_value" => Reason::BAD_VALUE,
                "time_range" | "time_too_far" | "period" | "bad_date" | "no_time" => Reason::BAD_TIME,
                "too_many" => Reason::TOO_LARGE,
                _ => Reason::MALFORMED,
            }
        }
    }
}

/// What a sender is told of a payload that could not be read.
fn refusal(error: &DecodeError) -> (Reason, RefusalCode, String) {
    (reason(error), RefusalCode::PayloadInvalid, error.to_string())
}

/// JSON begins with a bracket; a CBOR array never has that byte.
fn senml_kind(bytes: &[u8]) -> PayloadKind {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[' | b'{') => PayloadKind::SenmlJson,
        _ => PayloadKind::SenmlCbor,
    }
}
