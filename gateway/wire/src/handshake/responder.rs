//! The gateway's side.

use alloc::vec;
use alloc::vec::Vec;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::noise::{self, Keys};
use super::{Class, NOISE_REPLY_BYTES, P0_REPLY_BYTES, is_device_id, psk};
use crate::bytes::Cursor;
use crate::frame::{FrameError, Kind};
use crate::ids::{Millis, Random, RandomFailed, SessionId, Stamp};
use crate::key::{PrivateKey, Psk, PublicKey};
use crate::session::{Role, Session};

/// Why bytes are not a HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not a HELLO, or one of the wrong length.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An unknown class.
    #[error("unknown class {0}: 0 is P0, 1 is P1, 2 is P2")]
    Class(u8),
    /// The device id cannot be one.
    #[error("the device id is not 1 to 48 letters, digits, '-', '_' or '.'")]
    Device,
}

/// Why a HELLO was not answered. For the log; outside all of these look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Wrong pre-shared key, wrong gateway key, or a changed byte.
    #[error("the hello does not authenticate: wrong key, or changed on the way")]
    Forged,
    /// Class P2: not the key the device was enrolled with.
    #[error("the device's static key is not the enrolled one")]
    WrongStatic,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// A key of ours that X25519 or the derivation cannot use.
    #[error("the stored keys cannot be used; enrol the device again")]
    Keys,
}

/// What the gateway knows of the device that says HELLO.
#[derive(Debug, Clone, Copy)]
pub struct GatewayKeys<'a> {
    /// Shared with the device.
    pub psk: &'a Psk,
    /// The device's enrolled key; compared for class P2.
    pub device: &'a PublicKey,
    /// The gateway's own key.
    pub private: &'a PrivateKey,
}

/// A HELLO, read but not believed.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    /// How the device wants to prove itself.
    pub class: Class,
    /// Who it says it is.
    pub device: &'a str,
    frame: &'a [u8],
    body: &'a [u8],
}

/// The gateway's answer. The session is not in use before the device's CONFIRM opens in it.
#[derive(Debug)]
pub struct Answer {
    /// The REPLY to send.
    pub reply: Vec<u8>,
    /// The session, nothing granted yet.
    pub session: Session,
    /// Class P2: the stamp, to be compared now and remembered only after the CONFIRM.
    pub stamp: Option<Stamp>,
}

impl<'a> Hello<'a> {
    /// Reads a HELLO.
    pub fn parse(frame: &'a [u8]) -> Result<Self, HelloError> {
        let kind = Kind::of(frame)?;
        if kind != Kind::Hello {
            return Err(FrameError::Kind(kind as u8).into());
        }
        let short = |least| FrameError::Short { got: frame.len(), least };
        let mut fields = Cursor(&frame[1..]);
        let code = fields.u8().ok_or(short(3))?;
        let class = Class::from_code(code).ok_or(HelloError::Class(code))?;
        let length = usize::from(fields.u8().ok_or(short(3))?);
        let expected = 3 + length + class.hello_bytes();
        let device = fields.take(length).ok_or(short(expected))?;
        let device = core::str::from_utf8(device).ok().filter(|id| is_device_id(id)).ok_or(HelloError::Device)?;
        let body = fields.0;
        match frame.len() {
            got if got < expected => Err(short(expected).into()),
            got if got > expected => Err(FrameError::Long { got, most: expected }.into()),
            _ => Ok(Self { class, device, frame, body }),
        }
    }

    /// Checks the HELLO against the device's keys and answers it under a new session number.
    pub fn answer(
        &self,
        keys: GatewayKeys<'_>,
        session: SessionId,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Answer, AnswerError> {
        match self.class {
            Class::P0 => self.answer_psk(keys.psk, session, now, random),
            Class::P1 | Class::P2 => self.answer_noise(keys, session, now, random),
        }
    }

    fn answer_psk(
        &self,
        psk: &Psk,
        session: SessionId,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Answer, AnswerError> {
        let (unsigned, tag) = self.frame.split_last_chunk::<{ psk::MAC_BYTES }>().ok_or(AnswerError::Forged)?;
        let theirs = Cursor(self.body).array().ok_or(AnswerError::Forged)?;
        let mut ours = [0; psk::NONCE_BYTES];
        random.fill(&mut ours)?;
        let expected = psk::hello_tag(psk, self.device, &theirs, unsigned).map_err(|_| AnswerError::Keys)?;
        if !psk::same(&expected, tag) {
            return Err(AnswerError::Forged);
        }
        let derived = psk::derive(psk, self.device, &theirs, &ours).map_err(|_| AnswerError::Keys)?;
        let mut reply = Vec::with_capacity(P0_REPLY_BYTES);
        reply.push(Kind::Reply as u8);
        reply.extend_from_slice(&ours);
        reply.extend_from_slice(&session.0.to_le_bytes());
        let tag = derived.reply_tag(self.frame, &reply).map_err(|_| AnswerError::Keys)?;
        reply.extend_from_slice(&tag);
        Ok(Answer { reply, session: Session::new(session, Role::Gateway, derived.keys, now), stamp: None })
    }

    fn answer_noise(
        &self,
        keys: GatewayKeys<'_>,
        session: SessionId,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Answer, AnswerError> {
        let mut ephemeral = Zeroizing::new([0; 32]);
        random.fill(&mut *ephemeral)?;
        let private = (self.class == Class::P2).then_some(keys.private);
        let prologue = &self.frame[..self.frame.len() - self.body.len()];
        let keys_in = Keys { psk: keys.psk, private, remote: None, ephemeral };
        let mut state = noise::state(self.class, prologue, keys_in, false).map_err(|_| AnswerError::Keys)?;
        let mut payload = [0; 8];
        let length = state.read_message(self.body, &mut payload).map_err(|_| AnswerError::Forged)?;
        let stamp = match self.class {
            Class::P2 => {
                let known = state.get_remote_static().is_some_and(|key| key.ct_eq(&keys.device.0).into());
                if !known {
                    return Err(AnswerError::WrongStatic);
                }
                (length == payload.len()).then_some(Stamp(u64::from_le_bytes(payload)))
            }
            Class::P0 | Class::P1 => None,
        };
        let mut reply = vec![Kind::Reply as u8; NOISE_REPLY_BYTES];
        let written = state.write_message(&session.0.to_le_bytes(), &mut reply[1..]).map_err(|_| AnswerError::Keys)?;
        reply.truncate(1 + written);
        let keys = noise::split(state);
        Ok(Answer { reply, session: Session::new(session, Role::Gateway, keys, now), stamp })
    }
}
