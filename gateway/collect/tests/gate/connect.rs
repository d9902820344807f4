//! Who is let in, and what the others hear.

use pitchside_collect::CloseReason;
use pitchside_collect::mqtt::{Gate, GateConfig, GateError};

use super::desk::{Event, Front, PATIENCE};
use super::raw::{Answer, Hello, Raw, packet, publish, publish5};

async fn refused(front: &Front, hello: &Hello<'_>) -> Answer {
    let mut raw = Raw::to(front.gate.local_addrs().tcp[0]).await;
    raw.send(&hello.bytes()).await;
    let answer = raw.answer().await;
    assert_eq!(answer.first, 0x20);
    raw.ends().await;
    answer
}

#[tokio::test]
async fn the_welcome_names_the_limits() {
    let front = Front::new().await;
    let mut raw = Raw::to(front.gate.local_addrs().tcp[0]).await;
    raw.send(&Hello::v5("s7").bytes()).await;
    let welcome = raw.answer().await;
    assert_eq!(welcome.body[..2], [0, 0]);
    // Receive maximum 1,024, no retained messages, packets of 64 KiB, no identifiers, nothing shared.
    let properties = [0x21, 4, 0, 0x25, 0, 0x27, 0, 1, 0, 0, 0x29, 0, 0x2a, 0];
    assert_eq!(welcome.body[3..], properties);
}

/// The properties of the CONNACK that lets a client in.
async fn agreed(front: &Front, hello: &Hello<'_>) -> Vec<u8> {
    let mut raw = Raw::to(front.gate.local_addrs().tcp[0]).await;
    raw.send(&hello.bytes()).await;
    let welcome = raw.answer().await;
    assert_eq!((welcome.first, &welcome.body[..2]), (0x20, &[0, 0][..]), "{welcome:?}");
    welcome.body[3..].to_vec()
}

#[tokio::test]
async fn the_welcome_leaves_out_what_goes_without_saying() {
    let front = Front::new().await;
    let app = || Hello::v5("app1").login("app1", "secret");
    // What is retained reaches it.
    assert_eq!(agreed(&front, &app()).await, [0x21, 4, 0, 0x27, 0, 1, 0, 0, 0x29, 0, 0x2a, 0]);
    // It asks for a session of a minute, and gets none; one of no time at all is what it has anyway.
    let none = [0x11, 0, 0, 0, 0];
    assert_eq!(agreed(&front, &app().properties(&[0x11, 0, 0, 0, 60])).await[..5], none);
    assert_eq!(agreed(&front, &app().properties(&none)).await[0], 0x21);
}

#[tokio::test]
async fn client_ids_that_are_no_names_are_refused() {
    let front = Front::new().await;
    for id in ["", "a/b", "a+b", "#", "$SYS", "a b", "ä", &"x".repeat(49)] {
        assert_eq!(refused(&front, &Hello::v4(id)).await.body, [0, 2], "{id:?}");
        assert_eq!(refused(&front, &Hello::v5(id)).await.body[..2], [0, 0x85], "{id:?}");
    }
    assert_eq!(front.gate.stats().denied, 16);
}

#[tokio::test]
async fn a_client_without_a_password_and_without_a_devices_name_hears_what_it_lacks() {
    let front = Front::new().await;
    let text = |answer: &Answer| {
        // Reason code, then the properties' length, then a reason string (3.2.2.3.9).
        assert_eq!((answer.body[1], answer.body[3]), (0x85, 0x1f));
        assert_eq!(usize::from(answer.body[2]), answer.body.len() - 3);
        String::from_utf8(answer.body[6..].to_vec()).unwrap()
    };
    let answer = refused(&front, &Hello::v5("mqttx/0bca")).await;
    let expected = "no user name, and the client id is no PS/1 device's: hubs and apps sign in with a password";
    assert_eq!(text(&answer), expected);
    let answer = refused(&front, &Hello::v5("mqttx/0bca").login("app1", "secret")).await;
    assert_eq!(text(&answer), "the client id may have 1 to 48 letters, digits, '-', '_' and '.'");
}

