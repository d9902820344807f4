//! All the readers of packets over bytes of a stranger: what `tests/fuzz` runs, for none of them is to be seen from outside.

use bytes::{Bytes, BytesMut};

use super::frame::{self, Head, Kind};
use super::limits::Limits;
use super::packet::{self, Version};
use super::publish;

/// Cuts a stream into packets and reads each as both versions do; how many bytes were cut off and are no packet, which is always 0.
#[doc(hidden)]
pub fn read_all(stream: &[u8]) -> usize {
    let max = Limits::default().packet_bytes_max;
    let (mut packets, _) = frame::cut(&mut BytesMut::from(stream), max);
    while let Some((head, packet)) = frame::next(&mut packets, max) {
        for version in [Version::V4, Version::V5] {
            read(version, head, &packet);
        }
    }
    packets.len()
}

/// Only that nothing panics or hangs counts.
fn read(version: Version, head: Head, packet: &Bytes) {
    let body = packet.slice(head.header..);
    match head.kind {
        Kind::Connect => drop(packet::connect(packet, head.header)),
        Kind::Publish => drop(publish::read(version, head, body)),
        Kind::Subscribe => drop(packet::subscribe(version, packet, head.header)),
        Kind::Unsubscribe => drop(packet::unsubscribe(version, packet, head.header)),
        Kind::PubAck | Kind::PubRec | Kind::PubRel | Kind::PubComp => {
            let _ = packet::acknowledgement(version, body);
        }
        Kind::Disconnect => {
            for expiring in [false, true] {
                let _ = packet::disconnect(version, body.clone(), expiring);
            }
        }
        Kind::PingReq => {}
    }
}
