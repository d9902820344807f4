//! Classes P1 and P2: Noise, by `snow`, with the randomness handed in.

use alloc::boxed::Box;

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random as SnowRandom};
use snow::{Builder, Error, HandshakeState};
use zeroize::{Zeroize, Zeroizing};

use super::Class;
use crate::key::{PrivateKey, Psk, PublicKey};
use crate::session::TrafficKeys;

/// 32 bytes drawn beforehand: exactly one ephemeral key.
struct Drawn(Option<Zeroizing<[u8; 32]>>);

impl SnowRandom for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let drawn = self.0.take().filter(|drawn| drawn.len() == out.len()).ok_or(Error::Rng)?;
        out.copy_from_slice(&*drawn);
        Ok(())
    }
}

/// The default constructions, with [`Drawn`] in place of the operating system.
struct Given(Zeroizing<[u8; 32]>);

impl CryptoResolver for Given {
    fn resolve_rng(&self) -> Option<Box<dyn SnowRandom>> {
        Some(Box::new(Drawn(Some(self.0.clone()))))
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// What one side brings.
pub(super) struct Keys<'a> {
    pub psk: &'a Psk,
    /// This side's key, P2 only.
    pub private: Option<&'a PrivateKey>,
    /// The gateway's key, P2 initiator only.
    pub remote: Option<&'a PublicKey>,
    pub ephemeral: Zeroizing<[u8; 32]>,
}

/// Both handshakes begin with everything of HELLO before the Noise message.
pub(super) fn state(class: Class, prologue: &[u8], keys: Keys<'_>, initiator: bool) -> Result<HandshakeState, Error> {
    let (name, place) = match class {
        Class::P2 => ("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", 2),
        Class::P0 | Class::P1 => ("Noise_NNpsk0_25519_ChaChaPoly_SHA256", 0),
    };
    let params: NoiseParams = name.parse()?;
    let mut builder = Builder::with_resolver(params, Box::new(Given(keys.ephemeral)));
    builder = builder.psk(place, keys.psk.expose())?.prologue(prologue)?;
    if let Some(private) = keys.private {
        builder = builder.local_private_key(private.expose())?;
    }
    if let Some(remote) = keys.remote {
        builder = builder.remote_public_key(&remote.0)?;
    }
    if initiator { builder.build_initiator() } else { builder.build_responder() }
}

/// The keys of a finished handshake: initiator's first.
pub(super) fn split(mut state: HandshakeState) -> TrafficKeys {
    let (mut up, mut down) = state.dangerously_get_raw_split();
    let keys = TrafficKeys { up, down };
    up.zeroize();
    down.zeroize();
    keys
}
