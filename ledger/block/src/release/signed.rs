//! Manifests and release policies with their signatures: what stands in the ledger, and in the files signers hand around.

use super::endorsed::{EndorseError, Endorsed, Kid, ReleaseKey};
use super::manifest::{Manifest, ManifestError, release_id};
use super::names::ReleaseId;
use super::signers::{ReleasePolicy, ReleasePolicyError};
use crate::cbor::Deterministic as _;

/// The longest signed manifest or policy: 32 signatures of 82 bytes and the payload.
pub const SIGNED_BYTES_MAX: usize = 4_096;
/// External data of signatures over manifests.
pub const MANIFEST_CONTEXT: &[u8] = b"pitchside/release/1";
/// External data of signatures over release policies: a manifest's signature is none over a policy.
pub const POLICY_CONTEXT: &[u8] = b"pitchside/release-policy/1";

/// A manifest with signatures; whether they are enough says [`SignedManifest::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    endorsed: Endorsed,
}

/// Why bytes are not a release that enough have signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsoundRelease {
    /// The envelope or the signatures.
    #[error("the release: {0}")]
    Endorsed(#[from] EndorseError),
    /// The manifest.
    #[error("the release: {0}")]
    Manifest(#[from] ManifestError),
}

impl SignedManifest {
    /// A draft nobody has signed.
    ///
    /// # Errors
    /// A bound of the manifest is broken.
    pub fn draft(manifest: Manifest) -> Result<Self, ManifestError> {
        manifest.check()?;
        let endorsed = Endorsed::draft(manifest.to_cbor());
        Ok(Self { manifest, endorsed })
    }

    /// Reads one; no signature is checked.
    ///
    /// # Errors
    /// Not in form, or out of bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, UnsoundRelease> {
        let endorsed = Endorsed::parse(bytes, SIGNED_BYTES_MAX)?;
        Ok(Self { manifest: Manifest::parse(endorsed.payload())?, endorsed })
    }

    /// What is said to be released.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The release's name: the same whoever has signed.
    pub fn id(&self) -> ReleaseId {
        release_id(self.endorsed.payload())
    }

    /// Whose signatures are on it. Not checked.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = Kid> + '_ {
        self.endorsed.signers()
    }

    /// Adds a signature.
    ///
    /// # Errors
    /// All places are taken.
    pub fn sign(&mut self, key: &ReleaseKey) -> Result<(), EndorseError> {
        self.endorsed.sign(MANIFEST_CONTEXT, key)
    }

    /// Takes the signatures of another copy.
    ///
    /// # Errors
    /// It is of another manifest, or all places are taken.
    pub fn merge(&mut self, other: &Self) -> Result<(), EndorseError> {
        self.endorsed.merge(&other.endorsed)
    }

    /// Whether enough of the policy's keys have signed, and nobody else.
    ///
    /// # Errors
    /// A key the policy does not name, a signature that does not hold, or too few.
    pub fn verify(&self, policy: &ReleasePolicy) -> Result<(), EndorseError> {
        enough(self.endorsed.verify(MANIFEST_CONTEXT, &policy.keys)?.len(), policy)
    }

    /// The COSE_Sign object.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.endorsed.to_cbor()
    }
}

fn enough(have: usize, policy: &ReleasePolicy) -> Result<(), EndorseError> {
    let want = usize::from(policy.threshold);
    if have < want { Err(EndorseError::Threshold { have, want }) } else { Ok(()) }
}

/// A release policy with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPolicy {
    policy: ReleasePolicy,
    endorsed: Endorsed,
}

/// Why bytes are not a release policy that may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignedPolicyError {
    /// The envelope or the signatures.
    #[error("the release policy: {0}")]
    Endorsed(#[from] EndorseError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] ReleasePolicyError),
    /// It does not follow the policy in force.
    #[error("release policy {have} does not follow policy {in_force}: it must have number {in_force} + 1 and name it")]
    Successor {
        /// Its number.
        have: u32,
        /// Number of the one in force; 0 if there is none.
        in_force: u32,
    },
    /// Too few of the keys of the policy in force agree.
    #[error("signed by {have} keys of the policy in force, which asks for {want}")]
    Predecessor {
        /// Valid signatures of old keys.
        have: usize,
        /// How many it takes.
        want: usize,
    },
}

impl SignedPolicy {
    /// A draft nobody has signed.
    ///
    /// # Errors
    /// A bound of the policy is broken.
    pub fn draft(policy: ReleasePolicy) -> Result<Self, ReleasePolicyError> {
        policy.check()?;
        let endorsed = Endorsed::draft(policy.to_cbor());
        Ok(Self { policy, endorsed })
    }

    /// Reads one; no signature is checked.
    ///
    /// # Errors
    /// Not in form, or out of bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedPolicyError> {
        let endorsed = Endorsed::parse(bytes, SIGNED_BYTES_MAX)?;
        Ok(Self { policy: ReleasePolicy::parse(endorsed.payload())?, endorsed })
    }

    /// What it says.
    pub const fn policy(&self) -> &ReleasePolicy {
        &self.policy
    }

    /// Whose signatures are on it. Not checked.
    pub fn signers(&self) -> impl ExactSizeIterator<Item = Kid> + '_ {
        self.endorsed.signers()
    }

    /// Adds a signature.
    ///
    /// # Errors
    /// All places are taken.
    pub fn sign(&mut self, key: &ReleaseKey) -> Result<(), EndorseError> {
        self.endorsed.sign(POLICY_CONTEXT, key)
    }

    /// Takes the signatures of another copy.
    ///
    /// # Errors
    /// It is of another policy, or all places are taken.
    pub fn merge(&mut self, other: &Self) -> Result<(), EndorseError> {
        self.endorsed.merge(&other.endorsed)
    }

    /// Whether it may follow the policy in force: next in number, naming it, signed by enough of its own keys (so that
    /// nobody names keys that nobody holds) and enough of those in force.
    ///
    /// # Errors
    /// Which of these fails.
    pub fn verify(&self, in_force: Option<&ReleasePolicy>) -> Result<(), SignedPolicyError> {
        let (number, previous) = in_force.map_or((0, super::PolicyId([0; 32])), |policy| (policy.number, policy.id()));
        if number.checked_add(1) != Some(self.policy.number) || self.policy.previous != previous {
            return Err(SignedPolicyError::Successor { have: self.policy.number, in_force: number });
        }
        let old: &[[u8; 32]] = in_force.map_or(&[], |policy| &policy.keys);
        let may_sign = [old, &self.policy.keys].concat();
        let signed = self.endorsed.verify(POLICY_CONTEXT, &may_sign)?;
        enough(signed.iter().filter(|key| self.policy.keys.contains(*key)).count(), &self.policy)?;
        if let Some(policy) = in_force {
            let (have, want) =
                (signed.iter().filter(|key| policy.keys.contains(*key)).count(), usize::from(policy.threshold));
            if have < want {
                return Err(SignedPolicyError::Predecessor { have, want });
            }
        }
        Ok(())
    }

    /// The COSE_Sign object.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.endorsed.to_cbor()
    }
}
