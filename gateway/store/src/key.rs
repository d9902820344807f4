//! Sealed rows: what could tell of anybody's health is encrypted before SQLite sees it.
//!
//! Every row has its own key and nonce, HKDF-Expand(purpose key, label || salt), so two rows share them only if they share
//! their salt, and nothing depends on a counter that a crash or a restored snapshot could turn back. Layout: README.md,
//! "Sealed rows".
//!
//! The salt is 24 bytes of keyed BLAKE3 over 32 fresh random bytes, the boot counter, the row's context (its length
//! first, so no two inputs read alike) and the plaintext:
//! - Two rows with other inputs share a salt only by a collision in 192 bits: below 2^-97 for 2^48 rows, as good as
//!   random salts of that length.
//! - The inputs are the same only if the randomness is, which takes a snapshot of a running machine resumed twice, and
//!   even then only for the same plaintext in the same row: the same ciphertext again, which tells nothing new.
//! - It is keyed, so a guessed plaintext cannot be confirmed from the salt. That key is used for nothing else.
//!
//! Why not HMAC-SHA-256, which the derivation uses: this hash reads every byte of every row, and BLAKE3 is several times
//! as fast where SHA has no instructions of its own. Opening takes the salt as it stands in the row, so how it was made
//! may change without another version of the layout.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::StoreError;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Where the plaintext begins in a buffer given to [`RowKey::seal`].
pub(crate) const HEAD_BYTES: usize = 1 + SALT_BYTES;

/// The key everything at rest hangs on. 256 random bits, from a file only the gateway can read.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// Takes 256 bits of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(..)")
    }
}

/// One key a purpose: a row of one table can never pass for a row of another.
pub(crate) struct Vault {
    pub(crate) journal: RowKey,
    pub(crate) alerts: RowKey,
    pub(crate) quarantine: RowKey,
    pub(crate) undecoded: RowKey,
    pub(crate) meta: RowKey,
    pub(crate) shadow: RowKey,
}

impl Vault {
    pub(crate) fn new(root: &RootKey) -> Result<Self, Underived> {
        let key = |purpose| RowKey::new(root, purpose);
        Ok(Self {
            journal: key("journal")?,
            alerts: key("alerts")?,
            quarantine: key("quarantine")?,
            undecoded: key("undecoded")?,
            meta: key("meta")?,
            shadow: key("shadow")?,
        })
    }
}

/// Seals the rows of one table.
pub(crate) struct RowKey {
    purpose: &'static str,
    secret: Zeroizing<[u8; 32]>,
    /// For salts alone.
    salting: Zeroizing<[u8; 32]>,
}

/// HKDF refused the lengths asked of it. Ours are constant and in range; a zero key must not come of it all the same.
#[derive(Debug)]
pub(crate) struct Underived;

impl From<Underived> for StoreError {
    fn from(Underived: Underived) -> Self {
        Self::Database("a key could not be derived".to_owned())
    }
}

/// The row does not open: wrong key, wrong place, or changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unopened;

impl RowKey {
    fn new(root: &RootKey, purpose: &'static str) -> Result<Self, Underived> {
        let (mut secret, mut salting) = (Zeroizing::new([0u8; 32]), Zeroizing::new([0u8; 32]));
        let kdf = Hkdf::<Sha256>::new(Some(b"pitchside/store/1"), &root.0);
        kdf.expand(purpose.as_bytes(), secret.as_mut()).map_err(|_| Underived)?;
        kdf.expand_multi_info(&[b"salt/", purpose.as_bytes()], salting.as_mut()).map_err(|_| Underived)?;
        Ok(Self { purpose, secret, salting })
    }

