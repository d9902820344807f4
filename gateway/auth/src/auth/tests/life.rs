//! Handshakes and the sessions they replace, revocation, and a store that fails.

use super::*;
use crate::auth::ReceiptError;
use pitchside_wire::control::Close;

#[test]
fn a_replayed_hello_changes_nothing() {
    for class in ALL {
        let mut gateway = Gateway::patient();
        let mut device = gateway.enrol("strap-07", class);
        let hello = device.initiator().hello().to_vec();
        device.connect(&gateway, LINK);
        let writes = gateway.store.writes.load(Ordering::Relaxed);
        for _ in 0..20 {
            let _ = gateway.take(OTHER, None, &hello);
        }
        assert_eq!(gateway.store.writes.load(Ordering::Relaxed), writes);
        assert!(gateway.auth.table.len() <= 1 + gateway.limits.pending_per_device_max);
        gateway.message(LINK, &device.data(&gateway, b"still here"));
    }
}

#[test]
fn a_p2_hello_no_newer_than_one_confirmed_is_refused_even_after_a_restart() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("patch-1", Class::P2);
    let older = device.initiator().hello().to_vec();
    let unconfirmed = device.initiator().hello().to_vec();
    assert!(
        matches!(gateway.take(LINK, None, &unconfirmed), Ok(Accepted::Reply(_))),
        "not remembered before its confirm"
    );
    device.connect(&gateway, LINK);
    assert_eq!(gateway.cause(LINK, &older), Cause::StaleStamp);
    assert_eq!(gateway.cause(LINK, &unconfirmed), Cause::RepeatedHello);
    gateway.restart();
    assert_eq!(gateway.cause(LINK, &unconfirmed), Cause::StaleStamp);
    device.connect(&gateway, LINK);
}

#[test]
fn of_two_p2_handshakes_confirmed_in_the_wrong_order_the_older_loses() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("patch-1", Class::P2);
    let early = device.begin(&gateway, LINK);
    let late = device.begin(&gateway, LINK);
    device.expect_ready(&gateway, LINK, &late);
    assert_eq!(gateway.cause(LINK, &early), Cause::StaleStamp);
    gateway.message(LINK, &device.data(&gateway, b"x"));
}

#[test]
fn a_new_session_ends_the_old_one_and_names_its_link() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let (key, _, _) = gateway.message(LINK, &device.data(&gateway, b"x"));
    let old = device.data(&gateway, b"sent in the old session");
    let confirm = device.begin(&gateway, OTHER);
    gateway.message(LINK, &old);
    assert_eq!(device.expect_ready(&gateway, OTHER, &confirm), Some(LINK));
    assert_eq!(gateway.cause(LINK, &old), Cause::NoSession);
    assert_eq!(gateway.auth.receipt(key, &Receipt::default(), gateway.now), Err(ReceiptError::Gone));
    assert_eq!(gateway.store.sessions.lock().len(), 1);
    assert_eq!(gateway.auth.table.len(), 1);
}

#[test]
fn a_session_moves_to_a_new_link_by_a_confirm() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let confirm = device.seal(&gateway, Kind::Confirm, &[]);
    assert_eq!(device.expect_ready(&gateway, OTHER, &confirm), Some(LINK));
    gateway.message(OTHER, &device.data(&gateway, b"x"));
    assert_eq!(gateway.cause(LINK, &device.data(&gateway, b"y")), Cause::AnotherLink);
    let again = device.seal(&gateway, Kind::Confirm, &[]);
    assert_eq!(device.expect_ready(&gateway, OTHER, &again), None);
}

#[test]
fn data_before_the_confirm_is_refused_and_a_confirm_may_not_come_too_late() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    let confirm = device.begin(&gateway, LINK);
    assert_eq!(gateway.cause(LINK, &device.data(&gateway, b"early")), Cause::NoSession);
    gateway.now = gateway.now.plus_micros(10_000_001);
    assert_eq!(gateway.cause(LINK, &confirm), Cause::NoSession);
    assert_eq!(gateway.auth.table.len(), 0);
}

#[test]
fn handshakes_in_progress_are_bounded() {
    let mut gateway = Gateway::with(Limits { pending_max: 6, ..Gateway::patient().limits });
    let mut devices: Vec<_> = (0..3).map(|n| gateway.enrol(&format!("strap-{n}"), Class::P0)).collect();
    let hello = |gateway: &Gateway, device: &mut Device| gateway.take(LINK, None, device.initiator().hello());
    for _ in 0..10 {
        assert!(hello(&gateway, &mut devices[0]).is_ok(), "a device's own oldest attempt makes room");
    }
    for _ in 0..2 {
        assert!(hello(&gateway, &mut devices[1]).is_ok());
    }
    assert_eq!(hello(&gateway, &mut devices[2]).unwrap_err().cause(), &Cause::Busy);
    assert_eq!(gateway.auth.table.len(), 6);
    gateway.now = gateway.now.plus_micros(10_000_001);
    devices[2].connect(&gateway, LINK);
    assert_eq!(gateway.auth.table.len(), 1, "what was never confirmed is gone");
}

