//! Evidence of an alert: the alert and the readings that fired it, each with everything that leads to the ledger; and, signed by
//! the gateway, what only it can know: the rule's text, the state it was in, who was told and who has seen it.
//!
//! What is proven and what is said are told apart: records are in signed, logged blocks; the set of rules is in the block's
//! header by its hash; state and log rest on the gateway's word, which it cannot take back.

mod codec;
mod readings;

use std::collections::{HashMap, HashSet};

use pitchside_model::{Alert, AlertEvent, DeviceId, Epoch, Seq, Timestamp};

use super::{Evidence, Fault, Verdict, segment_root};
use crate::cbor::{CborError, Deterministic as _};
use crate::cose::CoseError;
use crate::header::{GatewayId, GatewayKey, SignedHeader};
use crate::merkle::{Hash, verify_inclusion};
use crate::policy::Policy;
use crate::record::{ReadingRecord, Record};

use readings::{Reading, item};

pub use codec::ALERT_EVIDENCE_BYTES_MAX;
pub use readings::{READINGS_MAX, Readings};

/// The external data of the gateway's signature.
const CONTEXT: &[u8] = b"pitchside/alert-evidence/2";

/// What happened to an alert on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Happened {
    /// The gateway wrote it down.
    Recorded = 0,
    /// It went out: to everybody who listens, or one step of it to the output that is named.
    Delivered = 1,
    /// Somebody has seen it.
    Acknowledged = 2,
    /// The rule cleared it: the event time of the reading that did. Or somebody reset it, who is named.
    Cleared = 3,
    /// Nobody had seen it for too long: one line a level, from 1.
    Escalated = 4,
    /// It could not go out to the output that is named, which was refused or tried for as long as it could help.
    GivenUp = 5,
}

impl Happened {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Recorded),
            1 => Some(Self::Delivered),
            2 => Some(Self::Acknowledged),
            3 => Some(Self::Cleared),
            4 => Some(Self::Escalated),
            5 => Some(Self::GivenUp),
            _ => None,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
            Self::Cleared => "cleared",
            Self::Escalated => "escalated",
            Self::GivenUp => "given up",
        }
    }
}

/// One line of an alert's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// What happened.
    pub what: Happened,
    /// When, if that is known.
    pub at: Option<Timestamp>,
    /// Who did it, if somebody did.
    pub by: Option<String>,
}

/// Everything an alert's evidence file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertEvidence {
    /// The alert as it was raised.
    pub alert: Evidence,
    /// The readings, in the order in which they arrived; the last are of the message that fired.
    pub readings: Readings,
    /// Names and hashes of the rules in force.
    pub rules: Vec<(String, Hash)>,
    /// `rule.toml`, with the parameters in force.
    pub manifest: String,
    /// `rule.rhai`.
    pub script: String,
    /// `plugin.toml` and `derive.rhai` of the streams that the rule names as inputs.
    pub streams: Vec<(String, String)>,
    /// The evaluation's version.
    pub engine: String,
    /// What the rule remembered before the message that fired: bytes of that evaluation.
    pub before: Option<Vec<u8>>,
    /// What happened to the alert until the file was made.
    pub log: Vec<LogLine>,
    /// When the file was made.
    pub made_at: Timestamp,
}

