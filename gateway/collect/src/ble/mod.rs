//! Bluetooth Low Energy: bonded sensors that know nothing of us, and PS/1 devices over GATT.
//!
//! ```text
//!     BlueZ --> radio (bluez) --seen, up, down--> run --> core: who is connected when
//!                  |                               |
//!                  +--values--> queue --> connection --take--> Intake
//! ```
//!
//! The [`core`] decides and does nothing else; a [`radio::Radio`] does and decides nothing; [`run`](start) carries words
//! between them, and each connection is a [`crate::Link`] of [`pitchside_model::Medium::Ble`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`core`] | slots, turns, pauses, stalls: pure |
//! | [`radio`] | what a radio must do; devices to look for |
//! | [`profile`] | services and characteristics, and which of them speak by themselves |
//! | [`plan`] | in which order a connected device is asked for what: pure |
//! | [`keys`] | what BlueZ stored of a bond, read without the keys |
//! | [`memory`] | who was bonded once, and which of these bonds are given up |
//! | [`doubt`] | whether a device has lost its side of a bond: pure |
//! | [`bluez`] | the real radio, over BlueZ (feature `ble`) |
//! | `run` | between core and radio |
//! | `connection` | one link: values up, frames down |
//! | `queue` | values on their way to the intake; what finds no room is counted |

#[cfg(feature = "ble")]
pub mod bluez;
mod connection;
pub mod core;
pub mod doubt;
pub mod keys;
pub mod memory;
pub mod plan;
pub mod profile;
mod queue;
pub mod radio;
mod run;
#[cfg(test)]
mod tests;

pub use memory::{Made, Memory};
pub use queue::{QUEUE_VALUES_MAX, Queue, Source};
pub use radio::{Peer, Radio, RadioError, RadioEvent, Target};
pub use run::{Ble, Parts, start};
