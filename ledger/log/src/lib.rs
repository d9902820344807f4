//! The log of a Pitchside ledger: leaves get places, places get a signed checkpoint, and everything can be checked again.
//! A C2SP tlog-tiles log over SQLite and files, with room for PostgreSQL and S3 behind two traits.
//!
//! | module | holds |
//! | --- | --- |
//! | [`log`] | append, sequence, checkpoint; the order of fsyncs and what a crash leaves |
//! | [`machine`] | the state machine: what may enter |
//! | [`state`] | what the leaves have established |
//! | [`tree`] | RFC 6962 roots and proofs over tiles |
//! | [`tile`], [`bundle`] | names of tiles, form of entry bundles (C2SP tlog-tiles) |
//! | [`index`], [`sqlite`] | places, state and signed checkpoints: the trait, and SQLite |
//! | [`objects`], [`payloads`] | tiles and payloads: the traits, and files |
//! | [`room`] | what the bytes of others leave of the disk to the log |
//! | [`fsck`](mod@fsck) | checks a whole log offline |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bundle;
pub mod contents;
pub mod fsck;
pub mod index;
pub mod log;
pub mod machine;
pub mod objects;
pub mod payloads;
pub mod room;
pub mod sqlite;
pub mod state;
pub mod tile;
pub mod tree;

pub use contents::{ContentError, FileContents};
pub use fsck::{Fault, FaultKind, Report, fsck};
pub use log::{
    BATCH_MAX, KnownContent, Log, NotWanted, Offer, OpenError, Outcome, Placed, Published, SequenceError, Storage,
    Submission,
};
pub use machine::VERSION;
pub use objects::StorageError;
pub use payloads::{PayloadError, Payloads};
pub use room::NoRoom;
pub use state::Member;
pub use tile::Tile;

#[cfg(test)]
mod tests;
