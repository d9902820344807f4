//! Copies of an athlete's key for the athlete and for the clinic's recovery: HPKE base mode (RFC 9180), X25519,
//! HKDF-SHA256, ChaCha20-Poly1305.
//!
//! The copies lie beside the log as deletable objects. Erasing an athlete means deleting them too: it rests on the ledger's
//! operator deleting them, and on recovery not having used them before.

use std::convert::Infallible;
use std::fmt;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{AthleteKey, Generation};
use crate::ring::Whose;

/// Length of a copy: encapsulated key, ciphertext, tag.
pub const RECOVERY_COPY_BYTES: usize = 32 + 32 + 16;

const INFO: &[u8] = b"pitchside/recovery/1";
const NAME_LABEL: &[u8] = b"pitchside/copy-name/1";

type Kem = X25519HkdfSha256;

/// Why a copy can't be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Not a usable X25519 key.
    #[error("not a usable X25519 key: 32 bytes are needed")]
    Key,
    /// Wrong length.
    #[error("a recovery copy has {RECOVERY_COPY_BYTES} bytes, this one has {0}")]
    Shape(usize),
    /// Made for another key or for somebody else's, or changed.
    #[error("the recovery copy does not open: it was made for another key, is somebody else's, or was changed")]
    Refused,
}

/// The public key a copy is sealed to.
#[derive(Clone)]
pub struct RecoveryPublic(<Kem as hpke::Kem>::PublicKey);

/// The key that opens copies. Kept off the box.
pub struct RecoverySecret(<Kem as hpke::Kem>::PrivateKey);

/// What binds a copy to whose key it is.
fn bound_to(whose: &Whose, generation: Generation) -> Vec<u8> {
    let mut aad = whose.to_bytes();
    aad.extend_from_slice(&generation.0.to_be_bytes());
    aad
}

impl RecoveryPublic {
    /// From the 32 bytes of RFC 7748.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, RecoveryError> {
        <Kem as hpke::Kem>::PublicKey::from_bytes(bytes).map(Self).map_err(|_| RecoveryError::Key)
    }

    /// The 32 bytes of RFC 7748.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// Seals a copy: encapsulated key || ciphertext || tag. `entropy` is fresh randomness.
    pub fn seal(
        &self,
        key: &AthleteKey,
        whose: &Whose,
        generation: Generation,
        entropy: [u8; 32],
    ) -> Result<Vec<u8>, RecoveryError> {
        self.seal_secret(INFO, &bound_to(whose, generation), key.bytes(), entropy)
    }

    /// Seals another secret of 32 bytes the same way, for whoever names a purpose of their own (`info`) and what it is
    /// bound to (`aad`): a backup's key.
    pub fn seal_secret(
        &self,
        info: &[u8],
        aad: &[u8],
        secret: &[u8; 32],
        entropy: [u8; 32],
    ) -> Result<Vec<u8>, RecoveryError> {
        let mut random = Stretched::new(entropy);
        let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &self.0,
            info,
            secret,
            aad,
            &mut random,
        )
        .map_err(|_| RecoveryError::Key)?;
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// What the names of all copies of one key begin with. Whoever does not know the recovery key's public half, as the
    /// ledger does not, can't tell whose it is, nor guess.
    pub fn copy_tag(&self, whose: &Whose, generation: Generation) -> [u8; 16] {
        let mut tag = [0; 16];
        let info = [NAME_LABEL, &bound_to(whose, generation)];
        // 16 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
        let _ = Hkdf::<Sha256>::new(None, &self.to_bytes()).expand_multi_info(&info, &mut tag);
        tag
    }

    /// A copy's name in the ledger: tag || first half of its SHA-256, so that one name never means two things.
    pub fn copy_name(&self, whose: &Whose, generation: Generation, copy: &[u8]) -> [u8; 32] {
        let mut name = [0; 32];
        let (tag, rest) = name.split_at_mut(16);
        tag.copy_from_slice(&self.copy_tag(whose, generation));
        rest.copy_from_slice(&Sha256::digest(copy)[..16]);
        name
    }
}

impl RecoverySecret {
    /// From the 32 bytes of RFC 7748.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, RecoveryError> {
        <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes).map(Self).map_err(|_| RecoveryError::Key)
    }

    /// Its public half.
    pub fn public(&self) -> RecoveryPublic {
        RecoveryPublic(Kem::sk_to_pk(&self.0))
    }

    /// Opens a copy that is said to be of `whose` and `generation`.
    pub fn open(&self, copy: &[u8], whose: &Whose, generation: Generation) -> Result<AthleteKey, RecoveryError> {
        self.open_secret(INFO, &bound_to(whose, generation), copy).map(|key| AthleteKey::new(*key))
    }

    /// Opens a copy of a key of the house, whose bytes the store keeps itself.
    pub fn open_house(&self, copy: &[u8], generation: Generation) -> Result<Zeroizing<[u8; 32]>, RecoveryError> {
        self.open_secret(INFO, &bound_to(&Whose::House, generation), copy)
    }

    /// Opens what [`RecoveryPublic::seal_secret`] sealed.
    pub fn open_secret(&self, info: &[u8], aad: &[u8], copy: &[u8]) -> Result<Zeroizing<[u8; 32]>, RecoveryError> {
        let shape = RecoveryError::Shape(copy.len());
        let (encapsulated, sealed) =
            copy.split_at_checked(32).filter(|_| copy.len() == RECOVERY_COPY_BYTES).ok_or(shape)?;
        let opened = self.open_raw(encapsulated, info, sealed, aad)?;
        opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| shape)
    }

    pub(super) fn open_raw(
        &self,
        encapsulated: &[u8],
        info: &[u8],
        sealed: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
        let encapsulated =
            <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| RecoveryError::Refused)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            info,
            sealed,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| RecoveryError::Refused)
    }
}

impl fmt::Debug for RecoverySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverySecret(..)")
    }
}
impl fmt::Debug for RecoveryPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryPublic(..)")
    }
}

/// 32 random bytes stretched to what HPKE asks for, by the ChaCha20 keystream: randomness is an argument here.
struct Stretched(ChaCha20);

impl Stretched {
    fn new(entropy: [u8; 32]) -> Self {
        let entropy = Zeroizing::new(entropy);
        Self(ChaCha20::new((&*entropy).into(), &[0u8; 12].into()))
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.apply_keystream(&mut bytes);
        bytes
    }
}

impl TryRng for Stretched {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        dst.fill(0);
        self.0.apply_keystream(dst);
        Ok(())
    }
}
impl TryCryptoRng for Stretched {}
