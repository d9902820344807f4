use pitchside_model::{
    Alert, AlertEvent, AlertId, Assurance, AthleteId, Decimal, DeviceId, Epoch, Priority, Quality, Quantity, Reading,
    RuleName, Seq, Timestamp, Value,
};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::header::tests::{any_header, key};
use crate::header::{BlockIndex, GatewayKey, Incarnation};
use crate::merkle::{inclusion_proof, leaf_hash, root};
use crate::note::{KeyKind, SignerKey};
use crate::payload;
use crate::receipt::Sequenced;
use crate::record::{AlertRecord, ReadingRecord};
use crate::segment::{self, BlockPlace, Content, HourKey, SealedSegment, SegmentKeys, SegmentTag, Subject};

const ORIGIN: &str = "ledger.example/pitchside";

fn log() -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap()
}

fn witness() -> SignerKey {
    SignerKey::new("witness.example/1", KeyKind::Cosignature, &[2; 32]).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy::parse(format!("log {}\nquorum none\n", log().verifier()).as_bytes()).unwrap()
}

pub(crate) fn readings(count: i64) -> Vec<ReadingRecord> {
    let start = 1_763_700_000_000_000i64;
    (0..count)
        .map(|n| ReadingRecord {
            device: DeviceId::parse("pill-3").unwrap(),
            athlete: Some(AthleteId::parse("athlete-3").unwrap()),
            assurance: Assurance::Noise,
            epoch: Epoch(77),
            seq: Seq(n as u64),
            item: 0,
            reading: Reading {
                quantity: Quantity::CORE_TEMPERATURE,
                unit: Quantity::CORE_TEMPERATURE.unit(),
                device_time: Timestamp(start + n * 10_000_000),
                gateway_time: Timestamp(start + n * 10_000_000 + 5_000),
                quality: Quality::empty(),
                value: Value::Number(Decimal { mantissa: 3_920 + n, exponent: -2 }),
            },
        })
        .collect()
}

fn alert() -> Record {
    let reading = &readings(6)[5];
    Record::Alert(AlertRecord(AlertEvent::Raised(Alert {
        id: AlertId([0xa1; 16]),
        rule: RuleName::parse("heat-illness").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: reading.athlete.clone(),
        device: reading.device.clone(),
        quantity: Quantity::CORE_TEMPERATURE,
        value: Some(Decimal { mantissa: 3_925, exponent: -2 }),
        unit: Quantity::CORE_TEMPERATURE.unit(),
        event_time: reading.reading.device_time,
        message: "Core temperature 39.25 Cel and still rising.".to_owned(),
    })))
}

fn place() -> BlockPlace {
    BlockPlace { gateway: key().id(), incarnation: Incarnation(1), index: BlockIndex(300), salt: [8; 24] }
}

fn sealed(tag: SegmentTag, content: &Content<'_>) -> (SealedSegment, SegmentKeys) {
    let keys = SegmentKeys::derive(&HourKey::new([tag.subject.code() as u8; 32]), &place(), tag);
    (segment::seal(tag, content, segment::plaintext(tag, content).unwrap(), &keys).unwrap(), keys)
}

/// The evidence of one record of [`disclosed`]: the alert, or the fifth reading.
pub(crate) fn evidence(of_alert: bool) -> Evidence {
    disclosed((!of_alert).then_some(4))
}

/// A block with a segment of six readings and one of alerts, logged among others, and the evidence of one record of it: of a
/// reading, or of the alert.
pub(crate) fn disclosed(reading: Option<usize>) -> Evidence {
    let records = readings(6);
    let athlete = AthleteId::parse("athlete-3").unwrap();
    let hour = records[0].reading.device_time.hour();
    let readings_tag = SegmentTag { subject: Subject::Readings(Quantity::CORE_TEMPERATURE), hour, part: 0 };
    let alerts_tag = SegmentTag { subject: Subject::Alerts, hour, part: 0 };
    let (segment_r, keys_r) =
        sealed(readings_tag, &Content::Readings(records.iter().map(ReadingRecord::as_ref).collect()));
    let (segment_a, keys_a) = sealed(alerts_tag, &Content::Alerts(vec![alert().to_bytes()]));
    let built = payload::build(&place().salt, vec![segment_r.clone(), segment_a.clone()]).unwrap();
    let header = Header {
        segment_root: built.segment_root,
        payload_length: built.bytes.len() as u64,
        payload_digest: built.digest,
        ..any_header(&key())
    };
    let block = SignedHeader::sign(header, &key()).unwrap();
    let payload = payload::verify(block.header(), &built.bytes).unwrap();
    let mut leaves: Vec<Hash> = (0..11u8).map(|n| leaf_hash(&[n])).collect();
    leaves[6] = block.hash();
    let mut note = Checkpoint::new(ORIGIN, 11, root(&leaves)).sign(&log(), 0).unwrap();
    note.sign(&witness(), 1_763_700_100).unwrap();
    let included = Included {
        sequenced: Sequenced { leaf: block.hash(), leaf_index: 6 },
        checkpoint: note.to_string().into_bytes(),
        path: inclusion_proof(&leaves, 6).unwrap(),
    };
    let (tag, segment, keys, at) = match reading {
        Some(at) => (readings_tag, segment_r, keys_r, at),
        None => (alerts_tag, segment_a, keys_a, 0),
    };
    let opened = segment::open(&segment, &keys, tag, Some(&athlete)).unwrap();
    let found = payload.find(&segment.commitment).unwrap();
    Evidence::assemble(opened.disclose(at).unwrap(), &payload, found, &block, &included).unwrap()
}

