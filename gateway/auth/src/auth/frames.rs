//! Frames of sessions: messages in, receipts out. Nothing here waits but for a ceiling to be stored.

use std::sync::Arc;

use parking_lot::MutexGuard;
use pitchside_model::{Assurance, Authentic, DeviceId, Epoch, LinkId, Payload, PayloadKind, Seq, Timestamp};
use pitchside_wire::control::Advance;
use pitchside_wire::frame::Header;
use pitchside_wire::message::{MESSAGE_HEADER_BYTES, MessageHeader};
use pitchside_wire::{Ceilings, Content, Kind, OpenError, Reason, Receipt, SealError};

use super::table::{Live, Stage, State};
use super::{Auth, ReceiptError, SessionKey, millis};
use crate::bucket::Bucket;
use crate::door::{Accepted, Cause, Refusal};
use crate::kek::Context;
use crate::record::SessionRow;

/// A device that is below the floor is told so at most this often.
const ADVANCE_EVERY_US: i64 = 100_000;

impl Auth {
    /// A message.
    pub(super) fn data(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        let live = self.find(link, claimed, frame, now)?;
        let (mut state, plain) = match self.open_here(link, &live, frame, now) {
            Ok(opened) => opened,
            Err(answer) => return answer,
        };
        match MessageHeader::parse(&plain) {
            Ok(header) => {
                drop(state);
                Ok(message(&live, link, header, plain))
            }
            Err(error) => {
                let answer = self.refuse_message(&live, &mut state, &plain, &error.to_string(), now);
                Err(Refusal { cause: error.into(), answer, close: false })
            }
        }
    }

    /// The device says goodbye.
    pub(super) fn close(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        let live = self.find(link, claimed, frame, now)?;
        let seat = self.seat(&live.device);
        let mut seat = seat.lock();
        let mut state = live.state.lock();
        if let Err(cause) = self.open_frame(&live, &mut state, frame, now) {
            drop(state);
            return Err(self.refuse(link, frame, cause, now));
        }
        state.stage = Stage::Ended;
        drop(state);
        self.forget(&mut seat, &live);
        Ok(Accepted::Nothing)
    }

