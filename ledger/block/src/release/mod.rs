//! Firmware releases: what is signed, by how many of whom. A release is named by the SHA-256 of its manifest, whoever has
//! signed it. Drawn in this crate's README, "Releases".
//!
//! | module | holds |
//! | --- | --- |
//! | [`names`] | components, hardware ids, versions, counters, the release's name |
//! | [`manifest`] | what one release is, and for whom |
//! | [`signers`] | the policy: which n keys, and how many of them, must sign |
//! | [`endorsed`] | bytes with several signatures: COSE_Sign (RFC 9052, 4.1) |
//! | [`signed`] | manifests and policies with their signatures |
//! | [`tally`] | how updates ended, counted and added up; how much failure is too much |

pub mod endorsed;
pub mod manifest;
pub mod names;
pub mod signed;
pub mod signers;
pub mod tally;
#[cfg(test)]
pub(crate) mod tests;

pub use endorsed::{EndorseError, Endorsed, Kid, ReleaseKey, SIGNATURES_MAX};
pub use manifest::{HARDWARE_MAX, MANIFEST_BYTES_MAX, Manifest, ManifestError, SIZE_MAX, Target};
pub use names::{Component, HardwareId, ReleaseId, SecurityCounter, Version, VersionError};
pub use signed::{SIGNED_BYTES_MAX, SignedManifest, SignedPolicy, SignedPolicyError, UnsoundRelease};
pub use signers::{KEYS_MAX, PolicyId, ReleasePolicy, ReleasePolicyError};
pub use tally::{DEVICES_MAX, FailureLimits, Sum, Tally};
