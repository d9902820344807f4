//! Outputs: scripts that make requests of alerts. A step in an alert's life goes in, a list of requests comes out, and nothing
//! else: the host carries out what an admin granted, at least once, each under a name that stays the same.
//!
//! | module | holds |
//! | --- | --- |
//! | [`event`] | what an output is told |
//! | [`address`] | URLs, mail servers, mail addresses |
//! | [`request`] | what it may ask for, and whether that was granted |
//! | [`engine`] | the functions its script has; one event to its requests |
//! | [`json`] | JSON of what a script put together |
//! | [`reference`](mod@reference) | what its script can use, for the page and editors |
//! | [`worker`] | its process, from both sides |
//!
//! Its cases are read and run by [`crate::cases::output`].

pub mod address;
pub mod engine;
pub mod event;
pub mod json;
pub mod reference;
pub mod request;
pub mod worker;

pub use address::{MailServer, MailTls, Url, is_loopback};
pub use engine::{Outcome, Output};
pub use event::{Event, Step};
pub use request::{Auth, Request, RequestError};
