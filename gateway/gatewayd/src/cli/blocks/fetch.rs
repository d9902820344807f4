//! `pitchside blocks fetch`: what was sealed before a restore, back from the ledger.

use std::time::Duration;

use anyhow::Context as _;
use ledger_block::SignedHeader;
use ledger_block::channel::ChannelError;
use pitchside_config::Settings;
use pitchside_model::Timestamp;
use pitchside_seal::{Filter, KeyRing, open};
use pitchside_store::{BlockKey, ChainStart, EarlierBlock, NotHere};
use pitchside_sync::{Fault, HeldBlocks};
use serde::Serialize;

use crate::adapters::athletes::load_ring;
use crate::adapters::outbox::{CHECKPOINT, SystemEdge};
use crate::cli::context::Context;
use crate::cli::output::{Output, counted, note};
use crate::cli::rules::{advance, bar};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::pipeline::sync_config;

/// What came back.
#[derive(Default, Serialize)]
struct Said {
    blocks: u64,
    payload_bytes: u64,
    /// Of what came back, what the keys here open.
    readings: u64,
    /// Number 0 to this less one.
    blocks_only_in_ledger: u64,
}

/// A block as the ledger holds it.
struct Held {
    header: SignedHeader,
    receipt: Vec<u8>,
    payload: Vec<u8>,
}

/// `pitchside blocks fetch`.
pub(super) fn fetch(context: &Context, since: Option<Duration>, output: &Output) -> Outcome {
    let tables = &context.tables;
    let ledger = context.settings.ledger.as_ref();
    let ledger = ledger.context("no ledger is configured, and blocks from before a restore lie nowhere else")?;
    if let Some(ChainStart::Waiting { .. }) = tables.chain_start()? {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the ledger has not said yet where the chain of this box goes on: start the gateway with the ledger in reach, then the same again"
        )));
    }
    let config = sync_config(ledger, &context.identity)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ring, kept, edge) =
        (load_ring(tables, &context.identity)?, tables.meta(CHECKPOINT)?, SystemEdge(Clock::System));
    let micros = |since: Duration| i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    let from = since.map(|since| Timestamp(Clock::System.now().0.saturating_sub(micros(since))));
    let total = tables.not_here()?.map_or(0, |missing| missing.index + 1);
    let (mut said, bar) = (Said::default(), bar());
    // The connection, and whether something came over it.
    let (mut connection, mut came): (Option<HeldBlocks>, bool) = (None, false);
    while let Some(wanted) = tables.not_here()? {
        let mut ledger = match connection.take() {
            Some(ledger) => ledger,
            None => {
                came = false;
                let opening = HeldBlocks::open(config.clone(), &edge, kept.as_deref());
                runtime.block_on(opening).map_err(|fault| failed(&fault, wanted))?
            }
        };
        match runtime.block_on(block(&mut ledger, wanted, from)) {
            Ok(None) => break,
            Ok(Some(held)) => {
                if !has_room(&context.settings, held.payload.len() as u64)? {
                    return Err(Failure::Failed(anyhow::anyhow!(
                        "block {}, and what is before it, did not come back: the disk has no room for it beside what readings need; make room, then the same again",
                        wanted.index
                    )));
                }
                let (bytes, opened) = (held.payload.len() as u64, readings(&held, &ring));
                tables.put_earlier_block(earlier(held, opened), Clock::System.now())?;
                said.blocks += 1;
                said.payload_bytes += bytes;
                said.readings += opened;
                advance(&bar, said.blocks, total);
                (connection, came) = (Some(ledger), true);
            }
            // A connection whose keys are used up ends, here or there: the next one goes on.
            Err(Fault::Channel(ChannelError::Spent) | Fault::Closed | Fault::Broken(_)) if came => {}
            Err(fault) => return Err(failed(&fault, wanted)),
        }
    }
    bar.finish_and_clear();
    said.blocks_only_in_ledger = tables.not_here()?.map_or(0, |missing| missing.index + 1);
    output.print(&said, words)?;
    if said.blocks > 0 && said.readings == 0 {
        note(
            "no key here opens a reading of them: `pitchside athlete recover --recovery-key FILE` brings back those of before",
        );
    }
    Ok(())
}

