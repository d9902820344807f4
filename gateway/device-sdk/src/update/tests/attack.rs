//! Gateways that lie, and releases nobody should take.

use std::vec;
use std::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Chunk, Down, Phase, Reason, Stage, Version, Wait, WaitCode};
use proptest::prelude::*;

use super::super::*;
use super::board::Board;
use super::release::{Gateway, Plan, config, image, sign, talk};

const OLD: Version = Version::new(1, 0, 0);

fn updater() -> Updater<Board> {
    let mut updater = Updater::new(config(OLD, 3), Board::with(&image(1, 9_000)), Millis(0)).unwrap();
    updater.connected(Millis(0));
    updater
}

fn plan() -> Plan {
    Plan::new(image(2, 40_000))
}

fn offered(updater: &mut Updater<Board>, signed: Vec<u8>, now: Millis) -> Vec<Happened> {
    updater.hear(&Down::Offer(signed).encode().unwrap(), Some(1_800_000_000_000_000), now)
}

#[test]
fn an_offer_that_must_not_be_taken_is_refused_with_its_reason_and_writes_nothing() {
    let version = |major, minor| Version::new(major, minor, 0);
    let policy = sign(&plan().manifest(), &[1, 2], b"pitchside/release-policy/1");
    let mut cut = plan().signed();
    cut.pop();
    let mut bent = plan().signed();
    *bent.last_mut().unwrap() ^= 1;
    for (signed, reason) in [
        (Plan { signers: vec![1], ..plan() }.signed(), Reason::SIGNATURES),
        (Plan { signers: vec![], ..plan() }.signed(), Reason::SIGNATURES),
        (Plan { signers: vec![1, 9], ..plan() }.signed(), Reason::SIGNATURES),
        (Plan { signers: vec![1, 1], ..plan() }.signed(), Reason::MALFORMED),
        (policy, Reason::SIGNATURES),
        (bent, Reason::SIGNATURES),
        (cut, Reason::MALFORMED),
        (Plan { target: 1, ..plan() }.signed(), Reason::HARDWARE),
        (Plan { hardware: vec!["strap-r3"], ..plan() }.signed(), Reason::HARDWARE),
        (Plan { component: "hub-firmware", ..plan() }.signed(), Reason::HARDWARE),
        (Plan { counter: 2, version: version(9, 0), ..plan() }.signed(), Reason::COUNTER),
        (Plan { version: OLD, ..plan() }.signed(), Reason::VERSION),
        (Plan { version: version(0, 9), ..plan() }.signed(), Reason::VERSION),
        (Plan { version: version(2, 0), from: Some(version(1, 5)), ..plan() }.signed(), Reason::VERSION),
        (Plan { size: Some(128 * 1024 + 1), ..plan() }.signed(), Reason::SIZE),
        (Plan { size: Some(1 << 40), ..plan() }.signed(), Reason::SIZE),
        (Plan { size: Some(0), ..plan() }.signed(), Reason::SIZE),
        (Plan { expires_us: 1_800_000_000_000_000, ..plan() }.signed(), Reason::EXPIRED),
    ] {
        let mut updater = updater();
        assert_eq!(offered(&mut updater, signed, Millis(0)), [Happened::Refused(reason)], "{}", reason.word());
        let mut gateway = Gateway { offers: false, ..Gateway::new(plan()) };
        talk(&mut updater, &mut gateway, &mut Millis(0), 5_000);
        assert_eq!(gateway.told(), [(Stage::Failed, reason.0)]);
        assert_eq!((updater.flash().writes, updater.record().phase), (0, Phase::Idle));
    }
    // A key the device does not know counts for nothing, but spoils nothing either: publishers' keys change.
    let mut updater = updater();
    let signed = Plan { signers: vec![1, 2, 9], ..plan() }.signed();
    assert_eq!(offered(&mut updater, signed, Millis(0)), [Happened::Pulling { size: 40_000 }]);
}

#[test]
fn an_offer_of_what_runs_replayed_after_the_update_is_refused() {
    let (mut now, mut updater, mut gateway) = (Millis(0), updater(), Gateway::new(plan()));
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    updater.start().unwrap();
    let mut board = updater.into_flash();
    board.running = choose(&mut board).unwrap();
    let mut updater = Updater::new(config(Version::new(1, 1, 0), 3), board, now).unwrap();
    updater.connected(now);
    // On trial the other slot holds the way back: nothing is taken.
    let newer = Plan { version: Version::new(1, 2, 0), ..plan() };
    assert_eq!(offered(&mut updater, newer.signed(), now), []);
    updater.confirm(now).unwrap();
    assert_eq!(offered(&mut updater, plan().signed(), now), [Happened::Refused(Reason::VERSION)]);
    // The confirmed counter holds, whatever counter an image claims for itself.
    let lower = Plan { counter: 2, version: Version::new(2, 0, 0), ..plan() };
    assert_eq!(offered(&mut updater, lower.signed(), now), [Happened::Refused(Reason::COUNTER)]);
}

