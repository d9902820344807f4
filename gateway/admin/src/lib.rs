//! What people see of a gateway: an HTTPS server with the live page, a small API, events and metrics.
//!
//! The server owns its accept loop and passes requests on to warp only after [`gate`] has checked where they came from,
//! what they ask for and who asks; a path that is not in [`table`] does not exist. What the pages show comes through
//! the traits in [`view`], which `gatewayd` implements.
//!
//! | module | holds |
//! | --- | --- |
//! | [`api`] | the JSON shapes of `/api/v1` |
//! | [`view`] | the traits: what the page shows, who may sign in, what may be asked for |
//! | [`board`] | the current value of every stream, and which of them changed |
//! | [`events`] | the broadcast behind `/api/v1/events` |
//! | [`sse`] | one browser's stream of those events |
//! | [`signin`] | who is signed in, in which cookie, until when |
//! | [`password`] | argon2id, with the same work for names that do not exist |
//! | [`throttle`] | token buckets for guesses |
//! | [`problem`] | refusals as RFC 9457 problem details |
//! | [`table`] | every route: method, path, who may |
//! | [`gate`] | the checks before a route, the headers after it |
//! | [`routes`] | the warp filters |
//! | [`openapi`] | the description of the API |
//! | [`metrics`] | what `/metrics` counts |
//! | [`assets`] | the web app inside the binary |
//! | [`config`] | address, hosts, limits |
//! | [`server`] | TLS, accept loop, graceful stop |
//! | [`stall`] | a stream that gives up on a peer who stopped reading |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod api;
pub mod assets;
pub mod board;
pub mod config;
pub mod events;
pub mod gate;
pub mod metrics;
pub mod openapi;
pub mod password;
pub mod problem;
pub mod routes;
pub mod server;
pub mod signin;
pub mod sse;
pub mod stall;
pub mod table;
pub mod throttle;
pub mod view;

pub use api::{AboutRule, AlertCategory, AlertView, At, BlockView, Health, Ledger, LedgerLink, Receipt, Status, Tile};
pub use board::{Board, BoardLimits, stale_after};
pub use config::{Clock, HttpConfig, Limits};
pub use events::{Event, Events};
pub use metrics::Metrics;
pub use password::{PASSWORD_BYTES_MAX, PasswordHash};
pub use server::{Parts, Server, StartError, Stopped};
pub use signin::SignIns;
pub use view::{
    CommandError, Commands, NOTE_CHARS_MAX, Page, Role, STEPS_MAX, Steps, StoredUser, UserName, Users, View, ViewError,
};
