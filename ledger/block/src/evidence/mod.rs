//! Evidence: one reading or one alert with everything that leads from it to a checkpoint signed by the ledger. Checked
//! offline, with no key but the policy's public ones, and disclosing no neighbour.

pub mod alert;
mod codec;

use pitchside_model::Timestamp;

use crate::cbor::CborError;
use crate::header::{Header, HeaderError, SignedHeader};
use crate::merkle::{Hash, ProofError, counted_root, root_from_inclusion, verify_inclusion};
use crate::payload::{Payload, segment_leaf};
use crate::policy::{Policy, TrustError, TrustedCheckpoint};
use crate::receipt::Included;
use crate::record::{Record, record_leaf};
use crate::segment::Disclosed;

pub use codec::EVIDENCE_BYTES_MAX;

/// Everything an evidence file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The record and its place in its segment.
    pub disclosed: Disclosed,
    /// The segment and its place in its block.
    pub segment: SegmentPlace,
    /// The signed header, as logged.
    pub header: Vec<u8>,
    /// The header's place in the log, from 0.
    pub leaf_index: u64,
    /// Inclusion proof in the log, the leaf's sibling first.
    pub log_path: Vec<Hash>,
    /// The checkpoint: a signed note, verbatim.
    pub checkpoint: Vec<u8>,
}

/// A segment by its hashes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentPlace {
    /// Key commitment.
    pub commitment: [u8; 32],
    /// BLAKE3 of the ciphertext.
    pub digest: Hash,
    /// Position in the block.
    pub index: u32,
    /// How many segments the block has.
    pub count: u32,
    /// Inclusion proof within the block.
    pub path: Vec<Hash>,
}

/// Why evidence can't be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The payload has no such segment.
    #[error("the block has no segment with this commitment")]
    NoSegment,
    /// The receipt answers another block.
    #[error("the receipt is for another block")]
    OtherBlock,
}

/// Why a file is not believed. All but [`Fault::NotEvidence`] mean that something was changed, or that the policy does not
/// name the log it rests on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither begins nor ends like evidence: most likely another file.
    #[error("this is not an evidence file")]
    NotEvidence,
    /// Larger than [`EVIDENCE_BYTES_MAX`].
    #[error("the file has {0} bytes, evidence has at most {EVIDENCE_BYTES_MAX}")]
    TooLong(usize),
    /// The file's structure is not the one spelling evidence has.
    #[error("the file was changed or cut: {0}")]
    Structure(#[from] CborError),
    /// The block header is not validly signed.
    #[error("the block is not believed: {0}")]
    Block(#[from] HeaderError),
    /// A proof inside the block has the wrong length or position.
    #[error("the record's place in the block does not fit: {0}")]
    Place(#[source] ProofError),
    /// Record, segment and header do not belong together.
    #[error("the record is not in the block: its hashes do not lead to the root the block was signed with")]
    NotInBlock,
    /// The checkpoint is not one the policy accepts.
    #[error("the ledger's checkpoint is not believed: {0}")]
    Checkpoint(#[from] TrustError),
    /// The block is not in the tree of the checkpoint.
    #[error("the block is not in the ledger: {0}")]
    NotInLedger(#[source] ProofError),
    /// The record is in the block, but is not a reading or an alert this version knows.
    #[error("the record can't be read: {0}")]
    Record(#[source] CborError),
    /// Everything holds but the file's own digest: a signature the policy does not know was changed.
    #[error("the file was changed: its own digest does not match")]
    Digest,
}

impl Fault {
    /// Whether the file must be taken for tampered with (or resting on a log that is not trusted), as opposed to being
    /// something else altogether.
    pub const fn is_tampered(&self) -> bool {
        !matches!(self, Self::NotEvidence | Self::TooLong(_))
    }
}

/// What accepted evidence says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The reading or alert.
    pub record: Record,
    /// The block it is in.
    pub block: Header,
    /// The block's hash, as chained and logged.
    pub block_hash: Hash,
    /// The log and its checkpoint, and which witnesses cosigned.
    pub ledger: TrustedCheckpoint,
    /// The block's place in the log.
    pub leaf_index: u64,
}

impl Verdict {
    /// When the gateway says it sealed the block.
    pub const fn sealed_at(&self) -> Timestamp {
        self.block.sealed_at
    }
}

impl Evidence {
    /// Puts evidence together: a disclosed record of the segment at `segment` in `payload`, the block's header, and the
    /// ledger's receipt R2 for it.
    pub fn assemble(
        disclosed: Disclosed,
        payload: &Payload<'_>,
        segment: usize,
        block: &SignedHeader,
        included: &Included,
    ) -> Result<Self, AssembleError> {
        if included.sequenced.leaf != block.hash() {
            return Err(AssembleError::OtherBlock);
        }
        let found = payload.segment(segment).ok_or(AssembleError::NoSegment)?;
        let path = payload.prove(segment).ok_or(AssembleError::NoSegment)?;
        let index = u32::try_from(segment).map_err(|_| AssembleError::NoSegment)?;
        let count = u32::try_from(payload.segments().len()).map_err(|_| AssembleError::NoSegment)?;
        let digest = *blake3::hash(found.ciphertext).as_bytes();
        Ok(Self {
            disclosed,
            segment: SegmentPlace { commitment: *found.commitment, digest, index, count, path },
            header: block.bytes().to_vec(),
            leaf_index: included.sequenced.leaf_index,
            log_path: included.path.clone(),
            checkpoint: included.checkpoint.clone(),
        })
    }
}

/// The segment root that record, segment and their proofs lead to.
fn segment_root(record: &Disclosed, segment: &SegmentPlace) -> Result<Hash, ProofError> {
    let leaf = record_leaf(&record.blind, &record.record);
    let root = root_from_inclusion(&leaf, record.index.into(), record.count.into(), &record.path)?;
    let leaf = segment_leaf(&segment.commitment, &counted_root(record.count, &root), &segment.digest);
    let root = root_from_inclusion(&leaf, segment.index.into(), segment.count.into(), &segment.path)?;
    Ok(counted_root(segment.count, &root))
}

/// Checks an evidence file against a policy. Any changed byte is refused.
pub fn verify(bytes: &[u8], policy: &Policy) -> Result<Verdict, Fault> {
    let (evidence, digest_holds) = codec::parse(bytes)?;
    let block = SignedHeader::verify(&evidence.header)?;
    let root = segment_root(&evidence.disclosed, &evidence.segment).map_err(Fault::Place)?;
    if root != block.header().segment_root {
        return Err(Fault::NotInBlock);
    }
    let ledger = policy.verify_checkpoint(&evidence.checkpoint)?;
    let (size, root) = (ledger.checkpoint.size, ledger.checkpoint.root);
    verify_inclusion(&block.hash(), evidence.leaf_index, size, &evidence.log_path, &root)
        .map_err(Fault::NotInLedger)?;
    let record = Record::parse(&evidence.disclosed.record).map_err(Fault::Record)?;
    if !digest_holds {
        return Err(Fault::Digest);
    }
    let (block_hash, block) = (block.hash(), block.header().clone());
    Ok(Verdict { record, block, block_hash, ledger, leaf_index: evidence.leaf_index })
}

#[cfg(test)]
pub(crate) mod tests;