/// Whether readings keep as much room as the doctor asks for. A payload is in the database's log as well at first.
fn has_room(settings: &Settings, payload: u64) -> anyhow::Result<bool> {
    let fs = rustix::fs::statvfs(&settings.gateway.data_dir).context("looking for room on the disk")?;
    let kept = settings.journal.reserve_bytes.saturating_mul(2);
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize) > kept.saturating_add(payload.saturating_mul(2)))
}

/// The block that is wanted, none if it was sealed before `from`.
async fn block(ledger: &mut HeldBlocks, wanted: NotHere, from: Option<Timestamp>) -> Result<Option<Held>, Fault> {
    let (header, receipt) = ledger.header(wanted.index, &wanted.hash).await?;
    if from.is_some_and(|from| header.header().sealed_at < from) {
        return Ok(None);
    }
    let payload = ledger.payload(header.header()).await?;
    Ok(Some(Held { header, receipt, payload }))
}

/// How many readings the keys here open. A block that does not open is named by whoever reads in it.
fn readings(held: &Held, ring: &KeyRing) -> u64 {
    open(&held.header, &held.payload, ring, &Filter::default())
        .map_or(0, |opened| opened.entries().iter().map(|entry| entry.readings.len() as u64).sum())
}

fn earlier(Held { header, receipt, payload }: Held, readings: u64) -> EarlierBlock {
    let place = header.header();
    EarlierBlock {
        key: BlockKey { incarnation: place.incarnation.0, index: place.index.0 },
        hash: header.hash(),
        previous: place.previous,
        sealed_at: place.sealed_at,
        header: header.bytes().to_vec(),
        payload,
        readings,
        receipt,
    }
}

/// A ledger that is not to be believed is a matter of its own: exit 3.
fn failed(fault: &Fault, wanted: NotHere) -> Failure {
    let text = format!("block {}, and what is before it, did not come back: {fault}", wanted.index);
    if fault.is_suspicious() { Failure::Tampered(text) } else { Failure::Failed(anyhow::anyhow!(text)) }
}

fn words(said: &Said) -> String {
    if said.blocks == 0 && said.blocks_only_in_ledger == 0 {
        return "nothing to bring back: every block of this box's chain is here".to_owned();
    }
    let (blocks, readings) = (counted(said.blocks, "block"), counted(said.readings, "reading"));
    let mut text = format!("{blocks} back from the ledger; the keys here open {readings} of them");
    if let Some(last) = said.blocks_only_in_ledger.checked_sub(1) {
        text.push_str(&format!("; blocks 0 to {last} are only in the ledger"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_and_what_did_not_is_said() {
        let nothing = words(&Said::default());
        assert!(nothing.starts_with("nothing to bring back"), "{nothing}");
        let some = words(&Said { blocks: 1, payload_bytes: 9, readings: 70, blocks_only_in_ledger: 3 });
        assert_eq!(
            some,
            "1 block back from the ledger; the keys here open 70 readings of them; blocks 0 to 2 are only in the ledger"
        );
    }

    #[test]
    fn a_ledger_that_gives_another_block_is_told_of_as_tampering_and_one_out_of_reach_is_not() {
        let wanted = NotHere { index: 4, hash: [0; 32] };
        let bad = Fault::BadBlock { index: 4, why: "x".to_owned() };
        assert!(matches!(failed(&bad, wanted), Failure::Tampered(why) if why.starts_with("block 4,")));
        assert!(matches!(failed(&Fault::Closed, wanted), Failure::Failed(_)));
        assert!(matches!(failed(&Fault::Unpublished(4), wanted), Failure::Failed(_)));
    }
}
