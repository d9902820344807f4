//! The `pitchside` binary: rooms wired into a pipeline, adapters between them, the command line, the demo.
//!
//! | module | holds |
//! | --- | --- |
//! | [`pipeline`] | the running gateway: start reading here |
//! | [`adapters`] | where one room's trait meets another room |
//! | [`delivery`] | who is told of alerts, and when |
//! | [`cli`] | commands |
//! | [`demo`] | one clinic on one machine |
//! | [`backup`] | backups, restoring them, destroying what was |
//! | [`plugins`] | packages: signed, weighed, wanted |
//! | [`archive`] | looking things up in sealed blocks |
//! | [`past`] | sealed history, verified and opened block by block |
//! | [`reset`] | alerts ended by hand |
//! | [`rulebook`] | rules on disk: read, checked, published |
//! | [`identity`], [`tls`], [`files`] | keys, certificates, whole files |
//! | [`named`] | what settings name: policies, the ledger's key, authorities |
//! | [`blocking`] | a few milliseconds of disk, on a thread of the runtime |
//! | [`clock`], [`random`] | the edges where time and randomness enter |
//! | [`script_worker`] | this program as a worker of scripts |
//! | [`reading_id`] | the name of one reading |
//! | [`watchdog`] | progress, told to the service manager |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adapters;
pub mod archive;
pub mod backup;
pub mod blocking;
pub mod cli;
pub mod clock;
pub mod delivery;
pub mod demo;
pub mod files;
pub mod identity;
pub mod named;
pub mod past;
pub mod pipeline;
pub mod plugins;
pub mod random;
pub mod reading_id;
pub mod reset;
pub mod rulebook;
pub mod script_worker;
pub mod stamp;
pub mod tls;
pub mod watchdog;
