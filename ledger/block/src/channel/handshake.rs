//! The handshake: message 1 from the gateway, message 2 from the ledger.

use snow::HandshakeState;
use zeroize::Zeroizing;

use pitchside_model::Timestamp;

use super::frames::frame;
use super::keys::{Keypair, Psk, PublicKey};
use super::source::Given;
use super::transport::Channel;
use super::{ChannelError, PATTERN, PROLOGUE, VERSION};

/// Where `psk2` stands in the pattern's name.
const PSK_LOCATION: usize = 2;
/// Message 1: e (32), s (32 + 16), version and timestamp (9 + 16).
const HAIL_BYTES: usize = 105;
/// Message 2: e (32), version (1 + 16).
const ANSWER_BYTES: usize = 49;

fn builder(ephemeral: Zeroizing<[u8; 32]>) -> Result<snow::Builder<'static>, ChannelError> {
    let params = PATTERN.parse().map_err(|_| ChannelError::Parameters)?;
    snow::Builder::with_resolver(params, Box::new(Given(ephemeral)))
        .prologue(PROLOGUE)
        .map_err(|_| ChannelError::Parameters)
}

/// The gateway's side, between message 1 and message 2.
pub struct Client {
    state: HandshakeState,
}

impl Client {
    /// Begins: gives the frame to send. `now` should rise from handshake to handshake; `ephemeral` is 32 fresh random
    /// bytes, never used twice.
    ///
    /// # Errors
    /// Only for a defect in the Noise parameters.
    pub fn start(
        local: &Keypair,
        psk: &Psk,
        ledger: &PublicKey,
        now: Timestamp,
        ephemeral: Zeroizing<[u8; 32]>,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let mut state = builder(ephemeral)?
            .local_private_key(local.secret())
            .and_then(|b| b.remote_public_key(&ledger.0))
            .and_then(|b| b.psk(2, psk.bytes()))
            .and_then(snow::Builder::build_initiator)
            .map_err(|_| ChannelError::Parameters)?;
        let mut payload = [0u8; 9];
        payload[0] = VERSION;
        payload[1..].copy_from_slice(&now.0.to_be_bytes());
        let mut message = [0u8; HAIL_BYTES];
        let length = state.write_message(&payload, &mut message).map_err(|_| ChannelError::Parameters)?;
        let framed = frame(message.get(..length).unwrap_or_default())?;
        Ok((Self { state }, framed))
    }

    /// Reads the ledger's answer (a frame without its length) and is connected.
    ///
    /// # Errors
    /// The answer is not authentic: another ledger, another pre-shared key, or changed bytes.
    pub fn finish(mut self, answer: &[u8]) -> Result<Channel, ChannelError> {
        if answer.len() != ANSWER_BYTES {
            return Err(ChannelError::Handshake(answer.len()));
        }
        let mut payload = [0u8; ANSWER_BYTES];
        let length = self.state.read_message(answer, &mut payload).map_err(|_| ChannelError::NotAuthentic)?;
        check_version(payload.get(..length).unwrap_or_default())?;
        Channel::new(self.state)
    }
}

fn check_version(payload: &[u8]) -> Result<(), ChannelError> {
    match payload.first() {
        Some(&VERSION) => Ok(()),
        Some(&other) => Err(ChannelError::Version(other)),
        None => Err(ChannelError::Handshake(0)),
    }
}

/// What message 1 says: who claims to call, and when that was by the caller's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hail {
    /// The caller's static key: proven to be the writer of this message, not that it is alive now.
    pub peer: PublicKey,
    /// The caller's clock when it wrote the message.
    pub sent_at: Timestamp,
}

/// The ledger's side, between message 1 and message 2.
pub struct Server {
    state: HandshakeState,
    hail: Hail,
}

impl Server {
    /// Reads message 1 (a frame without its length). `ephemeral` is 32 fresh random bytes, never used twice.
    ///
    /// # Errors
    /// Not written to this ledger's key, another version, or another length.
    pub fn read(local: &Keypair, hail: &[u8], ephemeral: Zeroizing<[u8; 32]>) -> Result<Self, ChannelError> {
        if hail.len() != HAIL_BYTES {
            return Err(ChannelError::Handshake(hail.len()));
        }
        let mut state = builder(ephemeral)?
            .local_private_key(local.secret())
            .and_then(snow::Builder::build_responder)
            .map_err(|_| ChannelError::Parameters)?;
        let mut payload = [0u8; HAIL_BYTES];
        let length = state.read_message(hail, &mut payload).map_err(|_| ChannelError::NotAuthentic)?;
        let payload = payload.get(..length).unwrap_or_default();
        check_version(payload)?;
        let sent_at = match payload.get(1..).map(<[u8; 8]>::try_from) {
            Some(Ok(bytes)) => Timestamp(i64::from_be_bytes(bytes)),
            _ => return Err(ChannelError::Handshake(payload.len())),
        };
        let peer = state.get_remote_static().and_then(|key| key.try_into().ok()).map(PublicKey);
        let peer = peer.ok_or(ChannelError::NotAuthentic)?;
        Ok(Self { state, hail: Hail { peer, sent_at } })
    }

    /// Who calls, to look its pre-shared key up.
    pub const fn hail(&self) -> Hail {
        self.hail
    }

    /// Answers with the caller's pre-shared key: the channel and the frame to send. The caller has proven that it holds
    /// the key, and is alive, only when its first transport frame opens.
    ///
    /// # Errors
    /// Only for a defect in the Noise parameters.
    pub fn answer(mut self, psk: &Psk) -> Result<(Channel, Vec<u8>), ChannelError> {
        self.state.set_psk(PSK_LOCATION, psk.bytes()).map_err(|_| ChannelError::Parameters)?;
        let mut message = [0u8; ANSWER_BYTES];
        let length = self.state.write_message(&[VERSION], &mut message).map_err(|_| ChannelError::Parameters)?;
        let framed = frame(message.get(..length).unwrap_or_default())?;
        Ok((Channel::new(self.state)?, framed))
    }
}
