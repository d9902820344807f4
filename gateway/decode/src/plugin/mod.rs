//! Decoders written in Rhai: a folder with `plugin.toml`, `decode.rhai` and `cases.txt`, run in a worker process of its
//! own. `plugins/README.md` is the reference for authors.
//!
//! | module | holds |
//! | --- | --- |
//! | [`folder`] | a plugin as files |
//! | [`message`] | what parent and worker say to each other |
//! | [`engine`] | the child: the functions a script has, one payload to answers |
//! | [`kept`] | what a script keeps of a device, as bytes |
//! | [`states`] | the parent: what is kept of which device |
//! | [`check`] | what a script returned, made readings or refused by name |
//! | [`worker`] | the parent: batches, restarts, switching off |
//! | [`trial`] | a new version beside the one that runs |
//! | [`reference`](mod@reference) | page, JSON and definitions for those who write plugins |
//! | [`cases`] | `cases.txt`, run by the runner of `script` |

pub mod cases;
pub mod check;
pub mod engine;
pub mod folder;
pub mod kept;
pub mod message;
pub mod reference;
pub mod states;
pub mod trial;
pub mod worker;

pub use engine::worker_main;
pub use folder::{Folder, FolderError};
pub use states::States;
pub use trial::{Findings, Trial};
pub use worker::{Plugin, PluginLimits, Status};
