//! The payload of a block: salt, table of segments, ciphertexts, padding. What can be checked of it without any key is
//! checked here.

use std::ops::Range;

use pitchside_model::HourIndex;

use crate::header::Header;
use crate::merkle::{self, Hash, counted_root, inclusion_proof, leaf_hash};
use crate::segment::{SALT_BYTES, Salt, SealedSegment, padded};

/// The largest padded payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most segments in a block.
pub const SEGMENTS_MAX: usize = 65_536;

const HEAD_BYTES: usize = SALT_BYTES + 4;
/// Length of a segment's row in the table.
pub const ENTRY_BYTES: usize = 32 + 32 + 4 + 4;

/// Why bytes are not the payload of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Longer than [`PAYLOAD_BYTES_MAX`] or with more than [`SEGMENTS_MAX`] segments.
    #[error("the payload exceeds its limits: at most {PAYLOAD_BYTES_MAX} bytes and {SEGMENTS_MAX} segments")]
    TooLarge,
    /// Not as long as the header says.
    #[error("the payload has {have} bytes, the header says {want}")]
    Length {
        /// Bytes given.
        have: u64,
        /// Bytes signed for.
        want: u64,
    },
    /// Not the bytes the header was signed over.
    #[error("the payload was changed: its BLAKE3 digest is not the one in the header")]
    Digest,
    /// The table does not fit the bytes.
    #[error("the payload is malformed: {0}")]
    Malformed(&'static str),
    /// The bytes are the header's, but its segment root is not over these segments.
    #[error("the segments do not hash to the header's segment root")]
    Root,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    commitment: [u8; 32],
    root: Hash,
    hour: HourIndex,
    ciphertext: Range<usize>,
}

/// A payload with its table read. Borrowed: nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a> {
    bytes: &'a [u8],
    salt: Salt,
    entries: Vec<Entry>,
}

/// A segment of a payload, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRef<'a> {
    /// By it the segment is found.
    pub commitment: &'a [u8; 32],
    /// Counted root over its records.
    pub root: &'a Hash,
    /// The hour whose key opens it: said openly, so that a reader need not try every hour there is.
    pub hour: HourIndex,
    /// Ciphertext and tag.
    pub ciphertext: &'a [u8],
}

impl SegmentRef<'_> {
    /// Leaf hash in the block's tree: SHA-256(0x00 || commitment || root || BLAKE3(ciphertext)).
    pub fn leaf(&self) -> Hash {
        segment_leaf(self.commitment, self.root, blake3::hash(self.ciphertext).as_bytes())
    }

    /// Copied.
    pub fn to_sealed(&self) -> SealedSegment {
        SealedSegment {
            commitment: *self.commitment,
            root: *self.root,
            hour: self.hour,
            ciphertext: self.ciphertext.to_vec(),
        }
    }
}

/// Leaf hash of a segment from its parts.
pub fn segment_leaf(commitment: &[u8; 32], root: &Hash, digest: &Hash) -> Hash {
    let mut leaf = [0u8; 96];
    leaf[..32].copy_from_slice(commitment);
    leaf[32..64].copy_from_slice(root);
    leaf[64..].copy_from_slice(digest);
    leaf_hash(&leaf)
}

/// A payload ready to be signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPayload {
    /// The padded bytes.
    pub bytes: Vec<u8>,
    /// Counted root over the segments, for the header.
    pub segment_root: Hash,
    /// BLAKE3 of the padded bytes, for the header.
    pub digest: Hash,
}

