//! What survives a restart, and what must not.

use std::collections::BTreeSet;

use super::*;
use pitchside_wire::control::Advance;
use pitchside_wire::frame::Header;
use pitchside_wire::session::CEILING_STRIDE;
use proptest::prelude::*;

#[test]
fn a_session_goes_on_after_a_restart_without_a_handshake() {
    for class in ALL {
        let mut gateway = Gateway::new();
        let mut device = gateway.enrol("strap-07", class);
        device.connect(&gateway, LINK);
        let seen = device.data(&gateway, b"seen");
        gateway.message(LINK, &seen);
        let unseen = device.data(&gateway, b"lost in the crash");
        gateway.restart();
        let Ok(Accepted::Reply(told)) = gateway.take(OTHER, None, &unseen) else { panic!() };
        let (kind, body) = device.open(&gateway, &told);
        let next = Advance::parse(&body).unwrap().next;
        assert_eq!((kind, next.0), (Kind::Advance, CEILING_STRIDE));
        assert_eq!(gateway.cause(OTHER, &seen), Cause::BelowFloor, "told once, not for each frame");
        device.session.as_mut().unwrap().advance(next);
        let confirm = device.seal(&gateway, Kind::Confirm, &[]);
        assert_eq!(device.expect_ready(&gateway, OTHER, &confirm), None);
        let (_, message, _) = gateway.message(OTHER, &device.data(&gateway, b"again"));
        assert_eq!(message.content().bytes, b"again");
        assert_eq!(gateway.cause(OTHER, &seen), Cause::BelowFloor);
    }
}

#[test]
fn a_frame_forged_below_the_floor_learns_nothing() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let mut forged = device.data(&gateway, b"x");
    forged[20] ^= 1;
    gateway.restart();
    assert_eq!(gateway.cause(OTHER, &forged), Cause::Forged);
}

#[test]
fn a_replay_after_a_restart_does_not_take_the_session_to_another_link() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    let confirm = device.begin(&gateway, LINK);
    device.expect_ready(&gateway, LINK, &confirm);
    let seen = device.data(&gateway, b"x");
    gateway.message(LINK, &seen);
    gateway.restart();
    // The answer to both is sealed, so only the device can read where to go on.
    assert!(matches!(gateway.take(OTHER, None, &confirm), Ok(Accepted::Reply(_))));
    assert_eq!(gateway.cause(OTHER, &seen), Cause::BelowFloor);
}

#[test]
fn a_session_row_with_any_bit_flipped_or_moved_is_not_taken_up() {
    let mut gateway = Gateway::new();
    let (mut device, mut other) = (gateway.enrol("strap-07", Class::P1), gateway.enrol("strap-08", Class::P1));
    device.connect(&gateway, LINK);
    other.connect(&gateway, OTHER);
    let rows = gateway.store.sessions.lock().clone();
    for bit in (0..rows[0].body.len() * 8).step_by(3) {
        let mut bent = rows[0].clone();
        bent.body[bit / 8] ^= 1 << (bit % 8);
        *gateway.store.sessions.lock() = vec![bent];
        gateway.restart();
        assert_eq!(gateway.auth.table.len(), 0, "bit {bit}");
        assert!(gateway.store.sessions.lock().is_empty(), "and it is gone");
    }
    let moved = SessionRow { device: name("strap-08"), ..rows[0].clone() };
    let renumbered = SessionRow { id: rows[1].id, ..rows[0].clone() };
    for row in [moved, renumbered] {
        *gateway.store.sessions.lock() = vec![row];
        gateway.restart();
        assert_eq!(gateway.auth.table.len(), 0);
    }
    let frame = device.data(&gateway, b"x");
    assert_eq!(gateway.cause(LINK, &frame), Cause::NoSession);
    device.connect(&gateway, LINK);
}

#[test]
fn a_ceiling_changed_in_the_row_can_only_rise() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let seen = device.data(&gateway, b"x");
    gateway.message(LINK, &seen);
    gateway.store.sessions.lock()[0].ceiling = 0;
    gateway.restart();
    assert!(!matches!(gateway.take(LINK, None, &seen), Ok(Accepted::Message { .. })));
}

