//! The sensor's side of PS/1, for firmware authors. Frames and the time in, frames and events out: no I/O, no clock, no
//! thread, no `std`.
//!
//! ```text
//! link comes up   -> connect(now, random)        -> frames to send
//! bytes arrive    -> on_frame(frame, now)        -> events; then poll
//! a measurement   -> push(content, body)         -> its number; then poll
//! any of these,
//! or next_poll_at -> poll(now, random)           -> frames to send
//! link goes down  -> disconnected()
//! ```
//!
//! A message stays in the outbox until its receipt has come: through lost frames, new links, new sessions and restarts of
//! the gateway, which knows a message it already has by its epoch and number.
//!
//! | module | holds |
//! | --- | --- |
//! | [`config`] | who the device is, and the sizes it can afford |
//! | [`device`] | [`Device`]: the session's life |
//! | [`outbox`] | messages without a receipt |
//! | [`update`] | firmware: pulled, verified, started on trial, confirmed or undone |

#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
pub mod device;
pub mod outbox;
pub mod update;

pub use config::{Config, ConfigError};
pub use device::{Device, Event, Outgoing};
pub use outbox::PushError;
pub use pitchside_wire as wire;
pub use update::{Updater, UpdaterConfig};
