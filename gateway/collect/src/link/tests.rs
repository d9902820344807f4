use super::*;

fn link() -> (Link, Outlet) {
    Link::open(Medium::Mqtt, "test", None)
}

#[tokio::test]
async fn what_is_sent_comes_out_in_order() {
    let (link, mut outlet) = link();
    link.send(Outbound::Frame(Bytes::from_static(b"a"))).unwrap();
    link.send(Outbound::Frame(Bytes::from_static(b"b"))).unwrap();
    assert_eq!(outlet.next().await, Some(Outbound::Frame(Bytes::from_static(b"a"))));
    assert_eq!(outlet.next().await, Some(Outbound::Frame(Bytes::from_static(b"b"))));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_when_the_items_fill_the_queue() {
    let (link, _outlet) = link();
    for _ in 0..QUEUE_ITEMS_MAX {
        link.send(Outbound::Frame(Bytes::new())).unwrap();
    }
    assert_eq!(link.send(Outbound::Frame(Bytes::new())), Err(LinkGone));
    assert_eq!(link.reason(), CloseReason::SlowConsumer);
    assert!(link.stop().is_cancelled());
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_when_the_bytes_fill_the_queue() {
    let (link, mut outlet) = link();
    let big = Bytes::from(vec![0; QUEUE_BYTES_MAX / 2]);
    link.send(Outbound::Frame(big.clone())).unwrap();
    link.send(Outbound::Frame(big.clone())).unwrap();
    outlet.next().await.unwrap();
    link.send(Outbound::Frame(big.clone())).unwrap();
    assert_eq!(link.send(Outbound::Frame(big)), Err(LinkGone));
    assert_eq!(link.reason(), CloseReason::SlowConsumer);
}

#[tokio::test]
async fn the_place_among_the_unauthenticated_is_given_back_on_proof() {
    let seat = Arc::new(());
    let (link, _outlet) = Link::open_as(next_id(), Medium::Mqtt, Arc::from("test"), None, Some(Box::new(seat.clone())));
    assert_eq!(Arc::strong_count(&seat), 2);
    link.authenticated();
    assert!(link.is_authenticated());
    assert_eq!(Arc::strong_count(&seat), 1);
}

#[tokio::test]
async fn a_link_whose_gate_is_gone_says_so() {
    let (link, outlet) = link();
    drop(outlet);
    assert_eq!(link.send(Outbound::Close(CloseReason::Revoked)), Err(LinkGone));
}
