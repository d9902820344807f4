//! Encrypting a segment, and opening it with its hour key.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use pitchside_model::{AthleteId, HourIndex};
use zeroize::Zeroizing;

use super::{Content, SegmentError, SegmentKeys, SegmentTag, Stream, table};
use crate::cbor::Writer;
use crate::merkle::{self, Hash, counted_root, inclusion_proof};
use crate::record::{Blind, Record, record_leaf};

/// A segment as it stands in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// What only the right key can tell: it finds the segment and commits to the key.
    pub commitment: [u8; 32],
    /// Counted root over the records.
    pub root: Hash,
    /// The hour whose key opens it.
    pub hour: HourIndex,
    /// Padded plaintext, encrypted, with its tag.
    pub ciphertext: Vec<u8>,
}

/// The blinding value of record `at` in a keystream.
fn blind_at(stream: &[u8], at: usize) -> Blind {
    let mut blind = [0u8; 16];
    if let Some(bytes) = stream.get(at * 16..at * 16 + 16) {
        blind.copy_from_slice(bytes);
    }
    blind
}

/// Leaf hashes of all records, in order.
fn leaves(content: &Content<'_>, blinds: &[u8]) -> Vec<Hash> {
    match content {
        Content::Readings(rows) => {
            let mut out = Writer::default();
            let write = |(at, row): (usize, &crate::record::ReadingRef<'_>)| {
                out.clear();
                row.write(&mut out);
                record_leaf(&blind_at(blinds, at), out.as_bytes())
            };
            rows.iter().enumerate().map(write).collect()
        }
        Content::Alerts(records) => {
            records.iter().enumerate().map(|(at, record)| record_leaf(&blind_at(blinds, at), record)).collect()
        }
    }
}

/// Encrypts `plaintext` (from [`super::plaintext`], of this content) and hashes the records.
pub fn seal(
    tag: SegmentTag,
    content: &Content<'_>,
    plaintext: Zeroizing<Vec<u8>>,
    keys: &SegmentKeys,
) -> Result<SealedSegment, SegmentError> {
    let count = u32::try_from(content.len()).map_err(|_| SegmentError::TooLarge)?;
    let leaves = leaves(content, &keys.blinds(content.len()));
    let mut buffer = plaintext;
    let cipher = ChaCha20Poly1305::new(&keys.key.into());
    cipher.encrypt_in_place(&keys.nonce.into(), &keys.commitment, &mut *buffer).map_err(|_| SegmentError::TooLarge)?;
    let ciphertext = std::mem::take(&mut *buffer);
    Ok(SealedSegment {
        commitment: keys.commitment,
        root: counted_root(count, &merkle::root(&leaves)),
        hour: tag.hour,
        ciphertext,
    })
}

/// A decrypted segment whose records are checked against its root.
#[derive(Debug, Clone)]
pub struct OpenSegment {
    tag: SegmentTag,
    records: Vec<Record>,
    blinds: Zeroizing<Vec<u8>>,
    leaves: Vec<Hash>,
}

/// Decrypts a segment and checks commitment, tag, layout and root. `athlete` is whose key it is: the name is not in the
/// segment, but it is in the records the root commits to.
pub fn open(
    sealed: &SealedSegment,
    keys: &SegmentKeys,
    tag: SegmentTag,
    athlete: Option<&AthleteId>,
) -> Result<OpenSegment, SegmentError> {
    if sealed.commitment != keys.commitment {
        return Err(SegmentError::WrongKey);
    }
    let records = table::read(tag, athlete, &decrypt(&sealed.ciphertext, keys)?)?;
    let blinds = keys.blinds(records.len());
    let hash = |(at, record): (usize, &Record)| record_leaf(&blind_at(&blinds, at), &record.to_bytes());
    let leaves: Vec<Hash> = records.iter().enumerate().map(hash).collect();
    let count = u32::try_from(leaves.len()).map_err(|_| SegmentError::TooLarge)?;
    if counted_root(count, &merkle::root(&leaves)) != sealed.root {
        return Err(SegmentError::Root);
    }
    Ok(OpenSegment { tag, records, blinds, leaves })
}

/// Decrypts a segment of readings that was found by its commitment in a verified payload, for reading alone. What is read is what
/// was sealed: the header's signature covers the ciphertext, and the commitment the key. Whether the records hash to the segment's
/// root is not looked at: that is what evidence stands on, and [`open`] does.
pub fn readings(ciphertext: &[u8], keys: &SegmentKeys, tag: SegmentTag) -> Result<Vec<Stream>, SegmentError> {
    table::read_streams(tag, &decrypt(ciphertext, keys)?)
}

fn decrypt(ciphertext: &[u8], keys: &SegmentKeys) -> Result<Zeroizing<Vec<u8>>, SegmentError> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let cipher = ChaCha20Poly1305::new(&keys.key.into());
    cipher.decrypt_in_place(&keys.nonce.into(), &keys.commitment, &mut *buffer).map_err(|_| SegmentError::Changed)?;
    Ok(buffer)
}

impl OpenSegment {
    /// Which segment it is.
    pub const fn tag(&self) -> SegmentTag {
        self.tag
    }

    /// Its records, in the order of its leaves.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Takes the records.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }

    /// What discloses one record and nothing of its neighbours; none if there is no such record.
    pub fn disclose(&self, at: usize) -> Option<Disclosed> {
        let record = self.records.get(at)?.to_bytes();
        let count = u32::try_from(self.leaves.len()).ok()?;
        let path = inclusion_proof(&self.leaves, at as u64).ok()?;
        Some(Disclosed { record, blind: blind_at(&self.blinds, at), index: u32::try_from(at).ok()?, count, path })
    }
}

/// One record with its place in its segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// Canonical bytes.
    pub record: Vec<u8>,
    /// The value that blinded its hash.
    pub blind: Blind,
    /// Its position in the segment.
    pub index: u32,
    /// How many records the segment has.
    pub count: u32,
    /// Inclusion proof within the segment.
    pub path: Vec<Hash>,
}
