//! What is acknowledged, and when.

use bytes::Bytes;
use pitchside_collect::mqtt::Limits;
use pitchside_collect::{Channel, Outbound, RefusalCode, Settled};

use super::desk::{Event, Front, PASSES, stored};
use super::raw::{Answer, Hello, Raw, packet, publish, publish5, subscribe, subscribe5, text};

fn puback(id: u8) -> Answer {
    Answer { first: 0x40, body: vec![0, id] }
}

#[tokio::test]
async fn a_reading_is_acknowledged_after_it_is_settled_and_not_before() {
    let mut front = Front::new().await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let link = front.opened().await;
    raw.send(&publish("ps/1/s7/up", 1, 5, b"frame")).await;
    let took = front.took(1).await;
    assert_eq!((took[0].channel.clone(), took[0].bytes.as_ref()), (Channel::Up, b"frame".as_ref()));
    raw.ping().await;
    link.send(stored([took[0].ticket])).unwrap();
    assert_eq!(raw.answer().await, puback(5));
}

#[tokio::test]
async fn what_one_write_brings_is_taken_at_once_and_in_order() {
    let mut front = Front::new().await;
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let mut bytes = publish("ps/1/s7/hs", 0, 0, b"hello");
    for id in 1..=100 {
        bytes.extend(publish("ps/1/s7/up", 1, id, &[id as u8]));
    }
    raw.send(&bytes).await;
    let took = front.took(101).await;
    assert_eq!(took[0].channel, Channel::Handshake);
    for id in 1..=100u8 {
        assert_eq!(took[usize::from(id)].bytes.as_ref(), [id]);
        assert_eq!(raw.answer().await, puback(id));
    }
}

#[tokio::test]
async fn a_message_over_the_read_size_arrives_whole() {
    let mut front = Front::new().await;
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let payload: Vec<u8> = (0..60_000).map(|at| at as u8).collect();
    raw.send(&publish("ps/1/s7/up", 1, 1, &payload)).await;
    assert_eq!(front.took(1).await[0].bytes, Bytes::from(payload));
    assert_eq!(raw.answer().await, puback(1));
}

#[tokio::test]
async fn a_refusal_is_named_in_mqtt_5_and_plainly_acknowledged_in_3_1_1() {
    let mut front = Front::new().await.by_hand();
    let address = front.gate.local_addrs().tcp[0];
    let refused = |ticket| {
        let settled = Settled::Refused { code: RefusalCode::PayloadInvalid, text: "no".to_owned() };
        Outbound::Settled(vec![(ticket, settled)])
    };

    let mut raw = Raw::connect(address, &Hello::v5("s7")).await;
    let link = front.opened().await;
    raw.send(&publish5("ps/1/s7/up", 1, 5, b"x")).await;
    link.send(refused(front.took(1).await[0].ticket)).unwrap();
    assert_eq!(raw.answer().await.body, [0, 5, 0x99, 5, 0x1f, 0, 2, b'n', b'o']);

    let mut raw = Raw::connect(address, &Hello::v4("s8")).await;
    let link = front.opened().await;
    raw.send(&publish("ps/1/s8/up", 1, 5, b"x")).await;
    link.send(refused(front.took(1).await[0].ticket)).unwrap();
    assert_eq!(raw.answer().await, puback(5));
}

#[tokio::test]
async fn a_client_that_wants_no_problem_information_hears_codes_in_acknowledgements_and_texts_in_a_goodbye() {
    let mut front = Front::new().await.by_hand();
    let quiet = Hello::v5("s7").properties(&[0x17, 0]);
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &quiet).await;
    let link = front.opened().await;
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        raw.send(&publish5("ps/1/s7/up", qos, 5, b"x")).await;
        let ticket = front.took(1).await[0].ticket;
        let settled = Settled::Refused { code: RefusalCode::PayloadInvalid, text: "no".to_owned() };
        link.send(Outbound::Settled(vec![(ticket, settled)])).unwrap();
        assert_eq!(raw.answer().await, Answer { first, body: vec![0, 5, 0x99, 0] });
        // What the gate refuses by itself, too.
        raw.send(&publish5("ps/1/s8/up", qos, 6, b"x")).await;
        assert_eq!(raw.answer().await, Answer { first, body: vec![0, 6, 0x87, 0] });
    }
    raw.send(&[0xf0, 0]).await;
    let goodbye = raw.answer().await;
    assert_eq!((goodbye.disconnected(), goodbye.body[2]), (0x82, 0x1f), "DISCONNECT may have one (3.1.2.11.7)");
}

#[tokio::test]
async fn what_cannot_be_stored_now_is_not_acknowledged_and_the_client_is_asked_to_come_back() {
    let mut front = Front::new().await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    let link = front.opened().await;
    raw.send(&publish5("ps/1/s7/up", 1, 5, b"x")).await;
    let ticket = front.took(1).await[0].ticket;
    link.send(Outbound::Settled(vec![(ticket, Settled::Unavailable)])).unwrap();
    assert_eq!(raw.answer().await.disconnected(), 0x89);
    raw.ends().await;
    assert_eq!(front.closed().await, link.id);
}

