//! Hands sealed blocks and transactions to the ledger and brings receipts back: connects, resumes what was half sent,
//! checks every checkpoint against the last one seen, and tries again for as long as it takes. Deletes nothing.
//!
//! | module | holds |
//! | --- | --- |
//! | [`outbox`] | the trait behind which the store stands; time and randomness |
//! | [`config`] | where the ledger is, and its keys |
//! | [`run`](mod@run) | connect, talk, wait, again |
//! | [`connection`] | socket, handshake, frames |
//! | [`conversation`] | what is said on one connection; going on after a restore; copies of keys |
//! | `copies` | fetching the copies of keys the ledger keeps |
//! | `blocks` | bringing back the blocks it holds |
//! | [`flight`] | parcels on their way, in order |
//! | [`trust`] | checkpoints and receipts, checked |
//! | [`backoff`] | how long to wait |
//! | [`status`], [`fault`] | how it stands, and what went wrong |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod backoff;
mod blocks;
pub mod config;
pub mod connection;
pub mod conversation;
mod copies;
pub mod fault;
pub mod flight;
pub mod outbox;
pub mod run;
pub mod status;
pub mod trust;

pub use backoff::Backoff;
pub use blocks::HeldBlocks;
pub use config::SyncConfig;
pub use copies::fetch_copies;
pub use fault::Fault;
pub use outbox::{CopyTask, Edge, Outbox, OutboxError, Parcel};
pub use run::run;
pub use status::{Link, Status};
