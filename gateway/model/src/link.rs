//! Physical paths, and what comes in over them before anything is known to be true.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of one physical path while it is up; never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What the path is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// MQTT over TCP, loopback only.
    Mqtt,
    /// MQTT over TLS.
    MqttTls,
    /// MQTT over WebSocket.
    MqttWebSocket,
    /// A serial line.
    Serial,
    /// Bluetooth Low Energy.
    Ble,
    /// CoAP over UDP.
    Coap,
    /// The gateway itself (gaps, clock offsets).
    Gateway,
}

/// How sure we are who sent something, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Assurance {
    /// Whoever holds the cable.
    Wired = 0,
    /// A password over TLS.
    Password = 1,
    /// Bluetooth LE Secure Connections.
    Bonded = 2,
    /// A pre-shared key (PS/1 class P0).
    Psk = 3,
    /// A Noise session (PS/1 classes P1 and P2).
    Noise = 4,
}

impl Assurance {
    /// The assurance of a number in a sealed block.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Wired,
            1 => Self::Password,
            2 => Self::Bonded,
            3 => Self::Psk,
            4 => Self::Noise,
            _ => return None,
        })
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wired => "wired",
            Self::Password => "password",
            Self::Bonded => "bonded",
            Self::Psk => "psk",
            Self::Noise => "noise",
        })
    }
}

/// How a payload is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadKind {
    /// SenML in CBOR (RFC 8428).
    SenmlCbor,
    /// SenML in JSON (RFC 8428).
    SenmlJson,
    /// A PS/1 waveform frame.
    Waveform,
    /// Vendor bytes for the device's decoder plugin.
    Vendor,
    /// The raw value of one GATT characteristic, as notified, indicated or read.
    Gatt {
        /// Its 16-bit UUID of Bluetooth SIG (Assigned Numbers, 3.8), e.g. 0x2a37.
        characteristic: u16,
    },
}

/// What a device said, still undecoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How to read it.
    pub kind: PayloadKind,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where a hub published it, below its own place in the gate; none of links that have no topics. It can hold names of
    /// people: it goes to a decoder, and into no log.
    pub topic: Option<std::sync::Arc<str>>,
}
