//! The file: self-described CBOR, a map of version and a COSE_Sign1 over the statement.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::Timestamp;

use super::{AlertEvidence, AlertFault, Happened, LogLine, Readings};
use crate::cbor::{Deterministic, Writer, array, array_of, exact, fixed, key, map};
use crate::cose::{self, Unverified};
use crate::evidence::Evidence;

/// The largest file, in bytes.
pub const ALERT_EVIDENCE_BYTES_MAX: usize = 16 << 20;
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

/// The signed envelope and what it says, of which nothing is believed yet. What is held is no more than the file has: what readings
/// share stands once.
pub(super) fn parse(bytes: &[u8]) -> Result<(Unverified, AlertEvidence), AlertFault> {
    let file: File = exact(bytes)?;
    let envelope = cose::parse(&file.envelope, ALERT_EVIDENCE_BYTES_MAX)?;
    let said = exact(envelope.payload())?;
    Ok((envelope, said))
}

fn put_some(out: &mut Writer, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => out.bytes(bytes),
        None => out.null(),
    };
}

/// What is signed.
impl Deterministic for AlertEvidence {
    fn write(&self, out: &mut Writer) {
        out.map(if self.streams.is_empty() { FIELDS } else { FIELDS + 1 }).uint(1).bytes(&self.alert.to_bytes());
        self.readings.write(out);
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
        // Its own digest needs no other look: what does not end in the right one is not what is written again.
        let alert = Evidence::parse(input.bytes()?).map_err(|_| Error::message("not the alert's own evidence"))?;
        let readings = Readings::read(input)?;
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
        Ok(Self { alert, readings, rules, manifest, script, streams, engine, before, log, made_at })
    }
}

/// An array of at most so many items. Nothing is reserved for what is only claimed.
pub(super) fn list<T>(
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
