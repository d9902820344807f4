//! What keeps the box and its ledger apart.

use ledger_block::ingest::Code;
use pitchside_sync::{Fault, Status as SyncStatus};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How the ledger is looked after, if there is one.
#[derive(Debug, Clone)]
pub enum Way {
    /// The settings name none.
    NotConfigured,
    /// They name one, but not so that it could be known: nobody asks it before the next start.
    Off {
        /// What of them is of no use.
        fault: LedgerFault,
        /// Why.
        why: String,
    },
    /// By sync, which says how it stands.
    Sync(watch::Receiver<SyncStatus>),
}

/// Why there is no sync: by who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerFault {
    /// Nothing that is a ledger answers: the network, or its address and keys in the settings.
    Unreachable,
    /// It has other blocks of this box's name: a second box runs or ran.
    SecondBox,
    /// It refuses, for another reason.
    Refused,
    /// What it says is not believed: an older log, another, or none at all.
    NotBelieved,
    /// What is to be sent does not come out of this box's own store.
    Own,
    /// The file that says which log is believed (`ledger.policy`) is not there, or is no policy.
    Policy,
    /// `ledger.public_key` is nobody's.
    Key,
}

impl From<&Fault> for LedgerFault {
    fn from(fault: &Fault) -> Self {
        match fault {
            fault if fault.is_suspicious() => Self::NotBelieved,
            Fault::Refused(refusal) => match refusal.code {
                Code::Fork | Code::Conflict | Code::OldIncarnation => Self::SecondBox,
                _ => Self::Refused,
            },
            Fault::Payload(_) | Fault::Outbox(_) | Fault::Parcel(_) => Self::Own,
            _ => Self::Unreachable,
        }
    }
}

impl LedgerFault {
    /// Whether it is what the settings say of the ledger, which is read at a start.
    pub const fn is_of_the_settings(self) -> bool {
        matches!(self, Self::Policy | Self::Key)
    }

    /// How the ledger is, in a word or two.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "known offline",
            Self::SecondBox | Self::Refused => "in reach, and refuses",
            Self::NotBelieved => "in reach, and not believed",
            Self::Own => "in reach, and sync is held up here",
            Self::Policy => "the ledger policy cannot be read",
            Self::Key => "the ledger's public key is of no use",
        }
    }
}