/// Puts segments into a payload. They are sorted by commitment, so their order tells nothing.
pub fn build(salt: &Salt, mut segments: Vec<SealedSegment>) -> Result<BuiltPayload, PayloadError> {
    segments.sort_by_key(|segment| segment.commitment);
    let count = u32::try_from(segments.len()).map_err(|_| PayloadError::TooLarge)?;
    let content: usize = segments.iter().map(|segment| segment.ciphertext.len()).sum();
    let length = padded(HEAD_BYTES + ENTRY_BYTES * segments.len() + content);
    if length > PAYLOAD_BYTES_MAX || segments.len() > SEGMENTS_MAX {
        return Err(PayloadError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(&count.to_be_bytes());
    for segment in &segments {
        let size = u32::try_from(segment.ciphertext.len()).map_err(|_| PayloadError::TooLarge)?;
        bytes.extend_from_slice(&segment.commitment);
        bytes.extend_from_slice(&segment.root);
        bytes.extend_from_slice(&segment.hour.0.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
    }
    for segment in &segments {
        bytes.extend_from_slice(&segment.ciphertext);
    }
    bytes.resize(length, 0);
    let segment_root = Payload::parse(&bytes)?.root();
    Ok(BuiltPayload { segment_root, digest: *blake3::hash(&bytes).as_bytes(), bytes })
}

impl<'a> Payload<'a> {
    /// Reads the table and checks layout, order and padding; whether these are the bytes of a block, [`verify`] says.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(PayloadError::TooLarge);
        }
        let short = PayloadError::Malformed("it ends within its table");
        let (salt, rest) = bytes.split_first_chunk::<SALT_BYTES>().ok_or(short)?;
        let (count, table) = rest.split_first_chunk::<4>().ok_or(short)?;
        let count = usize::try_from(u32::from_be_bytes(*count)).map_err(|_| PayloadError::TooLarge)?;
        if count > SEGMENTS_MAX {
            return Err(PayloadError::TooLarge);
        }
        let table = table.get(..count * ENTRY_BYTES).ok_or(short)?;
        let mut at = HEAD_BYTES + table.len();
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        for row in table.chunks_exact(ENTRY_BYTES) {
            let (commitment, row) = row.split_first_chunk::<32>().ok_or(short)?;
            let (root, row) = row.split_first_chunk::<32>().ok_or(short)?;
            let (hour, row) = row.split_first_chunk::<4>().ok_or(short)?;
            let hour = HourIndex(u32::from_be_bytes(*hour));
            let size = row.first_chunk::<4>().ok_or(short)?;
            let size = usize::try_from(u32::from_be_bytes(*size)).map_err(|_| PayloadError::TooLarge)?;
            if entries.last().is_some_and(|last| last.commitment >= *commitment) {
                return Err(PayloadError::Malformed("its segments are not in order"));
            }
            let end = at.checked_add(size).filter(|end| *end <= bytes.len());
            let end = end.ok_or(PayloadError::Malformed("it ends within a segment"))?;
            entries.push(Entry { commitment: *commitment, root: *root, hour, ciphertext: at..end });
            at = end;
        }
        let padding = bytes.get(at..).unwrap_or_default();
        if padded(at) != bytes.len() || padding.iter().any(|byte| *byte != 0) {
            return Err(PayloadError::Malformed("its padding is wrong"));
        }
        Ok(Self { bytes, salt: *salt, entries })
    }

    /// The block's salt.
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// The segments, in ascending order of commitment.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentRef<'_>> {
        self.entries.iter().map(|entry| SegmentRef {
            commitment: &entry.commitment,
            root: &entry.root,
            hour: entry.hour,
            ciphertext: self.bytes.get(entry.ciphertext.clone()).unwrap_or_default(),
        })
    }

    /// The position of the segment with this commitment.
    pub fn find(&self, commitment: &[u8; 32]) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.commitment.cmp(commitment)).ok()
    }

    /// One segment.
    pub fn segment(&self, at: usize) -> Option<SegmentRef<'_>> {
        self.segments().nth(at)
    }

    fn leaves(&self) -> Vec<Hash> {
        self.segments().map(|segment| segment.leaf()).collect()
    }

    /// Counted root over the segments.
    pub fn root(&self) -> Hash {
        counted_root(u32::try_from(self.entries.len()).unwrap_or(u32::MAX), &merkle::root(&self.leaves()))
    }

    /// Inclusion proof of one segment.
    pub fn prove(&self, at: usize) -> Option<Vec<Hash>> {
        inclusion_proof(&self.leaves(), at as u64).ok()
    }
}

/// Checks a payload against the header signed for it, without any key: length, BLAKE3 digest, layout, order, padding and
/// segment root. That each segment holds what its root says, only its key can tell (see [`crate::segment::open`]).
pub fn verify<'a>(header: &Header, bytes: &'a [u8]) -> Result<Payload<'a>, PayloadError> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(PayloadError::TooLarge);
    }
    if bytes.len() as u64 != header.payload_length {
        return Err(PayloadError::Length { have: bytes.len() as u64, want: header.payload_length });
    }
    if blake3::hash(bytes).as_bytes() != &header.payload_digest {
        return Err(PayloadError::Digest);
    }
    let payload = Payload::parse(bytes)?;
    if payload.root() == header.segment_root { Ok(payload) } else { Err(PayloadError::Root) }
}

#[cfg(test)]
mod tests;