#[tokio::test]
async fn a_client_with_a_password_may_leave_its_id_to_the_gate() {
    let front = Front::new().await;
    let mut raw = Raw::to(front.gate.local_addrs().tcp[0]).await;
    raw.send(&Hello::v5("").login("app1", "secret").bytes()).await;
    let welcome = raw.answer().await;
    assert_eq!(welcome.body[..2], [0, 0]);
    assert!(welcome.body.windows(5).any(|part| part == b"gate-"));
}

#[tokio::test]
async fn a_wrong_password_is_refused_like_an_unknown_user() {
    let front = Front::new().await;
    for (user, password) in [("app1", "wrong"), ("nobody", "secret")] {
        assert_eq!(refused(&front, &Hello::v4("x").login(user, password)).await.body, [0, 4]);
        assert_eq!(refused(&front, &Hello::v5("x").login(user, password)).await.body[..2], [0, 0x86]);
    }
}

#[tokio::test]
async fn other_protocol_levels_and_extended_authentication_are_refused() {
    let front = Front::new().await;
    assert_eq!(refused(&front, &Hello { level: 3, ..Hello::v4("x") }).await.body, [0, 1]);
    assert_eq!(refused(&front, &Hello { level: 6, ..Hello::v5("x") }).await.body[..2], [0, 0x84]);
    let method = [0x15, 0, 1, b'm'];
    assert_eq!(refused(&front, &Hello::v5("x").properties(&method)).await.body[..2], [0, 0x8c]);
}

#[tokio::test]
async fn properties_that_are_there_twice_or_have_a_forbidden_value_are_a_protocol_error() {
    let front = Front::new().await;
    let once: [&[u8]; 8] = [
        &[0x11, 0, 0, 0, 0],
        &[0x15, 0, 1, b'm'],
        &[0x16, 0, 0],
        &[0x17, 1],
        &[0x19, 0],
        &[0x21, 0, 1],
        &[0x22, 0, 1],
        &[0x27, 0, 1, 0, 0],
    ];
    for property in once {
        let hello = Hello::v5("x").properties(&property.repeat(2));
        assert_eq!(refused(&front, &hello).await.body, [0, 0x82, 0], "{property:02x?} twice");
    }
    let forbidden: [&[u8]; 5] = [&[0x21, 0, 0], &[0x27, 0, 0, 0, 0], &[0x17, 2], &[0x19, 2], &[0x16, 0, 0]];
    for property in forbidden {
        let answer = refused(&front, &Hello::v5("x").properties(property)).await;
        assert_eq!(answer.body, [0, 0x82, 0], "{property:02x?}");
    }
    assert_eq!(refused(&front, &Hello::v5("x").properties(&[0x23, 0, 1])).await.body, [0, 0x81, 0], "of PUBLISH");
    let user = [0x26, 0, 1, b'k', 0, 1, b'v'].repeat(2);
    Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7").properties(&user)).await;
}

#[tokio::test]
async fn properties_of_a_will_are_held_to_the_same() {
    let front = Front::new().await;
    let hub = || Hello::v5("hub1").login("hub1", "secret").will("in/hub1/x", "gone", false);
    for properties in [&[0x01, 2][..], &[0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1], &[0x08, 0, 1, b'+']] {
        let hello = Hello { will_properties: properties.to_vec(), ..hub() };
        assert_eq!(refused(&front, &hello).await.body, [0, 0x82, 0], "{properties:02x?}");
    }
    let hello = Hello { will_properties: vec![0x01, 1, 0x18, 0, 0, 0, 1], ..hub() };
    Raw::connect(front.gate.local_addrs().tcp[0], &hello).await;
}

#[tokio::test]
async fn a_client_is_sent_nothing_that_is_larger_than_it_takes() {
    let front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let takes = |id: &'static str, bytes: u8| Hello::v5(id).properties(&[0x27, 0, 0, 0, bytes]);
    // The welcome has 19 bytes, and cannot be shorter.
    let mut small = Raw::connect(address, &takes("s7", 19)).await;
    small.ping().await;
    assert_eq!(refused(&front, &takes("s7", 18)).await.body, [0, 0x83, 0]);
    // A refusal has a text, if it may; then none; then there is no room to refuse.
    assert!(refused(&front, &takes("a/b", 200)).await.body.len() > 3);
    assert_eq!(refused(&front, &takes("a/b", 127)).await.body, [0, 0x85, 0]);
    assert_eq!(refused(&front, &takes("a/b", 5)).await.body, [0, 0x85, 0]);
    for id in ["s7", "a/b"] {
        let mut none = Raw::to(address).await;
        none.send(&takes(id, 4).bytes()).await;
        none.ends().await;
    }
}

