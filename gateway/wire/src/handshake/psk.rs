//! Class P0: HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104), nothing else.
//!
//! ```text
//! hello key = HKDF(salt = device nonce,                  ikm = PSK, info = "ps/1/hello" || device id, 32 bytes)
//! HELLO tag = HMAC(hello key, HELLO without its tag)[0..16]
//! session   = HKDF(salt = device nonce || gateway nonce, ikm = PSK, info = "ps/1/psk"   || device id, 96 bytes)
//!             = up key 32 || down key 32 || confirm key 32
//! REPLY tag = HMAC(confirm key, HELLO || REPLY without its tag)[0..16]
//! ```

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::key::Psk;
use crate::session::TrafficKeys;

pub(super) const NONCE_BYTES: usize = 16;
pub(super) const MAC_BYTES: usize = 16;

pub(super) type Nonce = [u8; NONCE_BYTES];
pub(super) type Tag = [u8; MAC_BYTES];

/// The lengths asked of HKDF and HMAC are constants they allow; this is what is left of their error types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

fn expand(salt: &[u8], psk: &Psk, label: &str, device: &str, out: &mut [u8]) -> Result<(), Unusable> {
    Hkdf::<Sha256>::new(Some(salt), psk.expose())
        .expand_multi_info(&[label.as_bytes(), device.as_bytes()], out)
        .map_err(|_| Unusable)
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Result<Tag, Unusable> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unusable)?;
    parts.iter().for_each(|part| hmac.update(part));
    let mut whole: [u8; 32] = hmac.finalize().into_bytes().into();
    let tag = whole.first_chunk().copied().ok_or(Unusable);
    whole.zeroize();
    tag
}

/// The tag of a HELLO.
pub(super) fn hello_tag(psk: &Psk, device: &str, nonce: &Nonce, hello: &[u8]) -> Result<Tag, Unusable> {
    let mut key = Zeroizing::new([0; 32]);
    expand(nonce, psk, "ps/1/hello", device, &mut *key)?;
    mac(&key, &[hello])
}

/// What both nonces come to.
pub(super) struct Derived {
    pub keys: TrafficKeys,
    confirm: Zeroizing<[u8; 32]>,
}

pub(super) fn derive(psk: &Psk, device: &str, theirs: &Nonce, ours: &Nonce) -> Result<Derived, Unusable> {
    let mut salt = [0; 2 * NONCE_BYTES];
    salt[..NONCE_BYTES].copy_from_slice(theirs);
    salt[NONCE_BYTES..].copy_from_slice(ours);
    let mut okm = Zeroizing::new([0; 96]);
    expand(&salt, psk, "ps/1/psk", device, &mut *okm)?;
    let mut derived = Derived { keys: TrafficKeys { up: [0; 32], down: [0; 32] }, confirm: Zeroizing::new([0; 32]) };
    derived.keys.up.copy_from_slice(&okm[..32]);
    derived.keys.down.copy_from_slice(&okm[32..64]);
    derived.confirm.copy_from_slice(&okm[64..]);
    Ok(derived)
}

impl Derived {
    /// The tag of a REPLY.
    pub fn reply_tag(&self, hello: &[u8], reply: &[u8]) -> Result<Tag, Unusable> {
        mac(&self.confirm, &[hello, reply])
    }
}

/// In constant time.
pub(super) fn same(a: &Tag, b: &Tag) -> bool {
    a.ct_eq(b).into()
}
