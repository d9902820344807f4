//! Checks a whole log, offline and without its secret key: every entry, every tile, every payload, every checkpoint, and
//! the state derived again from the leaves.

mod walk;

use ledger_block::content::ContentId;
use ledger_block::note::VerifierKey;

use crate::log::{CHECKPOINT, Storage};
use crate::objects::StorageError;

/// Faults listed; further ones are only counted.
pub const FAULTS_MAX: usize = 1_000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A signed checkpoint does not verify, or is not of this log.
    Signature,
    /// A checkpoint's root is not the root of the entries.
    Root,
    /// The published note is none the index has signed.
    Published,
    /// A tile is missing or differs from what the entries make.
    Tile,
    /// A bundle is missing, cut or not in form.
    Bundle,
    /// An entry is not the one the index placed there.
    Entry,
    /// The state machine would not have admitted a leaf.
    Leaf,
    /// A payload is missing, cut or changed.
    Payload,
    /// The index says otherwise than the leaves.
    Index,
    /// Evidence that proves nothing.
    Evidence,
    /// The content of a release has changed, or no release names it.
    Content,
}

impl FaultKind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Root => "root",
            Self::Published => "published",
            Self::Tile => "tile",
            Self::Bundle => "bundle",
            Self::Entry => "entry",
            Self::Leaf => "leaf",
            Self::Payload => "payload",
            Self::Index => "index",
            Self::Evidence => "evidence",
            Self::Content => "content",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Where: a path, or `leaf N`.
    pub at: String,
    /// In words.
    pub text: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Leaves checked.
    pub leaves: u64,
    /// Tiles and bundles checked.
    pub tiles: u64,
    /// Checkpoints checked.
    pub checkpoints: u64,
    /// Payloads checked.
    pub payloads: u64,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Contents of releases checked.
    pub contents: u64,
    /// Files a crash left behind; harmless, the next batch writes over them.
    pub leftovers: u64,
    /// Faults in all.
    pub fault_count: u64,
    /// The first [`FAULTS_MAX`] of them.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.fault_count == 0
    }

    fn fault(&mut self, kind: FaultKind, at: impl Into<String>, text: impl Into<String>) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { kind, at: at.into(), text: text.into() });
        }
    }
}

/// What others are shown.
struct Shown {
    /// The published note.
    note: Option<Vec<u8>>,
    /// Whole contents.
    contents: Vec<ContentId>,
}

/// Checks everything. Faults are findings, not errors. The log may grow meanwhile: what it was when this began is checked.
///
/// # Errors
/// The stores cannot be read at all.
pub fn fsck(storage: &Storage, key: &VerifierKey) -> Result<Report, StorageError> {
    let mut report = Report::default();
    // Before the index is looked at: a note stands there before it is shown, and so does the release that names a content.
    let shown = Shown { note: storage.objects.get(CHECKPOINT)?, contents: storage.contents.list()? };
    let walked = storage.index.read(&mut |reads| {
        report = Report::default();
        walk::Walk::new(storage, reads, key, &shown, &mut report).run()
    });
    match walked {
        // An index that holds what it never writes is a finding; the walk ends there.
        Err(StorageError::Impossible(what)) => report.fault(FaultKind::Index, "index", format!("an impossible {what}")),
        Err(StorageError::Index(error)) if says_nonsense(&error) => {
            report.fault(FaultKind::Index, "index", error.to_string());
        }
        other => other?,
    }
    Ok(report)
}

fn says_nonsense(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    matches!(
        error,
        Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::InvalidColumnType(..)
    ) || matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
