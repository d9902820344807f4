//! Firmware, named by its hash: which release may be installed where, and who gets it when. The manifest is signed by k of
//! n release keys and stands in the ledger; a gateway takes it only with the proof of that.
//!
//! | module | holds |
//! | --- | --- |
//! | [`manifest`] | what one release is; the check of its bytes |
//! | [`known`] | what the ledger has said, as far as it is proven |
//! | [`policy`] | whether a release may be installed: every refusal has a name |
//! | [`rollout`] | cohorts, and when failures stop a release |
//! | [`content`] | files named by their hash: stored, served, fetched, found on the LAN |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod content;
pub mod known;
pub mod manifest;
pub mod policy;
pub mod rollout;
