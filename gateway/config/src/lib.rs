//! File and environment to typed settings. Everything is read and parsed before any port is bound, and every fault is
//! told at once, with the file and line or the variable it came from.
//!
//! Order, later wins: built-in defaults, every `*.toml` under `/etc/pitchside` in name order (or the file or folder given with
//! `--config`), then `PITCHSIDE_SECTION__KEY` from the environment, then flags. Unknown keys are refused, also where a
//! later source would win. Secrets are never settings: they are files, in a folder named by path. Relative paths are
//! relative to the settings file.
//!
//! | module | holds |
//! | --- | --- |
//! | [`settings`] | the sections: keys, defaults, bounds; their comments are the manual |
//! | [`load`] | from sources to settings, or to all that is wrong with them |
//! | [`explain`] | what each key means; did you mean |
//! | [`delivery`] | what `[delivery]` may hold |
//! | [`rewrite`] | a file's text with some values changed |
//! | `pattern` | bytes of which some digits may be any |
//! | `layer` | one file, variable or flag, read |
//! | `listeners` | no two want the same address and port |
//! | `schema`, `shape` | the table of keys; what values may look like |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod delivery;
pub mod explain;
mod layer;
mod listeners;
pub mod load;
mod pattern;
pub mod rewrite;
mod schema;
pub mod settings;
mod shape;
#[cfg(test)]
mod tests;

pub use delivery::{Category, EscalateAfter, Every, QuietHours, Route, Span};
pub use load::{Loaded, Origin, Problem, Source};
pub use pattern::BytePattern;
pub use settings::{
    BleAdapter, BleScan, Blocks, Bluetooth, ClockTolerance, Delivery, Discover, Firmware, Gateway, Http, Journal,
    Ledger, Library, Mqtt, SerialMode, SerialPort, Settings,
};
