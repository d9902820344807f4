//! Bytes in, with where they came from; frames, acknowledgements and alerts out. Nothing here knows a key, a reading or
//! the store: each gate hands what arrives to an [`Intake`] and does what its [`Link`] is told.
//!
//! | module | holds |
//! | --- | --- |
//! | [`intake`] | the trait the gateway implements, and what passes through it |
//! | [`link`] | one physical path: its bounded queue towards the peer, and why it ends |
//! | [`mqtt`] | the gate: MQTT 3.1.1 and 5 over TCP, TLS and WebSocket, in front of rumqttd's router |
//! | [`serial`] | serial lines: PS/1 in COBS, or plain SenML lines from a wired device |
//! | [`ble`] | Bluetooth: bonded sensors and PS/1 over GATT, through BlueZ (feature `ble`) |
//! | `coap` | not built yet; it will be a module here that opens [`Link`]s and feeds the same [`Intake`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod ble;
pub mod intake;
pub mod link;
pub mod mqtt;
pub mod serial;

pub use intake::{Admission, Channel, Inbound, Intake, RefusalCode, Refused, Rights, Settled, Ticket};
pub use link::{CloseReason, Link, LinkGone, Outbound, Outlet};
