//! One thing at a time, over a link that loses nothing.

use std::vec;
use std::vec::Vec;

use pitchside_wire::frame::Refused;
use pitchside_wire::session::{RENEW_BEFORE_MS, SESSION_AGE_MAX_MS};
use pitchside_wire::{Class, Content, Epoch, Millis, Seq, Topic};

use super::super::*;
use super::gateway::{Counting, Gateway, credential};

const CLASSES: [Class; 3] = [Class::P0, Class::P1, Class::P2];

struct Pair {
    device: Device,
    gateway: Gateway,
    now: Millis,
    random: Counting,
    events: Vec<Event>,
}

impl Pair {
    fn new(class: Class) -> Self {
        let device = Device::new(Config::new("strap-07", credential(class)), Epoch(5), Seq(0)).unwrap();
        Self { device, gateway: Gateway::new(1), now: Millis(1_000), random: Counting(2), events: Vec::new() }
    }

    fn connected(class: Class) -> Self {
        let mut pair = Self::new(class);
        let out = pair.device.connect(pair.now, &mut pair.random).unwrap();
        pair.carry(out);
        assert!(pair.device.is_connected());
        pair
    }

    /// Carries frames to and fro until all is quiet.
    fn carry(&mut self, mut out: Vec<Outgoing>) {
        for _ in 0..50 {
            if out.is_empty() {
                return;
            }
            for sent in out {
                for frame in self.gateway.take(&sent.frame, self.now) {
                    self.events.extend(self.device.on_frame(&frame, self.now));
                }
            }
            out = self.device.poll(self.now, &mut self.random).unwrap();
        }
        panic!("never quiet");
    }

    fn poll(&mut self) {
        let out = self.device.poll(self.now, &mut self.random).unwrap();
        self.carry(out);
    }

    fn later(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
        self.poll();
    }

    fn push(&mut self, body: &[u8]) -> Seq {
        self.device.push(Content::Vendor, body.to_vec()).unwrap()
    }
}

#[test]
fn messages_of_every_class_arrive_and_are_receipted() {
    for class in CLASSES {
        let mut pair = Pair::connected(class);
        assert_eq!(pair.events, [Event::Connected { gateway_time_us: 1_000_000 }]);
        for n in 0..3 {
            assert_eq!(pair.push(&[n]), Seq(u64::from(n)));
        }
        pair.poll();
        assert_eq!(pair.device.unreceipted(), 0);
        assert_eq!(pair.gateway.disk.journal.len(), 3);
        assert_eq!(pair.gateway.disk.journal[&(5, 2)], Some(vec![2]));
    }
}

#[test]
fn a_refused_message_is_given_up_and_named() {
    let mut pair = Pair::connected(Class::P1);
    pair.push(&[0xBA]);
    pair.push(&[1]);
    pair.poll();
    assert_eq!(pair.device.unreceipted(), 0);
    assert!(
        pair.events
            .iter()
            .any(|event| matches!(event, Event::Refused { seq: Seq(0), text, .. } if text.contains("0xBA")))
    );
}

#[test]
fn frames_name_their_topics() {
    let mut pair = Pair::new(Class::P1);
    let hello = pair.device.connect(pair.now, &mut pair.random).unwrap();
    assert_eq!(hello[0].topic, Topic::Handshake);
    pair.carry(hello);
    pair.push(&[1]);
    assert_eq!(pair.device.poll(pair.now, &mut pair.random).unwrap()[0].topic, Topic::Up);
    assert_eq!(pair.device.close(pair.now).unwrap().topic, Topic::Up);
    assert!(!pair.device.is_connected() && pair.device.close(pair.now).is_none());
}

#[test]
fn what_was_not_receipted_is_sent_again_on_a_new_link_in_the_same_session() {
    let mut pair = Pair::connected(Class::P1);
    pair.push(&[1]);
    pair.device.poll(pair.now, &mut pair.random).unwrap();
    pair.device.disconnected();
    assert!(pair.device.poll(pair.now, &mut pair.random).unwrap().is_empty());
    assert_eq!(pair.device.next_poll_at(pair.now), None);
    let out = pair.device.connect(pair.now, &mut pair.random).unwrap();
    assert_eq!(out.len(), 1, "the confirm alone: nothing is sent before the gateway knows the link");
    pair.carry(out);
    assert_eq!((pair.device.unreceipted(), pair.gateway.handshakes), (0, 1));
}

#[test]
fn a_session_goes_on_after_the_gateway_restarts() {
    for class in CLASSES {
        let mut pair = Pair::connected(class);
        pair.push(&[1]);
        pair.poll();
        pair.gateway.restart();
        pair.push(&[2]);
        pair.poll();
        assert_eq!((pair.device.unreceipted(), pair.gateway.handshakes), (0, 1), "{class:?}");
    }
}

#[test]
fn a_gateway_that_forgot_the_session_gets_a_new_handshake() {
    for class in CLASSES {
        let mut pair = Pair::connected(class);
        pair.gateway.forget();
        pair.push(&[1]);
        pair.later(10_000);
        assert_eq!((pair.device.unreceipted(), pair.gateway.handshakes), (0, 2), "{class:?}");
    }
}

