//! Backups: what makes a box this box, sealed to the clinic's recovery key, and putting it on another one.
//!
//! The file is drawn byte by byte in `README.md` beside this, which also says what a restore brings back and what not.
//!
//! | module | holds |
//! | --- | --- |
//! | [`recovery`] | the clinic's recovery key: one half on the box, the other taken away |
//! | [`envelope`] | the file's head, chunks and tail |
//! | [`record`] | what lies in the chunks |
//! | [`settings`] | settings files, and what they name |
//! | [`walk`](mod@walk) | what is taken of folders of rules and plugins, what is left out |
//! | [`create`](mod@create) | the running box, as of one moment, into a file |
//! | [`verify`](mod@verify) | every byte of a file, offline |
//! | [`restore`](mod@restore) | a file onto a new box, all of it or nothing |
//! | [`target`] | where that goes, and whether what stands there may be replaced |
//! | [`destroy`] | files overwritten and gone |
//! | [`chain`] | where a restored box's chain goes on |

pub mod chain;
pub mod create;
pub mod destroy;
pub mod envelope;
pub mod record;
pub mod recovery;
pub mod restore;
pub mod settings;
pub mod target;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod walk;

pub use create::create;
pub use recovery::{RecoveryKey, RecoveryPublicFile};
pub use restore::{RestorePlan, Step, restore};
pub use verify::{Checked, verify};
