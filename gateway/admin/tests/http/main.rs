//! The real server, asked over real TLS sockets, by a client that also knows how to misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod api;
mod client;
mod events;
mod hostile;
mod stop;

#[path = "../scripted/mod.rs"]
mod scripted;
