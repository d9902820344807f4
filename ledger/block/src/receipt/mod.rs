//! Receipts R1 to R3: what the ledger answers for a block. (R0 is the gateway's answer to a device and lives in `wire`.)

mod codec;
mod statement;

use crate::header::SignedHeader;
use crate::merkle::{Hash, ProofError, verify_inclusion};
use crate::policy::{Policy, TrustError, TrustedCheckpoint};

pub use codec::RECEIPT_BYTES_MAX;
pub use statement::{PayloadRead, StatementError};

/// How far a block has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Sequenced by the ledger.
    R1 = 1,
    /// In a published, signed checkpoint, with inclusion proof.
    R2 = 2,
    /// Cosigned by the quorum, and the payload read back from the store.
    R3 = 3,
}

/// The ledger gave the leaf its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    /// [`SignedHeader::hash`] of the block.
    pub leaf: Hash,
    /// Its place in the log, from 0.
    pub leaf_index: u64,
}

/// The leaf is in a tree whose checkpoint the log has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// What and where.
    pub sequenced: Sequenced,
    /// The checkpoint: a signed note, verbatim.
    pub checkpoint: Vec<u8>,
    /// Inclusion proof, the leaf's sibling first.
    pub path: Vec<Hash>,
}

/// The checkpoint is cosigned, and the log says it has read the payload back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// As R2; the note now carries cosignatures.
    pub included: Included,
    /// [`PayloadRead`], signed as a note by the log's key, verbatim.
    pub payload_read: Vec<u8>,
}

/// An answer of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Rests on the authenticated channel it came by.
    R1(Sequenced),
    /// Can be checked by anybody who knows the log's key.
    R2(Included),
    /// Can be checked by anybody who knows the keys of log and witnesses.
    R3(Witnessed),
}

/// Why a receipt does not hold for a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It answers another block.
    #[error("the receipt is for another block")]
    OtherBlock,
    /// The checkpoint is not trusted.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// The block is not in the tree of the checkpoint.
    #[error("the block is not in the log: {0}")]
    Proof(#[from] ProofError),
    /// The statement that the payload was read back does not hold.
    #[error("the statement that the payload was read back: {0}")]
    Statement(#[from] StatementError),
}

impl Receipt {
    /// Its level.
    pub const fn level(&self) -> Level {
        match self {
            Self::R1(_) => Level::R1,
            Self::R2(_) => Level::R2,
            Self::R3(_) => Level::R3,
        }
    }

    /// What and where, at any level.
    pub const fn sequenced(&self) -> &Sequenced {
        match self {
            Self::R1(sequenced) => sequenced,
            Self::R2(included) => &included.sequenced,
            Self::R3(witnessed) => &witnessed.included.sequenced,
        }
    }

    /// Checks that the receipt holds for `block` under `policy`, and returns the checkpoint it rests on (none for R1,
    /// which rests on the channel it came by).
    pub fn verify(&self, block: &SignedHeader, policy: &Policy) -> Result<Option<TrustedCheckpoint>, ReceiptError> {
        if self.sequenced().leaf != block.hash() {
            return Err(ReceiptError::OtherBlock);
        }
        let included = match self {
            Self::R1(_) => return Ok(None),
            Self::R2(included) => included,
            Self::R3(witnessed) => &witnessed.included,
        };
        let trusted = policy.verify_checkpoint(&included.checkpoint)?;
        let (index, size) = (included.sequenced.leaf_index, trusted.checkpoint.size);
        verify_inclusion(&block.hash(), index, size, &included.path, &trusted.checkpoint.root)?;
        if let Self::R3(witnessed) = self {
            PayloadRead::verify(&witnessed.payload_read, &trusted.log, block.header())?;
        }
        Ok(Some(trusted))
    }
}

#[cfg(test)]
mod tests;
