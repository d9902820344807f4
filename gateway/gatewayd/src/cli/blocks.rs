//! `pitchside blocks`.

mod fetch;

use std::path::PathBuf;

use ledger_block::policy::Policy;
use ledger_block::{BlockIndex, ClockState, GatewayKey, Hash, SignedHeader};
use pitchside_admin::BlockView;
use pitchside_seal::chain::{ChainVerifier, Expected, Verified};
use pitchside_store::{BlockRow, Tables};
use serde::Serialize;

use super::args::{BlocksCommand, ConfigArg};
use super::context::{self, Context};
use super::evidence::read_policy;
use super::output::{Output, counted, note};
use super::{Failure, Outcome};
use crate::adapters::page::block_view;
use crate::past::{Beginning, beginning, is_receipted, not_here, payload_may_be_gone, receipt_holds, receipted_beyond};

const PAGE: u32 = 256;

/// `pitchside blocks`.
pub fn blocks(command: &BlocksCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    match command {
        BlocksCommand::List { last } => {
            let rows = context.tables.blocks_before(None, u32::try_from(*last).unwrap_or(10_000).min(10_000))?;
            let listed: Vec<_> = rows.iter().map(listed).collect();
            output.table(
                &listed,
                &["BLOCK", "SEALED", "CLOCK", "READINGS", "BYTES", "RECEIPT", "HASH"],
                |Listed { block, clock }| {
                    vec![
                        block.index.to_string(),
                        block.sealed_at.0.to_string(),
                        (*clock).to_owned(),
                        block.readings.to_string(),
                        block.payload_bytes.to_string(),
                        block.receipt.name().to_owned(),
                        block.hash.clone(),
                    ]
                },
            )?;
            // Only where the list ends with what is here.
            if rows.len() < *last
                && let Some(missing) = not_here(&context.tables)?
            {
                note(&missing);
            }
            Ok(())
        }
        BlocksCommand::Verify { policy } => verify(&context, policy.as_ref(), output),
        BlocksCommand::Fetch { since } => fetch::fetch(&context, *since, output),
    }
}

/// A block, and what its header says of the clock.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    block: BlockView,
    clock: &'static str,
}

fn listed(row: &BlockRow) -> Listed {
    let clock = SignedHeader::verify(&row.header).map_or("?", |signed| match signed.header().clock {
        ClockState::Unset => "unset",
        ClockState::Free => "free",
        ClockState::Synchronised => "synchronised",
    });
    Listed { block: block_view(row), clock }
}

/// What a verification came to.
#[derive(Serialize)]
struct Said {
    blocks: u64,
    payload_bytes: u64,
    receipts_verified: u64,
    head: Option<String>,
}

fn verify(context: &Context, policy: Option<&PathBuf>, output: &Output) -> Outcome {
    let policy = match policy.or_else(|| context.settings.ledger.as_ref().map(|ledger| &ledger.policy)) {
        Some(path) => Some(read_policy(path)?),
        None => None,
    };
    let gateway = GatewayKey::new(&context.identity.sign).id();
    let mut known = known_blocks(&context.tables, policy.as_ref())?;
    let receipts_verified = known.len() as u64;
    known.extend(receipted_beyond(&context.tables)?);
    let Beginning { after: anchor, known: settled } = beginning(&context.tables)?;
    known.extend(settled);
    let first = anchor.map_or(0, |(index, _)| index.0 + 1);
    let mut verifier = ChainVerifier::new(Expected { gateway: Some(gateway), after: anchor, known });
    let mut after = None;
    loop {
        let rows = context.tables.blocks_after(after, PAGE)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key);
        // What is brought back meanwhile is not looked at.
        for row in rows.iter().filter(|row| row.key.index >= first) {
            let payload = context.tables.payload(row.key)?;
            let header =
                verifier.push(&row.header, payload.as_deref()).map_err(|fault| Failure::Tampered(fault.to_string()))?;
            if payload.is_none() {
                payload_may_be_gone(&context.tables, row, &header, policy.as_ref())?;
            }
        }
    }
    let Verified { blocks, payload_bytes, head, .. } =
        verifier.finish().map_err(|fault| Failure::Tampered(fault.to_string()))?;
    let head = head.map(|(_, hash)| data_encoding::HEXLOWER.encode(&hash));
    output.print(&Said { blocks, payload_bytes, receipts_verified, head }, |said| {
        format!(
            "ok: {}, {} of payload, {}; head {}",
            counted(said.blocks, "block"),
            counted(said.payload_bytes, "byte"),
            counted(said.receipts_verified, "receipt"),
            said.head.as_deref().unwrap_or("none")
        )
    })?;
    if let Some(missing) = not_here(&context.tables)? {
        note(&format!("not verified: {missing}"));
    }
    Ok(())
}

/// The blocks that verified receipts R2 say exist.
fn known_blocks(tables: &Tables, policy: Option<&Policy>) -> Result<Vec<(BlockIndex, Hash)>, Failure> {
    let Some(policy) = policy else { return Ok(Vec::new()) };
    let mut known = Vec::new();
    let mut after = None;
    loop {
        let rows = tables.blocks_after(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(known) };
        after = Some(last.key);
        for row in &rows {
            if is_receipted(tables, row)? {
                known.push(receipt_holds(tables, row, policy)?);
            }
        }
    }
}