    /// Seals a receipt for the session's device, in as many frames as it needs.
    pub fn receipt(
        &self,
        session: SessionKey,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, ReceiptError> {
        let live = self.table.get(session.0).ok_or(ReceiptError::Gone)?;
        let mut state = live.state.lock();
        if state.stage != Stage::Live {
            return Err(ReceiptError::Gone);
        }
        receipt.pages().map(|page| self.seal_frame(&live, &mut state, Kind::Receipt, &page, now)).collect()
    }

    /// The session a sealed frame names. Nothing is proven yet.
    pub(super) fn find(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Arc<Live>, Refusal> {
        let header = Header::parse(frame).map_err(|error| self.refuse(link, frame, error.into(), now))?;
        let live = self.table.get(header.session).ok_or_else(|| self.refuse(link, frame, Cause::NoSession, now))?;
        if claimed.is_some_and(|claimed| *claimed != live.device) {
            return Err(self.refuse(link, frame, Cause::AnotherDevice, now));
        }
        Ok(live)
    }

    /// Opens a frame of a live session that is on this link; otherwise what is answered instead.
    pub(super) fn open_here<'l>(
        &self,
        link: LinkId,
        live: &'l Live,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<(MutexGuard<'l, State>, Vec<u8>), Result<Accepted, Refusal>> {
        let mut state = live.state.lock();
        let plain = match self.open_frame(live, &mut state, frame, now) {
            Ok(plain) => plain,
            Err(cause) => return Err(self.not_opened(link, live, state, frame, cause, now)),
        };
        if state.link == Some(link) {
            return Ok((state, plain));
        }
        drop(state);
        Err(Err(self.refuse(link, frame, Cause::AnotherLink, now)))
    }

    /// Opens a frame of a live session, storing a higher ceiling first if it needs one.
    pub(super) fn open_frame(
        &self,
        live: &Live,
        state: &mut MutexGuard<'_, State>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Cause> {
        if state.stage != Stage::Live {
            return Err(Cause::NoSession);
        }
        let opened = match state.session.open(frame, millis(now)) {
            Err(OpenError::CeilingNotStored(wanted)) => {
                self.store_ceilings(live, state, wanted, now)?;
                state.session.open(frame, millis(now))
            }
            opened => opened,
        };
        opened.map(|(_, plain)| plain).map_err(|error| match error {
            OpenError::Frame(error) => error.into(),
            OpenError::Session => Cause::NoSession,
            OpenError::Replayed(stale) => Cause::Replayed(stale),
            OpenError::Forged => Cause::Forged,
            OpenError::Expired => Cause::Expired,
            OpenError::BelowFloor(_) => Cause::BelowFloor,
            OpenError::Leap | OpenError::CeilingNotStored(_) => Cause::Leap,
        })
    }

    pub(super) fn seal_frame(
        &self,
        live: &Live,
        state: &mut MutexGuard<'_, State>,
        kind: Kind,
        plain: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, ReceiptError> {
        let sealed = match state.session.seal(kind, plain, millis(now)) {
            Err(SealError::CeilingNotStored(wanted)) => {
                self.store_ceilings(live, state, wanted, now).map_err(ReceiptError::Ceiling)?;
                state.session.seal(kind, plain, millis(now))
            }
            sealed => sealed,
        };
        Ok(sealed?)
    }

    /// Makes higher ceilings durable, then grants them.
    fn store_ceilings(
        &self,
        live: &Live,
        state: &mut MutexGuard<'_, State>,
        wanted: Ceilings,
        now: Timestamp,
    ) -> Result<(), Cause> {
        let rate = self.limits.ceiling;
        if !state.ceilings.get_or_insert_with(|| Bucket::full(rate, now)).take(rate, now) {
            return Err(Cause::Leap);
        }
        self.put_session(live, state, wanted)?;
        state.session.grant(wanted);
        Ok(())
    }

    pub(super) fn put_session(&self, live: &Live, state: &State, ceilings: Ceilings) -> Result<(), Cause> {
        let id = live.id.0.to_le_bytes();
        let context = Context { purpose: "session", parts: &[live.device.as_str().as_bytes(), &id, &live.binding] };
        let body = self.kek.wrap(context, &*state.session.snapshot(ceilings).to_bytes())?;
        let row = SessionRow { id, device: live.device.clone(), ceiling: ceilings.receive.0, body };
        Ok(self.keys.put_session(&row)?)
    }

    /// What a device hears of a frame of a known session that could not be taken: where to go on, or no more than anybody.
    pub(super) fn not_opened(
        &self,
        link: LinkId,
        live: &Live,
        mut state: MutexGuard<'_, State>,
        frame: &[u8],
        cause: Cause,
        now: Timestamp,
    ) -> Result<Accepted, Refusal> {
        let advance = self.tell_floor(live, &mut state, &cause, now);
        drop(state);
        match advance {
            Some(advance) => Ok(Accepted::Reply(advance)),
            None => Err(self.refuse(link, frame, cause, now)),
        }
    }

    /// After a restart a genuine frame may lie below what is certainly new: the device is told where to go on.
    fn tell_floor(
        &self,
        live: &Live,
        state: &mut MutexGuard<'_, State>,
        cause: &Cause,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let due =
            state.advanced_at.is_none_or(|at| now.micros_since(at).unsigned_abs() >= ADVANCE_EVERY_US.unsigned_abs());
        if *cause != Cause::BelowFloor || !due {
            return None;
        }
        state.advanced_at = Some(now);
        let body = Advance { next: state.session.floor() }.encode();
        self.seal_frame(live, state, Kind::Advance, &body, now).ok()
    }

    /// A genuine message that is none: refused for good, if its number can be read.
    fn refuse_message(
        &self,
        live: &Live,
        state: &mut MutexGuard<'_, State>,
        plain: &[u8],
        text: &str,
        now: Timestamp,
    ) -> Option<Vec<u8>> {
        let (epoch, rest) = plain.split_first_chunk()?;
        let (seq, _) = rest.split_first_chunk()?;
        let mut receipt = Receipt::default();
        receipt.refuse(u64::from_le_bytes(*epoch), u64::from_le_bytes(*seq), Reason::MALFORMED, text);
        let page = receipt.pages().next()?;
        self.seal_frame(live, state, Kind::Receipt, &page, now).ok()
    }
}

impl Auth {
    /// Vouches once more for a payload that was let in when it came, and kept under the box's own key since because it
    /// could not be decoded then. It was on a link that is long gone: number 0, which no link has.
    #[allow(clippy::disallowed_methods, reason = "this crate is the one that vouches")]
    pub fn vouch_kept(&self, device: DeviceId, assurance: Assurance, payload: Payload) -> Authentic<Payload> {
        Authentic::vouch(device, assurance, LinkId(0), payload)
    }
}

#[allow(clippy::disallowed_methods, reason = "this crate is the one that vouches")]
fn message(live: &Live, link: LinkId, header: MessageHeader, mut plain: Vec<u8>) -> Accepted {
    plain.drain(..MESSAGE_HEADER_BYTES);
    let kind = match header.content {
        Content::SenmlCbor => PayloadKind::SenmlCbor,
        Content::SenmlJson => PayloadKind::SenmlJson,
        Content::Waveform => PayloadKind::Waveform,
        Content::Vendor => PayloadKind::Vendor,
    };
    let payload = Payload { kind, bytes: plain, topic: None };
    Accepted::Message {
        session: SessionKey(live.id),
        message: Authentic::vouch(live.device.clone(), live.assurance, link, payload),
        epoch: Epoch(header.epoch.0),
        seq: Seq(header.seq.0),
    }
}
