//! The harness: a clinic in a few words, with real TCP, pseudo-terminals, SQLite files and worker processes. Only time,
//! randomness and failure are faked.
//!
//! ```no_run
//! # async fn example() {
//! use pitchside_tests::Clinic;
//! let clinic = Clinic::new().strap("s7").athlete("ada").ledger().start().await;
//! let mut strap = clinic.sensor("s7").await;
//! strap.heart_rate(72).await;
//! assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
//! # }
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`clinic`] | [`Clinic`]: what there is to be, before it starts |
//! | [`running`] | [`Running`]: the clinic at work: its clock, gateway and sensors |
//! | [`stored`] | what it has stored, raised and sealed |
//! | [`site`] | what sensors need to know of it |
//! | [`house`] | the gateway in a runtime of its own, so that it can end abruptly |
//! | [`ledger`] | the ledger, on and off |
//! | [`sensor`] | [`Sensor`]: a device on `device-sdk`, over MQTT or a serial line |
//! | [`board`] | a sensor's flash and its images |
//! | [`maker`] | a publisher of firmware, by the commands a publisher has |
//! | [`client`] | an MQTT client that can also say what no client should |
//! | [`page`] | somebody at the page: HTTPS requests, signed in |
//! | [`frames`] | SenML bodies, altered frames |
//! | [`program`] | the programs under test, and what they answer |
//! | [`patience`] | waiting for something, with an end |
//! | [`mqtt`], [`pty`] | the simulation's MQTT packets and pseudo-terminals |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test"
)]

pub mod board;
pub mod client;
pub mod clinic;
pub mod frames;
pub mod house;
pub mod ledger;
pub mod maker;
#[path = "../simulation/mqtt/mod.rs"]
pub mod mqtt;
pub mod page;
pub mod patience;
pub mod program;
#[path = "../simulation/pty.rs"]
pub mod pty;
pub mod running;
pub mod sensor;
pub mod site;
pub mod stored;

pub use board::Image;
pub use client::Client;
pub use clinic::Clinic;
pub use maker::Maker;
pub use page::Visitor;
pub use patience::{PATIENCE, soon, until};
pub use running::Running;
pub use sensor::{Sensor, Told};
