//! Passwords of hubs and apps: argon2id (RFC 9106).
//!
//! ```text
//! | memory, KiB 4 | passes 4 | salt 16 | hash 32 |   little-endian; one lane
//! ```

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE32_NOPAD;
use pitchside_wire::{Random, RandomFailed};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::EnrolError;

/// The shortest password, in bytes (NIST SP 800-63B asks for 8 or more).
pub const PASSWORD_BYTES_MIN: usize = 12;
/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 256;
const SALT_BYTES: usize = 16;
pub(crate) const HASH_BYTES: usize = 4 + 4 + SALT_BYTES + 32;

/// The work of one verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl PasswordCost {
    /// As OWASP recommends: 19 MiB, 2 passes, 1 lane.
    pub const RECOMMENDED: Self = Self { memory_kib: 19 * 1024, passes: 2 };
}

/// A fresh password of 130 bits, for hubs: 26 letters and digits.
pub fn make_password(random: &mut dyn Random) -> Result<Zeroizing<String>, RandomFailed> {
    let mut bytes = Zeroizing::new([0; 17]);
    random.fill(&mut *bytes)?;
    let mut text = Zeroizing::new(BASE32_NOPAD.encode(&*bytes));
    text.truncate(26);
    text.make_ascii_lowercase();
    Ok(text)
}

fn derive(password: &[u8], salt: &[u8], cost: PasswordCost) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32)).ok()?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut *out).ok()?;
    Some(out)
}

pub(crate) fn hash(
    password: &[u8],
    cost: PasswordCost,
    random: &mut dyn Random,
) -> Result<Zeroizing<[u8; HASH_BYTES]>, EnrolError> {
    if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Err(EnrolError::PasswordLength(password.len()));
    }
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    let derived = derive(password, &salt, cost).ok_or(EnrolError::Cost)?;
    let mut stored = Zeroizing::new([0; HASH_BYTES]);
    stored[..4].copy_from_slice(&cost.memory_kib.to_le_bytes());
    stored[4..8].copy_from_slice(&cost.passes.to_le_bytes());
    stored[8..24].copy_from_slice(&salt);
    stored[24..].copy_from_slice(&*derived);
    Ok(stored)
}

/// Whether the password is the one of this hash. A stored hash that cannot be read fits no password.
pub(crate) fn verify(stored: &[u8], password: &[u8]) -> bool {
    let Some((cost, rest)) = stored.split_first_chunk::<8>() else { return false };
    let Some((salt, expected)) = rest.split_first_chunk::<SALT_BYTES>() else { return false };
    let [m0, m1, m2, m3, p0, p1, p2, p3] = *cost;
    let cost =
        PasswordCost { memory_kib: u32::from_le_bytes([m0, m1, m2, m3]), passes: u32::from_le_bytes([p0, p1, p2, p3]) };
    derive(password, salt, cost).is_some_and(|derived| derived.ct_eq(expected).into())
}

/// The work of a verification, for nobody.
pub(crate) fn same_work(cost: PasswordCost, password: &[u8]) {
    std::hint::black_box(derive(password, &[0; SALT_BYTES], cost));
}
