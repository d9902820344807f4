//! Settings: defaults < /etc/pitchside/*.toml (or one file) < environment < flags, parsed into types before any port is
//! bound. Every fault is reported at once, with the file or variable it came from; an unknown key is a fault.
//!
//! The comments in [`settings`] are the manual: `pitchside config explain KEY` prints them. Secrets are never settings;
//! settings name the files they are in.
//!
//! | module | holds |
//! | --- | --- |
//! | [`settings`] | every section and key, its default and meaning |
//! | [`value`] | the types of values: what parses is usable |
//! | [`source`] | where settings come from |
//! | [`load`](mod@load) | from sources to [`Settings`], or to all that is wrong with them |
//! | [`problem`] | one fault: where, what, and what to do |
//! | [`show`](mod@show) | effective settings with their origin; the meaning of a key |
//! | `schema`, `suggest` | the table of keys; did you mean |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod load;
pub mod problem;
mod schema;
pub mod settings;
pub mod show;
pub mod source;
mod suggest;
#[cfg(test)]
mod tests;
pub mod value;

pub use load::{Loaded, check, load};
pub use problem::{Problem, Problems};
pub use settings::Settings;
pub use show::{explain, show};
pub use source::{Files, Sources};
