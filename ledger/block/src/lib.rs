//! Blocks and what proves them: formats that gateway, ledger and verifier agree on. No I/O, no clock, no randomness: all
//! of that is passed in. Every byte is drawn in this crate's README.
//!
//! | module | holds |
//! | --- | --- |
//! | [`cbor`] | deterministic CBOR, the only spelling |
//! | [`cose`] | COSE_Sign1 with Ed25519, the only form |
//! | [`merkle`] | RFC 6962 trees, inclusion and consistency proofs |
//! | [`header`] | the signed header of a block: what is chained and logged |
//! | [`note`] | C2SP signed notes and their keys |
//! | [`checkpoint`] | C2SP checkpoints |
//! | [`policy`] | C2SP trust policies |
//! | [`receipt`] | receipts R1 to R3 |
//! | [`record`] | one reading or alert as canonical bytes: the leaves |
//! | [`segment`] | columns, encryption and the tree over a segment's records |
//! | [`payload`] | the segments of a block, and what can be checked without keys |
//! | [`evidence`] | one record with everything that leads to the ledger's checkpoint |
//! | [`channel`] | Noise between gateway and ledger |
//! | [`content`] | firmware by its hash: how it is asked for, answered and verified |
//! | [`release`] | firmware manifests, signed by k of n; the policy that says who signs |
//! | [`ingest`] | what gateway and ledger say to each other; typed transactions |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod cbor;
pub mod channel;
pub mod checkpoint;
pub mod content;
pub mod cose;
pub mod evidence;
pub mod header;
pub mod ingest;
pub mod merkle;
pub mod note;
pub mod payload;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod release;
pub mod segment;

pub use header::{BlockIndex, ClockState, GatewayId, GatewayKey, Header, Incarnation, SeenCheckpoint, SignedHeader};
pub use merkle::Hash;
