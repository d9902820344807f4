//! The log: append -> sequence -> checkpoint.
//!
//! One batch, and what a crash leaves at each step:
//!
//! 1. Payloads were made durable before their headers came here (`payloads.rs`). Crash: a payload nobody refers to.
//! 2. The index's write lock is taken; the state machine decides each leaf. Crash: nothing.
//! 3. New tiles and bundles are written, fsynced, renamed, their directories fsynced. Crash: tiles beyond the signed
//!    size. Nobody is served those, and the next batch writes over them.
//! 4. Leaves, state and the *signed checkpoint* are committed to the index in one transaction (`synchronous=FULL`).
//!    From here the leaves are sequenced (R1). Crash: the published note is older than the newest signed one.
//! 5. The note is published: `checkpoint` is replaced by rename, under the same lock, never by an older note (R2).
//!    Opening the log repeats this step.
//!
//! A note is published only after it stands in the index, so no reader ever saw a checkpoint that a restart could
//! contradict. If the index is older than the published note (someone restored an old copy), the log refuses to open.

pub mod copies;
mod releases;
mod serve;
mod storage;

use std::sync::Arc;

use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::NameError;
use ledger_block::ingest::{Act, Code, OPERATOR, Refusal, Transaction, TransactionError};
use ledger_block::ingest::{DeviceId, Timestamp};
use ledger_block::note::{NoteError, SignedNote, SignerKey};
use ledger_block::policy::{Policy, TrustError};
use ledger_block::{GatewayKey, Hash, merkle};
use parking_lot::RwLock;

use crate::index::{Draft, End, Evidence, Signed};
use crate::machine::{self, Leaf, Verdict};
use crate::objects::StorageError;
use crate::state::Change;
use crate::tile::Tile;
use crate::tree::{Growth, TileTree};

pub use releases::{KnownContent, NotWanted};
pub use serve::Offer;
pub use storage::Storage;

/// Path of the published note.
pub const CHECKPOINT: &str = "checkpoint";
/// Leaves taken into one batch.
pub const BATCH_MAX: usize = 1_024;

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The stores cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no log here.
    #[error("there is no log here; `ledgerd init` makes one")]
    Absent,
    /// There is a log here already.
    #[error("there is a log of origin {0:?} here already")]
    Present(String),
    /// The key belongs to another log.
    #[error("the log's origin is {origin:?}, the key's name is {key:?}: this is another log's key")]
    OtherKey {
        /// The log's.
        origin: String,
        /// The key's.
        key: String,
    },
    /// The log runs another version of the state machine.
    #[error("the log runs state machine version {0}, this program knows versions up to {version}", version = machine::VERSION)]
    Version(u64),
    /// The newest checkpoint does not fit the key or the tiles.
    #[error("the log does not match its newest checkpoint ({0}); run `ledgerd fsck`")]
    Tampered(String),
    /// The first transaction could not be made.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The first transaction was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Never: the operator's name is a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Why a batch was not sequenced, or a note not published. Nothing of the batch stands.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// A store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The checkpoint could not be signed.
    #[error("the checkpoint cannot be signed: {0}")]
    Note(#[from] NoteError),
    /// The published note is newer than, or contradicts, the newest one in the index.
    #[error(
        "the published checkpoint is not one this index has signed: the index was restored from an old copy, or {0}"
    )]
    RolledBack(String),
}

/// A leaf to enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The gateway that hands it in over the channel; none for the operator at the console.
    pub by: Option<DeviceId>,
    /// A signed header or transaction.
    pub leaf: Vec<u8>,
}

/// Where a leaf stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its RFC 6962 hash.
    pub leaf: Hash,
    /// Its place, from 0.
    pub place: u64,
}

/// What became of a submission. A leaf that stands already is placed where it stands.
pub type Outcome = Result<Placed, Refusal>;

/// The checkpoint the world can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Leaves.
    pub size: u64,
    /// The signed note.
    pub note: Vec<u8>,
}

/// An open log. All methods may block on the disk.
pub struct Log {
    key: SignerKey,
    storage: Storage,
    published: RwLock<Arc<Published>>,
}

