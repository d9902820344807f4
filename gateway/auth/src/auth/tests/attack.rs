//! Whoever is not let in.

use super::*;
use pitchside_wire::frame::{REFUSED_BYTES, Refused};
use pitchside_wire::window::Stale;
use pitchside_wire::{Psk, PublicKey};
use proptest::prelude::*;

fn other_psk(card: &Card) -> Credential {
    Card { psk: Psk::new([0xAB; 32]), ..card.clone() }.credential().unwrap()
}

#[test]
fn a_wrong_psk_gets_no_session() {
    for class in ALL {
        let mut gateway = Gateway::new();
        let device = gateway.enrol("strap-07", class);
        let mut initiator = device.initiator_with(&other_psk(&device.card));
        match gateway.take(LINK, Some("strap-07"), initiator.hello()) {
            Err(refusal) => assert_eq!(refusal.cause(), &Cause::Forged),
            // In IKpsk2 the key comes with the second message: such a device can neither read it nor confirm.
            Ok(Accepted::Reply(reply)) => {
                assert_eq!(class, Class::P2);
                assert!(initiator.finish(&reply, Millis(0)).is_err());
                assert!(gateway.store.sessions.lock().is_empty() && gateway.store.stamps.lock().is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wrong_static_key_on_either_side_is_refused() {
    let mut gateway = Gateway::new();
    let device = gateway.enrol("patch-1", Class::P2);
    let stranger = Card { private: Some(PrivateKey::new([1; 32])), ..device.card.clone() }.credential().unwrap();
    assert_eq!(gateway.cause(LINK, device.initiator_with(&stranger).hello()), Cause::WrongStatic);
    let misled = Card { gateway: Some(PublicKey([2; 32])), ..device.card.clone() }.credential().unwrap();
    assert_eq!(gateway.cause(LINK, device.initiator_with(&misled).hello()), Cause::Forged);
}

#[test]
fn every_refusal_of_a_handshake_looks_the_same() {
    let mut gateway = Gateway::patient();
    let mut answers = Vec::new();
    for class in ALL {
        let mut known = gateway.enrol(&format!("known-{}", class as u8), class);
        let mut revoked = gateway.enrol(&format!("revoked-{}", class as u8), class);
        gateway.auth.revoke(&revoked.card.device, gateway.now).unwrap();
        let unknown = Card { device: name("unknown"), ..known.card.clone() };
        let in_other_class = match class {
            Class::P0 => Credential::P1 { psk: known.card.psk.clone() },
            _ => Credential::P0 { psk: known.card.psk.clone() },
        };
        let mut bent = known.initiator().hello().to_vec();
        *bent.last_mut().unwrap() ^= 1;
        let mut stranger = Device { card: unknown, session: None, stamp: 1, seq: 0 };
        for (hello, cause) in [
            (stranger.initiator().hello().to_vec(), Cause::UnknownDevice),
            (revoked.initiator().hello().to_vec(), Cause::Revoked),
            (known.initiator_with(&in_other_class).hello().to_vec(), Cause::WrongClass),
            (bent, Cause::Forged),
        ] {
            let refusal = gateway.take(LINK, None, &hello).unwrap_err();
            assert_eq!(refusal.cause(), &cause);
            let answer = refusal.answer().unwrap();
            let refused = Refused::parse(&answer).unwrap();
            assert_eq!(refused.echo, hello[hello.len() - 8..]);
            answers.push((answer.len(), answer[..4].to_vec(), refusal.must_close()));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].0, REFUSED_BYTES);
}

#[test]
fn a_frame_is_accepted_once_in_any_order_and_from_its_own_link_only() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let frames: Vec<_> = (0..5).map(|n| device.data(&gateway, &[n])).collect();
    for at in [3, 0, 4, 1, 2] {
        assert_eq!(gateway.message(LINK, &frames[at]).1.content().bytes, [at as u8]);
    }
    for frame in &frames {
        let refusal = gateway.take(LINK, None, frame).unwrap_err();
        assert_eq!((refusal.cause(), refusal.answer()), (&Cause::Replayed(Stale::Seen), None));
    }
    let next = device.data(&gateway, b"on another link");
    assert_eq!(gateway.cause(OTHER, &next), Cause::AnotherLink);
    assert_eq!(gateway.cause(LINK, &next), Cause::Replayed(Stale::Seen), "its counter is used up all the same");
}

#[test]
fn a_frame_older_than_the_window_is_refused() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P0);
    device.connect(&gateway, LINK);
    let late = device.data(&gateway, b"late");
    for _ in 0..1_024 {
        let frame = device.data(&gateway, b"x");
        gateway.message(LINK, &frame);
    }
    assert_eq!(gateway.cause(LINK, &late), Cause::Replayed(Stale::Old));
}

#[test]
fn a_frame_cut_at_every_byte_is_refused_and_does_no_harm() {
    for class in ALL {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", class);
        let hello = device.initiator().hello().to_vec();
        let confirm = device.begin(&gateway, LINK);
        for end in 0..hello.len() {
            assert!(gateway.take(LINK, None, &hello[..end]).is_err());
        }
        for end in 0..confirm.len() {
            assert!(gateway.take(LINK, None, &confirm[..end]).is_err());
        }
        device.expect_ready(&gateway, LINK, &confirm);
        let data = device.data(&gateway, b"72 /min");
        for end in 0..data.len() {
            assert!(gateway.take(LINK, None, &data[..end]).is_err());
        }
        gateway.message(LINK, &data);
    }
}

#[test]
fn a_frame_with_any_bit_flipped_is_refused_and_does_no_harm() {
    for class in ALL {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", class);
        let hello = device.initiator().hello().to_vec();
        let confirm = device.begin(&gateway, LINK);
        let flipped = |frame: &[u8], bit: usize| {
            let mut bent = frame.to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            bent
        };
        for bit in 0..hello.len() * 8 {
            assert!(gateway.take(LINK, None, &flipped(&hello, bit)).is_err(), "{class:?} hello bit {bit}");
        }
        for bit in 0..confirm.len() * 8 {
            assert!(gateway.take(LINK, None, &flipped(&confirm, bit)).is_err(), "{class:?} confirm bit {bit}");
        }
        device.expect_ready(&gateway, LINK, &confirm);
        let data = device.data(&gateway, b"72 /min");
        for bit in 0..data.len() * 8 {
            assert!(gateway.take(LINK, None, &flipped(&data, bit)).is_err(), "{class:?} data bit {bit}");
        }
        gateway.message(LINK, &data);
    }
}

#[test]
fn a_device_cannot_speak_on_another_devices_topic_or_in_its_session() {
    let mut gateway = Gateway::new();
    let (mut mine, mut theirs) = (gateway.enrol("mine", Class::P1), gateway.enrol("theirs", Class::P1));
    let refusal = gateway.take(LINK, Some("theirs"), mine.initiator().hello()).unwrap_err();
    assert_eq!(refusal.cause(), &Cause::AnotherDevice);
    mine.connect(&gateway, LINK);
    theirs.connect(&gateway, OTHER);
    let data = mine.data(&gateway, b"x");
    assert_eq!(gateway.take(LINK, Some("theirs"), &data).unwrap_err().cause(), &Cause::AnotherDevice);
    // Its own keys under the other's session number.
    let mut posing = mine.data(&gateway, b"x");
    posing[1..9].copy_from_slice(&theirs.session.as_ref().unwrap().id().0.to_le_bytes());
    assert_eq!(gateway.cause(OTHER, &posing), Cause::Forged);
}

#[test]
fn a_forger_is_cut_off_and_an_honest_device_beside_it_is_not() {
    let mut gateway = Gateway::new();
    let mut honest = gateway.enrol("strap-07", Class::P0);
    honest.connect(&gateway, LINK);
    let mut forged = honest.data(&gateway, b"x");
    forged[20] ^= 1;
    let refusals: Vec<_> = (0..40).map(|_| gateway.take(OTHER, None, &forged).unwrap_err()).collect();
    assert_eq!(refusals.iter().filter(|refusal| refusal.answer().is_some()).count(), 16);
    assert!(!refusals[15].must_close() && refusals[16].must_close() && refusals[16].answer().is_none());
    gateway.message(LINK, &honest.data(&gateway, b"y"));
    assert_eq!(honest.connect(&gateway, LINK), None, "a new handshake on its own link");
}

#[test]
fn whoever_makes_hellos_up_or_replays_them_cannot_keep_a_device_out() {
    for class in ALL {
        let mut gateway = Gateway::new();
        let mut device = gateway.enrol("strap-07", class);
        let mut made_up = device.initiator().hello().to_vec();
        *made_up.last_mut().unwrap() ^= 1;
        let heard = device.initiator().hello().to_vec();
        assert!(gateway.take(LINK, None, &heard).is_ok());
        for link in 10..60 {
            assert_eq!(gateway.cause(LinkId(link), &made_up), Cause::Forged);
            let replay = gateway.take(LinkId(link), None, &heard).unwrap_err();
            assert_eq!((replay.cause(), replay.answer()), (&Cause::RepeatedHello, None));
        }
        device.connect(&gateway, OTHER);
    }
}

#[test]
fn a_devices_own_handshakes_are_limited_over_all_links_but_the_one_it_is_on() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P0);
    device.connect(&gateway, LINK);
    let outcomes: Vec<_> = (10..50).map(|link| gateway.take(LinkId(link), None, device.initiator().hello())).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 29, "one was spent to connect");
    device.connect(&gateway, LINK);
}

