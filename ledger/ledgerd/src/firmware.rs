//! What the operator enters about firmware: who signs releases, and how far they are rolled out where their publisher cannot say so
//! any more. Policies and releases bear signatures of their own; the operator cannot make one up, only let a policy in.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use ledger_block::ingest::{
    Act, Cohort, DeviceId, HaltReason, NameError, OPERATOR, Refusal, Transaction, TransactionError,
};
use ledger_block::release::{HardwareId, ReleaseId, ReleasePolicy, SIGNED_BYTES_MAX, SignedPolicy, SignedPolicyError};
use ledger_log::{Log, Placed, SequenceError};

use crate::clock;
use crate::files::read_bounded;
use crate::setup::{self, SetupError};

/// The shortest beginning of a release's name that is taken for it.
const BEGINNING_DIGITS_MIN: usize = 6;

/// A release's name, or as much of its beginning as is unmistakable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning(String);

/// Nothing a release's name begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write at least {least} of the 64 lower-case hexadecimal digits that name a release; `pitchside firmware status` lists them",
    least = BEGINNING_DIGITS_MIN
)]
pub struct NotABeginning;

impl FromStr for Beginning {
    type Err = NotABeginning;

    fn from_str(text: &str) -> Result<Self, NotABeginning> {
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() < BEGINNING_DIGITS_MIN || !hexadecimal {
            return Err(NotABeginning);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A step of a rollout that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// On which hardware.
    pub hardware: HardwareId,
    /// To how many of its devices.
    pub cohort: Cohort,
    /// Where it stands.
    pub placed: Placed,
}

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
    /// No release of that name.
    #[error("no release whose name begins with {0} stands in this log; `pitchside firmware status` lists them")]
    NoRelease(String),
    /// More than one.
    #[error("the names of several releases begin with {0}: write more of it")]
    Several(String),
    /// There is nothing to pause.
    #[error("nothing of this release is being rolled out there")]
    NothingOpen,
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
    let placed = enter(directory, &setup::open_log(directory)?, Act::ReleasePolicy { signed: bytes })?;
    Ok((signed.policy().clone(), placed))
}

/// Moves a log made by an older ledgerd on to the present version.
///
/// # Errors
/// It runs that already, or the log refuses.
pub fn upgrade(directory: &Path) -> Result<Placed, FirmwareError> {
    enter(directory, &setup::open_log(directory)?, Act::Upgrade { version: ledger_log::VERSION })
}

/// Begins or widens the rollout of a release on one hardware, or lets a paused one go on, in the place of who published it. The ledger
/// may be running or not.
///
/// # Errors
/// There is no such release, or the log refuses: a rollout widens step by step.
pub fn rollout(
    directory: &Path,
    release: &Beginning,
    hardware: &HardwareId,
    cohort: Cohort,
) -> Result<(ReleaseId, Step), FirmwareError> {
    let log = setup::open_log(directory)?;
    let release = find(&log, release)?;
    Ok((release, step(directory, &log, release, hardware.clone(), cohort)?))
}

/// Lets no further device begin, in the place of who published the release: on this hardware, or on all on which devices may.
///
/// # Errors
/// There is no such release, none may there, or the log refuses.
pub fn pause(
    directory: &Path,
    release: &Beginning,
    hardware: Option<&HardwareId>,
) -> Result<(ReleaseId, Vec<Step>), FirmwareError> {
    let log = setup::open_log(directory)?;
    let release = find(&log, release)?;
    let rollouts = log.rollouts(&release).map_err(SequenceError::from)?;
    let is_open =
        |(on, now): &(HardwareId, Cohort)| *now != Cohort::Paused && hardware.is_none_or(|wanted| wanted == on);
    let open: Vec<HardwareId> = rollouts.into_iter().filter(is_open).map(|(on, _)| on).collect();
    if open.is_empty() {
        return Err(FirmwareError::NothingOpen);
    }
    let steps = open.into_iter().map(|on| step(directory, &log, release, on, Cohort::Paused));
    Ok((release, steps.collect::<Result<_, _>>()?))
}

/// Stops a release for good, in the place of who published it.
///
/// # Errors
/// There is no such release, or the log refuses.
pub fn halt(directory: &Path, release: &Beginning) -> Result<(ReleaseId, Placed), FirmwareError> {
    let log = setup::open_log(directory)?;
    let release = find(&log, release)?;
    Ok((release, enter(directory, &log, Act::Halt { release, why: HaltReason::Aborted })?))
}

/// The one release that is meant.
fn find(log: &Log, Beginning(beginning): &Beginning) -> Result<ReleaseId, FirmwareError> {
    match log.releases_named(beginning).map_err(SequenceError::from)?.as_slice() {
        [release] => Ok(*release),
        [] => Err(FirmwareError::NoRelease(beginning.clone())),
        [..] => Err(FirmwareError::Several(beginning.clone())),
    }
}

fn step(
    directory: &Path,
    log: &Log,
    release: ReleaseId,
    hardware: HardwareId,
    cohort: Cohort,
) -> Result<Step, FirmwareError> {
    let placed = enter(directory, log, Act::Rollout { release, hardware: hardware.clone(), cohort })?;
    Ok(Step { hardware, cohort, placed })
}

fn enter(directory: &Path, log: &Log, act: Act) -> Result<Placed, FirmwareError> {
    let transaction = Transaction { signer: DeviceId::parse(OPERATOR)?, time: clock::now(), act };
    let leaf = transaction.sign(log.origin(), &setup::operator_key(directory)?)?;
    log.enter_now(leaf, clock::now())?.map_err(FirmwareError::Refused)
}
