//! Arguments of `backup` and `factory-reset`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `backup ...`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Write a backup that only the recovery key opens. The gateway may run.
    Create {
        /// Where; it must not exist.
        file: PathBuf,
    },
    /// Check every byte, offline. Exit 3 if one was changed.
    Verify {
        /// The backup.
        file: PathBuf,
        /// File of the recovery key, `-` for standard input; without it, only whether the file is as it was written.
        #[arg(long, value_name = "FILE")]
        recovery_key: Option<PathBuf>,
    },
    /// Make a box of a backup. Athletes get fresh keys; the old box must never run again.
    Restore {
        /// The backup.
        file: PathBuf,
        /// The new box's folder: settings, keys, data.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// File of the recovery key, `-` for standard input.
        #[arg(long, value_name = "FILE")]
        recovery_key: PathBuf,
        /// Replace the box that is there, and destroy it.
        #[arg(long)]
        force: bool,
    },
    /// Make a new recovery key; the old one opens only what was sealed to it.
    Key {
        /// Where to write it; without it, it is shown once.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Arguments of `factory-reset`.
#[derive(Debug, Args)]
pub struct FactoryResetArgs {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// While the gateway runs: write down that the next start is to do it.
    #[arg(long)]
    pub at_next_start: bool,
}
