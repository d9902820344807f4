//! Everything is bounded.

use std::time::Duration;

use bytes::Bytes;
use pitchside_collect::Outbound;
use pitchside_collect::mqtt::Limits;

use super::desk::Front;
use super::raw::{Hello, Raw, publish, publish5, subscribe};

/// Little time to prove oneself, and enough for a machine that does ten other things.
fn hurried() -> Limits {
    Limits { authenticate_within: Duration::from_secs(2), ..Limits::default() }
}

#[tokio::test]
async fn who_proves_nothing_in_time_is_closed() {
    let front = Front::with(hurried()).await;
    let address = front.gate.local_addrs().tcp[0];
    let mut silent = Raw::to(address).await;
    let mut slow = Raw::to(address).await;
    slow.send(&Hello::v4("s7").bytes()[..7]).await;
    let mut raw = Raw::connect(address, &Hello::v5("s7")).await;
    raw.send(&publish5("ps/1/s7/up", 0, 0, b"not a handshake")).await;
    silent.ends().await;
    slow.ends().await;
    assert_eq!(raw.answer().await.disconnected(), 0x87);
}

#[tokio::test]
async fn who_proved_itself_stays() {
    let mut front = Front::with(hurried()).await;
    let address = front.gate.local_addrs().tcp[0];
    let mut proven = Raw::connect(address, &Hello::v5("s7")).await;
    proven.send(&publish5("ps/1/s7/hs", 1, 1, b"hello")).await;
    proven.answer().await;
    let mut unproven = Raw::connect(address, &Hello::v5("s8")).await;
    assert_eq!(unproven.answer().await.disconnected(), 0x87);
    proven.ping().await;
    assert_eq!(front.gate.stats().unauthenticated, 0);
    front.opened().await;
}

#[tokio::test]
async fn connections_over_the_limit_are_turned_away_and_the_others_stay() {
    let front = Front::with(Limits { connections_max: 2, ..Limits::default() }).await;
    let address = front.gate.local_addrs().tcp[0];
    let mut first = Raw::connect(address, &Hello::v4("s1")).await;
    let second = Raw::connect(address, &Hello::v4("s2")).await;
    Raw::to(address).await.ends().await;
    assert_eq!(front.gate.stats().turned_away, 1);
    first.ping().await;
    drop(second);
    // The place is free as soon as the gate noticed; until then a newcomer is turned away.
    loop {
        let mut third = Raw::to(address).await;
        third.stream.set_nodelay(true).unwrap();
        if tokio::io::AsyncWriteExt::write_all(&mut third.stream, &Hello::v4("s3").bytes()).await.is_ok()
            && third.maybe().await.is_some()
        {
            break;
        }
    }
}

#[tokio::test]
async fn the_unproven_are_few_and_leave_room_to_the_proven() {
    let front = Front::with(Limits { unauthenticated_max: 1, ..Limits::default() }).await;
    let address = front.gate.local_addrs().tcp[0];
    let hub = Hello::v4("hub1").login("hub1", "secret");
    let mut hub = Raw::connect(address, &hub).await;
    let mut device = Raw::connect(address, &Hello::v4("s1")).await;
    Raw::to(address).await.ends().await;
    device.send(&publish("ps/1/s1/hs", 1, 1, b"hello")).await;
    device.answer().await;
    Raw::connect(address, &Hello::v4("s2")).await;
    hub.ping().await;
}

#[tokio::test]
async fn ten_thousand_topics_of_one_hub_are_refused_beyond_the_limit_and_cost_nobody_else() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let mut other = Raw::connect(address, &Hello::v4("s1")).await;
    let mut hub = Raw::connect(address, &Hello::v5("hub1").login("hub1", "secret")).await;
    let (mut stored, mut refused) = (0, 0);
    for chunk in 0..100u16 {
        let ids = chunk * 100 + 1..=chunk * 100 + 100;
        let bytes: Vec<u8> = ids.flat_map(|id| publish5(&format!("in/hub1/t{id}"), 1, id, b"1")).collect();
        hub.send(&bytes).await;
        for _ in 0..100 {
            let answer = hub.answer().await;
            match (answer.first, answer.body.get(2)) {
                (0x40, None) => stored += 1,
                (0x40, Some(0x97)) => refused += 1,
                _ => panic!("{answer:?}"),
            }
        }
    }
    assert_eq!((stored, refused), (256, 9_744));
    assert_eq!(front.took(256).await.len(), 256);
    other.ping().await;

    let mut old = Raw::connect(address, &Hello::v4("hub2").login("hub2", "secret")).await;
    let bytes: Vec<u8> = (1..=257u16).flat_map(|id| publish(&format!("in/hub2/t{id}"), 1, id, b"1")).collect();
    old.send(&bytes).await;
    assert_eq!(front.took(256).await.len(), 256);
    while old.maybe().await.is_some() {}
}

#[tokio::test]
async fn a_device_that_does_not_read_is_closed_and_the_sender_is_told() {
    let mut front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let mut raw = Raw::connect(address, &Hello::v4("s7")).await;
    let link = front.opened().await;
    raw.send(&subscribe(1, "ps/1/s7/dn", 0)).await;
    raw.answer().await;
    let frame = Bytes::from(vec![0; 16 * 1024]);
    while link.send(Outbound::Frame(frame.clone())).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(front.closed().await, link.id);
    let mut other = Raw::connect(address, &Hello::v4("s8")).await;
    other.ping().await;
}

#[tokio::test]
async fn subscriptions_of_one_app_are_bounded() {
    let front = Front::with(Limits { subscriptions_max: 2, ..Limits::default() }).await;
    let mut app = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v4("app1").login("app1", "secret")).await;
    for (filter, code) in [("alerts/a", 1), ("alerts/b", 1), ("alerts/c", 0x80), ("alerts/a", 1)] {
        app.send(&subscribe(1, filter, 2)).await;
        assert_eq!(app.answer().await.body, [0, 1, code]);
    }
}
