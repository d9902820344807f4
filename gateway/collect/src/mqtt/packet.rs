//! The packets of a client that are not PUBLISH, read with rumqttd's protocol module.
//!
//! What that lets pass in MQTT 5 is looked at before: properties (`properties`), the options of SUBSCRIBE and whether it asks for shared ones.
//! rumqttd is asked only about packets that are complete and that a client may send (its MQTT 5 reader panics on the
//! others), and any error it has is final: it says "insufficient bytes" of a complete packet that lies about its lengths.
//! It wants a UTF-8 password and reads no DISCONNECT of one byte, so DISCONNECT and the acknowledgements are read here.

use bytes::{Bytes, BytesMut};
use rumqttd::protocol::v4::V4;
use rumqttd::protocol::v5::V5;
use rumqttd::protocol::{Filter, LastWill, Login, Packet, Protocol};
use zeroize::Zeroizing;

use super::cursor::Cursor;
use super::filter;
use super::properties::{self, Of, Properties};
use crate::link::CloseReason;

/// The protocol level of CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1, level 4.
    V4,
    /// MQTT 5, level 5.
    V5,
}

impl Version {
    fn read(self, packet: &[u8]) -> Result<Packet, CloseReason> {
        let mut stream = BytesMut::from(packet);
        let max = packet.len();
        match self {
            Self::V4 => V4.read_mut(&mut stream, max),
            Self::V5 => V5.read_mut(&mut stream, max),
        }
        .map_err(|error| {
            tracing::debug!(%error, "packet refused");
            CloseReason::Malformed("a packet that does not follow the specification")
        })
    }
}

/// The reasons of a DISCONNECT that says goodbye: plainly, or with its will to be published all the same (MQTT 5, 3.14.2.1).
pub(crate) const GOODBYE: u8 = 0x00;
pub(crate) const GOODBYE_WITH_WILL: u8 = 0x04;

/// What is published for a client that vanishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    pub topic: Bytes,
    pub payload: Bytes,
    pub retain: bool,
}

/// A CONNECT. Has no `Debug`: it holds a password.
pub(crate) struct Connect {
    pub version: Version,
    pub client_id: String,
    /// Seconds; 0 is no limit.
    pub keep_alive: u16,
    /// Whether the client wants a session that outlives the connection. It gets none.
    pub wants_session: bool,
    /// How many QoS 1 messages the client takes before it acknowledges.
    pub receive_max: u16,
    /// The largest packet the client takes.
    pub packet_bytes_max: usize,
    /// It wants to hear in words why something is refused.
    pub problem_information: bool,
    pub username: Option<String>,
    pub password: Option<Zeroizing<Vec<u8>>>,
    pub will: Option<Will>,
    /// It asked for extended authentication (MQTT 5, 4.12).
    pub extended_authentication: bool,
}

/// Why a CONNECT is not even read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A protocol level that is not spoken here, and the version whose CONNACK says so best.
    Level(Version),
    /// Not a CONNECT of that version.
    Broken(Option<Version>, CloseReason),
}

/// Reads a whole CONNECT packet whose fixed header has `header` bytes.
pub(crate) fn connect(packet: &Bytes, header: usize) -> Result<Connect, Unreadable> {
    let broken = |reason| Unreadable::Broken(None, reason);
    let mut cursor = Cursor::new(packet.slice(header.min(packet.len())..));
    let name = cursor.binary().map_err(broken)?;
    let level = cursor.u8().map_err(broken)?;
    let version = match (name.as_ref(), level) {
        (b"MQTT", 4) => Version::V4,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT", 6..) => return Err(Unreadable::Level(Version::V5)),
        (b"MQTT", _) | (b"MQIsdp", _) => return Err(Unreadable::Level(Version::V4)),
        _ => return Err(broken(CloseReason::Malformed("the protocol is not called MQTT"))),
    };
    let broken = |reason| Unreadable::Broken(Some(version), reason);
    let flags = cursor.u8().map_err(broken)?;
    if flags & 1 != 0 {
        return Err(broken(CloseReason::Malformed("the reserved flag of CONNECT is set")));
    }
    if version == Version::V4 && flags & 0b1100_0000 == 0b0100_0000 {
        return Err(broken(CloseReason::Malformed("a password without a user name")));
    }
    let properties = match version {
        Version::V4 => Properties::default(),
        Version::V5 => agreed(cursor, flags).map_err(broken)?,
    };
    let Packet::Connect(connect, _, will, _, login) = version.read(packet).map_err(broken)? else {
        return Err(broken(CloseReason::Protocol("the first packet must be CONNECT")));
    };
    if connect.client_id.contains('\0') {
        return Err(broken(CloseReason::Malformed("a zero character in the client id")));
    }
    let Login { username, password } = login.unwrap_or(Login { username: String::new(), password: String::new() });
    let password = Zeroizing::new(password.into_bytes());
    Ok(Connect {
        version,
        keep_alive: connect.keep_alive,
        wants_session: if version == Version::V5 { properties.session_expiry > 0 } else { !connect.clean_session },
        client_id: connect.client_id,
        receive_max: properties.receive_max,
        packet_bytes_max: properties.packet_bytes_max,
        problem_information: properties.problem_information,
        username: (!username.is_empty()).then_some(username),
        password: (!password.is_empty()).then_some(password),
        will: will.map(|LastWill { topic, message, retain, .. }| Will { topic, payload: message, retain }),
        extended_authentication: properties.authentication_method,
    })
}

