//! Trust policies: which logs are believed, and how many witnesses must have cosigned (C2SP tlog-policy).

mod parse;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{NoteError, SignedNote, VerifierKey};

pub use parse::{LineError, PolicyError};

/// The largest policy file, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// The most logs, witnesses and groups each. C2SP recommends at least 32.
pub const MEMBERS_MAX: usize = 256;

/// A log the policy believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its key; the key's name is the log's origin.
    pub key: VerifierKey,
    /// Where it can be reached, as written.
    pub url: Option<Vec<u8>>,
}

/// A witness the policy counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessEntry {
    /// Its name within the policy: opaque octets.
    pub name: Vec<u8>,
    /// Its cosigning key.
    pub key: VerifierKey,
    /// Where it can be reached, as written.
    pub url: Option<Vec<u8>>,
}

/// A member of a group, or the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// At least `threshold` of the members, each defined before the group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// A parsed policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<LogEntry>,
    witnesses: Vec<WitnessEntry>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A checkpoint the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The key of the log that signed it.
    pub log: VerifierKey,
    /// Key names of the witnesses that cosigned it.
    pub witnesses: Vec<String>,
}

/// Why a policy does not accept a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a signed note, or a known key signed something else.
    #[error("the checkpoint is not a valid signed note: {0}")]
    Note(#[from] NoteError),
    /// A signed note, but its text is not a checkpoint.
    #[error("the note is not a checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The origin line names a log the policy does not have.
    #[error("the policy names no log with the origin {origin:?}")]
    UnknownLog {
        /// As stated by the checkpoint.
        origin: String,
    },
    /// The origin is known, but no signature by its key is there.
    #[error("the checkpoint of {origin:?} carries no signature by the key the policy names for it")]
    NotSigned {
        /// As stated by the checkpoint.
        origin: String,
    },
    /// Too few witnesses cosigned.
    #[error("only {have} of the policy's witnesses cosigned the checkpoint: its quorum is not met")]
    Quorum {
        /// How many did.
        have: usize,
    },
}

impl Policy {
    /// Reads a policy file.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        parse::parse(bytes)
    }

    /// A policy that believes these logs and asks for no witness: `log VKEY` lines and `quorum none`.
    pub fn of_logs(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let logs = keys.into_iter().map(|key| LogEntry { key, url: None }).collect();
        Self { logs, witnesses: Vec::new(), groups: Vec::new(), quorum: None }
    }

    /// The logs it believes.
    pub fn logs(&self) -> &[LogEntry] {
        &self.logs
    }

    /// The witnesses it counts.
    pub fn witnesses(&self) -> &[WitnessEntry] {
        &self.witnesses
    }

    /// Checks a signed checkpoint: signed by a listed log under its own origin, and cosigned as the quorum asks.
    /// Signatures of keys the policy does not name are ignored (C2SP signed-note).
    pub fn verify_checkpoint(&self, note: &[u8]) -> Result<TrustedCheckpoint, TrustError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let logs: Vec<&VerifierKey> =
            self.logs.iter().map(|log| &log.key).filter(|key| key.name() == checkpoint.origin).collect();
        if logs.is_empty() {
            return Err(TrustError::UnknownLog { origin: checkpoint.origin });
        }
        let log = match note.verify(&logs) {
            Ok(signed) => signed.first().and_then(|at| logs.get(*at)).map(|key| (*key).clone()),
            Err(NoteError::NotSigned(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(log) = log else { return Err(TrustError::NotSigned { origin: checkpoint.origin }) };
        let keys: Vec<&VerifierKey> = self.witnesses.iter().map(|witness| &witness.key).collect();
        let cosigned = match note.verify(&keys) {
            Ok(signed) => signed,
            Err(NoteError::NotSigned(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if !self.quorum_met(&cosigned) {
            return Err(TrustError::Quorum { have: cosigned.len() });
        }
        let witnesses = cosigned.iter().filter_map(|at| keys.get(*at)).map(|key| key.name().to_owned()).collect();
        Ok(TrustedCheckpoint { checkpoint, log, witnesses })
    }

    fn quorum_met(&self, cosigned: &[usize]) -> bool {
        // Groups refer only to earlier ones, so one pass in order settles each.
        let mut settled: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let have = group.members.iter().filter(|member| witnessed(**member, cosigned, &settled)).count();
            settled.push(have >= group.threshold);
        }
        self.quorum.is_none_or(|member| witnessed(member, cosigned, &settled))
    }
}

fn witnessed(member: Member, cosigned: &[usize], settled: &[bool]) -> bool {
    match member {
        Member::Witness(at) => cosigned.contains(&at),
        Member::Group(at) => settled.get(at).copied().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests;
