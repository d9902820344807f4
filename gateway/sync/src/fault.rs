//! What went wrong on a connection. Each ends the connection; sync waits and tries again.

use ledger_block::cbor::CborError;
use ledger_block::channel::ChannelError;
use ledger_block::ingest::Refusal;
use ledger_block::policy::TrustError;

use crate::outbox::OutboxError;

/// Why a connection was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The ledger cannot be reached.
    #[error("the ledger at {address} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        why: String,
    },
    /// The handshake failed, or a frame did not open.
    #[error("the channel to the ledger: {0}")]
    Channel(#[from] ChannelError),
    /// It took too long.
    #[error("the ledger did not answer the handshake in time")]
    Slow,
    /// The ledger closed the connection.
    #[error("the ledger closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No sign of life.
    #[error("the ledger fell silent")]
    Silent,
    /// The system gave no randomness.
    #[error("the system gave no random bytes; without them no connection is safe")]
    NoRandomness,
    /// Something that is no message.
    #[error("the ledger said something that is no message: {0}")]
    Garbage(#[from] CborError),
    /// A message at the wrong time, or about nothing of ours.
    #[error("the ledger said something out of place: {0}")]
    OutOfPlace(&'static str),
    /// A checkpoint the policy does not accept.
    #[error("a checkpoint that is not to be believed: {0}")]
    Untrusted(#[from] TrustError),
    /// A checkpoint older than one seen before.
    #[error("the ledger was rolled back: it shows a checkpoint of {shown} leaves, {seen} were seen before")]
    RolledBack {
        /// Leaves in the checkpoint shown.
        shown: u64,
        /// Leaves in the checkpoint seen before.
        seen: u64,
    },
    /// A checkpoint that does not continue one seen before.
    #[error(
        "the ledger tells two stories: its checkpoint of {shown} leaves does not continue the one of {seen} seen before"
    )]
    Forked {
        /// Leaves in the checkpoint shown.
        shown: u64,
        /// Leaves in the checkpoint seen before.
        seen: u64,
    },
    /// A last block that is not one.
    #[error("the ledger names a last block of this box that does not hold: {0}")]
    BadHead(String),
    /// A block that is not the one that was asked for.
    #[error("block {index} as the ledger gives it does not hold: {why}")]
    BadBlock {
        /// Which.
        index: u64,
        /// What is wrong.
        why: String,
    },
    /// A block that is in the log, and in no checkpoint yet.
    #[error("the ledger has not published block {0} yet; try again in a moment")]
    Unpublished(u64),
    /// A receipt that does not hold.
    #[error("a receipt that does not hold: {0}")]
    BadReceipt(String),
    /// The ledger refused something.
    #[error("the ledger refuses: {0}")]
    Refused(Refusal),
    /// A payload here does not hash to what its header says.
    #[error("the payload of parcel {0} does not match its header; run `pitchside blocks verify`")]
    Payload(u64),
    /// The store could not answer.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A parcel here is neither a block header nor a transaction.
    #[error("parcel {0} is neither a block header nor a transaction; run `pitchside blocks verify`")]
    Parcel(u64),
}

impl Fault {
    /// Whether the ledger itself is to be doubted, not only the way to it: a person must look.
    pub const fn is_suspicious(&self) -> bool {
        matches!(
            self,
            Self::Garbage(_)
                | Self::OutOfPlace(_)
                | Self::Untrusted(_)
                | Self::RolledBack { .. }
                | Self::Forked { .. }
                | Self::BadHead(_)
                | Self::BadBlock { .. }
                | Self::BadReceipt(_)
        )
    }
}
