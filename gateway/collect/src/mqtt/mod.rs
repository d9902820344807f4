//! The gate: the only MQTT front of the gateway (3.1.1 and 5, over TCP, TLS and WebSocket).
//!
//! Readings never meet a broker here: a packet is cut out of the read buffer, held to its sender's rights, handed to the
//! [`crate::Intake`], and acknowledged when that says so. Alerts and live values go the other way, through rumqttd's
//! router, to clients that may read them. README.md beside this crate has the tables of topics, rights, limits and answers.
//!
//! | module | holds |
//! | --- | --- |
//! | `config`, `limits` | where to listen, how much of everything |
//! | `gate` | start, publish, stop; the list of connections |
//! | `listen`, `websocket` | from a socket to a byte stream |
//! | `doors` | how many may come in |
//! | `connection` | the life of one connection |
//! | `reader`, `flight` | packets in, one batch a read; what is not settled yet |
//! | `writer`, `window` | everything out, many packets a write; what is not acknowledged yet |
//! | `session`, `rights`, `filter` | what was agreed, what may be published and subscribed to |
//! | `frame`, `cursor`, `properties`, `publish`, `packet`, `answer` | bytes to packets and back |
//! | `fuzz` | the readers of packets, as the fuzz target runs them |
//! | `pump`, `router`, `shelf` | from the router to one client; the router's supervisor; retained messages |

mod answer;
mod config;
mod connection;
mod cursor;
mod doors;
mod filter;
mod flight;
mod frame;
mod fuzz;
mod gate;
mod limits;
mod listen;
mod packet;
mod properties;
mod publish;
mod pump;
mod reader;
mod rights;
mod router;
mod session;
mod shelf;
mod websocket;
mod window;
mod writer;

pub use config::{GateConfig, GateError};
pub use filter::is_filter;
#[doc(hidden)]
pub use fuzz::read_all;
pub use gate::{Gate, Qos, Stats};
pub use limits::{CONNECT_BYTES_MAX, Limits};
pub use listen::LocalAddrs;
pub use router::PublishError;
