//! Where the chain of a restored box goes on: after the ledger's last block of it, under a higher incarnation.
//!
//! Until the ledger has answered, nothing is sealed: readings are taken, journaled, receipted at R0, and alerts go out, but
//! a block sealed on a guess would stand where another one of this gateway may stand already, and the ledger would keep it
//! as evidence of tampering. A box whose settings name no ledger goes on after the last block its backup knew.
//!
//! A box that has sealed nothing yet asks, too: where its keys were kept and its data was not, the ledger may know a chain of it,
//! and a second first block would contradict that. So does one that lost the end of its chain: receipts lie in its database of blocks
//! that do not.

use ledger_block::receipt::Receipt;
use ledger_block::{GatewayId, SignedHeader};
use pitchside_store::{Anchor, Beyond, BlockKey, ChainStart, LostEnd, StoreError, Tables};

/// Why the chain does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not a block of this box.
    #[error(
        "the ledger's last block is of gateway {0}, whose key is not on this box: this is another box's name in the ledger"
    )]
    NotOurs(GatewayId),
    /// The ledger knows less than it once confirmed.
    #[error(
        "a receipt was kept for block {receipted}, but the ledger's last block is {shown}: the ledger was rolled back, or is another one; nothing is sealed until its operator has looked"
    )]
    RolledBack {
        /// Confirmed once.
        receipted: u64,
        /// What it shows now.
        shown: String,
    },
    /// The ledger holds another block than it once confirmed.
    #[error(
        "the ledger holds another block {0} than the one a receipt was kept for: its history was changed; nothing is sealed until its operator has looked"
    )]
    Replaced(u64),
}

/// Whether this box waits for the ledger's answer.
pub fn is_waiting(tables: &Tables) -> Result<bool, StoreError> {
    Ok(cut_off(tables)?.is_some() || matches!(tables.chain_start()?, Some(ChainStart::Waiting { .. })))
}

/// The end of the chain that was lost here, if the ledger has not said yet where it goes on.
pub fn cut_off(tables: &Tables) -> Result<Option<LostEnd>, StoreError> {
    Ok(tables.lost_end()?.filter(|lost| !lost.settled))
}

/// Whether the ledger is asked where the chain goes on: by a box that waits for the answer, and by one that has sealed nothing yet.
pub fn asks_the_ledger(tables: &Tables) -> Result<bool, StoreError> {
    if cut_off(tables)?.is_some() {
        return Ok(true);
    }
    Ok(match tables.chain_start()? {
        Some(ChainStart::Waiting { .. }) => true,
        Some(ChainStart::After { .. }) => false,
        None => tables.last_block()?.is_none(),
    })
}

/// Where the chain goes on, given the ledger's last block of this gateway. Pure.
fn after(start: ChainStart, own: GatewayId, head: Option<&SignedHeader>) -> Result<ChainStart, ChainError> {
    let ChainStart::Waiting { known, receipted } = start else { return Ok(start) };
    let head = match head {
        Some(signed) if signed.header().gateway != own => {
            return Err(ChainError::NotOurs(signed.header().gateway));
        }
        head => head.map(|signed| Anchor {
            incarnation: signed.header().incarnation.0,
            index: signed.header().index.0,
            hash: signed.hash(),
        }),
    };
    if let Some(receipted) = receipted {
        match head {
            Some(head) if head.index == receipted.index && head.hash != receipted.hash => {
                return Err(ChainError::Replaced(head.index));
            }
            Some(head) if head.index >= receipted.index => {}
            _ => {
                let shown = head.map_or_else(|| "none".to_owned(), |head| head.index.to_string());
                return Err(ChainError::RolledBack { receipted: receipted.index, shown });
            }
        }
    }
    let highest = known.iter().chain(&receipted).chain(&head).map(|anchor| anchor.incarnation).max();
    Ok(ChainStart::After { incarnation: highest.map_or(1, |highest| highest.saturating_add(1)), after: head })
}