impl Log {
    /// Makes a new log; its first leaf names the operator's key.
    ///
    /// # Errors
    /// There is a log already, or the stores refuse.
    pub fn create(storage: Storage, key: SignerKey, operator: &GatewayKey, now: Timestamp) -> Result<Self, OpenError> {
        let mut present = None;
        storage.index.write(&mut |draft| {
            present = draft.log()?;
            if present.is_some() {
                return Ok(End::Rollback);
            }
            draft.found(key.name(), machine::VERSION)?;
            Ok(End::Commit)
        })?;
        if let Some((origin, _)) = present {
            return Err(OpenError::Present(origin));
        }
        let name = DeviceId::parse(OPERATOR)?;
        let act = Act::Found { key: operator.id().0, version: machine::VERSION };
        let leaf = Transaction { signer: name, time: now, act }.sign(key.name(), operator)?;
        let nothing = Arc::new(Published { size: 0, note: Vec::new() });
        let log = Self { key, storage, published: RwLock::new(nothing) };
        for outcome in log.sequence(&[Submission { by: None, leaf }], now).map_err(unexpected)? {
            outcome?;
        }
        log.publish().map_err(unexpected)?;
        Ok(log)
    }

    /// Opens a log, checks its newest checkpoint against key and tiles, and repeats an interrupted publication.
    ///
    /// # Errors
    /// There is none, the key is another log's, or index, tiles and notes contradict each other.
    pub fn open(storage: Storage, key: SignerKey) -> Result<Self, OpenError> {
        let mut held = (None, None, 0);
        storage.index.read(&mut |reads| {
            held = (reads.log()?, reads.latest()?, reads.size()?);
            Ok(())
        })?;
        let (named, latest, size) = held;
        let (origin, version) = named.ok_or(OpenError::Absent)?;
        if origin != key.name() {
            return Err(OpenError::OtherKey { origin, key: key.name().to_owned() });
        }
        if !(1..=machine::VERSION).contains(&version) {
            return Err(OpenError::Version(version));
        }
        let latest = latest.ok_or_else(|| OpenError::Tampered("there is none".to_owned()))?;
        check_newest(&storage, &key, &latest, size)?;
        let published = Arc::new(Published { size: latest.size, note: latest.note });
        let log = Self { key, storage, published: RwLock::new(published) };
        log.publish().map_err(unexpected)?;
        Ok(log)
    }

    /// The origin line.
    pub fn origin(&self) -> &str {
        self.key.name()
    }

    /// A policy that believes this log alone.
    pub fn policy(&self) -> Policy {
        Policy::of_logs([self.key.verifier().clone()])
    }

    /// Gives places to leaves: all that the state machine admits, in order, in one durable step. At most [`BATCH_MAX`];
    /// what is beyond is refused as too much at once.
    ///
    /// # Errors
    /// A store refused; then nothing of the batch stands, and it may be tried again.
    pub fn sequence(&self, batch: &[Submission], now: Timestamp) -> Result<Vec<Outcome>, SequenceError> {
        let mut outcomes = Vec::new();
        let mut unsigned = None;
        let written = self.storage.index.write(&mut |draft| {
            outcomes.clear();
            let mut growth = Growth::new(self.storage.objects.as_ref(), draft.size()?);
            let (before, mut kept) = (growth.size(), false);
            for (number, submission) in batch.iter().enumerate() {
                if number >= BATCH_MAX {
                    outcomes.push(Err(Refusal::plain(Code::Busy)));
                    continue;
                }
                let (outcome, evidence) = self.enter(draft, &mut growth, submission, now)?;
                kept |= evidence;
                outcomes.push(outcome);
            }
            if growth.size() == before {
                return Ok(if kept { End::Commit } else { End::Rollback });
            }
            let (size, root) = (growth.size(), growth.root()?);
            self.storage.objects.put_all(&growth.objects()?)?;
            match Checkpoint::new(self.origin(), size, root).sign(&self.key, 0) {
                Ok(note) => draft.signed(&Signed { size, root, note: note.to_string().into_bytes() })?,
                Err(error) => {
                    unsigned = Some(error);
                    return Ok(End::Rollback);
                }
            }
            Ok(End::Commit)
        });
        written?;
        match unsigned {
            Some(error) => Err(error.into()),
            None => Ok(outcomes),
        }
    }

