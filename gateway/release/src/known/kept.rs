//! What is known, over a restart: the last checkpoint and the leaves, from which all else follows again.
//!
//! ```text
//! [1, note / null, confirmed_at: int, next: uint, [* [place: uint, leaf: bytes]]]     deterministic CBOR
//! ```

use ledger_block::cbor::{CborError, Deterministic, Writer, array, array_of, exact};
use ledger_block::ingest::LEAF_BYTES_MAX;
use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use pitchside_model::Timestamp;

use super::{Anchors, Known, LEAVES_MAX, LearnError, Seen};

const FORM: u64 = 1;
const NOTE_BYTES_MAX: usize = 16_384;

/// Keeps what is known. Implemented over the store by the gateway.
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
    /// The settings name another ledger or another first release policy than they did.
    #[error("what was kept about releases does not fit the settings: {0}")]
    Anchors(#[from] LearnError),
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
    /// Damaged, or the settings were changed.
    pub fn from_bytes(bytes: &[u8], anchors: &Anchors) -> Result<Self, KeptError> {
        let kept: Kept = exact(bytes)?;
        let mut known = Self { next: kept.next, ..Self::default() };
        for (place, leaf) in &kept.leaves {
            known.apply(*place, leaf, anchors)?;
        }
        if let Some(note) = kept.note {
            let checkpoint = anchors.ledger.verify_checkpoint(&note).map_err(LearnError::from)?.checkpoint;
            known.seen = Some(Seen { note, checkpoint, confirmed_at: kept.confirmed_at });
        }
        Ok(known)
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
