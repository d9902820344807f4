//! The file: self-described CBOR, a map of version and a COSE_Sign1 over the statement. In the statement, headers, log paths,
//! checkpoints and segments that several readings share stand once.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::Timestamp;

use super::{AlertEvidence, Happened, LogLine};
use crate::cbor::{CborError, Deterministic, Writer, array, array_of, exact, fixed, hashes, key, map, put_hashes};
use crate::cose::{self, Unverified};
use crate::evidence::{EVIDENCE_BYTES_MAX, Evidence, SegmentPlace};
use crate::merkle::{Hash, PATH_HASHES_MAX};
use crate::segment::Disclosed;

use super::AlertFault;

/// The largest file, in bytes.
pub const ALERT_EVIDENCE_BYTES_MAX: usize = 16 << 20;
/// The most readings in one file.
pub const READINGS_MAX: usize = 8_192;
/// The most rules of a set.
const RULES_MAX: u64 = 10_000;
/// The most streams a rule names.
const STREAMS_MAX: u64 = 64;
/// Fields of a statement; with streams there is one more.
const FIELDS: u64 = 12;
/// The most lines of a log.
const LOG_MAX: u64 = 10_000;
const VERSION: u64 = 2;
const SELF_DESCRIBED: u64 = 55_799;
/// Tag, map of two, key 1, version 2.
const MAGIC: &[u8] = &[0xd9, 0xd9, 0xf7, 0xa2, 0x01, 0x02];

/// All but one of its first bytes are enough to know the file by: one changed byte can't hide what it is. A file of one record
/// differs in two.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let Some(first) = bytes.get(..MAGIC.len()) else { return false };
    first.iter().zip(MAGIC).filter(|(a, b)| a != b).count() <= 1
}

struct File {
    envelope: Vec<u8>,
}

impl Deterministic for File {
    fn write(&self, out: &mut Writer) {
        out.tag(SELF_DESCRIBED).map(2).uint(1).uint(VERSION).uint(2).bytes(&self.envelope);
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        if input.tag()?.as_u64() != SELF_DESCRIBED || map(input)? != 2 {
            return Err(Error::message("not evidence of an alert"));
        }
        key(input, 1)?;
        if input.u64()? != VERSION {
            return Err(Error::message("unknown version"));
        }
        key(input, 2)?;
        Ok(Self { envelope: input.bytes()?.to_vec() })
    }
}

pub(super) fn wrap(envelope: &[u8]) -> Vec<u8> {
    File { envelope: envelope.to_vec() }.to_cbor()
}

/// The signed envelope, what it says, and the alert's own evidence as a file of its own.
pub(super) fn parse(bytes: &[u8]) -> Result<(Unverified, AlertEvidence, Vec<u8>), AlertFault> {
    let file: File = exact(bytes)?;
    let envelope = cose::parse(&file.envelope, ALERT_EVIDENCE_BYTES_MAX)?;
    let statement: Statement = exact(envelope.payload())?;
    let alert = Evidence::parse(&statement.alert).map_err(AlertFault::Alert)?;
    let (said, alert) = (statement.expand(alert)?, statement.alert);
    Ok((envelope, said, alert))
}

pub(super) fn statement(evidence: &AlertEvidence) -> Vec<u8> {
    Statement::pack(evidence).to_cbor()
}

#[derive(PartialEq)]
struct Block {
    header: Vec<u8>,
    leaf_index: u64,
    log_path: Vec<Hash>,
    checkpoint: u32,
}

#[derive(PartialEq)]
struct Segment {
    block: u32,
    place: SegmentPlace,
}

/// What is signed.
struct Statement {
    alert: Vec<u8>,
    checkpoints: Vec<Vec<u8>>,
    blocks: Vec<Block>,
    segments: Vec<Segment>,
    readings: Vec<(u32, Disclosed)>,
    rules: Vec<(String, Hash)>,
    manifest: String,
    script: String,
    streams: Vec<(String, String)>,
    engine: String,
    before: Option<Vec<u8>>,
    log: Vec<LogLine>,
    made_at: Timestamp,
}

