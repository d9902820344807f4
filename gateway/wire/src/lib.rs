//! PS/1, the device protocol: bytes and the time in, bytes and facts out. No I/O, no clock, no randomness of its own.
//!
//! `README.md` beside this crate draws every byte. What a device and a gateway share is here; what only one of them does
//! is in `device-sdk` and in `auth`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`ids`] | numbers that travel, instants, the source of randomness |
//! | [`key`] | secrets that leave memory when dropped |
//! | [`frame`] | the first byte, the sealed header, the refusal |
//! | [`handshake`] | HELLO and REPLY of the classes P0, P1, P2, both sides |
//! | [`session`] | sealing, opening, lifetime, stored ceilings |
//! | [`window`] | which counters were accepted |
//! | [`control`] | bodies of READY, ADVANCE, CLOSE |
//! | [`message`] | a device's message: epoch, number, content |
//! | [`receipt`] | what became of messages |
//! | [`firmware`] | updates: status, offer, pull, chunk, report |
//! | [`waveform`] | equidistant samples, packed |
//! | [`cobs`] | frames on a serial line |
//! | [`fragment`] | frames in values of a GATT characteristic |

#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
pub mod cobs;
pub mod control;
pub mod firmware;
pub mod fragment;
pub mod frame;
pub mod handshake;
pub mod ids;
pub mod key;
pub mod message;
pub mod receipt;
pub mod session;
pub mod waveform;
pub mod window;

pub use frame::{FRAME_BYTES_MAX, Header, Kind, PLAIN_BYTES_MAX, Refused, Topic};
pub use handshake::{Class, Credential, GatewayKeys, Hello, Initiator};
pub use ids::{Counter, Epoch, Millis, Random, RandomFailed, Seq, SessionId, Stamp};
pub use key::{PrivateKey, Psk, PublicKey};
pub use message::{CONTENT_BYTES_MAX, Content, Message};
pub use receipt::{Reason, Receipt};
pub use session::{Ceilings, OpenError, SealError, Session};
