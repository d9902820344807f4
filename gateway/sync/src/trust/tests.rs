use ledger_block::merkle::{consistency_proof, inclusion_proof, leaf_hash, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::receipt::{Included, Sequenced};
use proptest::prelude::*;

use super::*;

const ORIGIN: &str = "ledger.example/t";

fn key() -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap()
}

fn policy() -> Policy {
    Policy::of_logs([key().verifier().clone()])
}

fn leaves(count: usize, salt: u8) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&[u8::try_from(n).unwrap(), salt])).collect()
}

fn note(leaves: &[Hash]) -> Vec<u8> {
    Checkpoint::new(ORIGIN, leaves.len() as u64, root(leaves)).sign(&key(), 0).unwrap().to_string().into_bytes()
}

fn proven(leaves: &[Hash], from: usize) -> Proven {
    Proven { note: note(leaves), from: from as u64, proof: consistency_proof(leaves, from as u64).unwrap_or_default() }
}

proptest! {
    #[test]
    fn only_a_continuation_is_taken(old in 1usize..60, more in 0usize..60, salt in 0u8..2) {
        let ours = leaves(old, 0);
        // The same log grown, or another one of the same size.
        let theirs = if salt == 0 { leaves(old + more, 0) } else { leaves(old + more, 1) };
        let mut trust = Trust::new(policy(), Some(&note(&ours))).unwrap();
        let taken = trust.advance(&proven(&theirs, old));
        if salt == 0 {
            prop_assert_eq!(taken, Ok(more > 0));
            prop_assert_eq!(trust.size(), (old + more) as u64);
        } else {
            let forked = matches!(taken, Err(Fault::Forked { .. }));
            prop_assert!(forked);
            prop_assert_eq!(trust.size(), old as u64);
        }
    }

    #[test]
    fn a_rollback_is_refused(old in 2usize..60, less in 1usize..60) {
        let less = less.min(old - 1);
        let mut trust = Trust::new(policy(), Some(&note(&leaves(old, 0)))).unwrap();
        let fault = Fault::RolledBack { shown: (old - less) as u64, seen: old as u64 };
        prop_assert_eq!(trust.advance(&proven(&leaves(old - less, 0), old)), Err(fault));
    }

    #[test]
    fn a_receipt_holds_for_its_leaf_and_checkpoint_only(size in 1usize..40, pick in 0usize..40, flip in any::<usize>()) {
        let all = leaves(size, 0);
        let at = pick % size;
        let mut trust = Trust::new(policy(), None).unwrap();
        trust.advance(&proven(&all, 0)).unwrap();
        let included = Included {
            sequenced: Sequenced { leaf: all[at], leaf_index: at as u64 },
            checkpoint: note(&all),
            path: inclusion_proof(&all, at as u64).unwrap(),
        };
        let bytes = Receipt::R2(included).to_bytes();
        prop_assert!(trust.receipt(&all[at], &bytes).is_ok());
        prop_assert!(trust.receipt(&leaf_hash(b"another"), &bytes).is_err());
        let mut bad = bytes.clone();
        let place = flip % bad.len();
        bad[place] ^= 1;
        // A flipped bit never passes; a changed index would need another path.
        prop_assert!(trust.receipt(&all[at], &bad).is_err(), "byte {place}");
        let grown = leaves(size + 1, 0);
        trust.advance(&proven(&grown, size)).unwrap();
        prop_assert!(trust.receipt(&all[at], &bytes).is_err(), "it rests on an older checkpoint");
    }
}

#[test]
fn another_key_and_another_origin_are_refused() {
    let all = leaves(3, 0);
    let sign = |origin: &str, secret: u8| {
        let key = SignerKey::new(origin, KeyKind::Ed25519, &[secret; 32]).unwrap();
        let note = Checkpoint::new(origin, 3, root(&all)).sign(&key, 0).unwrap().to_string().into_bytes();
        Proven { note, from: 0, proof: Vec::new() }
    };
    let mut trust = Trust::new(policy(), None).unwrap();
    assert!(matches!(trust.advance(&sign(ORIGIN, 2)), Err(Fault::Untrusted(_))));
    assert!(matches!(trust.advance(&sign("other.example", 1)), Err(Fault::Untrusted(_))));
    assert!(matches!(
        trust.advance(&Proven { note: b"junk".to_vec(), from: 0, proof: vec![] }),
        Err(Fault::Untrusted(_))
    ));
    assert_eq!(trust.advance(&sign(ORIGIN, 1)), Ok(true));
    assert!(Trust::new(policy(), Some(&sign(ORIGIN, 2).note)).is_err());
}