#[tokio::test]
async fn qos_2_is_taken_once_however_often_it_is_sent() {
    let mut front = Front::new().await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let link = front.opened().await;
    let message = publish("ps/1/s7/up", 2, 9, b"once");
    raw.send(&message).await;
    let took = front.took(1).await;
    raw.send(&message).await;
    raw.ping().await;
    link.send(stored([took[0].ticket])).unwrap();
    assert_eq!(raw.answer().await, Answer { first: 0x50, body: vec![0, 9] });
    raw.send(&message).await;
    assert_eq!(raw.answer().await, Answer { first: 0x50, body: vec![0, 9] });
    raw.send(&packet(0x62, &[0, 9])).await;
    assert_eq!(raw.answer().await, Answer { first: 0x70, body: vec![0, 9] });
    raw.send(&message).await;
    assert_eq!(front.took(1).await[0].bytes.as_ref(), b"once");
}

#[tokio::test]
async fn an_mqtt_3_client_over_the_window_waits_and_loses_nothing() {
    let limits = Limits { in_flight_max: 4, ..Limits::default() };
    let mut front = Front::with(limits).await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let link = front.opened().await;
    let bytes: Vec<u8> = (1..=10).flat_map(|id| publish("ps/1/s7/up", 1, id, &[id as u8])).collect();
    raw.send(&bytes).await;
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let took = front.took(1).await;
        assert!(took.len() <= 4);
        seen.extend(took.iter().map(|inbound| inbound.bytes[0]));
        link.send(stored(took.iter().map(|inbound| inbound.ticket))).unwrap();
    }
    assert_eq!(seen, (1..=10).collect::<Vec<u8>>());
    for id in 1..=10 {
        assert_eq!(raw.answer().await, puback(id));
    }
}

#[tokio::test]
async fn an_mqtt_5_client_over_the_receive_maximum_is_closed() {
    let limits = Limits { in_flight_max: 4, ..Limits::default() };
    let mut front = Front::with(limits).await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    let bytes: Vec<u8> = (1..=5).flat_map(|id| publish5("ps/1/s7/up", 1, id, b"x")).collect();
    raw.send(&bytes).await;
    assert_eq!(front.took(4).await.len(), 4);
    assert_eq!(raw.answer().await.disconnected(), 0x93);
    raw.ends().await;
}

#[tokio::test]
async fn frames_for_a_device_wait_for_its_subscription_and_then_come_in_order() {
    let mut front = Front::new().await;
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    let link = front.opened().await;
    link.send(Outbound::Frame(Bytes::from_static(b"one"))).unwrap();
    raw.ping().await;
    raw.send(&subscribe(3, "ps/1/s7/dn", 1)).await;
    assert_eq!(raw.answer().await, Answer { first: 0x90, body: vec![0, 3, 0] });
    link.send(Outbound::Frame(Bytes::from_static(b"two"))).unwrap();
    for payload in [b"one", b"two"] {
        let answer = raw.answer().await;
        assert_eq!((answer.first, &answer.body[12..]), (0x30, payload.as_slice()));
        assert_eq!(&answer.body[..12], b"\x00\x0aps/1/s7/dn");
    }
}

#[tokio::test]
async fn what_a_client_has_no_room_for_is_left_out_or_ends_the_connection() {
    let mut front = Front::new().await;
    let small = Hello::v5("s7").properties(&[0x27, 0, 0, 0, 30]);
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &small).await;
    let link = front.opened().await;
    raw.send(&subscribe5(3, "ps/1/s7/dn", 0)).await;
    assert_eq!(raw.answer().await.body, [0, 3, 0, 0]);
    // A PUBLISH has 15 bytes beside its payload here.
    link.send(Outbound::Frame(Bytes::from(vec![1; 16]))).unwrap();
    link.send(Outbound::Frame(Bytes::from(vec![2; 15]))).unwrap();
    assert_eq!(raw.answer().await.body[13..], [2; 15]);
    // One filter takes a byte of SUBACK, and 25 fit.
    let filters = |count: usize| [&[0, 4, 0][..], &[text("x"), vec![0]].concat().repeat(count)].concat();
    raw.send(&packet(0x82, &filters(25))).await;
    assert_eq!(raw.answer().await.body.len(), 28);
    raw.send(&packet(0x82, &filters(26))).await;
    assert_eq!(raw.answer().await.disconnected(), 0x95);
    raw.ends().await;
}

#[tokio::test]
async fn what_was_handed_over_is_finished_even_if_the_peer_is_gone() {
    let mut front = Front::new().await;
    let desk = front.desk.clone();
    let hold = desk.gate.acquire_many(PASSES as u32).await.unwrap();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("s7")).await;
    raw.send(&publish("ps/1/s7/up", 1, 1, b"x")).await;
    drop(raw);
    drop(hold);
    let (mut took, mut closed) = (false, false);
    while !closed {
        match front.event().await {
            Event::Took(..) => took = true,
            Event::Closed(_) => closed = true,
            Event::Opened(_) => {}
        }
    }
    assert!(took);
}
