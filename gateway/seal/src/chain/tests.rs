use ledger_block::Header;
use pitchside_model::Entry;
use proptest::prelude::*;

use super::*;
use crate::ring::Whose;
use crate::seal::tests::{START, athlete, entry, input, ring, signer};
use crate::seal::{SealInput, SealedBlock, seal};

fn chain(length: u64) -> Vec<SealedBlock> {
    let (key, keys) = (signer(), ring());
    let mut previous = GENESIS;
    (0..length)
        .map(|index| {
            let entries: Vec<Entry> =
                (0..3).map(|n| entry("strap-1", Some("a1"), index * 3 + n, START + n as i64, 70)).collect();
            let block = seal(&SealInput {
                index: BlockIndex(index),
                incarnation: Incarnation(index / 4),
                previous,
                ..input(&key, &keys, &entries)
            })
            .unwrap();
            previous = block.header.hash();
            block
        })
        .collect()
}

fn check(blocks: &[SealedBlock], expected: Expected) -> Result<Verified, ChainFault> {
    verify_chain(blocks.iter().map(|b| (b.header.bytes(), Some(b.payload.as_slice()))), expected)
}

fn fault(blocks: &[SealedBlock]) -> ChainFault {
    check(blocks, Expected::default()).unwrap_err()
}

#[test]
fn a_whole_chain_and_any_stretch_of_it_verify() {
    let blocks = chain(9);
    let verified = check(&blocks, Expected { gateway: Some(signer().id()), ..Expected::default() }).unwrap();
    assert_eq!((verified.blocks, verified.payloads), (9, 9));
    assert_eq!(verified.head, Some((BlockIndex(8), blocks[8].header.hash())));
    let after = Some((BlockIndex(3), blocks[3].header.hash()));
    assert_eq!(check(&blocks[4..], Expected { after, ..Expected::default() }).unwrap().blocks, 5);
    assert_eq!(check(&[], Expected::default()).unwrap().head, None);
}

#[test]
fn a_dropped_block_is_named() {
    let mut blocks = chain(6);
    blocks.remove(2);
    assert_eq!(fault(&blocks), ChainFault { index: 2, what: ChainBreak::Dropped { found: 3 } });
    assert_eq!(fault(&chain(6)[1..]), ChainFault { index: 0, what: ChainBreak::Dropped { found: 1 } });
}

#[test]
fn swapped_and_repeated_blocks_are_named() {
    let mut blocks = chain(6);
    blocks.swap(2, 3);
    assert_eq!(fault(&blocks), ChainFault { index: 2, what: ChainBreak::Dropped { found: 3 } });
    let mut blocks = chain(6);
    blocks.insert(4, blocks[1].clone());
    assert_eq!(fault(&blocks), ChainFault { index: 1, what: ChainBreak::OutOfTurn { expected: 4 } });
    let mut blocks = chain(6);
    let (a, b) = (blocks[2].payload.clone(), blocks[4].payload.clone());
    (blocks[2].payload, blocks[4].payload) = (b, a);
    assert!(matches!(fault(&blocks), ChainFault { index: 2, what: ChainBreak::Payload(_) }));
}

#[test]
fn a_block_replaced_by_its_own_gateway_breaks_the_link_or_the_receipt() {
    let blocks = chain(6);
    let header = Header { rules: [0xee; 32], ..blocks[3].header.header().clone() };
    let mut forged = blocks.clone();
    forged[3].header = SignedHeader::sign(header, &signer()).unwrap();
    assert_eq!(fault(&forged), ChainFault { index: 4, what: ChainBreak::Link });
    // At the end no later block notices, but the ledger does.
    let known = vec![(BlockIndex(3), blocks[3].header.hash())];
    let expected = Expected { known, ..Expected::default() };
    assert_eq!(check(&forged[..4], expected), Err(ChainFault { index: 3, what: ChainBreak::Replaced }));
}

#[test]
fn a_history_rolled_back_below_a_receipt_is_named() {
    let blocks = chain(6);
    let known = vec![(BlockIndex(5), blocks[5].header.hash())];
    let expected = Expected { known, ..Expected::default() };
    assert!(check(&blocks, expected.clone()).is_ok());
    assert_eq!(check(&blocks[..4], expected), Err(ChainFault { index: 5, what: ChainBreak::RolledBack }));
}

#[test]
fn an_old_snapshot_that_goes_on_sealing_is_named() {
    let blocks = chain(9);
    let header = Header { incarnation: Incarnation(0), ..blocks[8].header.header().clone() };
    let mut forged = blocks;
    forged[8].header = SignedHeader::sign(header, &signer()).unwrap();
    let what = ChainBreak::IncarnationFell { before: 1, found: 0 };
    assert_eq!(fault(&forged), ChainFault { index: 8, what });
}

#[test]
fn another_gateways_block_is_named() {
    let expected = Expected { gateway: Some(GatewayId([1; 32])), ..Expected::default() };
    let what = ChainBreak::OtherGateway(signer().id());
    assert_eq!(check(&chain(1), expected), Err(ChainFault { index: 0, what }));
}

#[test]
fn erasing_an_athletes_key_leaves_the_chain_verifiable() {
    let blocks = chain(5);
    let mut keys = ring();
    assert!(keys.erase(&Whose::Athlete(athlete("a1"))));
    assert!(check(&blocks, Expected::default()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn any_changed_byte_is_found_and_its_block_named(block in 0usize..4, in_header: bool, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let blocks = chain(4);
        let mut bytes: Vec<(Vec<u8>, Vec<u8>)> =
            blocks.iter().map(|b| (b.header.bytes().to_vec(), b.payload.clone())).collect();
        let part = if in_header { &mut bytes[block].0 } else { &mut bytes[block].1 };
        let at = at.index(part.len());
        part[at] ^= 1 << bit;
        let fault = verify_chain(bytes.iter().map(|(h, p)| (h.as_slice(), Some(p.as_slice()))), Expected::default()).unwrap_err();
        prop_assert_eq!(fault.index, block as u64);
    }
}
