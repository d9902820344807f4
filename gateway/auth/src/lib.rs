//! The one door: frames and passwords in, [`Authentic`](pitchside_model::Authentic) messages out. Nothing else makes them.
//!
//! A session survives a restart of the gateway: its keys are stored wrapped, its counters in strides ahead of use, so
//! that no counter is accepted or used twice. Whoever is not let in gets one and the same answer, at a bounded rate; the
//! exact cause is for the log. Time and randomness are arguments; the only I/O is the [`KeyStore`] one is given, and it
//! is called on handshakes and once in 65,536 frames, never on the way of a frame.
//!
//! | module | holds |
//! | --- | --- |
//! | [`auth`] | [`Auth`]: handshakes, frames, receipts, revocation |
//! | [`door`] | what comes out: [`Accepted`], [`Refusal`] and its [`Cause`] |
//! | [`login`] | those that only have a password, or a cable |
//! | [`enrol`] | new devices, their cards as QR text and file, passwords, Bluetooth addresses |
//! | [`record`] | what is stored of a device and of a session |
//! | [`keystore`] | the trait through which it is stored |
//! | [`kek`] | wrapping secrets under the box's key |
//! | [`limits`] | bounds and rates |
//! | `bucket`, `guesses` | token buckets; how many passwords may be tried |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod auth;
mod bucket;
pub mod door;
pub mod enrol;
mod guesses;
pub mod kek;
pub mod keystore;
pub mod limits;
pub mod login;
pub mod record;

pub use auth::{Auth, Ended, OpenError, ReceiptError, SessionKey};
pub use door::{Accepted, Cause, Refusal};
pub use enrol::{Card, EnrolError, PasswordCost, RadioDevice};
pub use kek::{GatewayIdentity, Kek, UnwrapError};
pub use keystore::{KeyStore, KeyStoreError};
pub use limits::{Limits, Rate};
pub use login::{LoginEnded, PasswordLogin, Role};
pub use pitchside_wire::{Random, RandomFailed};
pub use record::{DeviceClass, DeviceRecord, SessionRow};
