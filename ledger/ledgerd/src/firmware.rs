//! What the operator enters about firmware: who signs releases. The policy bears signatures of its own; the operator cannot
//! make one up, only let one in.

use std::path::{Path, PathBuf};

use ledger_block::ingest::{Act, DeviceId, NameError, OPERATOR, Refusal, Transaction, TransactionError};
use ledger_block::release::{ReleasePolicy, SIGNED_BYTES_MAX, SignedPolicy, SignedPolicyError};
use ledger_log::{Placed, SequenceError};

use crate::clock;
use crate::files::read_bounded;
use crate::setup::{self, SetupError};

/// Why nothing was entered.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no release policy.
    #[error("{path}: {error}")]
    Policy {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: SignedPolicyError,
    },
    /// The ledger does not open.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The transaction cannot be made.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// Never: the operator's name is a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The log refused it.
    #[error("the log refused it: {0}")]
    Refused(Refusal),
    /// The log could not take it.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
}

/// Puts a signed release policy into the log of the ledger in `directory`, running or not.
///
/// # Errors
/// It is none, it does not follow the one in force, or the log refuses.
pub fn release_policy(directory: &Path, file: &Path) -> Result<(ReleasePolicy, Placed), FirmwareError> {
    let io = |source| FirmwareError::Io { path: file.to_owned(), source };
    let bytes = read_bounded(file, SIGNED_BYTES_MAX).map_err(io)?;
    let signed = SignedPolicy::parse(&bytes).map_err(|error| FirmwareError::Policy { path: file.to_owned(), error })?;
    let placed = enter(directory, Act::ReleasePolicy { signed: bytes })?;
    Ok((signed.policy().clone(), placed))
}

/// Moves a log made by an older ledgerd on to the present version.
///
/// # Errors
/// It runs that already, or the log refuses.
pub fn upgrade(directory: &Path) -> Result<Placed, FirmwareError> {
    enter(directory, Act::Upgrade { version: ledger_log::VERSION })
}

fn enter(directory: &Path, act: Act) -> Result<Placed, FirmwareError> {
    let log = setup::open_log(directory)?;
    let transaction = Transaction { signer: DeviceId::parse(OPERATOR)?, time: clock::now(), act };
    let leaf = transaction.sign(log.origin(), &setup::operator_key(directory)?)?;
    log.enter_now(leaf, clock::now())?.map_err(FirmwareError::Refused)
}
