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

/// Messages of several quantities, late ones among them, over the end of an hour.
fn muddled() -> Vec<Entry> {
    let mut entries = squad();
    for (second, strap) in [(3_599, "strap-late"), (3_600, "strap-late"), (3_601, "strap-a")] {
        let mut both = entry(strap, Some("a1"), second as u64, START + second, 90);
        let mut power = both.readings[0].clone();
        (power.quantity, power.unit) = (Quantity::POWER, Quantity::POWER.unit());
        let second_rate = pitchside_model::Reading {
            device_time: power.device_time.plus_micros(1_500_000),
            ..both.readings[0].clone()
        };
        both.readings.extend([power, second_rate]);
        entries.push(both);
    }
    entries.push(entry("bench-1", None, 1, START + 2, 60));
    entries
}

#[test]
fn history_reads_the_messages_of_a_block_whole_and_in_the_order_in_which_they_were_taken() {
    let (key, keys, entries) = (signer(), ring(), muddled());
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let mut expected = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap().entries();
    assert_eq!(expected.len(), entries.len());
    expected.sort_by_key(|entry| entry.readings.iter().map(|reading| reading.gateway_time).min());
    let mut history = History::new(&keys, &Filter::default());
    for turn in 0..2 {
        assert_eq!(history.read(&block.header, &block.payload).unwrap(), expected, "turn {turn}");
    }
}

#[test]
fn history_of_one_athlete_and_quantity_holds_nothing_else() {
    let (key, keys, entries) = (signer(), ring(), muddled());
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    let wanted = Quantity::HEART_RATE;
    let filter = Filter { whose: Some(Whose::Athlete(athlete("a1"))), subjects: vec![Subject::Readings(wanted)] };
    let read = History::new(&keys, &filter).read(&block.header, &block.payload).unwrap();
    assert_eq!(read.len(), 63);
    assert!(read.iter().all(|entry| entry.athlete == Some(athlete("a1"))));
    assert!(read.iter().flat_map(|entry| &entry.readings).all(|reading| reading.quantity == wanted));
}

#[test]
fn history_refuses_a_block_of_which_a_single_byte_was_changed() {
    let (key, keys, entries) = (signer(), ring(), muddled());
    let block = seal(&input(&key, &keys, &entries)).unwrap();
    for at in [0, 30, 200, block.payload.len() / 2, block.payload.len() - 1] {
        let mut changed = block.payload.clone();
        changed[at] ^= 1;
        let read = History::new(&keys, &Filter::default()).read(&block.header, &changed);
        assert_eq!(read, Err(OpenError::Payload(PayloadError::Digest)), "byte {at}");
    }
}
