//! The device's side.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::noise::{self, Keys};
use super::{Class, Credential, HELLO_BYTES_MAX, NOISE_REPLY_BYTES, P0_REPLY_BYTES, is_device_id, psk};
use crate::bytes::Cursor;
use crate::frame::{ECHO_BYTES, FrameError, Kind};
use crate::ids::{Millis, Random, RandomFailed, SessionId, Stamp};
use crate::key::Psk;
use crate::session::{Role, Session};

/// Why a handshake could not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The device id cannot be one.
    #[error("a device id has 1 to 48 letters, digits, '-', '_' or '.', beginning with a letter or digit")]
    Device,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// A key that X25519 or the derivation cannot use.
    #[error("the device's keys cannot be used; enrol it again")]
    Keys,
}

/// Why a REPLY was not accepted. The attempt goes on: the genuine REPLY may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// Not a REPLY of this class.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not from our gateway, or not to this HELLO.
    #[error("the reply does not authenticate")]
    Forged,
    /// The attempt is over.
    #[error("this handshake has already finished")]
    Finished,
}

enum State {
    Psk { psk: Psk, nonce: psk::Nonce },
    Noise(Box<HandshakeState>),
    Finished,
}

/// One attempt of a device to begin a session.
pub struct Initiator {
    device: String,
    hello: Vec<u8>,
    state: State,
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Initiator").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Initiator {
    /// Begins. `stamp` is used by class P2 and must be larger than in any HELLO of this device before.
    pub fn start(
        device: &str,
        credential: &Credential,
        stamp: Stamp,
        random: &mut dyn Random,
    ) -> Result<Self, StartError> {
        if !is_device_id(device) {
            return Err(StartError::Device);
        }
        let mut hello = Vec::with_capacity(HELLO_BYTES_MAX);
        hello.extend_from_slice(&[Kind::Hello as u8, credential.class() as u8, device.len() as u8]);
        hello.extend_from_slice(device.as_bytes());
        let state = match credential {
            Credential::P0 { psk } => start_psk(device, psk, random, &mut hello)?,
            Credential::P1 { psk } => {
                let keys = Keys { psk, private: None, remote: None, ephemeral: draw(random)? };
                start_noise(Class::P1, keys, &[], &mut hello)?
            }
            Credential::P2 { psk, private, gateway } => {
                let keys = Keys { psk, private: Some(private), remote: Some(gateway), ephemeral: draw(random)? };
                start_noise(Class::P2, keys, &stamp.0.to_le_bytes(), &mut hello)?
            }
        };
        Ok(Self { device: device.to_owned(), hello, state })
    }

    /// The HELLO to send, once: a gateway answers no HELLO twice. While no REPLY comes, begin anew.
    pub fn hello(&self) -> &[u8] {
        &self.hello
    }

    /// What a REFUSED frame that answers this attempt echoes.
    pub fn echo(&self) -> [u8; ECHO_BYTES] {
        self.hello.last_chunk().copied().unwrap_or_default()
    }

    /// Takes the REPLY: the session, which the gateway counts from the CONFIRM on.
    pub fn finish(&mut self, reply: &[u8], now: Millis) -> Result<Session, FinishError> {
        let kind = Kind::of(reply)?;
        if kind != Kind::Reply {
            return Err(FrameError::Kind(kind as u8).into());
        }
        match &mut self.state {
            State::Finished => Err(FinishError::Finished),
            State::Psk { psk, nonce } => {
                let session = finish_psk(&self.device, &self.hello, psk, nonce, reply, now)?;
                self.state = State::Finished;
                Ok(session)
            }
            State::Noise(state) => {
                check_length(reply, NOISE_REPLY_BYTES)?;
                let mut session = [0; 8];
                state.read_message(&reply[1..], &mut session).map_err(|_| FinishError::Forged)?;
                let State::Noise(state) = core::mem::replace(&mut self.state, State::Finished) else {
                    return Err(FinishError::Finished);
                };
                Ok(Session::new(SessionId(u64::from_le_bytes(session)), Role::Device, noise::split(*state), now))
            }
        }
    }
}

fn draw(random: &mut dyn Random) -> Result<Zeroizing<[u8; 32]>, RandomFailed> {
    let mut drawn = Zeroizing::new([0; 32]);
    random.fill(&mut *drawn)?;
    Ok(drawn)
}

fn start_psk(device: &str, psk: &Psk, random: &mut dyn Random, hello: &mut Vec<u8>) -> Result<State, StartError> {
    let mut nonce = [0; psk::NONCE_BYTES];
    random.fill(&mut nonce)?;
    hello.extend_from_slice(&nonce);
    let tag = psk::hello_tag(psk, device, &nonce, hello).map_err(|_| StartError::Keys)?;
    hello.extend_from_slice(&tag);
    Ok(State::Psk { psk: psk.clone(), nonce })
}

fn start_noise(class: Class, keys: Keys<'_>, payload: &[u8], hello: &mut Vec<u8>) -> Result<State, StartError> {
    let mut state = noise::state(class, hello, keys, true).map_err(|_| StartError::Keys)?;
    let head = hello.len();
    hello.resize(head + class.hello_bytes(), 0);
    let written = state.write_message(payload, &mut hello[head..]).map_err(|_| StartError::Keys)?;
    hello.truncate(head + written);
    Ok(State::Noise(Box::new(state)))
}

fn check_length(reply: &[u8], expected: usize) -> Result<(), FrameError> {
    match reply.len() {
        got if got < expected => Err(FrameError::Short { got, least: expected }),
        got if got > expected => Err(FrameError::Long { got, most: expected }),
        _ => Ok(()),
    }
}

fn finish_psk(
    device: &str,
    hello: &[u8],
    psk: &Psk,
    nonce: &psk::Nonce,
    reply: &[u8],
    now: Millis,
) -> Result<Session, FinishError> {
    check_length(reply, P0_REPLY_BYTES)?;
    let (unsigned, tag) = reply.split_last_chunk::<{ psk::MAC_BYTES }>().ok_or(FinishError::Forged)?;
    let mut fields = Cursor(&unsigned[1..]);
    let theirs = fields.array().ok_or(FinishError::Forged)?;
    let session = SessionId(fields.u64().ok_or(FinishError::Forged)?);
    let derived = psk::derive(psk, device, nonce, &theirs).map_err(|_| FinishError::Forged)?;
    let expected = derived.reply_tag(hello, unsigned).map_err(|_| FinishError::Forged)?;
    if !psk::same(&expected, tag) {
        return Err(FinishError::Forged);
    }
    Ok(Session::new(session, Role::Device, derived.keys, now))
}