/// The properties of a CONNECT of MQTT 5, from its keep-alive on. Those of its will are looked at, too.
fn agreed(mut cursor: Cursor, flags: u8) -> Result<Properties, CloseReason> {
    cursor.skip(2)?;
    let properties = properties::read(Of::Connect, &mut cursor)?;
    if flags & 0b100 != 0 {
        // The client id is before them.
        cursor.binary()?;
        properties::read(Of::Will, &mut cursor)?;
    }
    Ok(properties)
}

/// A SUBSCRIBE.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub packet_id: u16,
    pub filters: Vec<Filter>,
}

/// Reads a whole SUBSCRIBE packet whose fixed header has `header` bytes.
pub(crate) fn subscribe(version: Version, packet: &Bytes, header: usize) -> Result<Subscribe, CloseReason> {
    options(version, packet.slice(header.min(packet.len())..))?;
    match version.read(packet)? {
        Packet::Subscribe(subscribe, _) if subscribe.pkid == 0 => Err(CloseReason::Malformed("packet identifier 0")),
        Packet::Subscribe(subscribe, _) => Ok(Subscribe { packet_id: subscribe.pkid, filters: subscribe.filters }),
        _ => Err(CloseReason::Malformed("not a SUBSCRIBE")),
    }
}

/// Looks at the properties and options of a SUBSCRIBE (MQTT 5, 3.8.2.1 and 3.8.3.1; MQTT 3.1.1, 3.8.3).
fn options(version: Version, body: Bytes) -> Result<(), CloseReason> {
    let mut cursor = Cursor::new(body);
    cursor.packet_id()?;
    let reserved = match version {
        Version::V4 => 0b1111_1100,
        Version::V5 => {
            properties::read(Of::Subscribe, &mut cursor)?;
            0b1100_0000
        }
    };
    if cursor.is_empty() {
        return Err(CloseReason::Protocol("a SUBSCRIBE without a filter"));
    }
    while !cursor.is_empty() {
        let shared = cursor.binary()?.starts_with(filter::SHARED.as_bytes());
        let options = cursor.u8()?;
        if options & reserved != 0 {
            return Err(CloseReason::Malformed("reserved bits of a subscription's options are set"));
        }
        if options & 0b11 == 3 || options >> 4 == 0b11 {
            return Err(CloseReason::Protocol("a subscription with QoS 3 or retain handling 3"));
        }
        // CONNACK has said that there are none (3.2.2.3.13). MQTT 3.1.1 does not know them.
        if shared && version == Version::V5 {
            return Err(CloseReason::SharedSubscription);
        }
    }
    Ok(())
}

/// An UNSUBSCRIBE.
#[derive(Debug)]
pub(crate) struct Unsubscribe {
    pub packet_id: u16,
    pub filters: Vec<String>,
}

/// Reads a whole UNSUBSCRIBE packet whose fixed header has `header` bytes.
pub(crate) fn unsubscribe(version: Version, packet: &Bytes, header: usize) -> Result<Unsubscribe, CloseReason> {
    if version == Version::V5 {
        let mut cursor = Cursor::new(packet.slice(header.min(packet.len())..));
        cursor.packet_id()?;
        properties::read(Of::Unsubscribe, &mut cursor)?;
    }
    match version.read(packet)? {
        Packet::Unsubscribe(unsubscribe, _) if unsubscribe.pkid == 0 => {
            Err(CloseReason::Malformed("packet identifier 0"))
        }
        Packet::Unsubscribe(unsubscribe, _) if unsubscribe.filters.is_empty() => {
            Err(CloseReason::Protocol("an UNSUBSCRIBE without a filter"))
        }
        Packet::Unsubscribe(unsubscribe, _) => {
            Ok(Unsubscribe { packet_id: unsubscribe.pkid, filters: unsubscribe.filters })
        }
        _ => Err(CloseReason::Malformed("not an UNSUBSCRIBE")),
    }
}

/// Reads the body of PUBACK, PUBREC, PUBREL or PUBCOMP: the packet identifier and whether the reason is a failure.
/// Reason and properties are left out if there is nothing to say (MQTT 5, 3.4.2.1).
pub(crate) fn acknowledgement(version: Version, body: Bytes) -> Result<(u16, bool), CloseReason> {
    let mut cursor = Cursor::new(body);
    let id = cursor.packet_id()?;
    if version == Version::V4 && !cursor.is_empty() {
        return Err(CloseReason::Malformed("an acknowledgement with more than a packet identifier"));
    }
    let failed = !cursor.is_empty() && cursor.u8()? >= 0x80;
    if !cursor.is_empty() {
        properties::read(Of::Acknowledgement, &mut cursor)?;
    }
    ended(&cursor)?;
    Ok((id, failed))
}

/// Reads the body of DISCONNECT: its reason, which is 0x00 where none is said (MQTT 5, 3.14.2.1). `expiring`: CONNECT asked for
/// a session that outlives the connection, so how long may be said anew (3.14.2.2.2).
pub(crate) fn disconnect(version: Version, body: Bytes, expiring: bool) -> Result<u8, CloseReason> {
    let mut cursor = Cursor::new(body);
    if cursor.is_empty() {
        return Ok(GOODBYE);
    }
    if version == Version::V4 {
        return Err(CloseReason::Malformed("a DISCONNECT of MQTT 3.1.1 has no content"));
    }
    let reason = cursor.u8()?;
    if !cursor.is_empty() && properties::read(Of::Disconnect, &mut cursor)?.session_expiry > 0 && !expiring {
        return Err(CloseReason::Protocol("a session expiry in DISCONNECT that CONNECT did not ask for"));
    }
    ended(&cursor)?;
    Ok(reason)
}

/// Nothing may be left of a body behind its last field.
fn ended(cursor: &Cursor) -> Result<(), CloseReason> {
    if cursor.is_empty() { Ok(()) } else { Err(CloseReason::Malformed("bytes behind the last field of a packet")) }
}