/// Where a chain goes on that lost its end here, given the ledger's last block of this gateway. Pure.
fn beyond(lost: &LostEnd, own: GatewayId, head: Option<&SignedHeader>) -> Result<Beyond, ChainError> {
    let (incarnation, index) = (lost.key.incarnation, lost.key.index);
    // A receipt that was changed, too, says the number at least.
    let hash = Receipt::parse(&lost.receipt).ok().map(|receipt| receipt.sequenced().leaf);
    let receipted = hash.map(|hash| Anchor { incarnation, index, hash });
    let known = Some(Anchor { incarnation, index, hash: hash.unwrap_or_default() });
    match after(ChainStart::Waiting { known, receipted }, own, head)? {
        ChainStart::After { incarnation, after: Some(after) } if after.index >= index => {
            Ok(Beyond { incarnation, after })
        }
        _ => {
            let shown = head.map_or_else(|| "none".to_owned(), |head| head.header().index.0.to_string());
            Err(ChainError::RolledBack { receipted: index, shown })
        }
    }
}

/// The ends of a chain as a backup records them. If its own end was lost here they are what the ledger's receipt speaks of or, once the ledger
/// has named the block after which it goes on, that one: a ledger that was rolled back with it is not believed by the restored box, either.
pub(super) fn ends(
    here: (Option<Anchor>, Option<Anchor>),
    lost: Option<&LostEnd>,
    beyond: Option<Beyond>,
) -> (Option<Anchor>, Option<Anchor>) {
    let place = |anchor: &Anchor| BlockKey { incarnation: anchor.incarnation, index: anchor.index };
    // What was sealed since it went on stands above it.
    let Some(lost) = lost.filter(|lost| here.0.is_none_or(|last| place(&last) < lost.key)) else { return here };
    if let Some(Beyond { incarnation, after }) = beyond.filter(|_| lost.settled) {
        return (Some(Anchor { incarnation, ..after }), Some(after));
    }
    let BlockKey { incarnation, index } = lost.key;
    match Receipt::parse(&lost.receipt) {
        Ok(receipt) => {
            let lost = Some(Anchor { incarnation, index, hash: receipt.sequenced().leaf });
            (lost, lost)
        }
        // A receipt that was changed, too, says at least which incarnation there was.
        Err(_) => (here.0.map(|last| Anchor { incarnation: incarnation.max(last.incarnation), ..last }), here.1),
    }
}

/// Settles it with the ledger's answer, durably; true if there was something to settle. Nothing is on a box that neither waits nor
/// is a new one the ledger knows blocks of.
pub fn settle(tables: &Tables, own: GatewayId, head: Option<&SignedHeader>) -> Result<bool, ChainError> {
    if let Some(lost) = cut_off(tables)? {
        let to = beyond(&lost, own, head)?;
        tables.go_on_beyond(to)?;
        let (block, incarnation, after) = (lost.key, to.incarnation, to.after.index);
        tracing::error!(%block, incarnation, after, "blocks that the ledger has were deleted here; the chain goes on after its last one");
        return Ok(true);
    }
    let start = match tables.chain_start()? {
        Some(start @ ChainStart::Waiting { .. }) => start,
        None if head.is_some() && tables.last_block()?.is_none() => {
            tracing::warn!(
                "the ledger knows a chain of this box, whose data was lost: what was sealed is read from there alone"
            );
            ChainStart::Waiting { known: None, receipted: None }
        }
        _ => return Ok(false),
    };
    let settled = after(start, own, head)?;
    tables.set_chain_start(settled)?;
    if let ChainStart::After { incarnation, after } = settled {
        let after = after.map_or_else(|| "nothing".to_owned(), |after| format!("block {}", after.index));
        tracing::info!(incarnation, after, "the chain goes on");
    }
    Ok(true)
}

