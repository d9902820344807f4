//! HELLO and CONFIRM.
//!
//! A HELLO can be replayed, so it changes nothing but a bounded list of attempts. The CONFIRM proves that the device
//! holds the keys now: only then is the stamp remembered, the session stored, and the old one ended.

use std::sync::Arc;

use parking_lot::MutexGuard;
use pitchside_model::{Assurance, DeviceId, LinkId, Timestamp};
use pitchside_wire::control::Ready;
use pitchside_wire::handshake::AnswerError;
use pitchside_wire::{Class, GatewayKeys, Hello, Kind, OpenError, Random, SessionId, Stamp};

use super::roster::binding;
use super::table::{Binding, Live, Stage, State};
use super::{Auth, Pending, Seat, millis};
use crate::door::{Accepted, Cause, Refusal};
use crate::enrol::{DeviceKeys, device_keys};

/// Genuine HELLOs of one device that are remembered, to know them again.
const HEARD_MAX: usize = 32;

impl Auth {
    pub(super) fn hello(
        &self,
        link: LinkId,
        claimed: Option<&DeviceId>,
        frame: &[u8],
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Accepted, Refusal> {
        let hello = Hello::parse(frame).map_err(|error| self.refuse(link, frame, error.into(), now))?;
        if !self.links.take(link, now) {
            return Err(Refusal { cause: Cause::RateLimited, answer: None, close: true });
        }
        if claimed.is_some_and(|claimed| claimed.as_str() != hello.device) {
            return Err(self.refuse_hello(frame, Cause::AnotherDevice));
        }
        // Whatever is wrong with the name, the same work is done with keys nobody has.
        let (keys, binding, fault) = self.keys_for(&hello);
        let given = GatewayKeys { psk: &keys.psk, device: &keys.public, private: self.identity.private() };
        let answered = self
            .fresh_id(random)
            .map_err(AnswerError::from)
            .and_then(|id| hello.answer(given, id, millis(now), random));
        let cause = |error| match error {
            AnswerError::Forged => Cause::Forged,
            AnswerError::WrongStatic => Cause::WrongStatic,
            AnswerError::Random(error) => Cause::Random(error),
            AnswerError::Keys => Cause::Stored(crate::kek::UnwrapError::Form),
        };
        if let Some(fault) = fault {
            return Err(self.refuse_hello(frame, fault));
        }
        let answer = answered.map_err(|error| self.refuse_hello(frame, cause(error)))?;
        let device = DeviceId::parse(hello.device).map_err(|_| self.refuse_hello(frame, Cause::UnknownDevice))?;
        // Counted only now that it is genuine: whoever makes hellos up uses up their own link's credit, not the device's.
        self.admit_hello(link, &device, frame, answer.stamp, now)?;
        let assurance = if hello.class == Class::P0 { Assurance::Psk } else { Assurance::Noise };
        let stage = Stage::Pending { since: now, stamp: answer.stamp };
        self.remember(Live::new(answer.session, device, assurance, binding, stage), now)
            .map_err(|cause| self.refuse_hello(frame, cause))?;
        Ok(Accepted::Reply(answer.reply))
    }

    pub(super) fn confirm(
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
        let established = match state.stage {
            Stage::Pending { .. } => self.establish(&mut seat, &live, &mut state, frame, now),
            Stage::Live | Stage::Ended => self.open_frame(&live, &mut state, frame, now).map(|_| None),
        };
        let before = match established {
            Ok(before) => before,
            Err(cause) => return self.not_opened(link, &live, state, frame, cause, now),
        };
        let before = before.or_else(|| state.link.replace(link)).filter(|before| *before != link);
        state.link = Some(link);
        let ready = Ready { gateway_time_us: now.0 }.encode();
        let reply = self.seal_frame(&live, &mut state, Kind::Ready, &ready, now).ok();
        drop(state);
        self.pending.lock().retain(|attempt| attempt.id != live.id);
        Ok(Accepted::Established { device: live.device.clone(), reply, supersedes: before })
    }

    /// The pending session becomes the device's session; returns the link of the one it had.
    fn establish(
        &self,
        seat: &mut Seat,
        live: &Arc<Live>,
        state: &mut MutexGuard<'_, State>,
        frame: &[u8],
        now: Timestamp,
    ) -> Result<Option<LinkId>, Cause> {
        let Stage::Pending { since, stamp } = state.stage else { return Err(Cause::NoSession) };
        if now.micros_since(since) > i64::from(self.limits.pending_ms) * 1_000 {
            state.stage = Stage::Ended;
            self.table.remove(live.id);
            return Err(Cause::NoSession);
        }
        // Nothing is granted yet, so a genuine CONFIRM stops here, before its counter is used up.
        let wanted = match state.session.open(frame, millis(now)) {
            Err(OpenError::CeilingNotStored(wanted)) => wanted,
            _ => return Err(Cause::Forged),
        };
        let record = self.record(live.device.as_str()).ok_or(Cause::UnknownDevice)?;
        if record.revoked_at.is_some() || binding(&record) != live.binding {
            return Err(Cause::Revoked);
        }
        // The old session must not store a ceiling once the new one is stored: it ends first, and is back if we fail.
        let old = seat.current.take();
        let before = old.as_ref().and_then(|old| {
            let mut old = old.state.lock();
            old.stage = Stage::Ended;
            old.link
        });
        if let Err(cause) = self.store_new(seat, live, state, stamp.map(|stamp| stamp.0), wanted) {
            if let Some(old) = &old {
                old.state.lock().stage = Stage::Live;
            }
            seat.current = old;
            return Err(cause);
        }
        state.session.grant(wanted);
        state.session.open(frame, millis(now)).map_err(|_| Cause::Forged)?;
        state.stage = Stage::Live;
        seat.current = Some(Arc::clone(live));
        if let Some(old) = old {
            self.table.remove(old.id);
            self.drop_row(old.id);
        }
        Ok(before)
    }

    fn store_new(
        &self,
        seat: &mut Seat,
        live: &Live,
        state: &State,
        stamp: Option<u64>,
        wanted: pitchside_wire::Ceilings,
    ) -> Result<(), Cause> {
        if let Some(stamp) = stamp {
            self.check_stamp(seat, &live.device, stamp)?;
            self.keys.set_p2_stamp(&live.device, stamp)?;
            seat.stamp = Some(stamp);
        }
        self.put_session(live, state, wanted)
    }

    fn check_stamp(&self, seat: &mut Seat, device: &DeviceId, stamp: u64) -> Result<(), Cause> {
        if seat.stamp.is_none() {
            seat.stamp = self.keys.p2_stamp(device)?;
        }
        if seat.stamp.is_some_and(|last| stamp <= last) { Err(Cause::StaleStamp) } else { Ok(()) }
    }

    /// A genuine hello: once, in measure, and for class P2 not older than the last.
    fn admit_hello(
        &self,
        link: LinkId,
        device: &DeviceId,
        frame: &[u8],
        stamp: Option<Stamp>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let seat = self.seat(device);
        let mut seat = seat.lock();
        let end = frame.last_chunk().copied().unwrap_or_default();
        if seat.heard.contains(&end) {
            return Err(Refusal::silent(Cause::RepeatedHello));
        }
        let is_here = seat.current.as_ref().is_some_and(|live| live.state.lock().link == Some(link));
        if !is_here && !self.names.take(device.as_str(), now) {
            return Err(self.refuse_hello(frame, Cause::RateLimited));
        }
        if let Some(stamp) = stamp {
            self.check_stamp(&mut seat, device, stamp.0).map_err(|cause| self.refuse_hello(frame, cause))?;
        }
        if seat.heard.len() >= HEARD_MAX {
            seat.heard.pop_front();
        }
        seat.heard.push_back(end);
        Ok(())
    }

    /// The device's keys, or keys nobody has and what is wrong.
    fn keys_for(&self, hello: &Hello<'_>) -> (DeviceKeys, Binding, Option<Cause>) {
        let record = self.record(hello.device);
        let decoy = self.decoys.of(hello.class);
        let (row, fault) = match &record {
            None => (decoy, Some(Cause::UnknownDevice)),
            Some(record) if record.revoked_at.is_some() => (decoy, Some(Cause::Revoked)),
            Some(record) if record.class.wire() != Some(hello.class) => (decoy, Some(Cause::WrongClass)),
            Some(record) => (&**record, None),
        };
        let binding = binding(row);
        match device_keys(row, &self.kek) {
            Ok(keys) => (keys, binding, fault),
            Err(error) => {
                tracing::error!(device = hello.device, %error, "a device's stored keys cannot be used; enrol it again");
                (self.decoys.keys(), binding, Some(fault.unwrap_or(Cause::Stored(error))))
            }
        }
    }

    fn fresh_id(&self, random: &mut dyn Random) -> Result<SessionId, pitchside_wire::RandomFailed> {
        let mut bytes = [0; 8];
        random.fill(&mut bytes)?;
        Ok(SessionId(u64::from_le_bytes(bytes)))
    }

    /// Puts an attempt on the list, making room for it: attempts too old, then the device's own oldest.
    fn remember(&self, live: Arc<Live>, now: Timestamp) -> Result<(), Cause> {
        let mut pending = self.pending.lock();
        let age_max = i64::from(self.limits.pending_ms) * 1_000;
        while pending.front().is_some_and(|first| now.micros_since(first.at).abs() > age_max) {
            let first = pending.pop_front();
            self.give_up(first);
        }
        if pending.iter().filter(|attempt| attempt.device == live.device).count() >= self.limits.pending_per_device_max
        {
            let oldest = pending.iter().position(|attempt| attempt.device == live.device);
            let oldest = oldest.and_then(|at| pending.remove(at));
            self.give_up(oldest);
        }
        if pending.len() >= self.limits.pending_max || !self.table.insert(&live) {
            return Err(Cause::Busy);
        }
        pending.push_back(Pending { id: live.id, device: live.device.clone(), at: now });
        Ok(())
    }

    /// Takes an attempt from the table, unless it was confirmed meanwhile.
    fn give_up(&self, attempt: Option<Pending>) {
        let Some(live) = attempt.and_then(|attempt| self.table.get(attempt.id)) else { return };
        let mut state = live.state.lock();
        if matches!(state.stage, Stage::Pending { .. }) {
            state.stage = Stage::Ended;
            self.table.remove(live.id);
        }
    }
}