#[tokio::test]
async fn a_goodbye_that_is_none_leaves_the_will() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let hub = || Hello::v5("hub1").login("hub1", "secret").will("in/hub1/state", "gone", false);
    let expires = packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9]);
    let mut wrong = Raw::connect(address, &hub()).await;
    wrong.send(&expires).await;
    assert_eq!(wrong.answer().await.disconnected(), 0x82);
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"gone");
    wrong.ends().await;
    front.closed().await;
    // Who asked for a session that expires may say anew when.
    let mut right = Raw::connect(address, &hub().properties(&[0x11, 0, 0, 0, 5])).await;
    let link = loop {
        match front.event().await {
            Event::Opened(link) => break link,
            Event::Took(_) | Event::Closed(_) => {}
        }
    };
    right.send(&expires).await;
    right.ends().await;
    match front.event().await {
        Event::Closed(closed) => assert_eq!(closed, link.id),
        Event::Took(_) | Event::Opened(_) => panic!("its will is published"),
    }
}

#[tokio::test]
async fn what_is_not_a_connect_gets_no_answer() {
    let front = Front::new().await;
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let oversized = packet(0x10, &vec![0; 9_000]);
    let lying = [&[0x10, 20][..], b"\x00\x04MQTT\x04\x02\x00\x00\xff\xff", &[0; 20]].concat();
    let first = publish("ps/1/s7/up", 1, 1, b"x");
    for bytes in [http, oversized, lying, first, vec![0xff; 100], vec![0x00, 0x00]] {
        let mut raw = Raw::to(front.gate.local_addrs().tcp[0]).await;
        raw.send(&bytes).await;
        raw.ends().await;
    }
}

#[tokio::test]
async fn a_device_leaves_no_will_and_a_hub_only_one_of_its_own() {
    let front = Front::new().await;
    let will = Hello::v5("s7").will("ps/1/s7/up", "x", false);
    assert_eq!(refused(&front, &will).await.body[..2], [0, 0x87]);
    for (topic, retain, code) in [("in/hub2/x", false, 0x87), ("in/hub1/x", true, 0x9a), ("in/hub1/+", false, 0x90)] {
        let hello = Hello::v5("hub1").login("hub1", "secret").will(topic, "gone", retain);
        assert_eq!(refused(&front, &hello).await.body[..2], [0, code], "{topic}");
    }
    let app = Hello::v4("app1").login("app1", "secret").will("alerts/x", "x", false);
    assert_eq!(refused(&front, &app).await.body, [0, 5]);
}

#[tokio::test]
async fn a_hub_that_vanishes_leaves_its_will_and_one_that_says_goodbye_does_not() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let hello = Hello::v4("hub1").login("hub1", "secret").will("in/hub1/state", "gone", false);
    let mut polite = Raw::connect(address, &hello).await;
    let link = front.opened().await;
    polite.send(&[0xe0, 0]).await;
    polite.ends().await;
    assert_eq!(front.closed().await, link.id);

    let rude = Raw::connect(address, &hello).await;
    drop(rude);
    let took = front.took(1).await;
    assert_eq!(took[0].bytes.as_ref(), b"gone");
    assert_eq!(took[0].channel, pitchside_collect::Channel::Topic("state".into()));
    front.closed().await;

    // MQTT 5, reason 0x04: goodbye, but publish the will.
    let hello = Hello::v5("hub1").login("hub1", "secret").will("in/hub1/state", "gone", false);
    let mut wordy = Raw::connect(address, &hello).await;
    wordy.send(&[0xe0, 1, 4]).await;
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"gone");
}

