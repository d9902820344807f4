//! The only Rhai sandbox: limits, manifests, cases, worker process.
//!
//! Scripts are text from the clinic or an integrator and are trusted with nothing. They run in a process of their own that
//! holds no file, no network and no right to start another; the parent kills it when it is late. Rules and decoders add
//! their own functions and types to the engine made here; `README.md` is the reference for those who write scripts.
//!
//! | module | holds |
//! | --- | --- |
//! | [`limits`] | what one call and one worker may use |
//! | [`sandbox`] | the engine with every limit set |
//! | `meter` | the clock and the scales of a call |
//! | `natives` | functions that do much in one call, made to look first |
//! | [`compile`](mod@compile) | source to AST, all problems reported |
//! | `recover` | every error of syntax, not only the first |
//! | [`lint`] | what is wrong with a script that compiles |
//! | [`reference`] | page, JSON and definitions of what scripts can use |
//! | [`builtin`] | what of Rhai every script can use |
//! | [`scan`] | names, calls and texts in a source |
//! | [`span`] | spans of time as people write them |
//! | [`problem`] | what is wrong and where, "did you mean" |
//! | [`fault`] | why a running script was stopped |
//! | [`files`] | what rules and plugins lie in, opened |
//! | [`manifest`] | rule.toml and plugin.toml |
//! | [`package`] | a plugin as one file |
//! | [`output`] | scripts that make requests of alerts |
//! | [`cases`] | cases.txt of rules and plugins, and the runner |
//! | [`worker`] | the parent's side of a worker process |
//! | [`serve`](mod@serve) | the child's side |
//! | [`jail`] | rlimits and the system-call filter |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod builtin;
pub mod cases;
pub mod compile;
pub mod fault;
pub mod files;
mod frame;
pub mod jail;
pub mod limits;
pub mod lint;
pub mod manifest;
mod meter;
mod natives;
pub mod output;
pub mod package;
pub mod problem;
mod recover;
pub mod reference;
pub mod sandbox;
pub mod scan;
pub mod serve;
pub mod span;
pub mod worker;

pub use compile::{Compiled, compile};
pub use fault::{Fault, FaultKind};
pub use limits::{Limits, WorkerLimits};
pub use problem::Problem;
pub use sandbox::{Sandbox, engine};
pub use serve::{ServeError, serve};
pub use worker::{Program, Worker, WorkerError};
