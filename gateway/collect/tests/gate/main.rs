//! The gate over real sockets: somebody else's clients, and bytes written by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod acknowledge;
mod clients;
mod connect;
mod desk;
mod encrypted;
mod limits;
mod misuse;
mod raw;
mod routed;
mod stop;
