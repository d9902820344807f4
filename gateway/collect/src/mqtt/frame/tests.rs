use proptest::prelude::*;

use super::super::packet::{self, Version};
use super::super::{fuzz, publish};
use super::*;

const MAX: usize = 1_000;

fn packet_bytes(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    if body.len() > 127 {
        bytes.push((body.len() & 0x7f) as u8 | 0x80);
        bytes.push((body.len() >> 7) as u8);
    } else {
        bytes.push(body.len() as u8);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// Feeds `stream` in pieces and gives back every packet cut off, and the error that ended it.
fn all(stream: &[u8], pieces: &[usize]) -> (Vec<(Head, Bytes)>, Option<CloseReason>) {
    let (mut buffer, mut found, mut rest) = (BytesMut::new(), Vec::new(), stream);
    for piece in pieces.iter().chain([&usize::MAX]) {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        buffer.extend_from_slice(now);
        rest = later;
        let (mut packets, error) = cut(&mut buffer, MAX);
        while let Some(packet) = next(&mut packets, MAX) {
            found.push(packet);
        }
        assert!(packets.is_empty());
        if error.is_some() {
            return (found, error);
        }
    }
    (found, None)
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let first = prop::sample::select(b"\x30\x32\x34\x3d\x40\x62\x82\xa2\xc0\xe0".to_vec());
    (first, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(first, body)| packet_bytes(first, &body))
}

proptest! {
    #[test]
    fn a_stream_split_anywhere_gives_the_same_packets(
        packets in prop::collection::vec(packet(), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..6),
        pieces in prop::collection::vec(0usize..60, 0..40),
    ) {
        let stream = [packets.concat(), tail].concat();
        let whole = all(&stream, &[]);
        prop_assert!(whole.0.len() >= packets.len());
        for ((head, cut), packet) in whole.0.iter().zip(&packets) {
            prop_assert_eq!(cut.as_ref(), packet.as_slice());
            prop_assert_eq!(head.total(), packet.len());
        }
        prop_assert_eq!(all(&stream, &pieces), whole);
    }

    #[test]
    fn garbage_never_panics_and_never_grows_the_buffer_beyond_one_packet(stream: Vec<u8>, pieces in prop::collection::vec(0usize..9, 0..40)) {
        for (head, packet) in all(&stream, &pieces).0 {
            let body = packet.slice(head.header..);
            for version in [Version::V4, Version::V5] {
                let _ = publish::read(version, head, body.clone());
                let _ = packet::acknowledgement(version, body.clone());
                let _ = packet::disconnect(version, body.clone(), false);
            }
        }
    }

    #[test]
    fn no_content_of_a_known_packet_panics(body in prop::collection::vec(any::<u8>(), 0..300), level in 3u8..7) {
        let header = |body: &[u8]| if body.len() > 127 { 3 } else { 2 };
        let bytes = |first| Bytes::from(packet_bytes(first, &body));
        for version in [Version::V4, Version::V5] {
            let _ = packet::subscribe(version, &bytes(0x82), header(&body));
            let _ = packet::unsubscribe(version, &bytes(0xa2), header(&body));
            let head = Head { kind: Kind::Publish, flags: 0b0010, header: header(&body), body: body.len() };
            let _ = publish::read(version, head, Bytes::from(body.clone()));
        }
        let _ = packet::connect(&bytes(0x10), header(&body));
        let named = [&b"\x00\x04MQTT"[..], &[level], &body].concat();
        let _ = packet::connect(&Bytes::from(packet_bytes(0x10, &named)), header(&named));
    }

    #[test]
    fn what_the_fuzzer_runs_reads_every_packet_that_is_whole(
        packets in prop::collection::vec(packet(), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let stream = [packets.concat(), tail].concat();
        prop_assert_eq!(fuzz::read_all(&stream), 0);
    }

    #[test]
    fn a_publish_reads_back_what_was_written(
        topic in "[a-z/]{1,40}",
        payload: Vec<u8>,
        qos in 0u8..2,
        retain: bool,
        id in 1u16..,
        version in prop_oneof![Just(Version::V4), Just(Version::V5)],
    ) {
        let mut bytes = BytesMut::new();
        super::super::answer::publish(&mut bytes, version, topic.as_bytes(), &payload, qos, retain, id);
        prop_assert_eq!(bytes.len(), super::super::answer::publish_len(version, topic.len(), payload.len(), qos));
        let (mut packets, error) = cut(&mut bytes, 100_000);
        prop_assert_eq!(error, None);
        let (head, packet) = next(&mut packets, 100_000).unwrap();
        let read = publish::read(version, head, packet.slice(head.header..)).unwrap();
        prop_assert_eq!(read.topic, topic.as_bytes());
        prop_assert_eq!(read.payload, payload);
        prop_assert_eq!((read.qos, read.retain, read.packet_id), (qos, retain, if qos > 0 { id } else { 0 }));
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_packet_is_there() {
    assert_eq!(head(&[0x30, 0xff, 0x7f], MAX), Err(CloseReason::TooLarge));
    assert_eq!(head(&[0x30, 0xff], MAX), Ok(None));
    assert_eq!(head(&[], MAX), Ok(None));
}

#[test]
fn the_packets_rumqttd_would_panic_on_never_reach_it() {
    for first in [0x20u8, 0x90, 0xb0, 0xd0, 0xf0] {
        assert!(matches!(head(&[first, 0], MAX), Err(CloseReason::Protocol(_))));
    }
}
