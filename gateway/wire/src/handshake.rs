//! From a device's first word to two traffic keys: HELLO and REPLY, both sides, for the classes P0, P1 and P2.
//!
//! ```text
//! HELLO  | 0x11 | class 1 | length 1 | device id | P0: nonce 16, tag 16
//!                                                | P1: e 32, tag 16                     Noise_NNpsk0_25519_ChaChaPoly_SHA256
//!                                                | P2: e 32, s 32 + 16, stamp 8 + 16    Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s
//! REPLY  | 0x12 | P0: nonce 16, session 8, tag 16
//!               | P1, P2: e 32, session 8 + 16
//! ```
//!
//! A HELLO can be replayed. So it changes nothing: the session counts from the device's CONFIRM, which only the holder
//! of the traffic keys can seal; only then is the stamp of a P2 device remembered and the old session dropped.

mod initiator;
mod noise;
mod psk;
mod responder;
#[cfg(test)]
mod tests;

pub use initiator::{FinishError, Initiator, StartError};
pub use responder::{Answer, AnswerError, GatewayKeys, Hello, HelloError};

use crate::key::{PrivateKey, Psk, PublicKey};

/// The longest device id, in bytes.
pub const DEVICE_BYTES_MAX: usize = 48;
/// The longest HELLO.
pub const HELLO_BYTES_MAX: usize = 3 + DEVICE_BYTES_MAX + P2_HELLO_BYTES;

const P0_HELLO_BYTES: usize = psk::NONCE_BYTES + psk::MAC_BYTES;
const P1_HELLO_BYTES: usize = 32 + 16;
const P2_HELLO_BYTES: usize = 32 + (32 + 16) + (8 + 16);
const P0_REPLY_BYTES: usize = 1 + psk::NONCE_BYTES + 8 + psk::MAC_BYTES;
const NOISE_REPLY_BYTES: usize = 1 + 32 + 8 + 16;

/// How a device proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// A pre-shared key alone, for tiny boards: no forward secrecy.
    P0 = 0,
    /// A pre-shared key and an ephemeral X25519 exchange.
    P1 = 1,
    /// The device's own key pair as well.
    P2 = 2,
}

impl Class {
    /// The class of a HELLO's second byte.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::P0,
            1 => Self::P1,
            2 => Self::P2,
            _ => return None,
        })
    }

    const fn hello_bytes(self) -> usize {
        match self {
            Self::P0 => P0_HELLO_BYTES,
            Self::P1 => P1_HELLO_BYTES,
            Self::P2 => P2_HELLO_BYTES,
        }
    }
}

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Class P0.
    P0 {
        /// Shared with the gateway.
        psk: Psk,
    },
    /// Class P1.
    P1 {
        /// Shared with the gateway.
        psk: Psk,
    },
    /// Class P2.
    P2 {
        /// Shared with the gateway.
        psk: Psk,
        /// The device's own key.
        private: PrivateKey,
        /// The gateway's key.
        gateway: PublicKey,
    },
}

impl Credential {
    /// Its class.
    pub const fn class(&self) -> Class {
        match self {
            Self::P0 { .. } => Class::P0,
            Self::P1 { .. } => Class::P1,
            Self::P2 { .. } => Class::P2,
        }
    }
}

/// 1 to 48 bytes of ASCII letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
pub fn is_device_id(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= DEVICE_BYTES_MAX
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(inner)
}
