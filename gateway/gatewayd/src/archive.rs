//! Looking things up in sealed blocks: which block holds a reading or an alert, and the evidence of it.

pub mod alert;

use anyhow::{Context as _, bail};
use ledger_block::SignedHeader;
use ledger_block::receipt::{Included, Receipt};
use ledger_block::record::{AlertRecord, Record};
use ledger_block::segment::Subject;
use pitchside_model::{Alert, AlertEvent, AlertId};
use pitchside_seal::{Filter, KeyRing, open};
use pitchside_store::{BlockKey, BlockRow, Level, Tables};

use crate::adapters::athletes::load_ring;
use crate::cli::Failure;
use crate::cli::context::Context;
use crate::past;
use crate::reading_id::ReadingId;

/// Blocks looked through at a time.
const PAGE: u32 = 64;

/// What evidence is wanted of.
enum Wanted {
    Reading(ReadingId),
    Alert(AlertId),
}

impl Wanted {
    fn parse(id: &str) -> anyhow::Result<Self> {
        if let Some(alert) = AlertId::parse(id) {
            return Ok(Self::Alert(alert));
        }
        Ok(Self::Reading(id.parse()?))
    }

    fn is(&self, record: &Record) -> bool {
        match (self, record) {
            (Self::Reading(id), Record::Reading(r)) => {
                r.device == id.device && r.epoch == id.epoch && r.seq == id.seq && r.item == id.item
            }
            (Self::Alert(id), Record::Alert(alert)) => matches!(&alert.0, AlertEvent::Raised(a) if a.id == *id),
            _ => false,
        }
    }

    /// Alerts lie in segments of their own.
    fn filter(&self) -> Filter {
        match self {
            Self::Reading(_) => Filter::default(),
            Self::Alert(_) => Filter { subjects: vec![Subject::Alerts], ..Filter::default() },
        }
    }
}

/// The evidence file of a reading or an alert, newest blocks looked through first.
pub fn evidence(context: &Context, id: &str) -> Result<Vec<u8>, Failure> {
    let wanted = Wanted::parse(id)?;
    let tables = &context.tables;
    let ring = load_ring(tables, &context.identity)?;
    let mut before: Option<BlockKey> = None;
    loop {
        let blocks = tables.blocks_before(before, PAGE)?;
        let Some(oldest) = blocks.last() else {
            past::must_reach_its_end(tables)?;
            return Err(Failure::Failed(anyhow::anyhow!(
                "{id} is in no sealed block: it is not known, not sealed yet, or about an athlete who was erased; `pitchside readings` shows \
                 which are"
            )));
        };
        before = Some(oldest.key);
        for block in &blocks {
            if let Some(bytes) = in_block(tables, &ring, block, &wanted)? {
                return Ok(bytes);
            }
        }
    }
}

/// A raised alert as it was sealed, and the header of its block; none if no block here holds it.
pub fn sealed_alert(context: &Context, ring: &KeyRing, id: AlertId) -> Result<Option<(Alert, SignedHeader)>, Failure> {
    let wanted = Wanted::Alert(id);
    let mut before: Option<BlockKey> = None;
    loop {
        let blocks = context.tables.blocks_before(before, PAGE)?;
        let Some(oldest) = blocks.last() else {
            past::must_reach_its_end(&context.tables)?;
            return Ok(None);
        };
        before = Some(oldest.key);
        for block in &blocks {
            let Some(payload) = context.tables.payload(block.key)? else { continue };
            let bad = |error: String| Failure::Tampered(format!("block {}: {error}", block.key));
            let header = SignedHeader::verify(&block.header).map_err(|error| bad(error.to_string()))?;
            let opened = open(&header, &payload, ring, &wanted.filter()).map_err(|error| bad(error.to_string()))?;
            let found = opened.find(|record| wanted.is(record)).and_then(|place| opened.record(place).cloned());
            if let Some(Record::Alert(AlertRecord(AlertEvent::Raised(alert)))) = found {
                return Ok(Some((alert, header)));
            }
        }
    }
}

fn in_block(tables: &Tables, ring: &KeyRing, block: &BlockRow, wanted: &Wanted) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(payload) = tables.payload(block.key)? else { return Ok(None) };
    let header = SignedHeader::verify(&block.header).with_context(|| format!("block {}", block.key))?;
    let opened = open(&header, &payload, ring, &wanted.filter()).with_context(|| format!("block {}", block.key))?;
    let Some(place) = opened.find(|record| wanted.is(record)) else { return Ok(None) };
    let included = included(tables, block.key)?;
    Ok(Some(opened.evidence(place, &header, &payload, &included)?.to_bytes()))
}

fn included(tables: &Tables, key: BlockKey) -> anyhow::Result<Included> {
    let bytes = tables.receipt(key, Level::R2)?.with_context(|| {
        format!("block {key} has no receipt R2 yet: the ledger has not published it; try again in a moment")
    })?;
    match Receipt::parse(&bytes)? {
        Receipt::R2(included) => Ok(included),
        Receipt::R1(_) | Receipt::R3(_) => bail!("the stored receipt of block {key} is not an R2"),
    }
}
