//! Payloads to readings: SenML, waveforms, and whatever a plugin's script reads. Takes only what `auth` has vouched for;
//! gives readings in the unit of their quantity, with what is wrong with them marked, or refuses the message whole.
//! Time is an argument. `README.md` beside this crate says what is taken from each format and what refused.
//!
//! | module | holds |
//! | --- | --- |
//! | [`decoders`] | the way in |
//! | [`senml`] | SenML in CBOR and JSON (RFC 8428) |
//! | [`wave`] | the waveform body of PS/1 |
//! | [`gatt`] | the profiles of Bluetooth SIG: heart rate to environmental sensing |
//! | [`plugin`] | decoders written in Rhai, in worker processes |
//! | [`number`] | decimals and doubles |
//! | [`unit`] | SenML and UCUM units, exact conversion |
//! | [`tolerance`] | how far a clock may be off; quality flags |
//! | [`json`] | JSON that keeps numbers as written |
//! | [`error`] | why a payload is refused |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod decoders;
pub mod error;
pub mod gatt;
pub mod json;
pub mod number;
pub mod plugin;
pub mod senml;
pub mod tolerance;
pub mod unit;
pub mod wave;

pub use decoders::Decoders;
pub use error::{DecodeError, Fault, GattFault, WaveFault};
pub use plugin::{Plugin, worker_main};
pub use tolerance::Tolerances;