/// Settles it on a box without a ledger: after the last block the backup knew.
pub fn settle_alone(tables: &Tables) -> Result<(), ChainError> {
    if let Some(lost) = cut_off(tables)? {
        let block = lost.key;
        tracing::error!(%block, "the ledger has this block, and it was deleted here: nothing is sealed without the ledger's word; put [ledger] back");
    }
    let Some(ChainStart::Waiting { known, .. }) = tables.chain_start()? else { return Ok(()) };
    let incarnation = known.map_or(1, |known| known.incarnation.saturating_add(1));
    Ok(tables.set_chain_start(ChainStart::After { incarnation, after: known })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_block::receipt::Sequenced;
    use ledger_block::{BlockIndex, ClockState, GatewayKey, Header, Incarnation};
    use pitchside_model::Timestamp;
    use pitchside_store::RootKey;

    fn header(index: u64, incarnation: u64, key: &GatewayKey) -> SignedHeader {
        let header = Header {
            gateway: key.id(),
            incarnation: Incarnation(incarnation),
            index: BlockIndex(index),
            previous: [3; 32],
            sealed_at: Timestamp(0),
            clock: ClockState::Free,
            segment_root: [0; 32],
            payload_length: 0,
            payload_digest: [0; 32],
            rules: [0; 32],
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
        };
        SignedHeader::sign(header, key).unwrap()
    }

    fn anchor(index: u64, incarnation: u64, hash: u8) -> Anchor {
        Anchor { incarnation, index, hash: [hash; 32] }
    }

    fn waiting(known: Option<Anchor>, receipted: Option<Anchor>) -> ChainStart {
        ChainStart::Waiting { known, receipted }
    }

    #[test]
    fn the_chain_goes_on_after_the_ledgers_last_block_above_every_incarnation_known() {
        let key = GatewayKey::new(&[1; 32]);
        let head = header(9, 4, &key);
        let expected = Anchor { incarnation: 4, index: 9, hash: head.hash() };
        for (known, incarnation) in [(None, 5), (Some(anchor(3, 0, 1)), 5), (Some(anchor(12, 7, 1)), 8)] {
            let settled = after(waiting(known, None), key.id(), Some(&head)).unwrap();
            assert_eq!(settled, ChainStart::After { incarnation, after: Some(expected) });
        }
    }

    #[test]
    fn a_chain_that_never_reached_the_ledger_begins_there_again() {
        let own = GatewayKey::new(&[1; 32]).id();
        let settled = after(waiting(Some(anchor(3, 2, 1)), None), own, None).unwrap();
        assert_eq!(settled, ChainStart::After { incarnation: 3, after: None });
    }

    #[test]
    fn a_ledger_that_lost_or_changed_what_it_confirmed_is_not_followed() {
        let key = GatewayKey::new(&[1; 32]);
        let start = waiting(Some(anchor(5, 0, 1)), Some(anchor(5, 0, 1)));
        assert!(matches!(after(start, key.id(), None), Err(ChainError::RolledBack { receipted: 5, .. })));
        let short = header(4, 0, &key);
        assert!(matches!(after(start, key.id(), Some(&short)), Err(ChainError::RolledBack { .. })));
        let other = header(5, 0, &key);
        assert!(matches!(after(start, key.id(), Some(&other)), Err(ChainError::Replaced(5))));
    }

    #[test]
    fn a_box_whose_data_was_lost_begins_no_second_chain_beside_the_ledgers() {
        let dir = tempfile::tempdir().unwrap();
        let tables = Tables::init(dir.path(), RootKey::new([1; 32])).unwrap();
        let key = GatewayKey::new(&[1; 32]);
        assert!(asks_the_ledger(&tables).unwrap());
        assert!(!settle(&tables, key.id(), None).unwrap(), "a new box of which the ledger knows nothing");
        assert_eq!(tables.chain_start().unwrap(), None);
        let head = header(9, 0, &key);
        assert!(settle(&tables, key.id(), Some(&head)).unwrap());
        let (next, previous) = tables.next_block().unwrap().unwrap();
        assert_eq!((next.incarnation, next.index, previous), (1, 10, head.hash()));
        assert!(!asks_the_ledger(&tables).unwrap() && !settle(&tables, key.id(), Some(&head)).unwrap(), "once");
    }

    #[test]
    fn a_chain_that_lost_its_end_goes_on_after_the_ledgers_last_block_and_never_before_what_was_receipted() {
        let key = GatewayKey::new(&[1; 32]);
        let lost = |receipt: Vec<u8>| LostEnd { key: BlockKey { incarnation: 2, index: 7 }, receipt, settled: false };
        let leaf = |hash| Receipt::R1(Sequenced { leaf: hash, leaf_index: 0 }).to_bytes();
        let later = header(9, 2, &key);
        let to = beyond(&lost(leaf([5; 32])), key.id(), Some(&later)).unwrap();
        let after = Anchor { incarnation: 2, index: 9, hash: later.hash() };
        assert_eq!(to, Beyond { incarnation: 3, after });
        assert_eq!(beyond(&lost(b"changed".to_vec()), key.id(), Some(&later)).unwrap(), to);
        let (same, earlier) = (header(7, 2, &key), header(6, 2, &key));
        assert_eq!(beyond(&lost(leaf(same.hash())), key.id(), Some(&same)).unwrap().after.index, 7);
        let other = beyond(&lost(leaf([5; 32])), key.id(), Some(&same));
        assert!(matches!(other, Err(ChainError::Replaced(7))));
        for receipt in [leaf([5; 32]), b"changed".to_vec()] {
            for head in [None, Some(&earlier)] {
                let short = beyond(&lost(receipt.clone()), key.id(), head);
                assert!(matches!(short, Err(ChainError::RolledBack { receipted: 7, .. })));
            }
        }
    }

    #[test]
    fn the_ends_a_backup_records_are_never_before_what_a_receipt_here_speaks_of() {
        let here = (Some(anchor(3, 0, 3)), Some(anchor(2, 0, 2)));
        let receipt = Receipt::R1(Sequenced { leaf: [7; 32], leaf_index: 0 }).to_bytes();
        let lost = |receipt: &[u8], settled| LostEnd {
            key: BlockKey { incarnation: 2, index: 7 },
            receipt: receipt.to_vec(),
            settled,
        };
        assert_eq!(ends(here, None, None), here);
        let there = Some(anchor(7, 2, 7));
        for here in [here, (None, None)] {
            assert_eq!(ends(here, Some(&lost(&receipt, false)), None), (there, there));
        }
        let beyond = Beyond { incarnation: 5, after: anchor(9, 2, 9) };
        let settled = ends(here, Some(&lost(&receipt, true)), Some(beyond));
        assert_eq!(settled, (Some(anchor(9, 5, 9)), Some(anchor(9, 2, 9))), "as the ledger said");
        // One from the time before is not the answer to this loss.
        assert_eq!(ends(here, Some(&lost(&receipt, false)), Some(beyond)), (there, there));
        let changed = ends(here, Some(&lost(b"changed", false)), None);
        assert_eq!(changed, (Some(anchor(3, 2, 3)), Some(anchor(2, 0, 2))), "its incarnation is not begun again");
        let since = (Some(anchor(10, 5, 1)), Some(anchor(9, 2, 9)));
        assert_eq!(ends(since, Some(&lost(&receipt, true)), Some(beyond)), since, "sealed since");
    }

    #[test]
    fn another_boxs_block_is_not_followed() {
        let head = header(0, 0, &GatewayKey::new(&[2; 32]));
        let own = GatewayKey::new(&[1; 32]).id();
        assert!(matches!(after(waiting(None, None), own, Some(&head)), Err(ChainError::NotOurs(_))));
    }
}