#[test]
fn a_revoked_device_loses_its_session_at_once_and_for_good() {
    for class in ALL {
        let mut gateway = Gateway::new();
        let mut device = gateway.enrol("strap-07", class);
        device.connect(&gateway, LINK);
        let (key, _, _) = gateway.message(LINK, &device.data(&gateway, b"x"));
        let pending = {
            let mut twin = Device { card: device.card.clone(), session: None, stamp: 500, seq: 0 };
            twin.begin(&gateway, OTHER)
        };
        let ended = gateway.auth.revoke(&device.card.device, gateway.now).unwrap();
        assert_eq!(ended.iter().map(|ended| ended.link).collect::<Vec<_>>(), [LINK]);
        let (kind, body) = device.open(&gateway, ended[0].goodbye.as_ref().unwrap());
        assert_eq!((kind, Close::parse(&body)), (Kind::Close, Ok(Close::Revoked)));
        assert_eq!(gateway.cause(LINK, &device.data(&gateway, b"y")), Cause::NoSession);
        assert_eq!(gateway.cause(OTHER, &pending), Cause::NoSession);
        assert_eq!(gateway.auth.receipt(key, &Receipt::default(), gateway.now), Err(ReceiptError::Gone));
        device.stamp = 1_000;
        assert_eq!(gateway.cause(LINK, device.initiator().hello()), Cause::Revoked);
        gateway.restart();
        assert_eq!(gateway.cause(LINK, device.initiator().hello()), Cause::Revoked);
        assert_eq!(gateway.auth.table.len(), 0);
    }
}

#[test]
fn a_device_revoked_or_enrolled_anew_by_another_process_is_noticed_on_refresh() {
    let mut gateway = Gateway::new();
    let (mut gone, mut renewed, mut kept) =
        (gateway.enrol("gone", Class::P1), gateway.enrol("renewed", Class::P1), gateway.enrol("kept", Class::P1));
    gone.connect(&gateway, LinkId(1));
    renewed.connect(&gateway, LinkId(2));
    kept.connect(&gateway, LinkId(3));
    gateway.store.revoke(&gone.card.device, gateway.now).unwrap();
    let fresh = NewDevice { id: name("renewed"), class: Class::P1, own_key: None, decoder: None };
    let (record, _) = enrol::device(fresh, &identity(), &kek(), &mut random(), gateway.now).unwrap();
    gateway.store.devices.lock().insert(record.id.clone(), record);
    let mut links: Vec<_> = gateway.auth.refresh(gateway.now).unwrap().into_iter().map(|ended| ended.link.0).collect();
    links.sort_unstable();
    assert_eq!(links, [1, 2]);
    assert_eq!(gateway.cause(LinkId(2), renewed.initiator().hello()), Cause::Forged);
    gateway.message(LinkId(3), &kept.data(&gateway, b"x"));
}

#[test]
fn a_device_enrolled_anew_loses_its_session_even_if_the_gateway_was_down_meanwhile() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let mut begun = Device { card: device.card.clone(), session: None, stamp: 500, seq: 0 };
    let confirm = begun.begin(&gateway, OTHER);
    let mut fresh = gateway.enrol("strap-07", Class::P1);
    assert_eq!(gateway.cause(LINK, &device.data(&gateway, b"x")), Cause::NoSession);
    assert_eq!(gateway.cause(OTHER, &confirm), Cause::NoSession);
    fresh.connect(&gateway, LINK);
    // The same again, but nobody is told: the rows are changed under a gateway that is off.
    let kept = gateway.store.sessions.lock().clone();
    gateway.enrol("strap-07", Class::P1);
    *gateway.store.sessions.lock() = kept;
    gateway.restart();
    assert_eq!(gateway.cause(LINK, &fresh.data(&gateway, b"x")), Cause::NoSession);
}

#[test]
fn a_device_that_says_goodbye_has_no_session_left() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let close = device.seal(&gateway, Kind::Close, &Close::Done.encode());
    assert!(matches!(gateway.take(LINK, None, &close), Ok(Accepted::Nothing)));
    assert_eq!(gateway.cause(LINK, &close), Cause::NoSession);
    assert!(gateway.store.sessions.lock().is_empty());
}

#[test]
fn a_session_ends_after_two_hours() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let (key, _, _) = gateway.message(LINK, &device.data(&gateway, b"x"));
    let late = device.data(&gateway, b"y");
    gateway.now = gateway.now.plus_micros(2 * 3_600 * 1_000_000);
    let refusal = gateway.take(LINK, None, &late).unwrap_err();
    assert_eq!(refusal.cause(), &Cause::Expired);
    assert!(refusal.answer().is_some(), "so that the device begins anew");
    let mut receipt = Receipt::default();
    receipt.add(1u64, 1u64);
    assert!(gateway.auth.receipt(key, &receipt, gateway.now).is_err());
    device.connect(&gateway, LINK);
}

#[test]
fn when_the_store_fails_nothing_new_is_let_in_and_nothing_old_is_lost() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P2);
    device.connect(&gateway, LINK);
    let mut twin = Device { card: device.card.clone(), session: None, stamp: 500, seq: 0 };
    let confirm = twin.begin(&gateway, OTHER);
    gateway.store.broken.store(true, Ordering::Relaxed);
    assert!(matches!(gateway.cause(OTHER, &confirm), Cause::Store(_)));
    gateway.message(LINK, &device.data(&gateway, b"the old session goes on"));
    gateway.store.broken.store(false, Ordering::Relaxed);
    assert_eq!(twin.expect_ready(&gateway, OTHER, &confirm), Some(LINK), "the same confirm, once there is room");
}

#[test]
fn a_device_that_leaps_through_its_counters_is_held_back() {
    let mut gateway = Gateway::new();
    let mut device = gateway.enrol("strap-07", Class::P1);
    device.connect(&gateway, LINK);
    let before = gateway.store.writes.load(Ordering::Relaxed);
    let mut refused = 0;
    for leap in 1..=60u64 {
        device.session.as_mut().unwrap().advance(pitchside_wire::Counter(leap * 100_000));
        let frame = device.data(&gateway, b"x");
        refused += u32::from(gateway.take(LINK, None, &frame).is_err());
    }
    assert!(gateway.store.writes.load(Ordering::Relaxed) - before <= 16);
    assert!(refused >= 44);
}
