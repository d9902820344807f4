//! What is known, over a restart: the last checkpoint and the leaves, from which all else follows again.
//!
//! ```text
//! [1, note / null, confirmed_at: int, next: uint, [* [place: uint, leaf: bytes]]]     deterministic CBOR
//! ```

use ledger_block::cbor::{CborError, Deterministic, Writer, array, array_of, exact};
use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::LEAF_BYTES_MAX;
use ledger_block::policy::{Policy, TrustError};
use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use pitchside_model::Timestamp;

use super::{Anchors, Known, LEAVES_MAX, LearnError, Seen};

const FORM: u64 = 1;
const NOTE_BYTES_MAX: usize = 16_384;

/// Keeps what is known under one pair of anchors ([`Anchors::name`]). Implemented over the store by the gateway.
pub trait Shelf: Send + Sync {
    /// What was kept last; none at first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn load(&self) -> Result<Option<Vec<u8>>, ShelfError>;

    /// Keeps this instead, durably, whole or not at all.
    ///
    /// # Errors
    /// The store refused.
    fn save(&self, known: &[u8]) -> Result<(), ShelfError>;
}

/// The store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shelf of releases: {0}")]
pub struct ShelfError(pub String);

/// Why what was kept is not believed any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// The store could not answer.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The bytes are damaged.
    #[error("what was kept about releases is damaged: {0}")]
    Cbor(#[from] CborError),
    /// It was learnt under another ledger or another first release policy; under the name of these, it is damaged.
    #[error("what was kept about releases does not fit the settings: {0}")]
    Anchors(#[from] LearnError),
}

impl Anchors {
    /// What is known is kept by this name. Whoever names another ledger or another first release policy begins anew under another name,
    /// and finds the old checkpoint on the way back. Witnesses don't count: who asks for others believes the same log.
    pub fn name(&self) -> String {
        let mut logs: Vec<String> = self.ledger.logs().iter().map(|log| log.key.to_string()).collect();
        logs.sort_unstable();
        let whole = blake3::hash(format!("{} {}", logs.join(" "), self.first_policy).as_bytes()).to_hex();
        whole.get(..32).unwrap_or_default().to_owned()
    }

    /// A checkpoint that was verified before it was kept: by the settings of its day, whose witnesses may have been others.
    fn kept_checkpoint(&self, note: &[u8]) -> Result<Checkpoint, TrustError> {
        let logs = self.ledger.logs().iter().map(|log| log.key.clone());
        Ok(Policy::of_logs(logs).verify_checkpoint(note)?.checkpoint)
    }
}

struct Kept {
    note: Option<Vec<u8>>,
    confirmed_at: Timestamp,
    next: u64,
    leaves: Vec<(u64, Vec<u8>)>,
}

impl Known {
    /// As it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (note, confirmed_at) = match &self.seen {
            Some(seen) => (Some(seen.note.clone()), seen.confirmed_at),
            None => (None, Timestamp::default()),
        };
        Kept { note, confirmed_at, next: self.next, leaves: self.leaves.clone() }.to_cbor()
    }

    /// From what was kept; checked again under the present settings, but for the places of leaves in the log, which were
    /// proven before they were kept.
    ///
    /// # Errors
    /// Damaged, or learnt under other anchors.
    pub fn from_bytes(bytes: &[u8], anchors: &Anchors) -> Result<Self, KeptError> {
        let kept: Kept = exact(bytes)?;
        let mut known = Self { next: kept.next, ..Self::default() };
        for (place, leaf) in &kept.leaves {
            known.apply(*place, leaf, anchors)?;
        }
        if let Some(note) = kept.note {
            let checkpoint = anchors.kept_checkpoint(&note).map_err(LearnError::from)?;
            // Confirmed by the witnesses of its day: those of today have to speak before anything is decided.
            let is_cosigned = anchors.ledger.verify_checkpoint(&note).is_ok();
            let confirmed_at = if is_cosigned { kept.confirmed_at } else { Timestamp::default() };
            known.seen = Some(Seen { note, checkpoint, confirmed_at });
        }
        Ok(known)
    }

    /// Knows no release, but a checkpoint that was verified before: that of a restored backup, or of a box that forgot the rest. No older
    /// log is believed, so no halt that was known is forgotten; and since nobody knows when the ledger confirmed it, nothing is decided
    /// before it speaks. Nothing at all is known if the checkpoint is another log's.
    ///
    /// # Errors
    /// It is no checkpoint.
    pub fn since(note: Vec<u8>, anchors: &Anchors) -> Result<Self, LearnError> {
        let checkpoint = match anchors.kept_checkpoint(&note) {
            Err(TrustError::UnknownLog { .. } | TrustError::NotSigned { .. }) => return Ok(Self::default()),
            checked => checked?,
        };
        let seen = Seen { note, checkpoint, confirmed_at: Timestamp::default() };
        Ok(Self { seen: Some(seen), ..Self::default() })
    }

    /// Takes it from the shelf; nothing known if nothing was kept.
    ///
    /// # Errors
    /// The store, or what it holds.
    pub fn load(shelf: &dyn Shelf, anchors: &Anchors) -> Result<Self, KeptError> {
        match shelf.load()? {
            Some(bytes) => Self::from_bytes(&bytes, anchors),
            None => Ok(Self::default()),
        }
    }
}

impl Deterministic for Kept {
    fn write(&self, out: &mut Writer) {
        out.array(5).uint(FORM);
        match &self.note {
            Some(note) => out.bytes(note),
            None => out.null(),
        };
        out.int(self.confirmed_at.0).uint(self.next).array(self.leaves.len() as u64);
        for (place, leaf) in &self.leaves {
            out.array(2).uint(*place).bytes(leaf);
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        array_of(input, 5)?;
        if input.u64()? != FORM {
            return Err(Error::message("another form"));
        }
        let note = if input.datatype()? == Type::Null {
            input.null()?;
            None
        } else {
            Some(bounded(input, NOTE_BYTES_MAX)?)
        };
        let (confirmed_at, next) = (Timestamp(input.i64()?), input.u64()?);
        let count = array(input)?;
        if count > LEAVES_MAX as u64 {
            return Err(Error::message("too many leaves"));
        }
        let mut leaves: Vec<(u64, Vec<u8>)> = Vec::new();
        for _ in 0..count {
            array_of(input, 2)?;
            let place = input.u64()?;
            if place >= next || leaves.last().is_some_and(|(last, _)| *last >= place) {
                return Err(Error::message("leaves out of order"));
            }
            leaves.push((place, bounded(input, LEAF_BYTES_MAX)?));
        }
        Ok(Self { note, confirmed_at, next, leaves })
    }
}

fn bounded(input: &mut Decoder<'_>, most: usize) -> Result<Vec<u8>, Error> {
    let bytes = input.bytes()?;
    if bytes.len() > most { Err(Error::message("byte string too long")) } else { Ok(bytes.to_vec()) }
}
