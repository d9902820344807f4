//! The nouns of Pitchside: what a reading, a quantity, a device or an alert is, and nothing about how it travels.
//!
//! No I/O and no clock: every time is passed in.
//!
//! | module | holds |
//! | --- | --- |
//! | [`id`] | names of devices, athletes, rules, plugins; numbers of messages |
//! | [`time`] | instants in microseconds, hours |
//! | [`decimal`] | mantissa and exponent, never a float |
//! | [`unit`] | units by UCUM code |
//! | [`quantity`] | what can be measured, its unit and plausible range |
//! | [`reading`] | readings, waveforms, gaps, and the entry that carries them |
//! | [`alert`] | alerts and their life |
//! | [`ble`] | Bluetooth addresses, bonds, profiles |
//! | [`link`] | physical paths and what comes in over them |
//! | [`authentic`] | the mark that only `auth` can set |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod alert;
pub mod authentic;
pub mod ble;
pub mod decimal;
pub mod id;
pub mod link;
pub mod quantity;
pub mod reading;
pub mod time;
pub mod unit;

pub use alert::{Alert, AlertEvent, AlertId, AlertState, Priority};
pub use authentic::Authentic;
pub use ble::{BleAddress, Bond, Bonding, Pairing, Profiles};
pub use decimal::Decimal;
pub use id::{AthleteId, DeviceId, Epoch, PluginName, RuleName, Seq};
pub use link::{Assurance, LinkId, Medium, Payload, PayloadKind};
pub use quantity::Quantity;
pub use reading::{Entry, Gap, GapReason, Quality, Reading, Value, Wave};
pub use time::{HourIndex, Timestamp};
pub use unit::Unit;
