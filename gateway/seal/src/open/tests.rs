use ledger_block::checkpoint::Checkpoint;
use ledger_block::evidence;
use ledger_block::merkle::{inclusion_proof, leaf_hash, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::policy::Policy;
use ledger_block::receipt::Sequenced;
use pitchside_model::{AthleteId, Priority, Seq};

use super::*;
use crate::seal::tests::{START, alert, athlete, entry, input, ring, signer, squad};
use crate::seal::{SealInput, SealedBlock, seal};

fn log() -> SignerKey {
    SignerKey::new("ledger.example/1", KeyKind::Ed25519, &[1; 32]).unwrap()
}

fn included(block: &SealedBlock) -> Included {
    let leaves = [leaf_hash(b"enrolment"), block.header.hash(), leaf_hash(b"another gateway's")];
    let note = Checkpoint::new("ledger.example/1", 3, root(&leaves)).sign(&log(), 0).unwrap();
    Included {
        sequenced: Sequenced { leaf: block.header.hash(), leaf_index: 1 },
        checkpoint: note.to_string().into_bytes(),
        path: inclusion_proof(&leaves, 1).unwrap(),
    }
}

#[test]
fn a_reading_and_an_alert_of_a_sealed_block_become_evidence_that_is_believed() {
    let (key, keys, entries, alerts) = (signer(), ring(), squad(), [alert(Priority::High)]);
    let block = seal(&SealInput { alerts: &alerts, ..input(&key, &keys, &entries) }).unwrap();
    let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
    assert_eq!((opened.unopened(), opened.found().len()), (0, 25));
    let policy = Policy::of_logs([log().verifier().clone()]);
    let wanted: [&dyn Fn(&Record) -> bool; 2] = [
        &|record| matches!(record, Record::Reading(r) if r.device.as_str() == "pill-03" && r.seq == Seq(77)),
        &|record| matches!(record, Record::Alert(_)),
    ];
    for wanted in wanted {
        let place = opened.find(wanted).unwrap();
        let evidence = opened.evidence(place, &block.header, &block.payload, &included(&block)).unwrap();
        let verdict = evidence::verify(&evidence.to_bytes(), &policy).unwrap();
        assert_eq!(Some(&verdict.record), opened.record(place));
    }
}

#[test]
fn a_filter_opens_only_what_is_asked_for() {
    let (key, keys, entries) = (signer(), ring(), squad());
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let filter = Filter {
        whose: Some(Whose::Athlete(athlete("a3"))),
        subjects: vec![Subject::Readings(Quantity::CORE_TEMPERATURE)],
    };
    let opened = open(&block.header, &block.payload, &keys, &filter).unwrap();
    assert_eq!((opened.found().len(), opened.unopened()), (1, 23));
    assert!(opened.entries().iter().all(|entry| entry.device.as_str() == "pill-03"));
}

#[test]
fn erasing_a_key_closes_the_readings_and_leaves_the_block_verifiable() {
    let (key, mut keys) = (signer(), ring());
    let entries = [entry("strap-1", Some("a1"), 0, START, 70), entry("strap-2", Some("a2"), 0, START, 80)];
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    assert!(keys.erase(&Whose::Athlete(AthleteId::parse("a1").unwrap())));
    let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
    assert_eq!(opened.entries(), &entries[1..]);
    assert_eq!(opened.unopened(), 1);
    assert!(crate::verify_payload(block.header.header(), &block.payload).is_ok());
    // Evidence of what was not erased still proves.
    let place = opened.find(|record| matches!(record, Record::Reading(_))).unwrap();
    let evidence = opened.evidence(place, &block.header, &block.payload, &included(&block)).unwrap();
    assert!(evidence::verify(&evidence.to_bytes(), &Policy::of_logs([log().verifier().clone()])).is_ok());
}
