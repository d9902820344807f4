//! What the gateway publishes, and who gets it.

use bytes::Bytes;
use pitchside_collect::mqtt::{Limits, PublishError, Qos};

use super::desk::Front;
use super::raw::{Answer, Hello, Raw, packet, subscribe, subscribe5, text};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Topic and payload of a QoS 0 PUBLISH of MQTT 3.1.1.
fn message(answer: &Answer) -> (&str, &str) {
    assert!(matches!(answer.first, 0x30 | 0x31), "{answer:?}");
    let length = usize::from(answer.body[1]);
    let (topic, payload) = answer.body[2..].split_at(length);
    (std::str::from_utf8(topic).unwrap(), std::str::from_utf8(payload).unwrap())
}

async fn app(front: &Front, name: &str) -> Raw {
    Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4(name).login(name, "secret")).await
}

async fn subscribed(front: &Front, name: &str, filter: &str, qos: u8) -> Raw {
    let mut app = app(front, name).await;
    app.send(&subscribe(1, filter, qos)).await;
    assert_eq!(app.answer().await.body, [0, 1, qos]);
    app
}

#[tokio::test]
async fn an_app_gets_what_it_subscribed_to_and_nothing_else() {
    let front = Front::new().await;
    let mut one = subscribed(&front, "app1", "alerts/+/high", 0).await;
    let mut all = subscribed(&front, "app2", "alerts/#", 0).await;
    for topic in ["alerts/a7/low", "live/a7/heart_rate", "alerts/a7/high"] {
        front.gate.publish(topic, bytes(topic), false, Qos::AtMostOnce).unwrap();
    }
    assert_eq!(message(&one.answer().await), ("alerts/a7/high", "alerts/a7/high"));
    assert_eq!(message(&all.answer().await).0, "alerts/a7/low");
    assert_eq!(message(&all.answer().await).0, "alerts/a7/high");
}

#[tokio::test]
async fn retained_messages_reach_later_subscribers_and_each_new_subscription() {
    let front = Front::new().await;
    front.gate.publish("alerts/a7", bytes("old"), true, Qos::AtLeastOnce).unwrap();
    front.gate.publish("alerts/a7", bytes("raised"), true, Qos::AtLeastOnce).unwrap();
    front.gate.publish("alerts/a8", bytes("x"), true, Qos::AtLeastOnce).unwrap();
    front.gate.publish("alerts/a8", Bytes::new(), true, Qos::AtLeastOnce).unwrap();
    assert_eq!(front.gate.stats().retained_topics, 1);
    let mut app = subscribed(&front, "app1", "alerts/#", 0).await;
    for _ in 0..2 {
        let answer = app.answer().await;
        assert_eq!((answer.first, message(&answer)), (0x31, ("alerts/a7", "raised")));
        app.send(&subscribe(1, "alerts/#", 0)).await;
        assert_eq!(app.answer().await.first, 0x90);
    }
}

#[tokio::test]
async fn a_message_with_qos_1_comes_with_an_identifier_and_waits_for_the_clients_room() {
    let front = Front::new().await;
    let hello = Hello::v5("app1").login("app1", "secret").properties(&[0x21, 0, 1]);
    let mut app = Raw::connect(front.gate.local_addrs().tcp[0], &hello).await;
    app.send(&subscribe5(1, "alerts/#", 1)).await;
    assert_eq!(app.answer().await.body, [0, 1, 0, 1]);
    front.gate.publish("alerts/a", bytes("1"), false, Qos::AtLeastOnce).unwrap();
    front.gate.publish("alerts/a", bytes("2"), false, Qos::AtLeastOnce).unwrap();
    front.gate.publish("alerts/a", bytes("3"), false, Qos::AtMostOnce).unwrap();
    let first = app.answer().await;
    assert_eq!((first.first, first.body.last()), (0x32, Some(&b'1')));
    // The receive maximum of 1 is used up: only what needs no acknowledgement passes.
    assert_eq!(app.answer().await.body.last(), Some(&b'3'));
    app.send(&packet(0x40, &first.body[10..12])).await;
    let second = app.answer().await;
    assert_eq!((second.first, second.body.last()), (0x32, Some(&b'2')));
}