#[test]
fn frames_of_a_forgotten_session_are_answered_now_and_then_and_cost_the_device_nothing() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    gateway.store.sessions.lock().clear();
    gateway.restart();
    let refusals: Vec<_> = (0..500)
        .map(|_| {
            let frame = device.data(&gateway, b"x");
            gateway.take(LINK, None, &frame).unwrap_err()
        })
        .collect();
    assert!(refusals.iter().all(|refusal| *refusal.cause() == Cause::NoSession && !refusal.must_close()));
    assert_eq!(refusals.iter().filter(|refusal| refusal.answer().is_some()).count(), 4);
    let echo = Refused::parse(&refusals[0].answer().unwrap()).unwrap().echo;
    assert_eq!(echo, device.session.as_ref().unwrap().id().0.to_le_bytes());
    device.connect(&gateway, LINK);
}

#[test]
fn a_genuine_frame_without_a_message_is_refused_by_receipt() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let mut plain = [7u64.to_le_bytes(), 3u64.to_le_bytes()].concat();
    plain.push(9);
    let frame = device.seal(&gateway, Kind::Data, &plain);
    let refusal = gateway.take(LINK, None, &frame).unwrap_err();
    let (kind, body) = device.open(&gateway, &refusal.answer().unwrap());
    let receipt = Receipt::parse(&body).unwrap();
    assert_eq!((kind, receipt.refused[0].epoch.0, receipt.refused[0].seq.0), (Kind::Receipt, 7, 3));
    let frame = device.seal(&gateway, Kind::Data, b"short");
    assert!(gateway.take(LINK, None, &frame).unwrap_err().answer().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_refused(frame in proptest::collection::vec(any::<u8>(), 0..300), first in 0x10u8..0x1B) {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", Class::P0);
        device.connect(&gateway, LINK);
        let mut frame = frame;
        if let Some(byte) = frame.first_mut() { *byte = first; }
        if let Some(session) = frame.get_mut(1..9) {
            session.copy_from_slice(&device.session.as_ref().unwrap().id().0.to_le_bytes());
        }
        prop_assert!(gateway.take(LINK, None, &frame).is_err());
    }
}