#[test]
fn a_reading_and_an_alert_are_believed_offline() {
    let verdict = verify(&evidence(false).to_bytes(), &policy()).unwrap();
    assert_eq!(verdict.record, Record::Reading(readings(6).swap_remove(4)));
    assert_eq!((verdict.block.gateway, verdict.leaf_index), (key().id(), 6));
    assert_eq!(verdict.ledger.checkpoint.origin, ORIGIN);
    let verdict = verify(&evidence(true).to_bytes(), &policy()).unwrap();
    assert_eq!(verdict.record, alert());
}

#[test]
fn any_changed_bit_anywhere_is_refused_with_a_reason() {
    for of_alert in [false, true] {
        let bytes = evidence(of_alert).to_bytes();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let fault = verify(&changed, &policy()).unwrap_err();
                assert!(fault.is_tampered(), "bit {bit} of byte {at}: {fault}");
            }
        }
    }
}

#[test]
fn a_change_whose_author_repairs_the_files_digest_is_refused_by_the_proofs() {
    let asks = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), witness().verifier());
    let policy = Policy::parse(asks.as_bytes()).unwrap();
    let bytes = evidence(false).to_bytes();
    for at in 0..bytes.len() - 35 {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(evidence) = Evidence::parse(&changed) {
            assert!(verify(&evidence.to_bytes(), &policy).is_err(), "byte {at}");
        }
    }
}

#[test]
fn any_cut_or_addition_is_refused() {
    let bytes = evidence(false).to_bytes();
    for end in 3..bytes.len() {
        assert!(verify(&bytes[..end], &policy()).unwrap_err().is_tampered(), "cut at {end}");
    }
    for extra in [0u8, 0xff] {
        let mut longer = bytes.clone();
        longer.push(extra);
        assert!(verify(&longer, &policy()).unwrap_err().is_tampered());
    }
}

#[test]
fn each_fault_has_its_name() {
    let good = evidence(false);
    let verdict = |change: &dyn Fn(&mut Evidence)| {
        let mut changed = good.clone();
        change(&mut changed);
        verify(&changed.to_bytes(), &policy()).unwrap_err()
    };
    assert_eq!(verdict(&|e| e.disclosed.blind[0] ^= 1), Fault::NotInBlock);
    assert_eq!(verdict(&|e| e.disclosed.index = 5), Fault::NotInBlock);
    assert_eq!(verdict(&|e| e.disclosed.count = 7), Fault::Place(ProofError::Length { have: 2, need: 3 }));
    // The path would fit a tree of this size too: the counted root tells.
    let mut other = evidence(true);
    other.disclosed.record = vec![];
    assert!(matches!(verify(&other.to_bytes(), &policy()), Err(Fault::NotInBlock)));
    assert_eq!(verdict(&|e| e.segment.count = 3), Fault::Place(ProofError::Length { have: 1, need: 2 }));
    assert_eq!(verdict(&|e| e.segment.digest[0] ^= 1), Fault::NotInBlock);
    assert!(matches!(verdict(&|e| e.header[40] ^= 1), Fault::Block(_)));
    assert_eq!(verdict(&|e| e.leaf_index = 5), Fault::NotInLedger(ProofError::Root));
    assert!(matches!(verdict(&|e| e.checkpoint[0] ^= 1), Fault::Checkpoint(_)));
    // The witness is unknown to the policy: its signature is ignored, as C2SP asks, yet changing it shows.
    let mut bytes = good.to_bytes();
    let text = String::from_utf8_lossy(&good.checkpoint).into_owned();
    let offset = text.rfind("witness.example/1 ").unwrap() + 30;
    let start = bytes.windows(good.checkpoint.len()).position(|w| w == good.checkpoint).unwrap();
    let letter = &mut bytes[start + offset];
    *letter = if *letter == b'A' { b'B' } else { b'A' };
    assert_eq!(verify(&bytes, &policy()), Err(Fault::Digest));
    assert_eq!(verify(b"log,csv,file", &policy()), Err(Fault::NotEvidence));
    assert!(!Fault::NotEvidence.is_tampered());
    let long = vec![0; EVIDENCE_BYTES_MAX + 1];
    assert_eq!(verify(&long, &policy()), Err(Fault::TooLong(long.len())));
}

#[test]
fn another_policy_does_not_believe_it() {
    let other = SignerKey::new("other.example", KeyKind::Ed25519, &[3; 32]).unwrap();
    let fault = verify(&evidence(false).to_bytes(), &Policy::of_logs([other.verifier().clone()])).unwrap_err();
    assert_eq!(fault, Fault::Checkpoint(TrustError::UnknownLog { origin: ORIGIN.to_owned() }));
    let asks = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), witness().verifier());
    let verdict = verify(&evidence(false).to_bytes(), &Policy::parse(asks.as_bytes()).unwrap()).unwrap();
    assert_eq!(verdict.ledger.witnesses, ["witness.example/1"]);
}

#[test]
fn a_header_of_another_gateway_key_is_a_block_of_another_gateway() {
    // Somebody re-signs the header with a key of their own: the block's hash changes, so it is in no ledger.
    let mut forged = evidence(false);
    let thief = GatewayKey::new(&[66; 32]);
    let header = Header { gateway: thief.id(), ..SignedHeader::verify(&forged.header).unwrap().header().clone() };
    forged.header = SignedHeader::sign(header, &thief).unwrap().bytes().to_vec();
    assert_eq!(verify(&forged.to_bytes(), &policy()), Err(Fault::NotInLedger(ProofError::Root)));
}
