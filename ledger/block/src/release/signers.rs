//! The release policy: which n keys may sign releases, and how many of them it takes. It changes only by a successor that
//! both enough of the old keys and enough of the new ones have signed, as TUF's root role does; the ledger's operator puts
//! it into the log, but cannot make one up.

use std::fmt;

use data_encoding::HEXLOWER;
use minicbor::Decoder;
use minicbor::decode::Error;
use sha2::{Digest as _, Sha256};

use super::endorsed::Kid;
use crate::cbor::{CborError, Deterministic, Writer, exact, fixed, hashes, key, map, put_hashes};

/// Version of the policy's form.
const FORM: u64 = 1;
/// The most keys of one policy: the signatures of an old and a new one fit one object.
pub const KEYS_MAX: usize = 16;

/// A policy's name: SHA-256 of its bytes, without the signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyId(pub [u8; 32]);

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyId({self})")
    }
}

/// Who signs releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePolicy {
    /// 1 for the first, then one more each time.
    pub number: u32,
    /// The policy before; zero for the first.
    pub previous: PolicyId,
    /// How many signatures it takes.
    pub threshold: u8,
    /// Ed25519 public keys, ascending, none twice; 1 to [`KEYS_MAX`].
    pub keys: Vec<[u8; 32]>,
    /// That one signature is enough was chosen, not overlooked: without it a threshold of one is refused.
    pub single: bool,
}

/// Why bytes, or fields, are not a release policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleasePolicyError {
    /// Not the CBOR map drawn in the README.
    #[error("release policy: {0}")]
    Cbor(#[from] CborError),
    /// No keys, too many, out of order or twice.
    #[error("a release policy names 1 to {KEYS_MAX} keys in ascending order, none twice")]
    Keys,
    /// A key that is none, or a weak one.
    #[error("key {0} is not an Ed25519 public key")]
    Key(Kid),
    /// Two keys with the same id.
    #[error("two keys have the same id {0}; make another one")]
    SameId(Kid),
    /// More signatures than keys, or none.
    #[error("{threshold} signatures of {keys} keys cannot be asked for")]
    Threshold {
        /// As stated.
        threshold: u8,
        /// How many keys there are.
        keys: usize,
    },
    /// One thief of one key could release firmware.
    #[error(
        "a threshold of one lets whoever holds a single key release firmware: ask for at least two signatures, or say \
         `single` to accept it"
    )]
    ThresholdOfOne,
    /// `single` with more than one signature.
    #[error("`single` is for a threshold of one, this policy asks for {0}")]
    NotSingle(u8),
    /// The first policy names one before it, or a later one none.
    #[error("policy {0}: the first has number 1 and no policy before it, every later one names its predecessor")]
    Number(u32),
}

impl ReleasePolicy {
    /// Reads a policy and checks every bound.
    ///
    /// # Errors
    /// Another form than the one there is, or out of bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleasePolicyError> {
        let policy: Self = exact(bytes)?;
        policy.check()?;
        Ok(policy)
    }

    /// Checks the bounds of fields that were put together here.
    ///
    /// # Errors
    /// Which bound is broken.
    pub fn check(&self) -> Result<(), ReleasePolicyError> {
        let ascending = self.keys.iter().zip(self.keys.iter().skip(1)).all(|(a, b)| a < b);
        if self.keys.is_empty() || self.keys.len() > KEYS_MAX || !ascending {
            return Err(ReleasePolicyError::Keys);
        }
        let mut kids: Vec<Kid> = Vec::new();
        for public in &self.keys {
            let kid = Kid::of(public);
            if kids.contains(&kid) {
                return Err(ReleasePolicyError::SameId(kid));
            }
            let sound = ed25519_dalek::VerifyingKey::from_bytes(public).is_ok_and(|key| !key.is_weak());
            if !sound {
                return Err(ReleasePolicyError::Key(kid));
            }
            kids.push(kid);
        }
        if self.threshold == 0 || usize::from(self.threshold) > self.keys.len() {
            return Err(ReleasePolicyError::Threshold { threshold: self.threshold, keys: self.keys.len() });
        }
        match (self.threshold, self.single) {
            (1, false) => return Err(ReleasePolicyError::ThresholdOfOne),
            (1, true) | (_, false) => {}
            (more, true) => return Err(ReleasePolicyError::NotSingle(more)),
        }
        if self.number == 0 || (self.number == 1) != (self.previous.0 == [0; 32]) {
            return Err(ReleasePolicyError::Number(self.number));
        }
        Ok(())
    }

    /// Its name.
    pub fn id(&self) -> PolicyId {
        PolicyId(Sha256::digest(self.to_cbor()).into())
    }
}

impl Deterministic for ReleasePolicy {
    fn write(&self, out: &mut Writer) {
        out.map(6).uint(0).uint(FORM).uint(1).uint(self.number.into()).uint(2).bytes(&self.previous.0);
        out.uint(3).uint(self.threshold.into()).uint(4);
        put_hashes(out, &self.keys);
        out.uint(5).uint(self.single.into());
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        if map(input)? != 6 {
            return Err(Error::message("wrong number of fields"));
        }
        key(input, 0)?;
        if input.u64()? != FORM {
            return Err(Error::message("another form of policy"));
        }
        key(input, 1)?;
        let number = input.u32()?;
        key(input, 2)?;
        let previous = PolicyId(fixed(input)?);
        key(input, 3)?;
        let threshold = input.u8()?;
        key(input, 4)?;
        let keys = hashes(input, KEYS_MAX)?;
        key(input, 5)?;
        let single = match input.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Error::message("neither yes nor no")),
        };
        Ok(Self { number, previous, threshold, keys, single })
    }
}