/// The place of an item in a list of different ones; it is added if it is not there.
fn place<T: PartialEq>(items: &mut Vec<T>, item: T) -> u32 {
    let at = items.iter().rposition(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Statement {
    fn pack(evidence: &AlertEvidence) -> Self {
        let (mut checkpoints, mut blocks, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        let readings = evidence.readings.iter().map(|reading| {
            let checkpoint = place(&mut checkpoints, reading.checkpoint.clone());
            let (leaf_index, log_path) = (reading.leaf_index, reading.log_path.clone());
            let block = place(&mut blocks, Block { header: reading.header.clone(), leaf_index, log_path, checkpoint });
            let segment = place(&mut segments, Segment { block, place: reading.segment.clone() });
            (segment, reading.disclosed.clone())
        });
        Self {
            readings: readings.collect(),
            alert: evidence.alert.to_bytes(),
            checkpoints,
            blocks,
            segments,
            rules: evidence.rules.clone(),
            manifest: evidence.manifest.clone(),
            script: evidence.script.clone(),
            streams: evidence.streams.clone(),
            engine: evidence.engine.clone(),
            before: evidence.before.clone(),
            log: evidence.log.clone(),
            made_at: evidence.made_at,
        }
    }

    fn expand(&self, alert: Evidence) -> Result<AlertEvidence, CborError> {
        let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        let missing = CborError::Shape { at: 0 };
        let readings: Option<Vec<Evidence>> = self
            .readings
            .iter()
            .map(|(segment, disclosed)| {
                let segment = self.segments.get(at(*segment))?;
                let block = self.blocks.get(at(segment.block))?;
                Some(Evidence {
                    disclosed: disclosed.clone(),
                    segment: segment.place.clone(),
                    header: block.header.clone(),
                    leaf_index: block.leaf_index,
                    log_path: block.log_path.clone(),
                    checkpoint: self.checkpoints.get(at(block.checkpoint))?.clone(),
                })
            })
            .collect();
        Ok(AlertEvidence {
            alert,
            readings: readings.ok_or(missing)?,
            rules: self.rules.clone(),
            manifest: self.manifest.clone(),
            script: self.script.clone(),
            streams: self.streams.clone(),
            engine: self.engine.clone(),
            before: self.before.clone(),
            log: self.log.clone(),
            made_at: self.made_at,
        })
    }
}

fn put_some(out: &mut Writer, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => out.bytes(bytes),
        None => out.null(),
    };
}

impl Deterministic for Statement {
    fn write(&self, out: &mut Writer) {
        out.map(if self.streams.is_empty() { FIELDS } else { FIELDS + 1 })
            .uint(1)
            .bytes(&self.alert)
            .uint(2)
            .array(self.checkpoints.len() as u64);
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
        for (segment, record) in &self.readings {
            out.array(6).uint((*segment).into()).bytes(&record.record).bytes(&record.blind);
            out.uint(record.index.into()).uint(record.count.into());
            put_hashes(out, &record.path);
        }
        out.uint(6).array(self.rules.len() as u64);
        for (name, hash) in &self.rules {
            out.array(2).text(name).bytes(hash);
        }
        out.uint(7).text(&self.manifest).uint(8).text(&self.script).uint(9).text(&self.engine).uint(10);
        put_some(out, self.before.as_deref());
        out.uint(11).array(self.log.len() as u64);
        for line in &self.log {
            out.array(3).uint(line.what as u64);
            match line.at {
                Some(at) => out.int(at.0),
                None => out.null(),
            };
            match &line.by {
                Some(by) => out.text(by),
                None => out.null(),
            };
        }
        out.uint(12).int(self.made_at.0);
        if !self.streams.is_empty() {
            out.uint(13).array(self.streams.len() as u64);
            for (manifest, script) in &self.streams {
                out.array(2).text(manifest).text(script);
            }
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        let fields = map(input)?;
        if !(FIELDS..=FIELDS + 1).contains(&fields) {
            return Err(Error::message("wrong number of fields"));
        }
        key(input, 1)?;
        let alert = input.bytes()?;
        if alert.len() > EVIDENCE_BYTES_MAX {
            return Err(Error::message("the alert's own evidence is too long"));
        }
        let alert = alert.to_vec();
        key(input, 2)?;
        let checkpoints = list(input, READINGS_MAX as u64, |input| Ok(input.bytes()?.to_vec()))?;
        key(input, 3)?;
        let blocks = list(input, READINGS_MAX as u64, |input| {
            array_of(input, 4)?;
            let (header, leaf_index) = (input.bytes()?.to_vec(), input.u64()?);
            Ok(Block { header, leaf_index, log_path: hashes(input, PATH_HASHES_MAX)?, checkpoint: input.u32()? })
        })?;
        key(input, 4)?;
        let segments = list(input, READINGS_MAX as u64, |input| {
            array_of(input, 6)?;
            let (block, commitment, digest) = (input.u32()?, fixed(input)?, fixed(input)?);
            let (index, count, path) = (input.u32()?, input.u32()?, hashes(input, PATH_HASHES_MAX)?);
            Ok(Segment { block, place: SegmentPlace { commitment, digest, index, count, path } })
        })?;
        key(input, 5)?;
        let readings = list(input, READINGS_MAX as u64, |input| {
            array_of(input, 6)?;
            let (segment, record, blind) = (input.u32()?, input.bytes()?.to_vec(), fixed(input)?);
            let (index, count, path) = (input.u32()?, input.u32()?, hashes(input, PATH_HASHES_MAX)?);
            Ok((segment, Disclosed { record, blind, index, count, path }))
        })?;
        key(input, 6)?;
        let rules = list(input, RULES_MAX, |input| {
            array_of(input, 2)?;
            Ok((input.str()?.to_owned(), fixed(input)?))
        })?;
        key(input, 7)?;
        let manifest = input.str()?.to_owned();
        key(input, 8)?;
        let script = input.str()?.to_owned();
        key(input, 9)?;
        let engine = input.str()?.to_owned();
        key(input, 10)?;
        let before = unless_null(input, |input| Ok(input.bytes()?.to_vec()))?;
        key(input, 11)?;
        let log = list(input, LOG_MAX, |input| {
            array_of(input, 3)?;
            let what = Happened::from_code(input.u8()?).ok_or_else(|| Error::message("unknown line of the log"))?;
            let at = unless_null(input, |input| Ok(Timestamp(input.i64()?)))?;
            Ok(LogLine { what, at, by: unless_null(input, |input| Ok(input.str()?.to_owned()))? })
        })?;
        key(input, 12)?;
        let made_at = Timestamp(input.i64()?);
        let mut streams = Vec::new();
        if fields > FIELDS {
            key(input, 13)?;
            streams = list(input, STREAMS_MAX, |input| {
                array_of(input, 2)?;
                Ok((input.str()?.to_owned(), input.str()?.to_owned()))
            })?;
            if streams.is_empty() {
                return Err(Error::message("a list of no streams is not written"));
            }
        }
        Ok(Self {
            alert,
            checkpoints,
            blocks,
            segments,
            readings,
            rules,
            manifest,
            script,
            streams,
            engine,
            before,
            log,
            made_at,
        })
    }
}

/// An array of at most so many items. Nothing is reserved for what is only claimed.
fn list<T>(
    input: &mut Decoder<'_>,
    most: u64,
    mut read: impl FnMut(&mut Decoder<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let count = array(input)?;
    if count > most {
        return Err(Error::message("too many items"));
    }
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(read(input)?);
    }
    Ok(items)
}

fn unless_null<T>(
    input: &mut Decoder<'_>,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if input.datatype()? == minicbor::data::Type::Null {
        input.null()?;
        return Ok(None);
    }
    read(input).map(Some)
}
