//! Sealed history: the chain verified block by block, and what our keys open of it. One block is in memory at a time.

use std::ops::ControlFlow;

use anyhow::Context as _;
use ledger_block::policy::Policy;
use ledger_block::receipt::Receipt;
use ledger_block::{BlockIndex, GatewayKey, Hash, SignedHeader};
use pitchside_model::Timestamp;
use pitchside_seal::chain::{ChainVerifier, Expected};
use pitchside_seal::{Filter, KeyRing, OpenBlock, open};
use pitchside_store::{BlockRow, Level, Tables};

use crate::cli::Failure;
use crate::cli::context::Context;

const PAGE: u32 = 256;

/// A block of the wanted time.
pub struct Opened<'a> {
    /// As the store knows it.
    pub row: &'a BlockRow,
    /// Its verified header.
    pub header: &'a SignedHeader,
    /// Its payload, verified.
    pub payload: &'a [u8],
    /// What our keys open of it.
    pub block: &'a OpenBlock,
}

/// What a walk came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walked {
    /// Blocks whose place in the chain was verified.
    pub chained: u64,
    /// Blocks of the wanted time that were opened.
    pub opened: u64,
    /// Blocks of the wanted time whose payload is only in the ledger any more.
    pub elsewhere: u64,
}

/// Which part of history, and what of it.
pub struct Wanted<'a> {
    /// Blocks sealed from then on.
    pub since: Timestamp,
    /// What of them.
    pub filter: &'a Filter,
    /// Whose keys.
    pub ring: &'a KeyRing,
}

/// Walks the chain from its beginning, verifies every header and link, and shows what is wanted of the blocks of the wanted
/// time, each verified whole before it is shown. A bad block ends the walk and is named ([`Failure::Tampered`]). `step` is told
/// how many blocks were looked at and of how many.
pub fn walk(
    context: &Context,
    wanted: &Wanted<'_>,
    step: &mut dyn FnMut(u64, u64),
    visit: &mut dyn FnMut(&Opened<'_>) -> anyhow::Result<ControlFlow<()>>,
) -> Result<Walked, Failure> {
    let tables = &context.tables;
    let gateway = GatewayKey::new(&context.identity.sign).id();
    // A restored box's part of the chain begins where the ledger said.
    let anchor = tables.chain_start()?.and_then(|start| start.anchor());
    let first = anchor.map_or(0, |anchor| anchor.index + 1);
    let anchor = anchor.map(|anchor| (BlockIndex(anchor.index), anchor.hash));
    let known = newest_receipted(context)?;
    let mut verifier = ChainVerifier::new(Expected { gateway: Some(gateway), after: anchor, known });
    let total = tables.last_block()?.map_or(0, |last| last.key.index + 1).saturating_sub(first);
    let (mut walked, mut after) = (Walked::default(), None);
    loop {
        let rows = tables.blocks_after(after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key);
        for row in &rows {
            let header = verifier.push(&row.header, None).map_err(|fault| Failure::Tampered(fault.to_string()))?;
            walked.chained += 1;
            step(walked.chained, total);
            // The header decides: it is signed, the row is not.
            if header.header().sealed_at < wanted.since {
                continue;
            }
            let Some(payload) = tables.payload(row.key)? else {
                // Nothing is deleted before R3: a payload that is missing earlier was taken away.
                if row.level < Level::R3 {
                    return Err(Failure::Tampered(format!("block {}: its payload is missing", row.key)));
                }
                walked.elsewhere += 1;
                continue;
            };
            let block = open(&header, &payload, wanted.ring, wanted.filter)
                .map_err(|error| Failure::Tampered(format!("block {}: {error}", row.key)))?;
            walked.opened += 1;
            let shown = Opened { row, header: &header, payload: &payload, block: &block };
            if visit(&shown)?.is_break() {
                return Ok(walked);
            }
        }
    }
    verifier.finish().map_err(|fault| Failure::Tampered(fault.to_string()))?;
    Ok(walked)
}

/// The newest block of which the ledger says that it exists: the chain must pass through it, and with it through all before.
fn newest_receipted(context: &Context) -> Result<Vec<(BlockIndex, Hash)>, Failure> {
    let Some(ledger) = &context.settings.ledger else { return Ok(Vec::new()) };
    let policy = crate::cli::read_policy(&ledger.policy)?;
    let mut before = None;
    loop {
        let rows = context.tables.blocks_before(before, PAGE)?;
        let Some(oldest) = rows.last() else { return Ok(Vec::new()) };
        before = Some(oldest.key);
        if let Some(row) = rows.iter().find(|row| row.level >= Level::R2) {
            return Ok(vec![receipt_holds(&context.tables, row, &policy)?]);
        }
    }
}

/// Checks a block's receipt R2 against a policy: which block it speaks for.
pub fn receipt_holds(tables: &Tables, row: &BlockRow, policy: &Policy) -> Result<(BlockIndex, Hash), Failure> {
    let tampered = |what: String| Failure::Tampered(format!("block {}: {what}", row.key));
    let bytes = tables
        .receipt(row.key, Level::R2)?
        .context("a block at R2 has no receipt")
        .map_err(|e| tampered(e.to_string()))?;
    let receipt = Receipt::parse(&bytes).map_err(|e| tampered(format!("its receipt was changed ({e})")))?;
    let header = SignedHeader::verify(&row.header).map_err(|e| tampered(format!("its header was changed ({e})")))?;
    receipt.verify(&header, policy).map_err(|e| tampered(format!("its receipt does not hold ({e})")))?;
    Ok((header.header().index, header.hash()))
}
