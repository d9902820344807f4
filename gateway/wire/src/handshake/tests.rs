use super::*;
use crate::frame::Kind;
use crate::ids::{Millis, Random, RandomFailed, SessionId, Stamp};
use crate::session::{Ceilings, Session};
use alloc::vec::Vec;
use proptest::prelude::*;

/// A counting source: different in every call, the same in every run.
struct Counting(u64);
impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

struct Pair {
    device: PrivateKey,
    gateway: PrivateKey,
    psk: Psk,
}

fn pair() -> Pair {
    Pair { device: PrivateKey::new([7; 32]), gateway: PrivateKey::new([9; 32]), psk: Psk::new([3; 32]) }
}

impl Pair {
    fn credential(&self, class: Class) -> Credential {
        let (psk, private) = (self.psk.clone(), self.device.clone());
        match class {
            Class::P0 => Credential::P0 { psk },
            Class::P1 => Credential::P1 { psk },
            Class::P2 => Credential::P2 { psk, private, gateway: self.gateway.public() },
        }
    }

    fn start(&self, class: Class, seed: u64) -> Initiator {
        Initiator::start("strap-07", &self.credential(class), Stamp(77), &mut Counting(seed)).unwrap()
    }

    fn answer(&self, hello: &[u8]) -> Result<Answer, AnswerError> {
        let device = self.device.public();
        let keys = GatewayKeys { psk: &self.psk, device: &device, private: &self.gateway };
        let hello = Hello::parse(hello).map_err(|_| AnswerError::Forged)?;
        hello.answer(keys, SessionId(0x1122_3344_5566_7788), Millis(0), &mut Counting(99))
    }
}

const CLASSES: [Class; 3] = [Class::P0, Class::P1, Class::P2];

fn talk(device: &mut Session, gateway: &mut Session) -> bool {
    gateway.grant(Ceilings::VOLATILE);
    let up = device.seal(Kind::Confirm, b"up", Millis(1)).unwrap();
    let down = gateway.seal(Kind::Ready, b"down", Millis(1)).unwrap();
    gateway.open(&up, Millis(1)).is_ok_and(|(_, plain)| plain == b"up")
        && device.open(&down, Millis(1)).is_ok_and(|(_, plain)| plain == b"down")
}

#[test]
fn both_sides_of_every_class_come_to_the_same_keys() {
    for class in CLASSES {
        let mut initiator = pair().start(class, 1);
        assert!(initiator.hello().len() <= HELLO_BYTES_MAX);
        let mut answer = pair().answer(initiator.hello()).unwrap();
        assert_eq!(answer.stamp, (class == Class::P2).then_some(Stamp(77)));
        let mut session = initiator.finish(&answer.reply, Millis(0)).unwrap();
        assert_eq!(session.id(), SessionId(0x1122_3344_5566_7788));
        assert!(talk(&mut session, &mut answer.session), "{class:?}");
        assert_eq!(initiator.finish(&answer.reply, Millis(0)).unwrap_err(), FinishError::Finished);
    }
}

#[test]
fn a_wrong_psk_is_refused_by_every_class() {
    for class in CLASSES {
        let device = Pair { psk: Psk::new([4; 32]), ..pair() };
        let mut initiator = device.start(class, 1);
        match pair().answer(initiator.hello()) {
            Err(error) => assert_eq!(error, AnswerError::Forged, "{class:?}"),
            // The key enters IKpsk2 with the second message, so it is the device that notices.
            Ok(answer) => {
                assert_eq!(class, Class::P2);
                assert_eq!(initiator.finish(&answer.reply, Millis(0)).unwrap_err(), FinishError::Forged);
            }
        }
    }
}

#[test]
fn a_wrong_static_key_is_refused_on_either_side() {
    let other = Pair { device: PrivateKey::new([8; 32]), ..pair() };
    assert_eq!(pair().answer(other.start(Class::P2, 1).hello()).unwrap_err(), AnswerError::WrongStatic);
    let other = Pair { gateway: PrivateKey::new([8; 32]), ..pair() };
    assert_eq!(pair().answer(other.start(Class::P2, 1).hello()).unwrap_err(), AnswerError::Forged);
}

#[test]
fn another_devices_name_on_a_hello_does_not_authenticate() {
    for class in CLASSES {
        let mut hello = pair().start(class, 1).hello().to_vec();
        hello[10] = b'8';
        assert!(pair().answer(&hello).is_err(), "{class:?}");
    }
}

#[test]
fn a_hello_or_reply_cut_anywhere_or_with_any_bit_flipped_is_refused() {
    for class in CLASSES {
        let initiator = pair().start(class, 1);
        let hello = initiator.hello().to_vec();
        for end in 0..hello.len() {
            assert!(Hello::parse(&hello[..end]).is_err(), "{class:?} {end}");
        }
        assert!(Hello::parse(&[&hello[..], &[0]].concat()).is_err());
        for bit in 0..hello.len() * 8 {
            let mut bent = hello.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(pair().answer(&bent).is_err(), "{class:?} bit {bit}");
        }
        let reply = pair().answer(&hello).unwrap().reply;
        let mut initiator = initiator;
        for end in 0..reply.len() {
            assert!(initiator.finish(&reply[..end], Millis(0)).is_err(), "{class:?} {end}");
        }
        for bit in 0..reply.len() * 8 {
            let mut bent = reply.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(initiator.finish(&bent, Millis(0)).is_err(), "{class:?} bit {bit}");
        }
        assert!(initiator.finish(&reply, Millis(0)).is_ok(), "{class:?}: forgeries do not end the attempt");
    }
}

#[test]
fn a_reply_to_another_hello_is_refused() {
    for class in CLASSES {
        let first = pair().start(class, 1);
        let mut second = pair().start(class, 2);
        let reply = pair().answer(first.hello()).unwrap().reply;
        assert_eq!(second.finish(&reply, Millis(0)).unwrap_err(), FinishError::Forged);
    }
}

#[test]
fn a_handshake_without_randomness_does_not_begin() {
    let mut none = |_: &mut [u8]| Err(RandomFailed);
    let started = Initiator::start("a", &pair().credential(Class::P1), Stamp(1), &mut none);
    assert_eq!(started.unwrap_err(), StartError::Random(RandomFailed));
}

proptest! {
    #[test]
    fn any_bytes_are_a_hello_or_refused(kind in prop_oneof![Just(0x11u8), any::<u8>()], class in 0u8..4, rest in proptest::collection::vec(any::<u8>(), 0..170)) {
        let mut frame = Vec::from([kind, class]);
        frame.extend(rest);
        if let Ok(hello) = Hello::parse(&frame) {
            prop_assert!(is_device_id(hello.device));
            prop_assert!(pair().answer(&frame).is_err());
        }
        prop_assert!(pair().start(Class::P0, 1).finish(&frame, Millis(0)).is_err());
    }

    #[test]
    fn names_are_the_same_here_as_in_the_model(text in "[a-z0-9._$+/# -]{0,50}") {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let all = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        prop_assert_eq!(is_device_id(&text), first && all && text.len() <= 48);
    }
}
