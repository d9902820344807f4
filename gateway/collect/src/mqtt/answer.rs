//! What the gate writes. Control packets by rumqttd's protocol module, the hot ones (PUBACK, PUBLISH) byte by byte.

use bytes::{BufMut, Bytes, BytesMut};
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{
    ConnAck, ConnAckProperties, ConnectReturnCode, Packet, Protocol, SubAck, SubscribeReasonCode, UnsubAck,
    UnsubAckReason,
};

use super::limits::Limits;
use super::packet::Version;
use crate::intake::{RefusalCode, Refused};
use crate::link::CloseReason;

/// A client that takes packets of this size is told reasons in words.
pub(crate) const SPOKEN_BYTES: usize = 128;
/// The shortest CONNACK of MQTT 5.
pub(crate) const CONNACK_BYTES_MIN: usize = 5;

/// First byte of the acknowledgements.
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBCOMP: u8 = 0x70;

fn write(version: Version, packet: Packet) -> Bytes {
    let mut buffer = BytesMut::with_capacity(64);
    let written = match version {
        Version::V4 => V4.write(packet, &mut buffer),
        Version::V5 => V5.write(packet, &mut buffer),
    };
    if let Err(error) = written {
        // Only a packet over 256 MiB can fail, and none of ours comes near.
        tracing::error!(%error, "a packet could not be written");
        buffer.clear();
    }
    buffer.freeze()
}

/// What an accepted client is told.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub limits: &'a Limits,
    /// The id the gate made up for it.
    pub assigned: Option<&'a str>,
    /// Retained messages reach it.
    pub retained: bool,
    /// It asked for a session that outlives the connection.
    pub wants_session: bool,
}

/// CONNACK for a client that is let in. No session is ever present: none outlives its connection. What a client takes for granted
/// is left out (MQTT 5, 3.2.2.3): one that takes only small packets is let in by the shortest.
pub(crate) fn welcome(version: Version, welcome: &Welcome<'_>) -> Bytes {
    let properties = ConnAckProperties {
        session_expiry_interval: welcome.wants_session.then_some(0),
        receive_max: Some(welcome.limits.in_flight_max),
        retain_available: (!welcome.retained).then_some(0),
        max_packet_size: Some(u32::try_from(welcome.limits.packet_bytes_max).unwrap_or(u32::MAX)),
        assigned_client_identifier: welcome.assigned.map(str::to_owned),
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(0),
        ..ConnAckProperties::default()
    };
    let ack = ConnAck { session_present: false, code: ConnectReturnCode::Success };
    write(version, Packet::ConnAck(ack, (version == Version::V5).then_some(properties)))
}

/// Why a client is not let in, as CONNACK says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Version,
    /// The client id is no name.
    ClientId,
    /// The same, and there is no user name: a PS/1 device has a name, everybody else a password.
    NoLogin,
    ExtendedAuthentication,
    /// It takes no packet that says what is agreed.
    TakesTooLittle,
    Refused(Refused),
    Closed(CloseReason),
}

