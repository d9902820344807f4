//! The properties of MQTT 5 packets (2.2.2): which a packet may have, how often, and with which values.
//!
//! rumqttd takes a property twice, and whatever value it has, so they are read here first. What has no place in its packet or
//! is of the wrong form is malformed (2.2.2.2); what is there twice, or has a value that is forbidden, is a protocol error.

use bytes::Bytes;

use super::cursor::Cursor;
use crate::link::CloseReason;

const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const SESSION_EXPIRY: u8 = 0x11;
const AUTHENTICATION_METHOD: u8 = 0x15;
const AUTHENTICATION_DATA: u8 = 0x16;
const PROBLEM_INFORMATION: u8 = 0x17;
const WILL_DELAY: u8 = 0x18;
const RESPONSE_INFORMATION: u8 = 0x19;
const SERVER_REFERENCE: u8 = 0x1c;
const REASON_STRING: u8 = 0x1f;
const RECEIVE_MAX: u8 = 0x21;
const TOPIC_ALIAS_MAX: u8 = 0x22;
const TOPIC_ALIAS: u8 = 0x23;
const USER_PROPERTY: u8 = 0x26;
const PACKET_BYTES_MAX: u8 = 0x27;

/// Whose properties they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Connect,
    Will,
    Publish,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Acknowledgement,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

impl Of {
    /// Which it may have (table 2-4).
    const fn allowed(self) -> &'static [u8] {
        match self {
            Self::Connect => &[
                SESSION_EXPIRY,
                AUTHENTICATION_METHOD,
                AUTHENTICATION_DATA,
                PROBLEM_INFORMATION,
                RESPONSE_INFORMATION,
                RECEIVE_MAX,
                TOPIC_ALIAS_MAX,
                USER_PROPERTY,
                PACKET_BYTES_MAX,
            ],
            Self::Will => &[
                PAYLOAD_FORMAT,
                MESSAGE_EXPIRY,
                CONTENT_TYPE,
                RESPONSE_TOPIC,
                CORRELATION_DATA,
                WILL_DELAY,
                USER_PROPERTY,
            ],
            Self::Publish => &[
                PAYLOAD_FORMAT,
                MESSAGE_EXPIRY,
                CONTENT_TYPE,
                RESPONSE_TOPIC,
                CORRELATION_DATA,
                SUBSCRIPTION_IDENTIFIER,
                TOPIC_ALIAS,
                USER_PROPERTY,
            ],
            Self::Acknowledgement => &[REASON_STRING, USER_PROPERTY],
            Self::Subscribe => &[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY],
            Self::Unsubscribe => &[USER_PROPERTY],
            Self::Disconnect => &[SESSION_EXPIRY, SERVER_REFERENCE, REASON_STRING, USER_PROPERTY],
        }
    }
}

/// What the gate heeds of them; the defaults where a packet does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Properties {
    /// Seconds.
    pub session_expiry: u32,
    pub receive_max: u16,
    pub packet_bytes_max: usize,
    /// Acknowledgements may say a reason in words.
    pub problem_information: bool,
    pub authentication_method: bool,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            session_expiry: 0,
            receive_max: u16::MAX,
            packet_bytes_max: usize::MAX,
            problem_information: true,
            authentication_method: false,
        }
    }
}

/// Reads what comes next: the length of the properties, and all of them.
pub(crate) fn read(of: Of, cursor: &mut Cursor) -> Result<Properties, CloseReason> {
    let mut properties = Properties::default();
    let length = cursor.length()?;
    if length == 0 {
        return Ok(properties);
    }
    let mut cursor = Cursor::new(cursor.take(length)?);
    let mut seen = 0u64;
    while !cursor.is_empty() {
        let id = cursor.u8()?;
        if !of.allowed().contains(&id) {
            return Err(CloseReason::Malformed("a property that its packet does not have"));
        }
        // All that are allowed anywhere are below 64.
        let bit = 1u64 << id;
        if seen & bit != 0 && id != USER_PROPERTY {
            return Err(CloseReason::Protocol("a property that may be there once is there twice"));
        }
        seen |= bit;
        properties.value(id, &mut cursor)?;
    }
    let has = |id: u8| seen & (1u64 << id) != 0;
    properties.authentication_method = has(AUTHENTICATION_METHOD);
    match of {
        Of::Connect if has(AUTHENTICATION_DATA) && !has(AUTHENTICATION_METHOD) => {
            Err(CloseReason::Protocol("authentication data without a method"))
        }
        Of::Publish if has(SUBSCRIPTION_IDENTIFIER) => {
            Err(CloseReason::Protocol("a client's PUBLISH with a subscription identifier"))
        }
        Of::Publish if has(TOPIC_ALIAS) => Err(CloseReason::TopicAlias),
        Of::Subscribe if has(SUBSCRIPTION_IDENTIFIER) => Err(CloseReason::SubscriptionIdentifier),
        _ => Ok(properties),
    }
}

impl Properties {
    /// Reads the value of a property that its packet may have.
    fn value(&mut self, id: u8, cursor: &mut Cursor) -> Result<(), CloseReason> {
        match id {
            SESSION_EXPIRY => self.session_expiry = cursor.u32()?,
            RECEIVE_MAX => {
                self.receive_max = cursor.u16()?;
                if self.receive_max == 0 {
                    return Err(CloseReason::Protocol("receive maximum 0"));
                }
            }
            PACKET_BYTES_MAX => {
                self.packet_bytes_max = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
                if self.packet_bytes_max == 0 {
                    return Err(CloseReason::Protocol("maximum packet size 0"));
                }
            }
            PROBLEM_INFORMATION => self.problem_information = flag(cursor)?,
            SUBSCRIPTION_IDENTIFIER => {
                if cursor.length()? == 0 {
                    return Err(CloseReason::Protocol("subscription identifier 0"));
                }
            }
            RESPONSE_TOPIC => {
                if text(cursor)?.iter().any(|byte| matches!(byte, b'+' | b'#')) {
                    return Err(CloseReason::Protocol("a wildcard in a response topic"));
                }
            }
            // How a payload is written; whether a place for answers is asked for, which the gate never names.
            PAYLOAD_FORMAT | RESPONSE_INFORMATION => {
                flag(cursor)?;
            }
            MESSAGE_EXPIRY | WILL_DELAY => cursor.skip(4)?,
            // None are offered, and none are used towards clients.
            TOPIC_ALIAS | TOPIC_ALIAS_MAX => cursor.skip(2)?,
            CORRELATION_DATA | AUTHENTICATION_DATA => {
                cursor.binary()?;
            }
            USER_PROPERTY => {
                text(cursor)?;
                text(cursor)?;
            }
            // Content type, authentication method, server reference, reason string.
            _ => {
                text(cursor)?;
            }
        }
        Ok(())
    }
}

/// A byte that is 0 or 1.
fn flag(cursor: &mut Cursor) -> Result<bool, CloseReason> {
    match cursor.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CloseReason::Protocol("a property that may be 0 or 1 is neither")),
    }
}

/// A UTF-8 encoded string (1.5.4).
fn text(cursor: &mut Cursor) -> Result<Bytes, CloseReason> {
    let text = cursor.binary()?;
    if std::str::from_utf8(&text).is_ok_and(|text| !text.contains('\0')) {
        Ok(text)
    } else {
        Err(CloseReason::Malformed("a text that is not UTF-8, or has a zero character"))
    }
}

#[cfg(test)]
mod tests;
