//! Sealed history: the chain verified block by block. One block is in memory at a time.

use std::ops::ControlFlow;

use anyhow::Context as _;
use ledger_block::policy::Policy;
use ledger_block::receipt::Receipt;
use ledger_block::{BlockIndex, GatewayKey, Hash, SignedHeader};
use pitchside_model::Timestamp;
use pitchside_seal::OpenError;
use pitchside_seal::chain::{ChainBreak, ChainFault, ChainVerifier, Expected};
use pitchside_store::{Anchor, BlockKey, BlockRow, ChainStart, Level, StoreError, Tables};

use crate::cli::Failure;
use crate::cli::context::Context;

const PAGE: u32 = 256;
/// How far a trial on history stands back behind the gateway, whose rules' worker stands back by half of that (nice(2)).
const TRIAL_NICE: i32 = 10;

/// What tries something on history gives way to the gateway on the same processors. For this thread and those it starts.
pub fn give_way() {
    // Nobody is refused a lower priority; were it otherwise, the trial would only be less polite.
    let _ = rustix::process::nice(TRIAL_NICE);
}

/// A block of the wanted time.
pub struct Block<'a> {
    /// As the store knows it.
    pub row: &'a BlockRow,
    /// Its verified header.
    pub header: &'a SignedHeader,
    /// Its payload, as it is stored: whoever opens it verifies it.
    pub payload: &'a [u8],
}

impl Block<'_> {
    /// What is wrong if it does not open.
    pub fn bad(&self, error: &OpenError) -> Failure {
        Failure::Tampered(format!("block {}: {error}", self.row.key))
    }
}

/// What a walk came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Walked {
    /// Blocks whose place in the chain was verified.
    pub chained: u64,
    /// Blocks of the wanted time that were shown.
    pub opened: u64,
    /// Blocks of the wanted time whose payload is only in the ledger any more.
    pub elsewhere: u64,
    /// Of a restored box: blocks from before the restore that are not here, number 0 to this less one, unless what is here begins before
    /// the wanted time.
    pub before: u64,
}

impl Walked {
    /// Which blocks from before the restore were not heard, and how to bring them back; none if none are missing.
    pub fn missing(&self) -> Option<String> {
        self.before.checked_sub(1).map(in_words)
    }
}

fn in_words(last: u64) -> String {
    format!(
        "blocks 0 to {last}, from before this box was restored, are not here; `pitchside blocks fetch` brings them back from the ledger"
    )
}

/// Of a restored box: what of its history is not here, in words for whoever seeks something in it.
pub fn not_here(tables: &Tables) -> Result<Option<String>, StoreError> {
    if let Some(ChainStart::Waiting { .. }) = tables.chain_start()? {
        let text = "what was sealed before this box was restored is not here; once the gateway has run with the ledger in reach, \
                    `pitchside blocks fetch` brings it back from the ledger";
        return Ok(Some(text.to_owned()));
    }
    Ok(tables.not_here()?.map(|missing| in_words(missing.index)))
}

/// Where what is here of the chain begins, and what it must pass through: the block after which the ledger said that a restored box goes on,
/// if blocks from before were brought back.
pub fn beginning(tables: &Tables) -> Result<Beginning, StoreError> {
    let place = |index: u64, hash: Hash| (BlockIndex(index), hash);
    let not_here = tables.not_here()?;
    let anchor = tables.chain_start()?.and_then(|start| start.anchor());
    let brought_back = |anchor: &Anchor| not_here.is_none_or(|missing| missing.index < anchor.index);
    let known = anchor.filter(brought_back).map(|anchor| place(anchor.index, anchor.hash));
    Ok(Beginning { after: not_here.map(|missing| place(missing.index, missing.hash)), known })
}

/// Where what is here of a chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// The block before it.
    pub after: Option<(BlockIndex, Hash)>,
    /// A block it must pass through.
    pub known: Option<(BlockIndex, Hash)>,
}