#[tokio::test]
async fn filters_that_are_not_granted_are_refused_and_unsubscribing_ends_delivery() {
    let front = Front::new().await;
    let mut app = app(&front, "app1").await;
    for filter in ["#", "+/x", "ps/1/s7/up", "in/#", "$SYS/#", "alerts#"] {
        app.send(&subscribe(1, filter, 0)).await;
        assert_eq!(app.answer().await.body, [0, 1, 0x80], "{filter}");
    }
    app.send(&subscribe(2, "alerts/#", 0)).await;
    app.answer().await;
    app.send(&subscribe(3, "live/#", 0)).await;
    app.answer().await;
    app.send(&packet(0xa2, &[vec![0, 4], text("alerts/#")].concat())).await;
    assert_eq!(app.answer().await.first, 0xb0);
    front.gate.publish("alerts/a", bytes("no"), false, Qos::AtMostOnce).unwrap();
    front.gate.publish("live/a", bytes("yes"), false, Qos::AtMostOnce).unwrap();
    assert_eq!(message(&app.answer().await), ("live/a", "yes"));
}

#[tokio::test]
async fn thousands_of_messages_reach_an_app_in_order() {
    let front = Front::new().await;
    let mut app = subscribed(&front, "app1", "live/#", 1).await;
    let count = 3_000u32;
    let sending = async {
        for number in 0..count {
            while front.gate.publish("live/a", bytes(&number.to_string()), false, Qos::AtLeastOnce).is_err() {
                tokio::task::yield_now().await;
            }
            if number % 100 == 99 {
                // Not faster than one slow test machine reads: beyond the queue the app would rightly be closed.
                tokio::task::yield_now().await;
            }
        }
    };
    let receiving = async {
        for number in 0..count {
            let answer = app.answer().await;
            assert_eq!(answer.first, 0x32);
            let id = [answer.body[8], answer.body[9]];
            assert_eq!(&answer.body[10..], number.to_string().as_bytes());
            app.send(&packet(0x40, &id)).await;
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn an_app_that_says_goodbye_on_a_busy_topic_harms_nobody() {
    let front = Front::new().await;
    let mut steady = subscribed(&front, "app0", "live/#", 0).await;
    for round in 0..30 {
        let mut leaver = subscribed(&front, "app1", "live/#", 0).await;
        for number in 0..20 {
            front.gate.publish("live/a", bytes(&format!("{round} {number}")), false, Qos::AtMostOnce).unwrap();
        }
        leaver.send(&[0xe0, 0]).await;
        for _ in 0..20 {
            steady.answer().await;
        }
    }
    assert_eq!(front.gate.stats().router_restarts, 0);
}

#[tokio::test]
async fn what_cannot_be_published_is_named() {
    let limits = Limits { roots_max: 1, retained_topics_max: 1, packet_bytes_max: 1_000, ..Limits::default() };
    let front = Front::with(limits).await;
    let publish =
        |topic: &str, payload: &str, retain| front.gate.publish(topic, bytes(payload), retain, Qos::AtMostOnce);
    for topic in ["", "a/+", "#", "$SYS/x", "ä/x"] {
        assert_eq!(publish(topic, "x", false), Err(PublishError::Topic), "{topic}");
    }
    assert_eq!(publish("alerts/1", &"x".repeat(1_000), false), Err(PublishError::TooLarge));
    assert_eq!(publish("alerts/1", "x", true), Ok(()));
    assert_eq!(publish("alerts/2", "x", true), Err(PublishError::Retained));
    assert_eq!(publish("live/1", "x", false), Err(PublishError::Roots));
}
