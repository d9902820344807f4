//! The state machine: what may enter the log. A pure function of the state so far and the leaf. Version 2 knows firmware by
//! whole manifests, version 3 how updates ended; a log founded with an older one goes on under its rules until its operator
//! upgrades it.

mod block;
mod firmware;
pub(crate) mod tally;
mod transaction;

use ledger_block::SignedHeader;
use ledger_block::ingest::DeviceId;
use ledger_block::ingest::{Code, LEAF_BYTES_MAX, Refusal, SignedTransaction, TransactionError};

pub(crate) use firmware::{STEPS_COUNTED_FROM, step_key};

use crate::objects::StorageError;
use crate::state::{Change, State};

/// Its newest version. The log's index states the one the log is at, every transaction the one its kind came with.
pub const VERSION: u64 = ledger_block::ingest::transaction::VERSION;

/// A leaf, read.
#[derive(Debug, Clone)]
pub enum Leaf {
    /// A block header whose signature holds under the key it names.
    Block(SignedHeader),
    /// A transaction whose signature is still to be checked.
    Transaction(Box<SignedTransaction>),
}

impl Leaf {
    /// Reads a leaf.
    ///
    /// # Errors
    /// Not a leaf: the refusal says why.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(Refusal::because(Code::TooLarge, format_args!("a leaf of {} bytes", bytes.len())));
        }
        if SignedTransaction::is_one(bytes) {
            return match SignedTransaction::parse(bytes) {
                Ok(transaction) => Ok(Self::Transaction(Box::new(transaction))),
                Err(error @ TransactionError::Version(_)) => Err(Refusal::because(Code::Version, error)),
                Err(error) => Err(Refusal::because(Code::Malformed, error)),
            };
        }
        match SignedHeader::verify(bytes) {
            Ok(header) => Ok(Self::Block(header)),
            Err(error) => {
                use ledger_block::cose::CoseError;
                use ledger_block::header::HeaderError;
                let code = match error {
                    HeaderError::Cose(CoseError::Signature | CoseError::Key) => Code::BadSignature,
                    _ => Code::Malformed,
                };
                Err(Refusal::because(code, error))
            }
        }
    }
}

/// What the state machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may enter, and changes the state so.
    Admit(Vec<Change>),
    /// It may not.
    Refuse(Refusal),
    /// It may not, and it proves that somebody signed two stories: to be kept.
    Evidence {
        /// Why.
        refusal: Refusal,
        /// Whose chain it is.
        gateway: DeviceId,
        /// The place of the leaf it conflicts with.
        stands: Option<u64>,
    },
}

impl Verdict {
    fn refuse(code: Code, detail: impl std::fmt::Display) -> Self {
        Self::Refuse(Refusal::because(code, detail))
    }
}

/// Decides whether `leaf` may follow `state` in the log of this origin. `by` is the gateway that hands it in, if it came
/// over the channel: it may hand in only its own blocks. Transactions are authorised by their signature, whoever brings
/// them.
///
/// # Errors
/// The state cannot be read.
pub fn admit(state: &dyn State, origin: &str, by: Option<&DeviceId>, leaf: &Leaf) -> Result<Verdict, StorageError> {
    match leaf {
        Leaf::Block(header) => block::admit(state, by, header),
        Leaf::Transaction(transaction) => transaction::admit(state, origin, transaction),
    }
}

#[cfg(test)]
mod tests;
