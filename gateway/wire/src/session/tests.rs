use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec;

fn keys() -> TrafficKeys {
    TrafficKeys { up: [1; 32], down: [2; 32] }
}

fn device() -> Session {
    Session::new(SessionId(5), Role::Device, keys(), Millis(0))
}

fn gateway() -> Session {
    let mut session = Session::new(SessionId(5), Role::Gateway, keys(), Millis(0));
    let first = session.next_ceilings();
    session.grant(first);
    session
}

const NOW: Millis = Millis(1_000);

#[test]
fn a_frame_opens_once_and_only_at_the_other_end() {
    let (mut device, mut gateway) = (device(), gateway());
    let frame = device.seal(Kind::Data, b"hello", NOW).unwrap();
    assert_eq!(device.open(&frame, NOW).unwrap_err(), OpenError::Forged, "a reflected frame");
    let (header, plain) = gateway.open(&frame, NOW).unwrap();
    assert_eq!((header.kind, header.counter, &plain[..]), (Kind::Data, Counter(0), &b"hello"[..]));
    assert_eq!(gateway.open(&frame, NOW).unwrap_err(), OpenError::Replayed(Stale::Seen));
}

#[test]
fn a_frame_cut_anywhere_or_with_any_bit_flipped_is_refused() {
    let (mut device, mut gateway) = (device(), gateway());
    let frame = device.seal(Kind::Data, b"some reading", NOW).unwrap();
    for end in 0..frame.len() {
        assert!(gateway.open(&frame[..end], NOW).is_err(), "{end}");
    }
    for bit in 0..frame.len() * 8 {
        let mut bent = frame.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(gateway.open(&bent, NOW).is_err(), "bit {bit}");
    }
    assert!(gateway.open(&frame, NOW).is_ok(), "none of them used the counter up");
}

#[test]
fn nothing_is_sealed_or_opened_after_two_hours_or_a_gibibyte() {
    let (mut device, mut gateway) = (device(), gateway());
    let frame = device.seal(Kind::Data, b"late", NOW).unwrap();
    let end = Millis(SESSION_AGE_MAX_MS);
    assert!(!device.wants_renewal(Millis(SESSION_AGE_MAX_MS - RENEW_BEFORE_MS - 1)));
    assert!(device.wants_renewal(Millis(SESSION_AGE_MAX_MS - RENEW_BEFORE_MS)));
    assert_eq!(gateway.open(&frame, end).unwrap_err(), OpenError::Expired);
    assert_eq!(device.seal(Kind::Data, b"later", end), Err(SealError::Expired));
    device.bytes_sealed = SESSION_BYTES_MAX - RENEW_BEFORE_BYTES;
    assert!(device.wants_renewal(NOW));
    device.bytes_sealed = SESSION_BYTES_MAX;
    assert_eq!(device.seal(Kind::Data, b"more", NOW), Err(SealError::Expired));
}

#[test]
fn a_gateway_uses_no_counter_before_its_ceiling_is_stored() {
    let (mut device, mut fresh) = (device(), Session::new(SessionId(5), Role::Gateway, keys(), Millis(0)));
    let frame = device.seal(Kind::Data, b"x", NOW).unwrap();
    let OpenError::CeilingNotStored(wanted) = fresh.open(&frame, NOW).unwrap_err() else { panic!() };
    assert!(matches!(fresh.seal(Kind::Ready, b"", NOW), Err(SealError::CeilingNotStored(_))));
    fresh.grant(wanted);
    assert!(fresh.open(&frame, NOW).is_ok());
    assert!(fresh.seal(Kind::Ready, b"", NOW).is_ok());
}

#[test]
fn after_a_restart_old_frames_are_named_and_the_device_can_move_on() {
    let (mut device, mut before) = (device(), gateway());
    let old: Vec<_> = (0..3).map(|_| device.seal(Kind::Data, b"x", NOW).unwrap()).collect();
    before.open(&old[0], NOW).unwrap();
    let sent = before.seal(Kind::Ready, b"", NOW).unwrap();
    let stored = Snapshot::parse(&*before.snapshot(before.ceilings).to_bytes()).unwrap();
    let mut after = Session::restore(Role::Gateway, stored);
    for frame in &old {
        let OpenError::BelowFloor(floor) = after.open(frame, NOW).unwrap_err() else { panic!() };
        assert_eq!(floor, Counter(CEILING_STRIDE));
    }
    let mut forged = old[0].clone();
    forged[20] ^= 1;
    assert_eq!(after.open(&forged, NOW).unwrap_err(), OpenError::Forged, "an oracle for nobody");
    device.advance(after.floor());
    let wanted = after.next_ceilings();
    after.grant(wanted);
    let frame = device.seal(Kind::Data, b"y", NOW).unwrap();
    assert!(after.open(&frame, NOW).is_ok());
    let resumed = after.seal(Kind::Advance, b"", NOW).unwrap();
    assert_ne!(Header::parse(&resumed).unwrap().counter, Header::parse(&sent).unwrap().counter);
    assert!(device.open(&resumed, NOW).is_ok());
}