    /// Seals `buffer`, whose first [`HEAD_BYTES`] bytes are room for the head and the rest plaintext, in place.
    /// `context` names the row; the same bytes open it again.
    pub(crate) fn seal(&self, boot: u64, context: &[u8], mut buffer: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|_| StoreError::NoRandomness)?;
        if buffer.len() < HEAD_BYTES {
            buffer.resize(HEAD_BYTES, 0);
        }
        let (head, plain) = buffer.split_at_mut(HEAD_BYTES);
        head[0] = VERSION;
        head[1..].copy_from_slice(&self.salt(&random, boot, context, plain));
        let (cipher, nonce) = self.cipher(&head[1..])?;
        let tag = cipher
            .encrypt_inout_detached(&nonce, &self.associated(context), plain.into())
            .map_err(|_| StoreError::TooLarge { what: "a sealed row", size: u64::MAX, max: u64::from(u32::MAX) })?;
        buffer.extend_from_slice(&tag);
        Ok(buffer)
    }

    /// Seals a copy of `plain`.
    pub(crate) fn seal_copy(&self, boot: u64, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut buffer = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
        buffer.resize(HEAD_BYTES, 0);
        buffer.extend_from_slice(plain);
        self.seal(boot, context, buffer)
    }

    /// Opens what [`RowKey::seal`] made with the same context.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (head, rest) = sealed.split_at_checked(HEAD_BYTES).ok_or(Unopened)?;
        let (version, salt) = head.split_first().ok_or(Unopened)?;
        let plain_bytes = rest.len().checked_sub(TAG_BYTES).ok_or(Unopened)?;
        let (body, tag) = rest.split_at_checked(plain_bytes).ok_or(Unopened)?;
        if *version != VERSION {
            return Err(Unopened);
        }
        let tag: Tag = tag.try_into().map_err(|_| Unopened)?;
        let (cipher, nonce) = self.cipher(salt).map_err(|Underived| Unopened)?;
        let mut plain = body.to_vec();
        cipher
            .decrypt_inout_detached(&nonce, &self.associated(context), plain.as_mut_slice().into(), &tag)
            .map_err(|_| Unopened)?;
        Ok(plain)
    }

    fn salt(&self, random: &[u8; 32], boot: u64, context: &[u8], plain: &[u8]) -> [u8; SALT_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.salting);
        for part in [&random[..], &boot.to_be_bytes(), &(context.len() as u64).to_be_bytes(), context, plain] {
            hasher.update(part);
        }
        let mut salt = [0; SALT_BYTES];
        hasher.finalize_xof().fill(&mut salt);
        salt
    }

    fn cipher(&self, salt: &[u8]) -> Result<(ChaCha20Poly1305, Nonce), Underived> {
        let mut key = Zeroizing::new([0u8; 32]);
        let mut nonce = [0u8; 12];
        // The purpose key is itself HKDF output: fit to be a PRK (RFC 5869, 3.3).
        let kdf = Hkdf::<Sha256>::from_prk(self.secret.as_ref()).map_err(|_| Underived)?;
        kdf.expand_multi_info(&[b"key", salt], key.as_mut()).map_err(|_| Underived)?;
        kdf.expand_multi_info(&[b"nonce", salt], &mut nonce).map_err(|_| Underived)?;
        Ok((ChaCha20Poly1305::new((&*key).into()), nonce.into()))
    }

    fn associated(&self, context: &[u8]) -> Vec<u8> {
        [b"pitchside/store/", self.purpose.as_bytes(), &[0, VERSION], context].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> RowKey {
        RowKey::new(&RootKey::new([byte; 32]), "journal").unwrap()
    }

    const OLD_ROW: &str =
        "01dc601a80e279f3a96f38012d82c976b3b31142ef6b50bc44bad2b277ccfc75079e8016ff56ac9a2ee48d1461f0c5024f";

    #[test]
    fn equal_rows_never_look_equal() {
        let seal = || key(1).seal_copy(1, b"row 7", b"pulse 61").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_row_opens_only_in_its_place_under_its_key() {
        let sealed = key(1).seal_copy(1, b"row 7", b"pulse 61").unwrap();
        assert_eq!(key(1).open(b"row 7", &sealed).unwrap(), b"pulse 61");
        assert_eq!(key(1).open(b"row 8", &sealed), Err(Unopened));
        assert_eq!(key(2).open(b"row 7", &sealed), Err(Unopened));
        let other = RowKey::new(&RootKey::new([1; 32]), "alerts").unwrap();
        assert_eq!(other.open(b"row 7", &sealed), Err(Unopened));
    }

    #[test]
    fn repeated_randomness_repeats_a_salt_only_for_the_same_plaintext_in_the_same_row() {
        let salt = |key: &RowKey, boot, context: &[u8], plain: &[u8]| key.salt(&[9; 32], boot, context, plain);
        let one = salt(&key(1), 1, b"row 7", b"pulse 61");
        assert_eq!(salt(&key(1), 1, b"row 7", b"pulse 61"), one);
        let alerts = RowKey::new(&RootKey::new([1; 32]), "alerts").unwrap();
        for other in [
            salt(&key(1), 1, b"row 7", b"pulse 62"),
            salt(&key(1), 1, b"row 8", b"pulse 61"),
            salt(&key(1), 1, b"row 7p", b"ulse 61"),
            salt(&key(1), 2, b"row 7", b"pulse 61"),
            salt(&key(2), 1, b"row 7", b"pulse 61"),
            salt(&alerts, 1, b"row 7", b"pulse 61"),
            key(1).salt(&[8; 32], 1, b"row 7", b"pulse 61"),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn a_row_whose_salt_was_made_in_another_way_opens_all_the_same() {
        // Sealed by the version that salted with HMAC-SHA-256.
        let sealed = data_encoding::HEXLOWER.decode(OLD_ROW.as_bytes()).unwrap();
        assert_eq!(key(1).open(b"row 7", &sealed).unwrap(), b"pulse 61");
    }

    #[test]
    fn the_root_key_does_not_print() {
        assert_eq!(format!("{:?}", RootKey::new([7; 32])), "RootKey(..)");
    }

    proptest! {
        #[test]
        fn any_changed_bit_or_length_is_refused(plain in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut sealed = key(3).seal_copy(9, b"row", &plain).unwrap();
            prop_assert_eq!(key(3).open(b"row", &sealed).unwrap(), plain);
            prop_assert!(key(3).open(b"row", &sealed[..sealed.len() - 1]).is_err());
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(key(3).open(b"row", &sealed).is_err());
        }
    }
}