#[test]
fn a_session_is_renewed_before_two_hours_are_over() {
    let mut pair = Pair::connected(Class::P2);
    pair.later(SESSION_AGE_MAX_MS - RENEW_BEFORE_MS - 1);
    assert_eq!(pair.gateway.handshakes, 1);
    pair.later(1);
    assert_eq!(pair.gateway.handshakes, 2);
    assert!(pair.device.is_connected());
    let stamp = pair.gateway.disk.stamp.unwrap();
    assert!(stamp < pair.device.next_stamp().0);
}

#[test]
fn a_session_nobody_renewed_ends_after_two_hours() {
    let mut pair = Pair::connected(Class::P0);
    pair.device.disconnected();
    pair.now = pair.now.plus(SESSION_AGE_MAX_MS);
    pair.push(&[1]);
    let out = pair.device.connect(pair.now, &mut pair.random).unwrap();
    assert_eq!(out[0].topic, Topic::Handshake);
    pair.carry(out);
    assert_eq!((pair.device.unreceipted(), pair.gateway.handshakes), (0, 2));
}

#[test]
fn a_silent_gateway_is_asked_ever_more_seldom_but_never_given_up() {
    let mut pair = Pair::new(Class::P0);
    let mut hellos = pair.device.connect(pair.now, &mut pair.random).unwrap().len();
    let mut at = Vec::new();
    for _ in 0..3_600 {
        pair.now = pair.now.plus(1_000);
        let sent = pair.device.poll(pair.now, &mut pair.random).unwrap().len();
        hellos += sent;
        if sent > 0 {
            at.push(pair.now);
        }
    }
    assert!((50..120).contains(&hellos), "{hellos}");
    assert!(at.windows(2).all(|pair| pair[1].since(pair[0]) <= 66_000));
}

#[test]
fn the_next_poll_is_never_later_than_something_to_do() {
    let mut pair = Pair::new(Class::P1);
    let now = pair.now;
    assert_eq!(pair.device.next_poll_at(now), None);
    pair.device.connect(now, &mut pair.random).unwrap();
    assert_eq!(pair.device.next_poll_at(now), Some(now.plus(REPLY_WITHIN_MS)));
    let mut pair = Pair::connected(Class::P1);
    pair.push(&[1]);
    assert_eq!(pair.device.next_poll_at(now), Some(now));
    pair.device.poll(now, &mut pair.random).unwrap();
    assert_eq!(pair.device.next_poll_at(now), Some(now.plus(2_000)));
}

#[test]
fn a_forged_refusal_costs_a_handshake_now_and_then_and_no_message() {
    let mut pair = Pair::connected(Class::P1);
    let echo = pair.gateway.live.as_ref().unwrap().id().0.to_le_bytes();
    for _ in 0..600 {
        let forged = Refused { retry_after_s: 0, echo };
        pair.device.on_frame(&forged.encode(), pair.now);
        pair.push(&[1]);
        pair.later(100);
    }
    assert!(pair.gateway.handshakes <= 14, "{} in a minute", pair.gateway.handshakes);
    pair.later(10_000);
    assert_eq!(pair.device.unreceipted(), 0);
    let stray = Refused { retry_after_s: 60, echo: [9; 8] };
    pair.device.on_frame(&stray.encode(), pair.now);
    assert!(pair.device.is_connected(), "one that echoes nothing of ours means nothing");
}

#[test]
fn a_revoked_device_is_told_and_asks_only_once_a_minute() {
    let mut pair = Pair::connected(Class::P1);
    let goodbye = pair.gateway.revoke(pair.now).unwrap();
    assert_eq!(pair.device.on_frame(&goodbye, pair.now), [Event::Closed(Close::Revoked)]);
    let mut hellos = 0;
    for _ in 0..600 {
        pair.now = pair.now.plus(1_000);
        for sent in pair.device.poll(pair.now, &mut pair.random).unwrap() {
            hellos += 1;
            for frame in pair.gateway.take(&sent.frame, pair.now) {
                pair.device.on_frame(&frame, pair.now);
            }
        }
    }
    assert!((8..40).contains(&hellos), "{hellos}");
}

#[test]
fn a_full_outbox_says_so_and_drains_later() {
    let mut config = Config::new("strap-07", credential(Class::P0));
    config.outbox_messages_max = 2;
    config.burst_max = 1;
    let mut device = Device::new(config.clone(), Epoch(1), Seq(7)).unwrap();
    assert_eq!(device.push(Content::Vendor, vec![1]), Ok(Seq(7)));
    assert_eq!(device.push(Content::Vendor, vec![1]), Ok(Seq(8)));
    assert!(matches!(device.push(Content::Vendor, vec![1]), Err(PushError::Full { messages: 2, .. })));
    let mut pair = Pair { device, ..Pair::new(Class::P0) };
    let out = pair.device.connect(pair.now, &mut pair.random).unwrap();
    pair.carry(out);
    assert_eq!((pair.device.unreceipted(), pair.device.next_seq()), (0, Seq(9)));
    for bad in [
        Config { id: "a/b".into(), ..config.clone() },
        Config { outbox_messages_max: 1_025, ..config.clone() },
        Config { burst_max: 0, ..config },
    ] {
        assert!(Device::new(bad, Epoch(1), Seq(0)).is_err());
    }
}
