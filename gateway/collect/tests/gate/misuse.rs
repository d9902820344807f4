//! Packets a client must not send.

use super::desk::Front;
use super::raw::{Answer, Hello, Raw, binary, packet, publish, publish5, subscribe, subscribe5, text};

/// What an MQTT 5 device hears for these bytes.
async fn heard(front: &Front, bytes: &[u8]) -> u8 {
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    raw.send(bytes).await;
    let reason = raw.answer().await.disconnected();
    raw.ends().await;
    reason
}

#[tokio::test]
async fn each_misuse_ends_an_mqtt_5_connection_with_its_reason() {
    let front = Front::new().await;
    let retained = [&[0x31][..], &publish5("ps/1/s7/up", 0, 0, b"x")[1..]].concat();
    let aliased = packet(0x30, &[text("ps/1/s7/up"), vec![3, 0x23, 0, 1]].concat());
    let unnamed = packet(0x30, &[text(""), vec![3, 0x23, 0, 1]].concat());
    let asked = |properties: &[u8], options: u8| {
        let length = properties.len() as u8;
        packet(0x82, &[&[0, 1, length][..], properties, &text("ps/1/s7/dn"), &[options]].concat())
    };
    let described = |properties: &[u8]| {
        packet(0x30, &[text("ps/1/s7/up"), vec![properties.len() as u8], properties.to_vec()].concat())
    };
    let latin1 = packet(0x30, &[binary(b"ps/1/\xe4/up"), vec![0]].concat());
    let cases = [
        ("a second CONNECT", Hello::v5("s7").bytes(), 0x82),
        ("a packet of the server", vec![0x20, 2, 0, 0], 0x82),
        ("extended authentication", vec![0xf0, 0], 0x82),
        ("packet type 0", vec![0x00, 0], 0x81),
        ("wrong flags", vec![0xc1, 0], 0x81),
        ("QoS 3", [&[0x36][..], &publish5("ps/1/s7/up", 1, 1, b"x")[1..]].concat(), 0x81),
        ("QoS 0 marked as a duplicate", [&[0x38][..], &publish5("ps/1/s7/up", 0, 0, b"x")[1..]].concat(), 0x81),
        ("packet identifier 0", publish5("ps/1/s7/up", 1, 0, b"x"), 0x81),
        ("a topic that is not UTF-8", latin1, 0x81),
        ("a wildcard in a topic", publish5("ps/1/+/up", 1, 1, b"x"), 0x90),
        ("an empty topic without an alias", publish5("", 1, 1, b"x"), 0x82),
        ("an empty topic with one", unnamed, 0x94),
        ("another device's topic, unacknowledged", publish5("ps/1/s8/up", 0, 0, b"x"), 0x87),
        ("a retained message", retained, 0x9a),
        ("a topic alias", aliased, 0x94),
        ("topic alias 0", described(&[0x23, 0, 0]), 0x94),
        ("two topic aliases", described(&[0x23, 0, 1, 0x23, 0, 1]), 0x82),
        ("a payload format that there is not", described(&[0x01, 2]), 0x82),
        ("two payload formats", described(&[0x01, 1, 0x01, 1]), 0x82),
        ("a wildcard in a response topic", described(&[0x08, 0, 1, b'#']), 0x82),
        ("a property of CONNECT in PUBLISH", described(&[0x21, 0, 1]), 0x81),
        ("a content type that is not UTF-8", described(&[0x03, 0, 1, 0xff]), 0x81),
        ("a PUBLISH with a subscription identifier", described(&[0x0b, 1]), 0x82),
        ("a subscription identifier", asked(&[0x0b, 1], 0), 0xa1),
        ("subscription identifier 0", asked(&[0x0b, 0], 0), 0x82),
        ("two subscription identifiers", asked(&[0x0b, 1, 0x0b, 2], 0), 0x82),
        ("a shared subscription", subscribe5(1, "$share/g/ps/1/s7/dn", 1), 0x9e),
        ("a subscription with QoS 3", asked(&[], 3), 0x82),
        ("retain handling 3", asked(&[], 0x30), 0x82),
        ("reserved bits of a subscription", asked(&[], 0x40), 0x81),
        ("an empty SUBSCRIBE", packet(0x82, &[0, 1, 0]), 0x82),
        ("an empty UNSUBSCRIBE", packet(0xa2, &[0, 1, 0]), 0x82),
        ("two reasons of a PUBACK", packet(0x40, &[0, 1, 0, 6, 0x1f, 0, 0, 0x1f, 0, 0]), 0x82),
        ("bytes behind the properties of a PUBACK", packet(0x40, &[0, 1, 0, 0, 9]), 0x81),
        ("bytes behind the properties of a PUBREL", packet(0x62, &[0, 1, 0, 0, 9]), 0x81),
        ("bytes behind the properties of a DISCONNECT", packet(0xe0, &[0, 0, 9]), 0x81),
        ("a length of properties with a byte too many", packet(0xe0, &[0, 0x80, 0]), 0x81),
        ("a subscription identifier with a byte too many", asked(&[0x0b, 0x81, 0], 0), 0x81),
        ("a session expiry where CONNECT had none", packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9]), 0x82),
        ("two session expiries", packet(0xe0, &[0, 10, 0x11, 0, 0, 0, 0, 0x11, 0, 0, 0, 0]), 0x82),
        ("a packet over the limit", vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        ("a length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("a length with a byte too many", vec![0xc0, 0x80, 0x00], 0x81),
        ("PUBREC for nothing", packet(0x50, &[0, 1]), 0x82),
        ("a PUBLISH that ends in its topic", packet(0x32, &[0, 9, b'p']), 0x81),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(heard(&front, &bytes).await, reason, "{name}");
    }
}

