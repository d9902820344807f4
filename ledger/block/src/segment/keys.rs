//! From an hour key to everything one segment needs (HKDF-SHA256, RFC 5869).

use std::fmt;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SegmentTag;
use crate::header::{BlockIndex, GatewayId, Incarnation};

/// Length of a block's salt.
pub const SALT_BYTES: usize = 24;
/// A block's salt.
pub type Salt = [u8; SALT_BYTES];

const LABEL: &[u8] = b"pitchside/segment/1";
const SALT_LABEL: &[u8] = b"pitchside/salt/1";

/// The key of one athlete, quantity, generation and hour. Opens the segments of that hour and no others.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HourKey([u8; 32]);

impl HourKey {
    /// From its bytes: a leaf of the tree over hours.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Keyed BLAKE3 of a segment's plaintext, for the block's salt: says nothing to whoever lacks the key.
    pub fn plaintext_mark(&self, plaintext: &[u8]) -> [u8; 32] {
        let mut key = Zeroizing::new([0u8; 32]);
        // 32 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand(SALT_LABEL, key.as_mut());
        *blake3::keyed_hash(&key, plaintext).as_bytes()
    }
}
impl fmt::Debug for HourKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HourKey(..)")
    }
}

/// Which block a segment belongs to, as far as its keys are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// Who sealed it.
    pub gateway: GatewayId,
    /// Restores so far.
    pub incarnation: Incarnation,
    /// Position in the chain.
    pub index: BlockIndex,
    /// The block's salt, the first bytes of its payload.
    pub salt: Salt,
}

/// What one segment is sealed with. Used once: the salt differs with every block.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SegmentKeys {
    pub(super) key: [u8; 32],
    pub(super) nonce: [u8; 12],
    pub(super) commitment: [u8; 32],
    pub(super) blind: [u8; 32],
}

impl SegmentKeys {
    /// HKDF-Expand(HKDF-Extract(salt, hour key), label || gateway || incarnation || index || tag, 108): key, nonce,
    /// commitment, blinding key.
    pub fn derive(hour: &HourKey, place: &BlockPlace, tag: SegmentTag) -> Self {
        let mut out = Zeroizing::new([0u8; 108]);
        let (incarnation, index) = (place.incarnation.0.to_be_bytes(), place.index.0.to_be_bytes());
        let info = [LABEL, &place.gateway.0, &incarnation, &index, &tag.to_bytes()];
        // 108 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
        let _ = Hkdf::<Sha256>::new(Some(&place.salt), &hour.0).expand_multi_info(&info, out.as_mut());
        let mut keys = Self { key: [0; 32], nonce: [0; 12], commitment: [0; 32], blind: [0; 32] };
        keys.key.copy_from_slice(&out[..32]);
        keys.nonce.copy_from_slice(&out[32..44]);
        keys.commitment.copy_from_slice(&out[44..76]);
        keys.blind.copy_from_slice(&out[76..]);
        keys
    }

    /// What the segment shows instead of a name: equal for the right key only, and by it the segment is found.
    pub const fn commitment(&self) -> [u8; 32] {
        self.commitment
    }

    /// The blinding values r_0, r_1, ...: 16 bytes each of the ChaCha20 keystream (RFC 8439, nonce 0, counter from 0).
    pub(super) fn blinds(&self, count: usize) -> Zeroizing<Vec<u8>> {
        let mut stream = Zeroizing::new(vec![0u8; count * 16]);
        ChaCha20::new(&self.blind.into(), &[0u8; 12].into()).apply_keystream(&mut stream);
        stream
    }
}
impl fmt::Debug for SegmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKeys(..)")
    }
}
