//! Athlete keys at rest: wrapped under the box's key-encryption key (KEK), bound to whose they are.

use std::fmt;

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{AthleteKey, Generation};
use crate::ring::Whose;

/// Length of a wrapped key.
pub const WRAPPED_KEY_BYTES: usize = 1 + SALT_BYTES + 32 + 16;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 24;
const LABEL: &[u8] = b"pitchside/wrap/1";

/// The box's key-encryption key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Kek([u8; 32]);

/// Why a wrapped key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Wrong length or version.
    #[error("a wrapped key has {WRAPPED_KEY_BYTES} bytes and begins with version {VERSION}")]
    Shape,
    /// Another box wrapped it, it is somebody else's, or it was changed.
    #[error("the key does not open: it was wrapped by another box, for somebody else, or was changed")]
    Refused,
}

impl Kek {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Key and nonce of one wrapping. Derived per salt, so that a restored snapshot that repeats a nonce elsewhere can't
    /// repeat one here with other contents.
    fn derive(&self, salt: &[u8], whose: &Whose, generation: Generation) -> Zeroizing<[u8; 44]> {
        let mut out = Zeroizing::new([0u8; 44]);
        let info = [LABEL, &whose.to_bytes(), &generation.0.to_be_bytes()];
        // 44 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
        let _ = Hkdf::<Sha256>::new(Some(salt), &self.0).expand_multi_info(&info, out.as_mut());
        out
    }

    /// Wraps a key: version || salt || ciphertext || tag. `salt` is fresh randomness.
    pub fn wrap(
        &self,
        key: &AthleteKey,
        whose: &Whose,
        generation: Generation,
        salt: [u8; SALT_BYTES],
    ) -> Result<Vec<u8>, WrapError> {
        let derived = self.derive(&salt, whose, generation);
        let (cipher, nonce) = cipher(&derived);
        let mut buffer = Zeroizing::new(key.bytes().to_vec());
        cipher.encrypt_in_place(&nonce.into(), &[VERSION], &mut *buffer).map_err(|_| WrapError::Refused)?;
        let mut out = vec![VERSION];
        out.extend_from_slice(&salt);
        out.extend_from_slice(&buffer);
        Ok(out)
    }

    /// Unwraps a key that is said to be of `whose` and `generation`.
    pub fn unwrap(&self, wrapped: &[u8], whose: &Whose, generation: Generation) -> Result<AthleteKey, WrapError> {
        let body = wrapped.strip_prefix(&[VERSION]).filter(|_| wrapped.len() == WRAPPED_KEY_BYTES);
        let (salt, sealed) = body.and_then(|body| body.split_at_checked(SALT_BYTES)).ok_or(WrapError::Shape)?;
        let derived = self.derive(salt, whose, generation);
        let (cipher, nonce) = cipher(&derived);
        let mut buffer = Zeroizing::new(sealed.to_vec());
        cipher.decrypt_in_place(&nonce.into(), &[VERSION], &mut *buffer).map_err(|_| WrapError::Refused)?;
        buffer.as_slice().try_into().map(AthleteKey::new).map_err(|_| WrapError::Shape)
    }
}

fn cipher(derived: &[u8; 44]) -> (ChaCha20Poly1305, [u8; 12]) {
    let (mut key, mut nonce) = (Zeroizing::new([0u8; 32]), [0u8; 12]);
    key.copy_from_slice(&derived[..32]);
    nonce.copy_from_slice(&derived[32..]);
    (ChaCha20Poly1305::new((&*key).into()), nonce)
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}