/// CONNACK for a client that is not let in; `None` where MQTT 3.1.1 has no code, or the client takes nothing as long, and the
/// connection just closes. `packet_bytes_max`: the largest packet it takes.
pub(crate) fn denied(version: Version, denied: Denied, packet_bytes_max: usize) -> Option<Bytes> {
    use ConnectReturnCode as Code;
    let (old, new) = match denied {
        Denied::Version => (Some(Code::RefusedProtocolVersion), Code::UnsupportedProtocolVersion),
        Denied::ClientId | Denied::NoLogin => (Some(Code::ClientIdentifierNotValid), Code::ClientIdentifierNotValid),
        Denied::ExtendedAuthentication => (None, Code::BadAuthenticationMethod),
        Denied::TakesTooLittle => (None, Code::ImplementationSpecificError),
        Denied::Refused(Refused::BadCredentials) => (Some(Code::BadUserNamePassword), Code::BadUserNamePassword),
        Denied::Refused(Refused::NotAuthorized) => (Some(Code::NotAuthorized), Code::NotAuthorized),
        Denied::Refused(Refused::Busy) => (Some(Code::ServiceUnavailable), Code::ServerBusy),
        Denied::Closed(CloseReason::NotAuthorized(_)) => (Some(Code::NotAuthorized), Code::NotAuthorized),
        Denied::Closed(CloseReason::Retain) => (Some(Code::NotAuthorized), Code::RetainNotSupported),
        Denied::Closed(CloseReason::TopicInvalid(_)) => (None, Code::TopicNameInvalid),
        Denied::Closed(CloseReason::Protocol(_)) => (None, Code::ProtocolError),
        Denied::Closed(CloseReason::TooLarge) => (None, Code::PacketTooLarge),
        Denied::Closed(CloseReason::ShuttingDown) => (Some(Code::ServiceUnavailable), Code::ServerUnavailable),
        Denied::Closed(_) => (None, Code::MalformedPacket),
    };
    let code = if version == Version::V5 { new } else { old? };
    let spoken = (version == Version::V5 && packet_bytes_max >= SPOKEN_BYTES).then(|| reason(denied)).flatten();
    let properties =
        spoken.map(|text| ConnAckProperties { reason_string: Some(text.to_owned()), ..ConnAckProperties::default() });
    let packet = write(version, Packet::ConnAck(ConnAck { session_present: false, code }, properties));
    (packet.len() <= packet_bytes_max).then_some(packet)
}

/// What the code alone would not tell, in at most 100 bytes.
const fn reason(denied: Denied) -> Option<&'static str> {
    match denied {
        Denied::ClientId => Some("the client id may have 1 to 48 letters, digits, '-', '_' and '.'"),
        Denied::NoLogin => {
            Some("no user name, and the client id is no PS/1 device's: hubs and apps sign in with a password")
        }
        _ => None,
    }
}

/// SUBACK. MQTT 3.1.1 knows one failure.
pub(crate) fn suback(version: Version, packet_id: u16, mut codes: Vec<SubscribeReasonCode>) -> Bytes {
    use SubscribeReasonCode as Code;
    if version == Version::V4 {
        for code in &mut codes {
            if !matches!(code, Code::QoS0 | Code::QoS1 | Code::QoS2) {
                *code = Code::Failure;
            }
        }
    }
    write(version, Packet::SubAck(SubAck { pkid: packet_id, return_codes: codes }, None))
}

/// UNSUBACK.
pub(crate) fn unsuback(version: Version, packet_id: u16, reasons: Vec<UnsubAckReason>) -> Bytes {
    write(version, Packet::UnsubAck(UnsubAck { pkid: packet_id, reasons }, None))
}

/// DISCONNECT with its reason (MQTT 5, 3.14.2.1); MQTT 3.1.1 has none from a server, the connection just closes.
/// Written here: rumqttd gets its length wrong without properties, and leaves the code out if the text is.
pub(crate) fn goodbye(version: Version, reason: CloseReason, packet_bytes_max: usize) -> Option<Bytes> {
    if version == Version::V4 {
        return None;
    }
    let code = match reason {
        CloseReason::Finished | CloseReason::Gone => return None,
        CloseReason::Malformed(_) => 0x81,
        CloseReason::Protocol(_) => 0x82,
        CloseReason::NotAuthenticated | CloseReason::AuthenticationTimeout | CloseReason::NotAuthorized(_) => 0x87,
        CloseReason::Busy => 0x89,
        CloseReason::ShuttingDown => 0x8b,
        CloseReason::KeepAlive => 0x8d,
        CloseReason::Superseded => 0x8e,
        CloseReason::TopicInvalid(_) => 0x90,
        CloseReason::TooManyInFlight => 0x93,
        CloseReason::TopicAlias => 0x94,
        CloseReason::TooLarge => 0x95,
        CloseReason::SlowConsumer | CloseReason::Quota(_) => 0x97,
        CloseReason::Revoked => 0x98,
        CloseReason::Retain => 0x9a,
        CloseReason::SharedSubscription => 0x9e,
        CloseReason::SubscriptionIdentifier => 0xa1,
    };
    let mut packet = BytesMut::with_capacity(128);
    let text = reason.to_string();
    put_reason(&mut packet, 0xe0, None, code, if packet_bytes_max >= SPOKEN_BYTES { &text } else { "" });
    Some(packet.freeze())
}

