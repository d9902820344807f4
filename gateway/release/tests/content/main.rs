//! Content over real TCP: honest boxes, and every kind of peer one would not want.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod house;
mod killed;
mod rate;
mod swarm;
