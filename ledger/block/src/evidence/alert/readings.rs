//! The readings of an alert's evidence. Checkpoints, headers, log paths and segments that several of them share stand once, in the
//! file and in memory: otherwise a few bytes that point at a long note thousands of times would become gigabytes.

use minicbor::Decoder;
use minicbor::decode::Error;

use super::codec::list;
use crate::cbor::{Writer, array_of, fixed, hashes, key, put_hashes};
use crate::evidence::{Evidence, SegmentPlace};
use crate::header::SIGNED_HEADER_BYTES_MAX;
use crate::merkle::{Hash, PATH_HASHES_MAX};
use crate::note::NOTE_BYTES_MAX;
use crate::record::RECORD_BYTES_MAX;
use crate::segment::Disclosed;

/// The most readings in one file.
pub const READINGS_MAX: usize = 8_192;

/// A block in the log, and which checkpoint proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) header: Vec<u8>,
    pub(super) leaf_index: u64,
    pub(super) log_path: Vec<Hash>,
    pub(super) checkpoint: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) block: u32,
    pub(super) place: SegmentPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) segment: u32,
    pub(super) disclosed: Disclosed,
}

/// Readings, each with everything that leads to the ledger, in the order in which they arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readings {
    pub(super) checkpoints: Vec<Vec<u8>>,
    pub(super) blocks: Vec<Block>,
    pub(super) segments: Vec<Segment>,
    pub(super) readings: Vec<Reading>,
}

/// The place of an item in a list of different ones; it is added if it is not there.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> u32 {
    let at = items.iter().rposition(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl FromIterator<Evidence> for Readings {
    fn from_iter<I: IntoIterator<Item = Evidence>>(evidence: I) -> Self {
        let mut readings = Self::default();
        for Evidence { disclosed, segment, header, leaf_index, log_path, checkpoint } in evidence {
            let checkpoint = place(&mut readings.checkpoints, checkpoint);
            let block = place(&mut readings.blocks, Block { header, leaf_index, log_path, checkpoint });
            let segment = place(&mut readings.segments, Segment { block, place: segment });
            readings.readings.push(Reading { segment, disclosed });
        }
        readings
    }
}

/// What `at` points at.
pub(super) fn item<T>(items: &[T], at: u32) -> Option<&T> {
    items.get(usize::try_from(at).ok()?)
}

fn bounded(input: &mut Decoder<'_>, most: usize) -> Result<Vec<u8>, Error> {
    let bytes = input.bytes()?;
    if bytes.len() > most { Err(Error::message("byte string too long")) } else { Ok(bytes.to_vec()) }
}

/// A place in a list that was read before.
fn pointer<T>(input: &mut Decoder<'_>, items: &[T]) -> Result<u32, Error> {
    let at = input.u32()?;
    if item(items, at).is_some() { Ok(at) } else { Err(Error::message("points at nothing")) }
}

impl Readings {
    /// How many.
    pub fn len(&self) -> usize {
        self.readings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Keys 2 to 5 of the statement.
    pub(super) fn write(&self, out: &mut Writer) {
        out.uint(2).array(self.checkpoints.len() as u64);
        for checkpoint in &self.checkpoints {
            out.bytes(checkpoint);
        }
        out.uint(3).array(self.blocks.len() as u64);
        for block in &self.blocks {
            out.array(4).bytes(&block.header).uint(block.leaf_index);
            put_hashes(out, &block.log_path);
            out.uint(block.checkpoint.into());
        }
        out.uint(4).array(self.segments.len() as u64);
        for Segment { block, place } in &self.segments {
            out.array(6).uint((*block).into()).bytes(&place.commitment).bytes(&place.digest);
            out.uint(place.index.into()).uint(place.count.into());
            put_hashes(out, &place.path);
        }
        out.uint(5).array(self.readings.len() as u64);
        for Reading { segment, disclosed } in &self.readings {
            out.array(6).uint((*segment).into()).bytes(&disclosed.record).bytes(&disclosed.blind);
            out.uint(disclosed.index.into()).uint(disclosed.count.into());
            put_hashes(out, &disclosed.path);
        }
    }

    pub(super) fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        const MOST: u64 = READINGS_MAX as u64;
        key(input, 2)?;
        let checkpoints = list(input, MOST, |input| bounded(input, NOTE_BYTES_MAX))?;
        key(input, 3)?;
        let blocks = list(input, MOST, |input| {
            array_of(input, 4)?;
            let (header, leaf_index) = (bounded(input, SIGNED_HEADER_BYTES_MAX)?, input.u64()?);
            let log_path = hashes(input, PATH_HASHES_MAX)?;
            Ok(Block { header, leaf_index, log_path, checkpoint: pointer(input, &checkpoints)? })
        })?;
        key(input, 4)?;
        let segments = list(input, MOST, |input| {
            array_of(input, 6)?;
            let (block, commitment, digest) = (pointer(input, &blocks)?, fixed(input)?, fixed(input)?);
            let (index, count, path) = (input.u32()?, input.u32()?, hashes(input, PATH_HASHES_MAX)?);
            Ok(Segment { block, place: SegmentPlace { commitment, digest, index, count, path } })
        })?;
        key(input, 5)?;
        let readings = list(input, MOST, |input| {
            array_of(input, 6)?;
            let (segment, record) = (pointer(input, &segments)?, bounded(input, RECORD_BYTES_MAX)?);
            let (blind, index, count) = (fixed(input)?, input.u32()?, input.u32()?);
            let disclosed = Disclosed { record, blind, index, count, path: hashes(input, PATH_HASHES_MAX)? };
            Ok(Reading { segment, disclosed })
        })?;
        Ok(Self { checkpoints, blocks, segments, readings })
    }
}
