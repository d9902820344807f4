//! PUBLISH, read from its bytes: rumqttd keeps QoS and packet identifier to itself, and this is the hot path.
//!
//! ```text
//! flags           3 dup   2..1 QoS   0 retain
//! topic           u16 length, UTF-8
//! packet id       u16, only if QoS > 0
//! properties      MQTT 5 only: length, then (id, value)*
//! payload         the rest
//! ```

use bytes::Bytes;

use super::cursor::Cursor;
use super::frame::Head;
use super::packet::Version;
use super::properties::{self, Of};
use crate::link::CloseReason;

/// A PUBLISH. Topic and payload are slices of the read buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    /// 0, 1 or 2.
    pub qos: u8,
    pub retain: bool,
    pub topic: Bytes,
    /// 0 if QoS is 0.
    pub packet_id: u16,
    pub payload: Bytes,
}

/// Reads the body of a PUBLISH. Whether the topic is a good one is asked elsewhere.
pub(crate) fn read(version: Version, head: Head, body: Bytes) -> Result<Publish, CloseReason> {
    let (duplicate, qos, retain) = (head.flags & 0b1000 != 0, head.flags >> 1 & 0b11, head.flags & 1 != 0);
    if qos == 3 {
        return Err(CloseReason::Malformed("QoS 3 does not exist"));
    }
    if duplicate && qos == 0 {
        return Err(CloseReason::Malformed("QoS 0 marked as a duplicate"));
    }
    let mut cursor = Cursor::new(body);
    let topic = cursor.binary()?;
    let packet_id = if qos > 0 { cursor.packet_id()? } else { 0 };
    if version == Version::V5 {
        // None of them matters to a reading.
        properties::read(Of::Publish, &mut cursor)?;
    }
    Ok(Publish { qos, retain, topic, packet_id, payload: cursor.rest() })
}
