//! The store: one SQLite database that keeps what was accepted, sealed, alerted and decided, and loses none of it to
//! kill -9, power cut or full disk. What could tell of anybody's health is encrypted before SQLite sees it.
//!
//! [`Store`] is the running gateway's handle: the journal's writing side, duplicate marks, one writer thread with group
//! commit. [`Tables`] is everything else, and all that commands beside the gateway get. Statements are files under
//! `sql/`, the schema under `migrations/`; README.md draws the sealed rows and says what a crash leaves.
//!
//! | module | holds |
//! | --- | --- |
//! | [`journal`] | appending, reading back, pruning; [`Options`] |
//! | [`marks`] | which message numbers are taken, which are durable |
//! | [`blocks`] | sealed blocks, payloads, receipts, the outbox |
//! | [`alerts`] | steps in alerts' lives, each exactly once |
//! | [`resets`] | alerts that somebody resets by hand: asked for, done, and where |
//! | [`delivery`] | what outputs are told of and how far they are; escalations, drills |
//! | [`devices`] | devices, their secure sessions |
//! | [`athletes`] | athletes, their wrapped keys, assignments of devices |
//! | `erasure` | what an erasure takes out of the tables |
//! | [`users`] | who may sign in |
//! | [`firmware`] | what sensors run, how updates ended, halts on their way to the ledger |
//! | [`tallies`] | how updates ended, counted for the ledger |
//! | [`plugins`] | installed plugins, grants, signers, their log |
//! | [`rules`] | versions of rules, which were in force, what rules in the shadow said |
//! | [`copies`] | sealed copies of athletes' keys, on their way to the ledger |
//! | [`chain`] | where a restored box's chain goes on |
//! | [`earlier`] | its blocks from before the restore, brought back |
//! | [`snapshot`] | what a backup takes, and putting it back |
//! | [`inspect`] | is the file whole, what waits |
//! | [`quarantine`] | what was refused, bounded |
//! | [`states`] | what decoders keep of devices |
//! | [`undecoded`] | what waits for its decoder, bounded |
//! | [`meta`] | small things by name, boot counter, revisions |
//! | [`health`] | room left, last problem, counters |
//! | [`error`] | why something did not open, or was not stored |
//! | `key`, `queue`, `writer`, `connection`, `migrate` | sealing of rows; the way to the disk |
//! | `commits` | who is told of every commit |
//! | `spare` | room that is put by for a start on a full disk |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod alerts;
pub mod athletes;
pub mod blocks;
pub mod chain;
mod commits;
mod connection;
pub mod copies;
pub mod delivery;
pub mod devices;
pub mod earlier;
mod erasure;
pub mod error;
pub mod firmware;
pub mod health;
pub mod inspect;
pub mod journal;
mod key;
pub mod marks;
pub mod meta;
mod migrate;
pub mod plugins;
pub mod quarantine;
mod queue;
pub mod resets;
pub mod rules;
pub mod snapshot;
mod spare;
mod sql;
pub mod states;
mod store;
mod tables;
pub mod tallies;
#[cfg(test)]
mod tests;
pub mod undecoded;
pub mod users;
mod writer;

pub use alerts::{AlertRow, AlertStep, AlertStepId, NewAlerts};
pub use athletes::{Assignment, Athlete, AthleteKey};
pub use blocks::{Backlog, BlockKey, BlockRow, Level, NewBlock};
pub use chain::{Anchor, Beyond, ChainStart, LostEnd};
pub use copies::{CopyCounts, CopyName, KeyCopy, UnreadableCopies};
pub use delivery::{
    Came, DeliveryKind, DeliveryRequest, DeliveryStep, DeliveryStepId, DrillId, DrillRow, KeptFor, WaitingAlert,
};
pub use devices::{Device, DeviceSession};
pub use earlier::{EarlierBlock, NotHere};
pub use error::{OpenError, StoreError};
pub use firmware::{ActState, FirmwareOutcome, SensorFirmware};
pub use health::Health;
pub use inspect::{Integrity, Unsealed};
pub use journal::{Entered, JournalRow, Options, Replayed, RowId};
pub use key::RootKey;
pub use marks::{Claim, Marks};
pub use meta::Revisions;
pub use plugins::{Candidate, PluginChange, PluginLine, PluginPackage, PluginRow, SealedSetting};
pub use quarantine::Refused;
pub use resets::{Asked, Reset};
pub use rules::{NewRuleVersion, Published, RuleChange, RuleText, RuleVersion, ShadowRow};
pub use snapshot::{LibraryRow, PlainSetting, SnapshotRow};
pub use states::DecoderState;
pub use store::Store;
pub use tables::Tables;
pub use tallies::{Counted, NewTally, Told};
pub use undecoded::{Undecoded, UndecodedId, Waiting};
pub use users::User;
