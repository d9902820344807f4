//! Looking things up in sealed blocks: which block holds a reading or an alert, and the evidence of it.

pub mod alert;

use anyhow::{Context as _, anyhow, bail};
use ledger_block::SignedHeader;
use ledger_block::receipt::{Included, Receipt};
use ledger_block::record::{AlertRecord, Record};
use ledger_block::segment::Subject;
use pitchside_model::{Alert, AlertEvent, AlertId};
use pitchside_seal::{Filter, KeyRing, OpenBlock, open};
use pitchside_store::{BlockKey, BlockRow, Level, StoreError, Tables};

use crate::adapters::athletes::load_ring;
use crate::cli::context::Context;
use crate::cli::{Failure, output};
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

/// What was found, and the newest block that did not open on the way to it.
type Found<T> = (T, Option<String>);

/// Looks through the blocks, the newest first. One that does not open stands in the way of no other: what is sought may lie in an older one.
/// Only if it is nowhere else it may have been in there, and the block is named ([`Failure::Tampered`]).
fn search<T>(
    tables: &Tables,
    mut look: impl FnMut(&BlockRow) -> Result<Option<T>, Failure>,
) -> Result<Option<Found<T>>, Failure> {
    let (mut before, mut bad): (Option<BlockKey>, Option<String>) = (None, None);
    loop {
        let blocks = tables.blocks_before(before, PAGE)?;
        let Some(oldest) = blocks.last() else {
            return match bad {
                Some(bad) => Err(Failure::Tampered(bad)),
                None => past::must_reach_its_end(tables).map(|()| None),
            };
        };
        before = Some(oldest.key);
        for block in &blocks {
            match look(block) {
                Ok(Some(found)) => return Ok(Some((found, bad))),
                Ok(None) => {}
                Err(Failure::Tampered(why)) => bad = bad.or(Some(why)),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// What was found. A block that did not open is told of: whoever asked for another may be the only one to come by.
fn told<T>((found, bad): Found<T>) -> T {
    if let Some(bad) = bad {
        output::note(&format!("tampered: {bad}; what was asked for is in another block"));
    }
    found
}

/// The evidence file of a reading or an alert, newest blocks looked through first.
pub fn evidence(context: &Context, id: &str) -> Result<Vec<u8>, Failure> {
    find(context, id).map(told)
}

fn find(context: &Context, id: &str) -> Result<Found<Vec<u8>>, Failure> {
    let wanted = Wanted::parse(id)?;
    let tables = &context.tables;
    let ring = load_ring(tables, &context.identity)?;
    match search(tables, |block| in_block(tables, &ring, block, &wanted))? {
        Some(found) => Ok(found),
        None => Err(Failure::Failed(not_found(tables, id)?)),
    }
}

/// Why a reading or an alert is in no block that opened here.
pub fn not_found(tables: &Tables, id: &str) -> Result<anyhow::Error, StoreError> {
    if let Some(missing) = past::not_here(tables)? {
        return Ok(anyhow!("{id} is in no block that is here, and may be in one that is not: {missing}"));
    }
    let keys = match tables.chain_start()? {
        Some(_) => ", or sealed under a key from before the restore, which `pitchside athlete recover` brings back",
        None => "",
    };
    let hint = if AlertId::parse(id).is_some() { "" } else { "; `pitchside readings` shows which are" };
    Ok(anyhow!(
        "{id} is in no sealed block: it is not known, not sealed yet, or about an athlete who was erased{keys}{hint}"
    ))
}

/// A raised alert as it was sealed, and the header of its block; none if no block here holds it.
pub fn sealed_alert(context: &Context, ring: &KeyRing, id: AlertId) -> Result<Option<(Alert, SignedHeader)>, Failure> {
    let wanted = Wanted::Alert(id);
    let found = search(&context.tables, |block| {
        let Some(Opened { header, block, .. }) = opened(&context.tables, ring, block, &wanted)? else {
            return Ok(None);
        };
        let place = block.find(|record| wanted.is(record));
        Ok(match place.and_then(|place| block.record(place).cloned()) {
            Some(Record::Alert(AlertRecord(AlertEvent::Raised(alert)))) => Some((alert, header)),
            _ => None,
        })
    })?;
    Ok(found.map(told))
}

/// A block of which our keys opened what is wanted.
struct Opened {
    header: SignedHeader,
    payload: Vec<u8>,
    block: OpenBlock,
}

/// Opens a block; none if its payload is only in the ledger any more.
fn opened(tables: &Tables, ring: &KeyRing, block: &BlockRow, wanted: &Wanted) -> Result<Option<Opened>, Failure> {
    let Some(payload) = tables.payload(block.key)? else { return Ok(None) };
    // In words: these errors say their cause themselves, and a chain of causes would say it again.
    let bad = |error: String| Failure::Tampered(format!("block {}: {error}", block.key));
    let header = SignedHeader::verify(&block.header).map_err(|error| bad(error.to_string()))?;
    let block = open(&header, &payload, ring, &wanted.filter()).map_err(|error| bad(error.to_string()))?;
    Ok(Some(Opened { header, payload, block }))
}

fn in_block(tables: &Tables, ring: &KeyRing, row: &BlockRow, wanted: &Wanted) -> Result<Option<Vec<u8>>, Failure> {
    let Some(Opened { header, payload, block }) = opened(tables, ring, row, wanted)? else { return Ok(None) };
    let Some(place) = block.find(|record| wanted.is(record)) else { return Ok(None) };
    let included = included(tables, row.key)?;
    Ok(Some(block.evidence(place, &header, &payload, &included)?.to_bytes()))
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
