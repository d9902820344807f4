//! Batches become blocks: readings and alerts are sorted into segments, each sealed under a key of its athlete, quantity
//! and hour, and the whole is signed and chained. Pure: time and randomness are arguments.
//!
//! The formats are those of `ledger-block`; how keys come about is drawn in this crate's README.
//!
//! | module | holds |
//! | --- | --- |
//! | [`key`] | athlete keys, the tree over hours, wrapping under the box's key, copies for recovery |
//! | [`ring`] | whose keys the box holds |
//! | [`closing`] | when the open batch becomes a block |
//! | [`seal`] | batch to signed block |
//! | [`open`] | reading own blocks back; evidence |
//! | [`chain`] | finding changed, dropped, swapped and rolled-back blocks |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod chain;
pub mod closing;
pub mod key;
pub mod open;
pub mod ring;
pub mod seal;

pub use chain::{ChainFault, ChainVerifier, Expected, verify_chain};
pub use closing::{Batch, CloseReason, ClosingPolicy};
pub use key::{AthleteKey, Generation, Kek};
pub use ledger_block::payload::{PayloadError, verify as verify_payload};
pub use open::{Filter, History, OpenBlock, OpenError, open};
pub use ring::{AthleteKeys, KeyRing, NoKey, Whose};
pub use seal::{BootCounter, SealError, SealInput, SealedBlock, SegmentSummary, seal};