#[tokio::test]
async fn a_goodbye_over_an_error_leaves_the_will_and_is_no_end_in_good_order() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let hello = Hello::v5("hub1").login("hub1", "secret").will("in/hub1/state", "gone", false);
    let goodbyes: [(&[u8], CloseReason); 3] = [
        (&[0xe0, 1, 0x80], CloseReason::Gone),
        (&[0xe0, 2, 0x97, 0], CloseReason::Gone),
        (&[0xe0, 1, 4], CloseReason::Finished),
    ];
    for (goodbye, reason) in goodbyes {
        let mut hub = Raw::connect(address, &hello).await;
        let link = front.opened().await;
        hub.send(goodbye).await;
        hub.ends().await;
        assert_eq!(front.took(1).await[0].bytes.as_ref(), b"gone", "{goodbye:02x?}");
        assert_eq!((front.closed().await, link.reason()), (link.id, reason), "{goodbye:02x?}");
    }
    // A reason that is said, and is a plain goodbye.
    let mut polite = Raw::connect(address, &hello).await;
    let link = front.opened().await;
    polite.send(&[0xe0, 1, 0]).await;
    polite.ends().await;
    match front.event().await {
        Event::Closed(closed) => assert_eq!((closed, link.reason()), (link.id, CloseReason::Finished)),
        Event::Took(_) | Event::Opened(_) => panic!("its will is published"),
    }
}

#[tokio::test]
async fn what_a_hub_of_mqtt_3_asks_to_retain_is_taken_as_any_other_message() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let hello = Hello::v4("hub1").login("hub1", "secret").will("in/hub1/state", "gone", true);
    let mut hub = Raw::connect(address, &hello).await;
    let retained = |topic: &str| [&[0x33][..], &publish(topic, 1, 1, b"x")[1..]].concat();
    hub.send(&retained("in/hub1/config")).await;
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"x");
    hub.answer().await;
    assert_eq!(front.gate.stats().retained_topics, 0);
    drop(hub);
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"gone");
    let mut device = Raw::connect(address, &Hello::v4("s7")).await;
    device.send(&retained("ps/1/s7/up")).await;
    device.ends().await;
}

#[tokio::test]
async fn a_second_connection_of_a_hub_takes_over_and_one_of_a_device_waits_for_its_proof() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let hub = Hello::v5("hub1").login("hub1", "secret");
    let mut first = Raw::connect(address, &hub).await;
    let _second = Raw::connect(address, &hub).await;
    assert_eq!(first.answer().await.disconnected(), 0x8e);
    let mut other = Raw::connect(address, &Hello::v5("hub1").login("hub2", "secret")).await;
    other.ping().await;

    front.opened().await;
    let mut first = Raw::connect(address, &Hello::v5("s7")).await;
    let mut second = Raw::connect(address, &Hello::v5("s7")).await;
    first.ping().await;
    second.ping().await;
    second.send(&publish5("ps/1/s7/up", 1, 1, b"x")).await;
    second.answer().await;
    first.ping().await;
}

#[tokio::test]
async fn plaintext_is_served_on_loopback_only() {
    let outside = "192.0.2.1:1883".parse().unwrap();
    let front = Front::new().await;
    for config in [
        GateConfig { tcp: vec![outside], ..GateConfig::default() },
        GateConfig { ws: vec!["0.0.0.0:0".parse().unwrap()], ..GateConfig::default() },
    ] {
        let error = Gate::start(config, front.desk.clone()).await.unwrap_err();
        assert!(matches!(error, GateError::PlaintextNotLoopback(_)));
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let front = Front::new().await;
    let taken = front.gate.local_addrs().tcp[0];
    let config = GateConfig { tcp: vec![taken], ..GateConfig::default() };
    let error = Gate::start(config, front.desk.clone()).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()), "{error}");
}

#[tokio::test]
async fn a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive() {
    let front = Front::new().await;
    let begun = std::time::Instant::now();
    let hub = Hello::v5("hub1").login("hub1", "secret").keep_alive(1);
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &hub).await;
    assert_eq!(raw.answer().await.disconnected(), 0x8d);
    assert!(begun.elapsed().as_millis() >= 1_500 && begun.elapsed() < PATIENCE);
}
