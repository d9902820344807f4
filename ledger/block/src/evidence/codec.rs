//! The evidence file: self-described CBOR (RFC 8949, 3.4.6), a map with keys 1 to 12, the last one a digest of all before.

use minicbor::Decoder;
use minicbor::decode::Error;
use sha2::{Digest, Sha256};

use super::{Evidence, Fault, SegmentPlace};
use crate::cbor::{Deterministic, Writer, array_of, exact, fixed, hashes, key, map, put_hashes};
use crate::merkle::{Hash, PATH_HASHES_MAX};
use crate::note::NOTE_BYTES_MAX;
use crate::segment::Disclosed;

/// The largest evidence file, in bytes.
pub const EVIDENCE_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * 1024;

const VERSION: u64 = 1;
const SELF_DESCRIBED: u64 = 55_799;
const MAGIC: &[u8] = &[0xd9, 0xd9, 0xf7];
/// Key 12 and the head of 32 bytes, in front of the digest that ends the file.
const DIGEST_HEAD: &[u8] = &[0x0c, 0x58, 0x20];

fn put_place(out: &mut Writer, index: u32, count: u32, path: &[Hash]) {
    out.array(3).uint(index.into()).uint(count.into());
    put_hashes(out, path);
}

fn read_place(input: &mut Decoder<'_>) -> Result<(u32, u32, Vec<Hash>), Error> {
    array_of(input, 3)?;
    Ok((input.u32()?, input.u32()?, hashes(input, PATH_HASHES_MAX)?))
}

/// The file with whatever digest it carries.
struct File {
    evidence: Evidence,
    digest: Hash,
}

impl Deterministic for File {
    fn write(&self, out: &mut Writer) {
        let (record, segment) = (&self.evidence.disclosed, &self.evidence.segment);
        out.tag(SELF_DESCRIBED).map(12);
        out.uint(1).uint(VERSION);
        out.uint(2).bytes(&record.record);
        out.uint(3).bytes(&record.blind);
        put_place(out.uint(4), record.index, record.count, &record.path);
        out.uint(5).bytes(&segment.commitment);
        out.uint(6).bytes(&segment.digest);
        put_place(out.uint(7), segment.index, segment.count, &segment.path);
        out.uint(8).bytes(&self.evidence.header);
        out.uint(9).uint(self.evidence.leaf_index);
        put_hashes(out.uint(10), &self.evidence.log_path);
        out.uint(11).bytes(&self.evidence.checkpoint);
        out.uint(12).bytes(&self.digest);
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        if input.tag()?.as_u64() != SELF_DESCRIBED || map(input)? != 12 {
            return Err(Error::message("not evidence"));
        }
        key(input, 1)?;
        if input.u64()? != VERSION {
            return Err(Error::message("unknown version"));
        }
        key(input, 2)?;
        let record = input.bytes()?.to_vec();
        key(input, 3)?;
        let blind = fixed(input)?;
        key(input, 4)?;
        let (index, count, path) = read_place(input)?;
        let disclosed = Disclosed { record, blind, index, count, path };
        key(input, 5)?;
        let commitment = fixed(input)?;
        key(input, 6)?;
        let digest = fixed(input)?;
        key(input, 7)?;
        let (index, count, path) = read_place(input)?;
        let segment = SegmentPlace { commitment, digest, index, count, path };
        key(input, 8)?;
        let header = input.bytes()?.to_vec();
        key(input, 9)?;
        let leaf_index = input.u64()?;
        key(input, 10)?;
        let log_path = hashes(input, PATH_HASHES_MAX)?;
        key(input, 11)?;
        let checkpoint = input.bytes()?.to_vec();
        key(input, 12)?;
        let digest = fixed(input)?;
        Ok(Self { evidence: Evidence { disclosed, segment, header, leaf_index, log_path, checkpoint }, digest })
    }
}

/// SHA-256 of all bytes before key 12; none if the file does not end like evidence.
fn digest_of(bytes: &[u8]) -> Option<Hash> {
    let (body, tail) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_HEAD.len() + 32)?)?;
    tail.starts_with(DIGEST_HEAD).then(|| Sha256::digest(body).into())
}

/// Reads a file, and says whether its own digest holds.
pub(super) fn parse(bytes: &[u8]) -> Result<(Evidence, bool), Fault> {
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(Fault::TooLong(bytes.len()));
    }
    let digest = digest_of(bytes);
    // Either end is enough to know the file for evidence: one changed byte can't hide both.
    if !bytes.starts_with(MAGIC) && digest.is_none() {
        return Err(Fault::NotEvidence);
    }
    let file: File = exact(bytes)?;
    Ok((file.evidence, digest == Some(file.digest)))
}

impl Evidence {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = File { evidence: self.clone(), digest: [0; 32] };
        file.digest = digest_of(&file.to_cbor()).unwrap_or_default();
        file.to_cbor()
    }

    /// Reads a file without checking it, to look inside. To believe it, use [`super::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        parse(bytes).map(|(evidence, _)| evidence)
    }
}
