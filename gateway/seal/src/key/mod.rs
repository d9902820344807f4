//! Athlete keys and what is derived from them.
//!
//! AK (random, one per athlete and generation) -> SK (per quantity) -> a tree over hours -> hour key -> segment keys.

mod recovery;
mod tree;
mod wrap;

use std::fmt;

use hkdf::Hkdf;
use ledger_block::segment::{HourKey, Subject};
use pitchside_model::HourIndex;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use recovery::{RECOVERY_COPY_BYTES, RecoveryError, RecoveryPublic, RecoverySecret};
pub use tree::{Node, cover};
pub use wrap::{Kek, WRAPPED_KEY_BYTES, WrapError};

const QUANTITY_LABEL: &[u8] = b"pitchside/quantity/1";

/// Which of an athlete's keys: a new generation begins after a suspected loss. From 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Generation(pub u32);

/// An athlete's key (AK): 256 random bits. Destroying every copy of it erases the athlete's readings.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AthleteKey([u8; 32]);

impl AthleteKey {
    /// From fresh randomness.
    pub const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one quantity, or of the athlete's alerts (SK): HKDF-SHA256 without salt over
    /// label || quantity || generation, both big-endian. It is the root of the tree over hours.
    pub fn subject_root(&self, subject: Subject, generation: Generation) -> Node {
        let mut root = Zeroizing::new([0u8; 32]);
        let info = [QUANTITY_LABEL, &subject.code().to_be_bytes(), &generation.0.to_be_bytes()];
        // 32 bytes are well within HKDF's 255 blocks, the only way expanding can fail.
        let _ = Hkdf::<Sha256>::new(None, &self.0).expand_multi_info(&info, root.as_mut());
        Node::root(*root)
    }

    /// The key of one quantity and hour.
    pub fn hour(&self, subject: Subject, generation: Generation, hour: HourIndex) -> HourKey {
        self.subject_root(subject, generation).hour_within(hour)
    }
}
impl PartialEq for AthleteKey {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for AthleteKey {}
impl fmt::Debug for AthleteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AthleteKey(..)")
    }
}

#[cfg(test)]
mod tests;
