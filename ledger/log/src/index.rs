//! The index beside the tiles: SQLite here, PostgreSQL when one machine is outgrown. Whoever writes holds one lock for
//! the whole of a batch, across processes.

use ledger_block::Hash;
use ledger_block::ingest::{DeviceId, Timestamp};

use crate::objects::StorageError;
use crate::state::{Block, Change, Contents, FactKind, State};

/// A checkpoint as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Hash,
    /// The signed note.
    pub note: Vec<u8>,
}

/// A header that conflicts with the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Leaf hash of the refused entry.
    pub hash: Hash,
    /// Whose chain it is.
    pub gateway: DeviceId,
    /// The entry, validly signed.
    pub entry: Vec<u8>,
    /// The number of the refusal's code.
    pub code: u16,
    /// Place of the leaf it conflicts with.
    pub stands: Option<u64>,
    /// When it came.
    pub kept_at: Timestamp,
}

/// Questions about the committed log (inside a batch: about the batch so far, too).
pub trait Reads: State {
    /// The origin line, and the version of the state machine the log is at.
    ///
    /// # Errors
    /// The index cannot be read.
    fn log(&self) -> Result<Option<(String, u64)>, StorageError>;
    /// Leaves.
    ///
    /// # Errors
    /// The index cannot be read.
    fn size(&self) -> Result<u64, StorageError>;
    /// The newest checkpoint signed.
    ///
    /// # Errors
    /// The index cannot be read.
    fn latest(&self) -> Result<Option<Signed>, StorageError>;
    /// Every checkpoint signed for a size above `after`, smallest first, at most `limit`.
    ///
    /// # Errors
    /// The index cannot be read.
    fn checkpoints(&self, after: u64, limit: u32) -> Result<Vec<Signed>, StorageError>;
    /// The place of a leaf.
    ///
    /// # Errors
    /// The index cannot be read.
    fn place_of(&self, hash: &Hash) -> Result<Option<u64>, StorageError>;
    /// Hash of the leaf at a place.
    ///
    /// # Errors
    /// The index cannot be read.
    fn hash_at(&self, place: u64) -> Result<Option<Hash>, StorageError>;
    /// A block of this gateway with this payload.
    ///
    /// # Errors
    /// The index cannot be read.
    fn block_by_payload(&self, gateway: &DeviceId, payload: &Hash) -> Result<Option<Block>, StorageError>;
    /// Places of leaves about firmware from `since` on, ascending, at most `limit`.
    ///
    /// # Errors
    /// The index cannot be read.
    fn firmware(&self, since: u64, limit: u32) -> Result<Vec<u64>, StorageError>;
    /// Keys of all facts of one kind, ascending.
    ///
    /// # Errors
    /// The index cannot be read.
    fn keys(&self, kind: FactKind) -> Result<Vec<Vec<u8>>, StorageError>;
    /// Manifests this member released in which this hash stands, wherever that is.
    ///
    /// # Errors
    /// The index cannot be read.
    fn manifests(&self, signer: &DeviceId, hash: &Hash) -> Result<Vec<Vec<u8>>, StorageError>;
    /// Evidence against one gateway, at most `limit`.
    ///
    /// # Errors
    /// The index cannot be read.
    fn evidence(&self, gateway: &DeviceId, limit: u32) -> Result<Vec<Evidence>, StorageError>;
    /// The whole derived state. For `fsck`.
    ///
    /// # Errors
    /// The index cannot be read.
    fn contents(&self) -> Result<Contents, StorageError>;
    /// What the database says about its own soundness; nothing if all is well. For `fsck`.
    ///
    /// # Errors
    /// The index cannot be read.
    fn unsound(&self) -> Result<Option<String>, StorageError>;
}

/// One batch being written.
pub trait Draft: Reads {
    /// Names a new log.
    ///
    /// # Errors
    /// There is one already, or the index refused.
    fn found(&mut self, origin: &str, version: u64) -> Result<(), StorageError>;
    /// Gives the next place to a leaf and takes its changes.
    ///
    /// # Errors
    /// The index refused.
    fn place(&mut self, place: u64, hash: &Hash, changes: Vec<Change>) -> Result<(), StorageError>;
    /// Keeps a conflicting header, once; beyond [`EVIDENCE_MAX`] per gateway no more are kept.
    ///
    /// # Errors
    /// The index refused.
    fn keep(&mut self, evidence: &Evidence) -> Result<(), StorageError>;
    /// Remembers a signed checkpoint.
    ///
    /// # Errors
    /// The index refused; a checkpoint of this size exists.
    fn signed(&mut self, checkpoint: &Signed) -> Result<(), StorageError>;
}

/// Conflicting headers kept per gateway.
pub const EVIDENCE_MAX: u32 = 1_000;

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it, durably.
    Commit,
    /// None of it.
    Rollback,
}

/// An index.
pub trait Index: Send + Sync {
    /// Runs one batch under the write lock. What was written is durable when this returns with [`End::Commit`]; an error
    /// undoes it.
    ///
    /// # Errors
    /// From `work`, or the index refused.
    fn write(&self, work: &mut dyn FnMut(&mut dyn Draft) -> Result<End, StorageError>) -> Result<(), StorageError>;
    /// Reads the committed log.
    ///
    /// # Errors
    /// From `work`, or the index cannot be read.
    fn read(&self, work: &mut dyn FnMut(&dyn Reads) -> Result<(), StorageError>) -> Result<(), StorageError>;
}