#[test]
fn a_wrong_chunk_costs_its_group_and_a_gateway_that_is_always_wrong_the_image() {
    let (mut now, mut updater) = (Millis(0), updater());
    let mut gateway = Gateway { bend: Some((17_408, 2)), ..Gateway::new(plan()) };
    assert!(talk(&mut updater, &mut gateway, &mut now, 60_000).contains(&Happened::MayStart));
    let again = gateway.pulls.iter().filter(|pull| pull.offset == 0).count();
    assert_eq!(again, 1, "the first group was right and is not pulled again");
    for proves in [true, false] {
        let (mut now, mut updater) = (Millis(0), self::updater());
        let mut gateway = Gateway { bend: Some((1_024, u32::MAX)), proves, ..Gateway::new(plan()) };
        let happened = talk(&mut updater, &mut gateway, &mut now, 29_000);
        assert!(happened.contains(&Happened::Refused(Reason::CONTENT)), "{happened:?}");
        assert_eq!(gateway.told().last(), Some(&(Stage::Failed, Reason::CONTENT.0)));
        // Not the release's fault: it may be offered again, and comes whole from a gateway that is right.
        gateway.bend = None;
        assert!(talk(&mut updater, &mut gateway, &mut now, 3_600_000).contains(&Happened::MayStart));
    }
}

#[test]
fn chunks_of_two_releases_do_not_mix() {
    let (mut updater, other) = (updater(), image(3, 40_000));
    offered(&mut updater, plan().signed(), Millis(0));
    let chunk = |digest, bytes: &[u8]| {
        Down::Chunk(Chunk { digest, offset: 0, proof: Vec::new(), bytes: bytes.to_vec() }).encode().unwrap()
    };
    let before = updater.flash().writes;
    // Of the other image, under its own name: dropped. Under this one's: found at the end of the group, or of the whole.
    updater.hear(&chunk(*blake3::hash(&other).as_bytes(), &other[..1_024]), None, Millis(0));
    assert_eq!(updater.flash().writes, before);
    for start in (0..40_000).step_by(1_024) {
        let (now, end) = (Millis(start as u64), (start + 1_024).min(40_000));
        let digest = plan().digest();
        let bytes = if start == 16_384 { &other[start..end] } else { &plan().image[start..end] };
        let word = Down::Chunk(Chunk { digest, offset: start as u32, proof: Vec::new(), bytes: bytes.to_vec() });
        updater.poll(now);
        updater.hear(&word.encode().unwrap(), None, now);
    }
    assert_eq!((updater.record().phase, updater.start()), (Phase::Idle, Ok(false)));
}

#[test]
fn stopped_means_stopped_and_slower_means_slower() {
    let (mut now, mut updater, mut gateway) = (Millis(0), updater(), Gateway::new(plan()));
    offered(&mut updater, plan().signed(), now);
    updater.poll(now);
    let wait = |code, after_s| Down::Wait(Wait { code, after_s, digest: plan().digest() }).encode().unwrap();
    updater.hear(&wait(WaitCode::Slower, 5), None, now);
    now = now.plus(4_999);
    assert_eq!(updater.poll(now).len(), 0);
    assert_eq!(updater.poll(now.plus(1)).len(), 2, "two pulls: the window");
    updater.hear(&wait(WaitCode::Stopped, 60), None, now);
    gateway.offers = false;
    talk(&mut updater, &mut gateway, &mut now, 59_000);
    assert!(gateway.pulls.is_empty() && gateway.statuses.is_empty());
    talk(&mut updater, &mut gateway, &mut now, 2_000);
    assert_eq!(gateway.statuses.len(), 1, "it asks when it was told to");
}

proptest! {
    #[test]
    fn no_words_harm_an_updater(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..30), kind in 0x81u8..0x85) {
        let mut updater = updater();
        offered(&mut updater, plan().signed(), Millis(0));
        for (at, mut word) in words.into_iter().enumerate() {
            if let [form, second, ..] = word.as_mut_slice() { (*form, *second) = (1, kind); }
            updater.hear(&word, None, Millis(at as u64 * 1_000));
            updater.poll(Millis(at as u64 * 1_000));
        }
        prop_assert_eq!(updater.start(), Ok(false));
    }

    #[test]
    fn one_changed_bit_of_a_signed_release_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut signed = plan().signed();
        let at = at.index(signed.len());
        signed[at] ^= 1 << bit;
        let happened = offered(&mut updater(), signed, Millis(0));
        prop_assert!(matches!(happened[..], [Happened::Refused(_)]), "byte {at}: {happened:?}");
    }
}
