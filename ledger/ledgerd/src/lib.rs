//! `ledgerd`: the ledger as a server. Gateways hand blocks in over Noise, the world reads tiles and checkpoints over HTTP.
//! Everything a test or the demo needs is here; `main.rs` only parses the command line.
//!
//! | module | holds |
//! | --- | --- |
//! | [`cli`] | the command line: init, enrol, rotate, release-policy, rollout, pause, halt, upgrade, serve, fsck |
//! | [`config`] | defaults < `ledgerd.toml` < LEDGERD_* < flags |
//! | [`setup`] | makes a ledger: keys, log, `vkey`, `policy` |
//! | [`enrolment`] | lets a gateway or a publisher in, or its new signing key |
//! | [`firmware`] | who signs releases; rollouts whose publisher is gone; moving an older log on |
//! | [`keys`] | secret files, mode 0600 |
//! | [`files`] | files that are read so far and no further |
//! | [`mod@serve`] | the running server |
//! | [`ingest`] | gateways: handshake, upload, receipts |
//! | [`sequencer`] | batches: one group of fsyncs for all that arrived |
//! | [`http`] | tlog-tiles reads |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod cli;
pub mod clock;
pub mod config;
pub mod enrolment;
pub mod files;
pub mod firmware;
pub mod http;
pub mod ingest;
pub mod keys;
pub mod sequencer;
pub mod serve;
pub mod setup;

pub use config::Config;
pub use enrolment::{Enrolment, enrol_gateway, enrol_publisher};
pub use serve::{Running, ServeError, serve};
pub use setup::{Identity, SetupError, fsck, init, open_log};