/// Walks the chain from its beginning, verifies every header and link, and shows the blocks that were sealed from `since` on. A bad
/// block ends the walk where it is met, and is named ([`Failure::Tampered`]). `step` is told how many blocks were looked at and of how many.
pub fn walk(
    context: &Context,
    since: Timestamp,
    step: &mut dyn FnMut(u64, u64),
    visit: &mut dyn FnMut(&Block<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<Walked, Failure> {
    let tables = &context.tables;
    let gateway = GatewayKey::new(&context.identity.sign).id();
    let Beginning { after: anchor, known: settled } = beginning(tables)?;
    let first = anchor.map_or(0, |(index, _)| index.0 + 1);
    let policy = match &context.settings.ledger {
        Some(ledger) => Some(crate::cli::read_policy(&ledger.policy)?),
        None => None,
    };
    let (mut known, mut bad) = newest_receipted(tables, policy.as_ref())?;
    known.extend(settled);
    let mut verifier = ChainVerifier::new(Expected { gateway: Some(gateway), after: anchor, known });
    let total = tables.last_block()?.map_or(0, |last| last.key.index + 1).saturating_sub(first);
    let (mut walked, mut after) = (Walked { before: first, ..Walked::default() }, None);
    loop {
        let rows = tables.blocks_after(after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key);
        // What is brought back meanwhile is not looked at.
        for row in rows.iter().filter(|row| row.key.index >= first) {
            if let Some((_, fault)) = bad.take_if(|(key, _)| *key == row.key) {
                return Err(fault);
            }
            let header = verifier.push(&row.header, None).map_err(|fault| Failure::Tampered(fault.to_string()))?;
            walked.chained += 1;
            step(walked.chained, total);
            // The header decides: it is signed, the row is not.
            if header.header().sealed_at < since {
                // Those before it are older still.
                walked.before = 0;
                continue;
            }
            let Some(payload) = tables.payload(row.key)? else {
                payload_may_be_gone(tables, row, &header, policy.as_ref())?;
                walked.elsewhere += 1;
                continue;
            };
            walked.opened += 1;
            if visit(&Block { row, header: &header, payload: &payload })?.is_break() {
                return Ok(walked);
            }
        }
    }
    verifier.finish().map_err(|fault| Failure::Tampered(fault.to_string()))?;
    Ok(walked)
}

/// Blocks of which the ledger says that they exist.
type Receipted = Vec<(BlockIndex, Hash)>;

/// The newest block of which the ledger says that it exists: the chain must pass through it, and with it through all before. If it or its
/// receipt was changed, that comes instead, for whoever reaches the block.
fn newest_receipted(
    tables: &Tables,
    policy: Option<&Policy>,
) -> Result<(Receipted, Option<(BlockKey, Failure)>), Failure> {
    let mut known: Receipted = receipted_beyond(tables)?.into_iter().collect();
    let Some(policy) = policy else { return Ok((known, None)) };
    let mut before = None;
    loop {
        let rows = tables.blocks_before(before, PAGE)?;
        let Some(oldest) = rows.last() else { return Ok((known, None)) };
        before = Some(oldest.key);
        for row in &rows {
            if !is_receipted(tables, row)? {
                continue;
            }
            match receipt_holds(tables, row, policy) {
                Ok(block) => known.push(block),
                Err(fault @ Failure::Tampered(_)) => return Ok((known, Some((row.key, fault)))),
                Err(failure) => return Err(failure),
            }
            return Ok((known, None));
        }
    }
}

/// Whether a block has a receipt R2. The row says so, too, but whoever changes rows can write that there.
pub fn is_receipted(tables: &Tables, row: &BlockRow) -> Result<bool, StoreError> {
    Ok(row.level >= Level::R2 || tables.receipt(row.key, Level::R2)?.is_some())
}

/// The newest block of which the ledger gave a receipt, if the chain here ends before it. Retention lets go of payloads, never of a block
/// itself, so no policy is needed to see that one is gone.
pub fn receipted_beyond(tables: &Tables) -> Result<Option<(BlockIndex, Hash)>, StoreError> {
    let Some(lost) = tables.lost_end()? else { return Ok(None) };
    let leaf = Receipt::parse(&lost.receipt).map(|receipt| receipt.sequenced().leaf);
    Ok(Some((BlockIndex(lost.key.index), leaf.unwrap_or_default())))
}

/// What is in no block here may have been in one that is gone.
pub fn must_reach_its_end(tables: &Tables) -> Result<(), Failure> {
    match receipted_beyond(tables)? {
        Some((index, _)) => {
            Err(Failure::Tampered(ChainFault { index: index.0, what: ChainBreak::RolledBack }.to_string()))
        }
        None => Ok(()),
    }
}

/// Nothing is deleted before R3, which says that the ledger's store holds the payload: one that is missing without such a receipt was
/// taken away. The row says how far the block is, too, but whoever takes a payload out of the database can write that there.
pub fn payload_may_be_gone(
    tables: &Tables,
    row: &BlockRow,
    header: &SignedHeader,
    policy: Option<&Policy>,
) -> Result<(), Failure> {
    let missing = |why: &str| Failure::Tampered(format!("block {}: its payload is missing, {why}", row.key));
    let Some(bytes) = tables.receipt(row.key, Level::R3)? else {
        return Err(missing("and it has no receipt R3 for it"));
    };
    let Some(policy) = policy else {
        return Err(missing("and without a ledger's policy its receipt R3 says nothing"));
    };
    match Receipt::parse(&bytes) {
        Ok(receipt @ Receipt::R3(_)) if receipt.verify(header, policy).is_ok() => Ok(()),
        _ => Err(missing("and its receipt R3 does not hold")),
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