    /// Decides one leaf and, if it may enter, gives it the next place. Second: whether evidence was kept.
    fn enter(
        &self,
        draft: &mut dyn Draft,
        growth: &mut Growth<'_>,
        submission: &Submission,
        now: Timestamp,
    ) -> Result<(Outcome, bool), StorageError> {
        let hash = merkle::leaf_hash(&submission.leaf);
        if let Some(place) = draft.place_of(&hash)? {
            return Ok((Ok(Placed { leaf: hash, place }), false));
        }
        let leaf = match Leaf::read(&submission.leaf) {
            Ok(leaf) => leaf,
            Err(refusal) => return Ok((Err(refusal), false)),
        };
        match machine::admit(draft, self.origin(), submission.by.as_ref(), &leaf)? {
            Verdict::Refuse(refusal) => Ok((Err(refusal), false)),
            Verdict::Evidence { refusal, gateway, stands } => {
                let entry = submission.leaf.clone();
                let code = refusal.code as u16;
                draft.keep(&Evidence { hash, gateway, entry, code, stands, kept_at: now })?;
                Ok((Err(refusal), true))
            }
            Verdict::Admit(mut changes) => {
                let place = growth.size();
                for change in &mut changes {
                    change.at(place);
                    let Change::Block(block) = change else { continue };
                    if self.storage.payloads.whole(&block.payload)? != Some(block.payload_bytes) {
                        let refusal = Refusal::because(Code::NotAllowed, "its payload is not here yet");
                        return Ok((Err(refusal), false));
                    }
                }
                draft.place(place, &hash, changes)?;
                growth.push(submission.leaf.clone(), hash)?;
                Ok((Ok(Placed { leaf: hash, place }), false))
            }
        }
    }

    /// Shows the newest signed checkpoint to the world; gives what the world now sees.
    ///
    /// # Errors
    /// The store refused, or what is published contradicts the index.
    pub fn publish(&self) -> Result<Arc<Published>, SequenceError> {
        let mut shown = None;
        let mut contradiction = None;
        self.storage.index.write(&mut |draft| {
            // Under the write lock: no other process can publish an older note over ours.
            let Some(latest) = draft.latest()? else { return Ok(End::Rollback) };
            let held = self.storage.objects.get(CHECKPOINT)?;
            let before = match held.as_deref().map(|note| self.signed_size(note)) {
                None => 0,
                Some(Some(size)) if size <= latest.size => size,
                Some(size) => {
                    contradiction =
                        Some(size.map_or("it is not ours at all".to_owned(), |s| format!("it has size {s}")));
                    return Ok(End::Rollback);
                }
            };
            if before == latest.size && held.as_ref() != Some(&latest.note) {
                contradiction = Some("it differs from the one signed for its size".to_owned());
                return Ok(End::Rollback);
            }
            if before < latest.size {
                self.storage.objects.put_all(&[(CHECKPOINT.to_owned(), latest.note.clone())])?;
                self.tidy(before, latest.size)?;
            }
            shown = Some(Arc::new(Published { size: latest.size, note: latest.note }));
            Ok(End::Rollback)
        })?;
        if let Some(why) = contradiction {
            return Err(SequenceError::RolledBack(why));
        }
        let mut published = self.published.write();
        if let Some(shown) = shown
            && shown.size >= published.size
        {
            *published = shown;
        }
        Ok(Arc::clone(&published))
    }

    /// The size of a note, if this log signed it.
    fn signed_size(&self, note: &[u8]) -> Option<u64> {
        let trusted: Result<_, TrustError> = self.policy().verify_checkpoint(note);
        trusted.ok().map(|trusted| trusted.checkpoint.size)
    }

    /// Forgets partial tiles whose full tile is published (tlog-tiles allows it, and readers fall back to the full one).
    fn tidy(&self, before: u64, after: u64) -> Result<(), StorageError> {
        for tile in Tile::grown(before, after).into_iter().filter(Tile::is_full) {
            if Tile::of_tree(tile.kind, tile.index, before).is_some() {
                let partial = self.storage.objects.paths(&format!("{tile}.p"))?;
                self.storage.objects.remove(&partial)?;
            }
        }
        Ok(())
    }
}

fn check_newest(storage: &Storage, key: &SignerKey, latest: &Signed, size: u64) -> Result<(), OpenError> {
    let tampered = |why: String| OpenError::Tampered(why);
    if latest.size != size {
        return Err(tampered(format!("it covers {} leaves, the index has {size}", latest.size)));
    }
    let note = SignedNote::parse(&latest.note).and_then(|note| note.verify(&[key.verifier()]).map(|_| note));
    let note = note.map_err(|error| tampered(error.to_string()))?;
    let stated = Checkpoint::parse(note.text()).map_err(|error| tampered(error.to_string()))?;
    let root = TileTree::new(storage.objects.as_ref(), size).root(size)?;
    if stated.size != size || stated.root != latest.root || root != latest.root {
        return Err(tampered("the tiles have another root".to_owned()));
    }
    if size == 0 { Err(tampered("it is empty".to_owned())) } else { Ok(()) }
}

/// While opening, a refusal to publish is a contradiction, not a passing fault.
fn unexpected(error: SequenceError) -> OpenError {
    match error {
        SequenceError::Storage(error) => error.into(),
        other => OpenError::Tampered(other.to_string()),
    }
}
