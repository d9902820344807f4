use proptest::prelude::*;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::header::tests::{any_header, key};
use crate::merkle::{inclusion_proof, leaf_hash, root};
use crate::note::{KeyKind, SignerKey};

fn log() -> SignerKey {
    SignerKey::new("log.example/1", KeyKind::Ed25519, &[1; 32]).unwrap()
}

fn included() -> (SignedHeader, Included) {
    let block = SignedHeader::sign(any_header(&key()), &key()).unwrap();
    let mut leaves: Vec<Hash> = (0..7u8).map(|n| leaf_hash(&[n])).collect();
    leaves[4] = block.hash();
    let note = Checkpoint::new("log.example/1", 7, root(&leaves)).sign(&log(), 0).unwrap();
    let sequenced = Sequenced { leaf: block.hash(), leaf_index: 4 };
    let path = inclusion_proof(&leaves, 4).unwrap();
    (block, Included { sequenced, checkpoint: note.to_string().into_bytes(), path })
}

#[test]
fn each_level_holds_for_its_block_and_no_other() {
    let (block, included) = included();
    let policy = Policy::of_logs([log().verifier().clone()]);
    let statement = PayloadRead {
        origin: "log.example/1".to_owned(),
        digest: block.header().payload_digest,
        length: block.header().payload_length,
    };
    let payload_read = statement.sign(&log(), 0).unwrap().to_string().into_bytes();
    let r3 = Receipt::R3(Witnessed { included: included.clone(), payload_read });
    let other = SignedHeader::sign(crate::header::Header { payload_length: 1, ..any_header(&key()) }, &key()).unwrap();
    for receipt in [Receipt::R1(included.sequenced.clone()), Receipt::R2(included.clone()), r3] {
        assert_eq!(Receipt::parse(&receipt.to_bytes()), Ok(receipt.clone()));
        assert_eq!(receipt.verify(&block, &policy).unwrap().is_some(), receipt.level() > Level::R1);
        assert_eq!(receipt.verify(&other, &policy), Err(ReceiptError::OtherBlock));
    }
    let mut moved = included.clone();
    moved.sequenced.leaf_index = 5;
    assert_eq!(Receipt::R2(moved).verify(&block, &policy), Err(ReceiptError::Proof(ProofError::Root)));
    let wrong = PayloadRead { length: 1, ..statement }.sign(&log(), 0).unwrap().to_string().into_bytes();
    let r3 = Receipt::R3(Witnessed { included, payload_read: wrong });
    assert_eq!(r3.verify(&block, &policy), Err(ReceiptError::Statement(StatementError::OtherPayload)));
}

#[test]
fn a_receipt_with_any_changed_bit_is_refused() {
    let (block, included) = included();
    let policy = Policy::of_logs([log().verifier().clone()]);
    let bytes = Receipt::R2(included).to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let holds = Receipt::parse(&changed).is_ok_and(|receipt| receipt.verify(&block, &policy).is_ok());
            assert!(!holds, "bit {bit} of byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(receipt) = Receipt::parse(&bytes) {
            prop_assert_eq!(receipt.to_bytes(), bytes);
        }
    }
}