#[tokio::test]
async fn an_mqtt_3_connection_just_ends() {
    let mut front = Front::new().await;
    let ending = [
        publish("ps/1/s8/up", 1, 1, b"x"),
        publish("ps/1/#", 1, 1, b"x"),
        Hello::v4("s7").bytes(),
        packet(0xe0, &[0]),
        packet(0x40, &[0, 1, 0]),
        packet(0x82, &[0, 1]),
        subscribe(1, "ps/1/s7/dn", 3),
        subscribe(1, "ps/1/s7/dn", 4),
    ];
    for bytes in ending {
        let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
        raw.send(&bytes).await;
        raw.ends().await;
        front.closed().await;
    }
}

#[tokio::test]
async fn another_devices_topic_is_refused_in_the_acknowledgement_where_there_is_one() {
    let mut front = Front::new().await;
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    raw.send(&publish5("ps/1/s8/up", 1, 5, b"x")).await;
    let answer = raw.answer().await;
    assert_eq!((answer.first, &answer.body[..3]), (0x40, &[0, 5, 0x87][..]));
    raw.send(&publish5("alerts/x", 2, 6, b"x")).await;
    let answer = raw.answer().await;
    assert_eq!((answer.first, &answer.body[..3]), (0x50, &[0, 6, 0x87][..]));
    raw.send(&publish5("ps/1/s7/up", 1, 7, b"x")).await;
    assert_eq!(raw.answer().await, Answer { first: 0x40, body: vec![0, 7] });
    assert_eq!(front.took(1).await.len(), 1);
}

#[tokio::test]
async fn what_came_before_a_misuse_counts() {
    let mut front = Front::new().await;
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    raw.send(&[publish5("ps/1/s7/up", 1, 1, b"good"), vec![0xf0, 0]].concat()).await;
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"good");
}

#[tokio::test]
async fn a_device_subscribes_to_its_answers_and_to_nothing_else() {
    let front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let mut raw = Raw::connect(address, &Hello::v5("s7")).await;
    for (filter, code) in [
        ("ps/1/s7/dn", 0),
        ("ps/1/s8/dn", 0x87),
        ("ps/1/+/dn", 0x87),
        ("#", 0x87),
        ("$SYS/#", 0x87),
        ("a#", 0x8f),
        ("", 0x8f),
    ] {
        raw.send(&subscribe5(1, filter, 1)).await;
        assert_eq!(raw.answer().await, Answer { first: 0x90, body: vec![0, 1, 0, code] }, "{filter}");
    }
    let mut raw = Raw::connect(address, &Hello::v4("s7")).await;
    for filter in ["ps/1/s8/dn", "$share/g/ps/1/s7/dn"] {
        raw.send(&subscribe(1, filter, 1)).await;
        assert_eq!(raw.answer().await, Answer { first: 0x90, body: vec![0, 1, 0x80] }, "{filter}");
    }
    raw.send(&packet(0xa2, &[vec![0, 2], text("ps/1/s7/dn")].concat())).await;
    assert_eq!(raw.answer().await, Answer { first: 0xb0, body: vec![0, 2] });
}
