//! A real ledger on real TCP, and the gateway's side of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cli;
mod contents;
mod copies;
mod garbage;
mod http;
mod ingest;
mod kill;
mod releases;
mod room;
mod support;
mod upload;
