//! When a tally may enter (version 3): how updates to a release ended on the devices of one gateway, the newest in place of the one
//! before; and the sum over all of them, which stops a rollout from widening. A clinic has few devices of a kind, so failures of one
//! in twenty show nowhere but here.

use ledger_block::ingest::{Code, Transaction};
use ledger_block::release::{ReleaseId, Sum, Tally};

use super::Verdict;
use super::firmware::standing;
use super::transaction::{Decision, Signer, fact};
use crate::objects::StorageError;
use crate::state::{FactKind, State};

/// Tallies of one release a gateway may hand in: hourly for six weeks. Whoever holds its key must not be able to fill the log.
const TALLIES_MAX: u16 = 1_000;

/// Reads big-endian numbers of four bytes; none if these are not so many.
fn numbers<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    let chunks: [[u8; 4]; N] = chunks.try_into().ok()?;
    rest.is_empty().then(|| chunks.map(u32::from_be_bytes))
}

/// What a gateway said last, and how often it has spoken.
fn said(value: &[u8]) -> Option<(Tally, u16)> {
    let (counts, times) = value.split_last_chunk::<2>()?;
    let [confirmed, failed] = numbers(counts)?;
    Some((Tally { confirmed, failed }, u16::from_be_bytes(*times)))
}

/// The sum, as the fact's value has it.
pub(crate) fn parse(value: &[u8]) -> Option<Sum> {
    let [confirmed, failed, gateways, failing] = numbers(value)?;
    Some(Sum { tally: Tally { confirmed, failed }, gateways, failing })
}

fn to_bytes(sum: &Sum) -> Vec<u8> {
    [sum.tally.confirmed, sum.tally.failed, sum.gateways, sum.failing].iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// What was counted of a release so far.
pub(super) fn sum(state: &dyn State, id: &ReleaseId) -> Result<Sum, StorageError> {
    let Some(fact) = state.fact(FactKind::Sum, &id.0)? else { return Ok(Sum::default()) };
    parse(&fact.value).ok_or(StorageError::Impossible("sum of tallies"))
}

/// A tally: by a gateway, of a release that stands and is not halted, and other than its last. Gateways are not told of it: it is
/// no leaf they ask for.
pub(super) fn tally(
    state: &dyn State,
    transaction: &Transaction,
    signer: &Signer,
    (id, now): (&ReleaseId, Tally),
) -> Decision {
    let not = |why: &str| Ok(Verdict::refuse(Code::NotAllowed, why));
    if !signer.is_gateway() {
        return not("only a gateway counts how updates ended");
    }
    if let Err(refused) = standing(state, id)? {
        return Ok(refused);
    }
    let key = [id.0.as_slice(), transaction.signer.as_str().as_bytes()].concat();
    let before = match state.fact(FactKind::Tally, &key)? {
        Some(fact) => Some(said(&fact.value).ok_or(StorageError::Impossible("tally"))?),
        None => None,
    };
    let (last, times) = (before.map(|(last, _)| last), before.map_or(0, |(_, times)| times));
    if last == Some(now) {
        return not("that is what it counted before");
    }
    if times >= TALLIES_MAX {
        return not("this gateway has counted this release too often");
    }
    let sum = sum(state, id)?.with(last, now);
    let value =
        [now.confirmed.to_be_bytes().as_slice(), &now.failed.to_be_bytes(), &times.saturating_add(1).to_be_bytes()]
            .concat();
    Ok(Verdict::Admit(vec![
        fact(transaction, FactKind::Tally, &key, &value),
        fact(transaction, FactKind::Sum, &id.0, &to_bytes(&sum)),
    ]))
}
