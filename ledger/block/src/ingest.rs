//! What gateway and ledger say to each other over the [channel](crate::channel), and the typed transactions that enter
//! the log beside blocks.
//!
//! | module | holds |
//! | --- | --- |
//! | [`message`] | requests and replies, one CBOR array a message |
//! | [`refusal`] | why the ledger refuses something, with stable numbers |
//! | [`releases`] | leaves about firmware with their proofs; what was counted of a release |
//! | [`transaction`] | enrol, assign-key, grant, revoke, release, rollout, halt, tally, .. : signed leaves |
//!
//! The conversation is drawn in `ledger/README.md`.

mod bounded;
pub mod message;
pub mod refusal;
pub mod releases;
pub mod transaction;

#[cfg(test)]
mod tests;

// The ledger's crates stand on this one alone: the nouns of the model they need come from here.
pub use pitchside_model::id::NameError;
pub use pitchside_model::{DeviceId, Timestamp};

pub use message::{
    CHUNK_BYTES_MAX, COPIES_MAX, COPY_BYTES_MAX, Copy, Head, PROOF_HASHES_MAX, Proven, Reply, Request, UNREADABLE,
    is_readable,
};
pub use refusal::{Code, Refusal};
pub use releases::{ProvenLeaf, RELEASE_LEAVES_BYTES_MAX, RELEASE_LEAVES_MAX, Releases, Summed};
pub use transaction::{
    Act, Cohort, HaltReason, OPERATOR, Role, SignedTransaction, SubjectId, Transaction, TransactionError,
};

/// The longest leaf: a bundle entry's length has 16 bits (tlog-tiles), and a header needs far less.
pub const LEAF_BYTES_MAX: usize = 16_384;
/// The longest block payload the ledger takes: a block closes at 1 MiB, and one batch may overshoot that.
pub const PAYLOAD_BYTES_MAX: u64 = 16 << 20;