#[test]
fn a_device_row_with_a_changed_secret_lets_nobody_in() {
    for class in ALL {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", class);
        let length = device_secret(&gateway).len();
        for at in 0..length {
            gateway.store.devices.lock().get_mut("strap-07").unwrap().secret[at] ^= 1;
            gateway.auth.refresh(gateway.now).unwrap();
            assert!(matches!(gateway.cause(LINK, device.initiator().hello()), Cause::Stored(_)), "{class:?} byte {at}");
            gateway.store.devices.lock().get_mut("strap-07").unwrap().secret[at] ^= 1;
        }
        gateway.auth.refresh(gateway.now).unwrap();
        device.connect(&gateway, LINK);
    }
}

fn device_secret(gateway: &Gateway) -> Vec<u8> {
    gateway.store.devices.lock()["strap-07"].secret.clone()
}

#[test]
fn under_another_kek_no_session_and_no_device_is_taken_up() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P0);
    device.connect(&gateway, LINK);
    let other = Kek::new([1; 32]);
    gateway.auth =
        Auth::open(Arc::clone(&gateway.store) as Arc<dyn KeyStore>, other, identity(), gateway.limits).unwrap();
    assert_eq!(gateway.auth.table.len(), 0);
    assert!(matches!(gateway.cause(LINK, device.initiator().hello()), Cause::Stored(_)));
}

#[test]
fn of_two_rows_left_by_a_crash_the_newer_counts() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let old = gateway.store.sessions.lock()[0].clone();
    device.connect(&gateway, LINK);
    gateway.store.sessions.lock().insert(0, old);
    gateway.restart();
    assert_eq!((gateway.auth.table.len(), gateway.store.sessions.lock().len()), (1, 1));
    let frame = device.data(&gateway, b"x");
    assert!(matches!(gateway.take(LINK, None, &frame), Ok(Accepted::Reply(_))), "the newer session is known");
}

#[derive(Debug, Clone)]
enum Step {
    Send,
    Deliver(prop::sample::Index),
    Restart,
    Receipt,
    Handshake,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Send),
        10 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        1 => Just(Step::Restart),
        3 => Just(Step::Receipt),
        1 => Just(Step::Handshake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Everything ever sent is delivered again and again, through restarts and new sessions: no message is let in twice,
    /// and no nonce of the gateway comes twice.
    #[test]
    fn nothing_is_accepted_twice_whatever_happens(steps in proptest::collection::vec(step(), 1..120), class in 0usize..3) {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", ALL[class]);
        device.connect(&gateway, LINK);
        let (mut sent, mut accepted, mut nonces) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut key = None;
        for step in steps {
            gateway.now = gateway.now.plus_micros(200_000);
            match step {
                Step::Send => sent.push(device.data(&gateway, b"x")),
                Step::Restart => gateway.restart(),
                Step::Handshake => { device.connect(&gateway, LINK); }
                Step::Deliver(_) if sent.is_empty() => {}
                Step::Deliver(which) => match gateway.take(LINK, Some("strap-07"), which.get::<Vec<u8>>(&sent)) {
                    Ok(Accepted::Message { seq, session, .. }) => {
                        prop_assert!(accepted.insert(seq.0), "message {} twice", seq.0);
                        key = Some(session);
                    }
                    Ok(Accepted::Reply(advance)) => {
                        let header = Header::parse(&advance).unwrap();
                        prop_assert!(nonces.insert((header.session, header.counter)));
                        let (_, body) = device.open(&gateway, &advance);
                        device.session.as_mut().unwrap().advance(Advance::parse(&body).unwrap().next);
                        let confirm = device.seal(&gateway, Kind::Confirm, &[]);
                        device.expect_ready(&gateway, LINK, &confirm);
                    }
                    Ok(other) => prop_assert!(false, "{:?}", other),
                    Err(_) => {}
                },
                Step::Receipt => {
                    let mut receipt = Receipt::default();
                    receipt.add(9u64, 0u64);
                    for frame in key.and_then(|key| gateway.auth.receipt(key, &receipt, gateway.now).ok()).into_iter().flatten() {
                        let header = Header::parse(&frame).unwrap();
                        prop_assert!(nonces.insert((header.session, header.counter)), "a nonce twice");
                    }
                }
            }
        }
    }
}