/// Why a file is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertFault {
    /// Larger than [`ALERT_EVIDENCE_BYTES_MAX`].
    #[error("the file has {0} bytes, evidence of an alert has at most {ALERT_EVIDENCE_BYTES_MAX}")]
    TooLong(usize),
    /// The file's structure is not the one spelling it has.
    #[error("the file was changed or cut: {0}")]
    Structure(#[from] CborError),
    /// What the gateway says is not signed by the gateway whose block holds the alert.
    #[error("the gateway's statement is not believed: {0}")]
    Statement(#[from] CoseError),
    /// The alert is not proven.
    #[error("the alert: {0}")]
    Alert(#[source] Fault),
    /// The record is not an alert that was raised.
    #[error("the record it is about is not an alert that was raised")]
    NotAnAlert,
    /// A reading is not proven.
    #[error("reading {at}: {fault}")]
    Reading {
        /// Which, from 0.
        at: usize,
        /// Why not.
        #[source]
        fault: Fault,
    },
    /// A record among the readings is none.
    #[error("record {0} is not a reading")]
    NotAReading(usize),
    /// A reading comes from another gateway's block.
    #[error("reading {0} is in a block of another gateway")]
    OtherGateway(usize),
    /// A reading is there twice: there are fewer than are counted, and a rule would hear it again.
    #[error("reading {0} was shown before")]
    Twice(usize),
    /// A reading arrived before the one in front of it.
    #[error("reading {0} is not in its place: it arrived before the one in front of it")]
    OutOfOrder(usize),
}

impl AlertFault {
    /// Whether the file must be taken for tampered with.
    pub const fn is_tampered(&self) -> bool {
        !matches!(self, Self::TooLong(_))
    }
}

/// What accepted evidence says.
#[derive(Debug, Clone)]
pub struct AlertVerdict {
    /// The alert and its block.
    pub verdict: Verdict,
    /// The alert.
    pub alert: Alert,
    /// The readings, each proven, each once, in the order of their gateway times.
    pub readings: Vec<ReadingRecord>,
    /// How many blocks they are in.
    pub blocks: usize,
    /// All that the gateway says besides.
    pub said: AlertEvidence,
}

/// Whether a file is of this kind, and not of one record.
pub fn is_one(bytes: &[u8]) -> bool {
    codec::is_one(bytes)
}

impl AlertEvidence {
    /// The file, signed by the gateway.
    pub fn to_bytes(&self, key: &GatewayKey) -> Result<Vec<u8>, CoseError> {
        Ok(codec::wrap(&key.sign(&self.to_cbor(), CONTEXT)?))
    }
}

/// Checks a file against a policy. Any changed byte is refused.
pub fn verify(bytes: &[u8], policy: &Policy) -> Result<AlertVerdict, AlertFault> {
    if bytes.len() > ALERT_EVIDENCE_BYTES_MAX {
        return Err(AlertFault::TooLong(bytes.len()));
    }
    let (envelope, said) = codec::parse(bytes)?;
    // First the one signature over all of it, by whoever sealed the alert; then whether that block is one to believe.
    let block = SignedHeader::verify(&said.alert.header).map_err(|error| AlertFault::Alert(error.into()))?;
    envelope.verify(CONTEXT, &block.header().gateway.0)?;
    let verdict = super::verify(&said.alert.to_bytes(), policy).map_err(AlertFault::Alert)?;
    let Record::Alert(record) = &verdict.record else { return Err(AlertFault::NotAnAlert) };
    let AlertEvent::Raised(raised) = record.0.clone() else { return Err(AlertFault::NotAnAlert) };
    let mut proven = Proven { policy, said: &said.readings, trees: HashMap::new(), blocks: HashMap::new() };
    let mut arrived = Arrived::default();
    let mut readings = Vec::with_capacity(said.readings.len());
    for (at, reading) in said.readings.readings.iter().enumerate() {
        let gateway = proven.gateway_of(reading).map_err(|fault| AlertFault::Reading { at, fault })?;
        if gateway != verdict.block.gateway {
            return Err(AlertFault::OtherGateway(at));
        }
        match Record::parse(&reading.disclosed.record) {
            Ok(Record::Reading(reading)) => {
                arrived.next(&reading, at)?;
                readings.push(reading);
            }
            Ok(Record::Alert(_)) => return Err(AlertFault::NotAReading(at)),
            Err(error) => return Err(AlertFault::Reading { at, fault: Fault::Record(error) }),
        }
    }
    let blocks = proven.blocks.values().map(|block| block.hash).collect::<HashSet<_>>().len();
    Ok(AlertVerdict { verdict, alert: raised, readings, blocks, said })
}

/// Readings as they came.
#[derive(Default)]
struct Arrived {
    seen: HashSet<(DeviceId, Epoch, Seq, u32)>,
    last: Option<Timestamp>,
}

impl Arrived {
    /// The next is another one, and did not come before the one in front of it.
    fn next(&mut self, record: &ReadingRecord, at: usize) -> Result<(), AlertFault> {
        if !self.seen.insert((record.device.clone(), record.epoch, record.seq, record.item)) {
            return Err(AlertFault::Twice(at));
        }
        let now = record.reading.gateway_time;
        if self.last.replace(now).is_some_and(|last| now < last) {
            return Err(AlertFault::OutOfOrder(at));
        }
        Ok(())
    }
}

/// What was proven so far, by its place in the file: many readings lie in one block, many blocks under one checkpoint.
struct Proven<'a> {
    policy: &'a Policy,
    said: &'a Readings,
    /// Size and root of a checkpoint the policy accepts.
    trees: HashMap<u32, (u64, Hash)>,
    blocks: HashMap<u32, Logged>,
}

/// What a reading needs of a block that is in the ledger.
#[derive(Clone, Copy)]
struct Logged {
    hash: Hash,
    gateway: GatewayId,
    segment_root: Hash,
}

impl Proven<'_> {
    fn tree(&mut self, at: u32) -> Result<(u64, Hash), Fault> {
        if let Some(tree) = self.trees.get(&at) {
            return Ok(*tree);
        }
        let note = item(&self.said.checkpoints, at).ok_or(Fault::NotInBlock)?;
        let checkpoint = self.policy.verify_checkpoint(note)?.checkpoint;
        let tree = (checkpoint.size, checkpoint.root);
        self.trees.insert(at, tree);
        Ok(tree)
    }

    fn block(&mut self, at: u32) -> Result<Logged, Fault> {
        if let Some(block) = self.blocks.get(&at) {
            return Ok(*block);
        }
        let said = item(&self.said.blocks, at).ok_or(Fault::NotInBlock)?;
        let block = SignedHeader::verify(&said.header)?;
        let (size, root) = self.tree(said.checkpoint)?;
        let hash = block.hash();
        verify_inclusion(&hash, said.leaf_index, size, &said.log_path, &root).map_err(Fault::NotInLedger)?;
        let logged = Logged { hash, gateway: block.header().gateway, segment_root: block.header().segment_root };
        self.blocks.insert(at, logged);
        Ok(logged)
    }

    /// Whose block the reading is in, once it is proven to be in it.
    fn gateway_of(&mut self, reading: &Reading) -> Result<GatewayId, Fault> {
        let segment = item(&self.said.segments, reading.segment).ok_or(Fault::NotInBlock)?;
        let block = self.block(segment.block)?;
        if segment_root(&reading.disclosed, &segment.place).map_err(Fault::Place)? != block.segment_root {
            return Err(Fault::NotInBlock);
        }
        Ok(block.gateway)
    }
}

#[cfg(test)]
mod tests;
