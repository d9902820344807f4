//! Arguments of `athlete` and `user`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use pitchside_model::AthleteId;

/// `athlete ...`
#[derive(Debug, Subcommand)]
pub enum AthleteCommand {
    /// Add an athlete under a pseudonym.
    Add {
        /// The pseudonym; no name, no birthday.
        id: AthleteId,
    },
    /// All athletes.
    List,
    /// Destroy an athlete's keys and have the ledger destroy its copies: what is sealed of them is read by nobody any more. What was read or
    /// handed out before stays read. Take their sensors off and wait two minutes before: what is not sealed yet is sealed for nobody in
    /// particular, and stays readable. Alerts the box still lists go at once.
    Erase {
        /// The pseudonym.
        id: AthleteId,
        /// The pseudonym once more: nothing brings an athlete back.
        #[arg(long, value_name = "ID")]
        confirm: AthleteId,
    },
    /// After a restore: put back the keys of which the ledger keeps copies. They open what was sealed before; `blocks fetch` brings those blocks
    /// back.
    Recover {
        /// File of the recovery key, `-` for standard input.
        #[arg(long, value_name = "FILE")]
        recovery_key: PathBuf,
    },
}

/// `user ...`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is read from standard input, or made up and shown once.
    Add {
        /// Sign-in name.
        name: String,
        /// What they may do.
        #[arg(long, value_enum, default_value_t = RoleArg::Viewer)]
        role: RoleArg,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// All users.
    List,
    /// Give a user another password, read from standard input, or made up and shown once. Who is signed in by the old one no longer is.
    Password {
        /// Sign-in name.
        name: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let a user in no longer. The last admin stays.
    Remove {
        /// Sign-in name.
        name: String,
    },
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// See.
    Viewer,
    /// See and acknowledge.
    Clinician,
    /// Everything.
    Admin,
}
