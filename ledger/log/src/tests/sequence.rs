use ledger_block::ingest::Code;
use ledger_block::merkle;
use ledger_block::receipt::{Level, Receipt};

use super::*;
use crate::log::{Offer, OpenError, Outcome};

fn code(outcome: &Outcome) -> Option<Code> {
    outcome.as_ref().err().map(|refusal| refusal.code)
}

#[test]
fn blocks_enter_in_order_and_their_receipts_verify() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let blocks: Vec<_> = (0..5).map(|fill| gateway.seal(fill)).collect();
    for (_, payload) in &blocks {
        store(&log, &gateway.name, payload);
    }
    let batch: Vec<_> = blocks.iter().map(|(header, _)| gateway.submission(header)).collect();
    let placed: Vec<_> = log.sequence(&batch, NOW).unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(placed.iter().map(|p| p.place).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    // Sequenced, not yet published: no R2.
    assert_eq!(log.included(placed[0], &log.published()).unwrap(), None);
    log.publish().unwrap();
    for ((header, _), placed) in blocks.iter().zip(placed) {
        let r1 = Receipt::parse(&log.sequenced(placed)).unwrap();
        let r2 = Receipt::parse(&log.included(placed, &log.published()).unwrap().unwrap()).unwrap();
        assert_eq!((r1.level(), r2.level()), (Level::R1, Level::R2));
        assert!(r1.verify(header, &log.policy()).unwrap().is_none());
        assert_eq!(r2.verify(header, &log.policy()).unwrap().unwrap().checkpoint.size, 7);
    }
    assert_eq!(log.head(&gateway.name).unwrap().unwrap().hash, blocks[4].0.hash());
    assert_sound(dir.path());
}

#[test]
fn a_repeated_submission_stands_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let block = gateway.submit(&log, 1);
    let first = log.sequence(&[block.clone(), block.clone()], NOW).unwrap();
    assert_eq!(first[0], first[1]);
    let again = log.sequence(std::slice::from_ref(&block), NOW).unwrap();
    assert_eq!(again[0], first[0]);
    assert_eq!(log.publish().unwrap().size, 3);
    assert!(matches!(log.offer(&gateway.name, &block.leaf, NOW).unwrap(), Offer::Placed(p) if p.place == 2));
}

#[test]
fn a_conflicting_header_is_refused_and_kept_as_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let (other, payload) = gateway.draw(200);
    store(&log, &gateway.name, &payload);
    let block = gateway.submit(&log, 1);
    log.sequence(&[block], NOW).unwrap()[0].as_ref().unwrap();
    let refused = log.sequence(&[gateway.submission(&other)], NOW).unwrap();
    assert_eq!(code(&refused[0]), Some(Code::Conflict));
    let kept = log.evidence(&gateway.name, 10).unwrap();
    assert_eq!((kept.len(), kept[0].stands), (1, Some(2)));
    assert_eq!(kept[0].entry, other.bytes());
    // The same again is not kept twice; a fork is kept too, found already at the offer.
    log.sequence(&[gateway.submission(&other)], NOW).unwrap();
    gateway.previous = [7; 32];
    let (fork, _) = gateway.draw(3);
    let offer = log.offer(&gateway.name, fork.bytes(), NOW).unwrap();
    assert!(matches!(offer, Offer::Refused(refusal) if refusal.code == Code::Fork));
    assert_eq!(log.evidence(&gateway.name, 10).unwrap().len(), 2);
    log.publish().unwrap();
    assert_sound(dir.path());
}

#[test]
fn what_does_not_belong_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let one = |leaf: &[u8], by: &str| {
        let outcome = log.sequence(&[Submission { by: Some(id(by)), leaf: leaf.to_vec() }], NOW).unwrap();
        code(&outcome[0])
    };
    let (header, payload) = gateway.draw(1);
    assert_eq!(one(header.bytes(), "box-1"), Some(Code::NotAllowed), "its payload is missing");
    store(&log, &gateway.name, &payload);
    assert_eq!(one(header.bytes(), "box-2"), Some(Code::WrongGateway));
    assert_eq!(one(b"junk", "box-1"), Some(Code::Malformed));
    let mut forged = header.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(one(&forged, "box-1"), Some(Code::BadSignature));
    assert_eq!(one(Box_::new("stranger", 77).draw(1).0.bytes(), "box-1"), Some(Code::NotEnrolled));
    gateway.next = 1;
    assert_eq!(one(gateway.draw(1).0.bytes(), "box-1"), Some(Code::Gap));
    assert!(matches!(log.offer(&id("box-1"), gateway.draw(1).0.bytes(), NOW).unwrap(), Offer::Wanted { held: 0, .. }));
    gateway.next = 500;
    let far = log.offer(&id("box-1"), gateway.draw(1).0.bytes(), NOW).unwrap();
    assert!(matches!(far, Offer::Refused(refusal) if refusal.code == Code::Gap));
    assert_eq!(one(header.bytes(), "box-1"), None);
}

