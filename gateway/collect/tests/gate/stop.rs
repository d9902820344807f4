//! The end of the gate.

use std::time::Duration;

use pitchside_collect::mqtt::Limits;

use super::desk::{Front, PASSES, stored};
use super::raw::{Answer, Hello, Raw, publish5};

#[tokio::test]
async fn what_was_taken_is_still_acknowledged_before_the_goodbye() {
    let mut front = Front::new().await.by_hand();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    let link = front.opened().await;
    raw.send(&publish5("ps/1/s7/up", 1, 5, b"x")).await;
    let took = front.took(1).await;
    let stopping = front.gate.shutdown();
    let settling = async {
        link.send(stored([took[0].ticket])).unwrap();
        assert_eq!(raw.answer().await, Answer { first: 0x40, body: vec![0, 5] });
        assert_eq!(raw.answer().await.disconnected(), 0x8b);
        raw.ends().await;
        drop(raw);
    };
    tokio::join!(stopping, settling);
    assert_eq!(front.gate.stats().connections, 0);
}

#[tokio::test]
async fn nobody_is_let_in_any_more_and_those_on_the_doorstep_are_gone() {
    let front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let mut doorstep = Raw::to(address).await;
    doorstep.send(&Hello::v4("s7").bytes()[..5]).await;
    front.gate.shutdown().await;
    doorstep.ends().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_intake_that_hangs_does_not_hold_up_the_end() {
    let limits = Limits { shutdown_within: Duration::from_millis(200), ..Limits::default() };
    let mut front = Front::with(limits).await;
    let desk = front.desk.clone();
    let _hold = desk.gate.acquire_many(PASSES as u32).await.unwrap();
    let mut raw = Raw::connect(front.gate.local_addrs().tcp[0], &Hello::v5("s7")).await;
    front.opened().await;
    raw.send(&publish5("ps/1/s7/up", 1, 5, b"x")).await;
    raw.ping_unanswered().await;
    front.gate.shutdown().await;
    assert_eq!(front.gate.stats().connections, 0);
}