#[test]
fn a_counter_may_not_leap() {
    let (mut device, mut gateway) = (device(), gateway());
    device.advance(Counter(COUNTER_LEAP_MAX + 1));
    let frame = device.seal(Kind::Data, b"", NOW).unwrap();
    assert_eq!(gateway.open(&frame, NOW).unwrap_err(), OpenError::Leap);
    device.next = Counter(u64::MAX);
    assert_eq!(device.seal(Kind::Data, b"", NOW), Err(SealError::Expired));
}

#[test]
fn what_does_not_fit_or_is_not_sealed_is_refused() {
    let mut device = device();
    assert_eq!(
        device.seal(Kind::Data, &vec![0; PLAIN_BYTES_MAX + 1], NOW),
        Err(SealError::TooLong(PLAIN_BYTES_MAX + 1))
    );
    assert_eq!(device.seal(Kind::Hello, b"", NOW), Err(SealError::NotSealed(Kind::Hello)));
    let longest = device.seal(Kind::Data, &vec![0; PLAIN_BYTES_MAX], NOW).unwrap();
    assert_eq!(longest.len(), crate::FRAME_BYTES_MAX);
}

#[test]
fn a_stored_session_with_a_byte_missing_or_of_another_version_is_refused() {
    let bytes = gateway().snapshot(Ceilings::NONE).to_bytes();
    assert_eq!(Snapshot::parse(&bytes[1..]).unwrap_err(), SnapshotError::Length(SNAPSHOT_BYTES - 1));
    let mut other = *bytes;
    other[0] = 9;
    assert_eq!(Snapshot::parse(&other).unwrap_err(), SnapshotError::Version(9));
}

/// What may happen to a session's frames.
#[derive(Debug, Clone)]
enum Step {
    Send,
    Deliver(prop::sample::Index),
    Restart,
    Move,
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        8 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        1 => Just(Step::Restart),
        1 => Just(Step::Move),
        2 => Just(Step::Answer),
    ]
}

proptest! {
    /// Frames are delivered in any order, any number of times, across any number of gateway restarts: none is accepted
    /// twice, and the gateway never seals with a counter it used before.
    #[test]
    fn across_restarts_nothing_is_accepted_or_sealed_twice(steps in proptest::collection::vec(step(), 1..200)) {
        let (mut device, mut gateway) = (device(), gateway());
        // What the disk holds: always granted after it was stored.
        let mut disk = gateway.ceilings;
        let (mut sent, mut accepted, mut used) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Send => sent.push(device.seal(Kind::Data, b"x", NOW).unwrap()),
                Step::Move => device.advance(gateway.floor()),
                Step::Restart => {
                    let stored = gateway.snapshot(disk);
                    gateway = Session::restore(Role::Gateway, stored);
                }
                Step::Deliver(_) if sent.is_empty() => {}
                Step::Deliver(which) => {
                    let frame = which.get(&sent);
                    let mut opened = gateway.open(frame, NOW);
                    if let Err(OpenError::CeilingNotStored(wanted)) = opened {
                        disk = wanted;
                        gateway.grant(wanted);
                        opened = gateway.open(frame, NOW);
                    }
                    if let Ok((header, _)) = opened {
                        prop_assert!(accepted.insert(header.counter), "accepted twice: {:?}", header.counter);
                    }
                }
                Step::Answer => {
                    let mut sealed = gateway.seal(Kind::Receipt, b"", NOW);
                    if let Err(SealError::CeilingNotStored(wanted)) = sealed {
                        disk = wanted;
                        gateway.grant(wanted);
                        sealed = gateway.seal(Kind::Receipt, b"", NOW);
                    }
                    prop_assert!(used.insert(Header::parse(&sealed.unwrap()).unwrap().counter), "nonce used twice");
                }
            }
        }
    }
}