/// The reason code of a refused message in PUBACK and PUBREC (MQTT 5, 3.4.2.1).
fn refusal(code: RefusalCode) -> u8 {
    match code {
        RefusalCode::PayloadInvalid => 0x99,
        RefusalCode::NotAuthorized => 0x87,
        RefusalCode::Quota => 0x97,
        RefusalCode::Other => 0x83,
    }
}

/// Appends PUBACK, PUBREC or PUBCOMP (`first`) that says all is well.
pub(crate) fn acknowledge(buffer: &mut BytesMut, first: u8, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    buffer.extend_from_slice(&[first, 2, high, low]);
}

/// Appends PUBACK or PUBREC (`first`) that refuses. MQTT 3.1.1 cannot say it, so it is a plain acknowledgement there.
pub(crate) fn refuse(
    buffer: &mut BytesMut,
    version: Version,
    first: u8,
    packet_id: u16,
    code: RefusalCode,
    text: &str,
) {
    if version == Version::V4 {
        return acknowledge(buffer, first, packet_id);
    }
    put_reason(buffer, first, Some(packet_id), refusal(code), text);
}

/// Appends a packet of MQTT 5 that is no more than an identifier, a reason code and a reason string of at most 100 bytes,
/// so that every length in it is one byte.
fn put_reason(buffer: &mut BytesMut, first: u8, packet_id: Option<u16>, code: u8, text: &str) {
    let text = text.get(..text.floor_char_boundary(100)).unwrap_or("");
    let properties = if text.is_empty() { 0 } else { 3 + text.len() };
    let body = packet_id.map_or(0, |_| 2) + 2 + properties;
    buffer.put_u8(first);
    buffer.put_u8(u8::try_from(body).unwrap_or(0));
    if let Some(id) = packet_id {
        buffer.put_u16(id);
    }
    buffer.put_u8(code);
    buffer.put_u8(u8::try_from(properties).unwrap_or(0));
    if !text.is_empty() {
        buffer.put_u8(0x1f);
        buffer.put_u16(u16::try_from(text.len()).unwrap_or(0));
        buffer.extend_from_slice(text.as_bytes());
    }
}

/// Appends PUBCOMP for a PUBREL nobody waited for.
pub(crate) fn unknown_release(buffer: &mut BytesMut, version: Version, packet_id: u16) {
    if version == Version::V4 {
        return acknowledge(buffer, PUBCOMP, packet_id);
    }
    let [high, low] = packet_id.to_be_bytes();
    buffer.extend_from_slice(&[PUBCOMP, 3, high, low, 0x92]);
}

/// Bytes a PUBLISH will have.
pub(crate) fn publish_len(version: Version, topic: usize, payload: usize, qos: u8) -> usize {
    let body = 2 + topic + if qos > 0 { 2 } else { 0 } + usize::from(version == Version::V5) + payload;
    1 + length_len(body) + body
}

/// Appends a PUBLISH; `packet_id` counts only if `qos` is 1.
pub(crate) fn publish(
    buffer: &mut BytesMut,
    version: Version,
    topic: &[u8],
    payload: &[u8],
    qos: u8,
    retain: bool,
    packet_id: u16,
) {
    let body = 2 + topic.len() + if qos > 0 { 2 } else { 0 } + usize::from(version == Version::V5) + payload.len();
    buffer.reserve(5 + body);
    buffer.put_u8(0x30 | qos << 1 | u8::from(retain));
    put_length(buffer, body);
    buffer.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    buffer.extend_from_slice(topic);
    if qos > 0 {
        buffer.put_u16(packet_id);
    }
    if version == Version::V5 {
        buffer.put_u8(0);
    }
    buffer.extend_from_slice(payload);
}

fn length_len(length: usize) -> usize {
    match length {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

fn put_length(buffer: &mut BytesMut, mut length: usize) {
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            return buffer.put_u8(byte);
        }
        buffer.put_u8(byte | 0x80);
    }
}

#[cfg(test)]
mod tests;
