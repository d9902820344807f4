//! Hands `snow` the ephemeral secret we were given, so that randomness stays an argument of this crate.

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

/// The default primitives, with one ephemeral secret in place of the system's randomness.
pub(super) struct Given(pub Zeroizing<[u8; 32]>);

struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), snow::Error> {
        // A second draw would repeat a key: refuse it. Each side of IK draws once, for its ephemeral.
        let secret = self.0.take().ok_or(snow::Error::Rng)?;
        if to.len() != secret.len() {
            return Err(snow::Error::Rng);
        }
        to.copy_from_slice(secret.as_slice());
        Ok(())
    }
}

impl CryptoResolver for Given {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0.clone()))))
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
