//! Secrets under the box's key (KEK).
//!
//! ```text
//! | version 1 | salt 24 | ciphertext n | tag 16 |
//! associated data = purpose, then each part of the context, each after its length (u32, little-endian)
//! salt = HKDF-SHA256(secret, ikm = KEK, info = "pitchside/auth/salt/1" || associated data)
//! key  = HKDF-SHA256(salt,   ikm = KEK, info = "pitchside/auth/wrap/1"), nonce 0
//! ```
//!
//! The salt is synthetic: it comes from what is wrapped, so one key seals one secret in one place, and no source of
//! randomness can fail us here.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use pitchside_wire::{PrivateKey, PublicKey};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const VERSION: u8 = 1;
const SALT_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const INFO_SALT: &[u8] = b"pitchside/auth/salt/1";
const INFO_WRAP: &[u8] = b"pitchside/auth/wrap/1";

/// The key under which the box wraps what it stores.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Kek([u8; 32]);

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kek(..)")
    }
}

/// The gateway's X25519 key pair: what P2 devices know it by.
#[derive(Debug, Clone)]
pub struct GatewayIdentity {
    private: PrivateKey,
    public: PublicKey,
}

impl GatewayIdentity {
    /// From the private key.
    pub fn from_private(private: PrivateKey) -> Self {
        let public = private.public();
        Self { private, public }
    }

    /// The public key, to be put on cards.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) const fn private(&self) -> &PrivateKey {
        &self.private
    }
}

/// Why a wrapped secret could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// Too short, or written by another version.
    #[error("the stored secret is not in a form this program knows")]
    Form,
    /// Another KEK, a changed byte, or moved here from another row.
    #[error("the stored secret was changed, moved, or wrapped under another key")]
    Changed,
}

/// What a wrapped secret is for, and which row it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub purpose: &'a str,
    pub parts: &'a [&'a [u8]],
}

impl Context<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(96);
        for part in std::iter::once(self.purpose.as_bytes()).chain(self.parts.iter().copied()) {
            // Names and filters: far below 4 GiB.
            data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

impl Kek {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn derive<const N: usize>(&self, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        // Only an output beyond 8,160 bytes is refused; ours are at most 64.
        let expanded = Hkdf::<Sha256>::new(Some(salt), &self.0).expand_multi_info(info, &mut *out);
        debug_assert!(expanded.is_ok());
        out
    }

    fn cipher(&self, salt: &[u8]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(*self.derive::<32>(salt, &[INFO_WRAP])))
    }

    /// Bytes nobody without the KEK can tell from random, the same every time.
    pub(crate) fn decoy<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        self.derive(b"decoy", &[label.as_bytes()])
    }

    pub(crate) fn wrap(&self, context: Context<'_>, secret: &[u8]) -> Result<Vec<u8>, UnwrapError> {
        let data = context.associated_data();
        let salt = self.derive::<SALT_BYTES>(secret, &[INFO_SALT, &data]);
        let mut wrapped = Vec::with_capacity(1 + SALT_BYTES + secret.len() + TAG_BYTES);
        wrapped.push(VERSION);
        wrapped.extend_from_slice(&*salt);
        wrapped.extend_from_slice(secret);
        let body = &mut wrapped[1 + SALT_BYTES..];
        // Refused only beyond 256 GiB.
        let tag = self
            .cipher(&*salt)
            .encrypt_inout_detached(&Nonce::default(), &data, body.into())
            .map_err(|_| UnwrapError::Form)?;
        wrapped.extend_from_slice(&tag);
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, context: Context<'_>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        let (version, rest) = wrapped.split_first().ok_or(UnwrapError::Form)?;
        let (salt, rest) = rest.split_at_checked(SALT_BYTES).ok_or(UnwrapError::Form)?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(UnwrapError::Form)?;
        if *version != VERSION {
            return Err(UnwrapError::Form);
        }
        let mut secret = Zeroizing::new(body.to_vec());
        self.cipher(salt)
            .decrypt_inout_detached(
                &Nonce::default(),
                &context.associated_data(),
                secret.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .map_err(|_| UnwrapError::Changed)?;
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(parts: &[&[u8]]) -> Vec<u8> {
        Kek::new([1; 32]).wrap(Context { purpose: "device", parts }, b"secret").unwrap()
    }

    #[test]
    fn a_secret_unwraps_only_in_its_own_place_and_under_its_own_key() {
        let parts: [&[u8]; 2] = [b"P1", b"strap"];
        let stored = wrapped(&parts);
        let context = Context { purpose: "device", parts: &parts };
        assert_eq!(**Kek::new([1; 32]).unwrap(context, &stored).unwrap(), *b"secret");
        assert_eq!(Kek::new([2; 32]).unwrap(context, &stored), Err(UnwrapError::Changed));
        for (purpose, parts) in
            [("session", [&b"P1"[..], b"strap"]), ("device", [b"P1s", b"trap"]), ("device", [b"P0", b"strap"])]
        {
            let elsewhere = Context { purpose, parts: &parts };
            assert_eq!(Kek::new([1; 32]).unwrap(elsewhere, &stored), Err(UnwrapError::Changed));
        }
    }

    #[test]
    fn a_stored_secret_cut_anywhere_or_with_any_bit_flipped_is_refused() {
        let parts: [&[u8]; 1] = [b"strap"];
        let stored = wrapped(&parts);
        let context = Context { purpose: "device", parts: &parts };
        for end in 0..stored.len() {
            assert!(Kek::new([1; 32]).unwrap(context, &stored[..end]).is_err());
        }
        for bit in 0..stored.len() * 8 {
            let mut bent = stored.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Kek::new([1; 32]).unwrap(context, &bent).is_err());
        }
    }
}