#[test]
fn a_restored_gateway_continues_its_chain_with_the_next_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let first = gateway.submit(&log, 1);
    gateway.incarnation = 3;
    let second = gateway.submit(&log, 2);
    assert!(log.sequence(&[first, second], NOW).unwrap().iter().all(Result::is_ok));
    gateway.incarnation = 2;
    let (stale, payload) = gateway.draw(3);
    store(&log, &gateway.name, &payload);
    let outcome = log.sequence(&[gateway.submission(&stale)], NOW).unwrap();
    assert_eq!(code(&outcome[0]), Some(Code::OldIncarnation));
}

#[test]
fn a_rotated_key_goes_on_with_the_same_chain_and_the_old_key_is_out() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let first = gateway.submit(&log, 1);
    let fresh = GatewayKey::new(&[99; 32]);
    let act = Act::Rotate { name: gateway.name.clone(), key: fresh.id().0 };
    let rotate = Transaction { signer: gateway.name.clone(), time: NOW, act }.sign(ORIGIN, &gateway.key).unwrap();
    let rotate = Submission { by: Some(gateway.name.clone()), leaf: rotate };
    assert!(log.sequence(&[first, rotate], NOW).unwrap().iter().all(Result::is_ok));
    let stale = gateway.draw(2).0;
    assert_eq!(code(&log.sequence(&[gateway.submission(&stale)], NOW).unwrap()[0]), Some(Code::NotEnrolled));
    gateway.key = fresh;
    let second = gateway.submit(&log, 2);
    assert!(log.sequence(&[second], NOW).unwrap()[0].is_ok());
    log.publish().unwrap();
    assert_sound(dir.path());
}

#[test]
fn another_logs_key_and_a_second_log_in_the_same_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(start(dir.path()));
    let other = SignerKey::new("other.example", KeyKind::Ed25519, &[1; 32]).unwrap();
    let opened = Log::open(Storage::files(dir.path()).unwrap(), other);
    assert!(matches!(opened.err(), Some(OpenError::OtherKey { .. })));
    let impostor = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[8; 32]).unwrap();
    let opened = Log::open(Storage::files(dir.path()).unwrap(), impostor);
    assert!(matches!(opened.err(), Some(OpenError::Tampered(_))));
    let again = Log::create(Storage::files(dir.path()).unwrap(), log_key(), &operator(), NOW);
    assert!(matches!(again.err(), Some(OpenError::Present(_))));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Log::open(Storage::files(empty.path()).unwrap(), log_key()).err(), Some(OpenError::Absent)));
}

#[test]
fn checkpoints_of_a_growing_log_are_consistent_and_partial_tiles_are_tidied() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut gateway) = start(dir.path());
    let mut seen = log.publish().unwrap();
    for step in [1u64, 100, 153, 1, 300] {
        let batch: Vec<_> = (0..step).map(|n| gateway.submit(&log, u8::try_from(n % 250).unwrap())).collect();
        assert!(log.sequence(&batch, NOW).unwrap().iter().all(Result::is_ok));
        let now = log.publish().unwrap();
        let proven = log.proven(&now, seen.size).unwrap();
        let policy = log.policy();
        let root = |note: &[u8]| policy.verify_checkpoint(note).unwrap().checkpoint.root;
        merkle::verify_consistency(seen.size, now.size, &root(&seen.note), &root(&now.note), &proven.proof).unwrap();
        seen = now;
    }
    assert_eq!(seen.size, 557);
    assert!(!dir.path().join("tile/0/000.p").exists());
    assert!(log.tile("tile/0/000.p/255".parse_tile()).unwrap().is_some(), "cut from the full tile");
    assert!(log.tile("tile/0/002.p/46".parse_tile()).unwrap().is_none(), "beyond what is published");
    assert_eq!(assert_sound(dir.path()).leaves, 557);
}

trait ParseTile {
    fn parse_tile(&self) -> crate::Tile;
}
impl ParseTile for str {
    fn parse_tile(&self) -> crate::Tile {
        crate::Tile::parse(self).unwrap()
    }
}
