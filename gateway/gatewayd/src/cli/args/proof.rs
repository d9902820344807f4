//! `pitchside blocks` and `pitchside evidence`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::duration;

/// `blocks ...`
#[derive(Debug, Subcommand)]
pub enum BlocksCommand {
    /// The last blocks and their receipts.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        last: usize,
    },
    /// Verify the whole chain: signatures, links, payloads, trees, receipts. Exit 3 if anything was tampered with.
    Verify {
        /// C2SP policy naming the ledger; without it, the key in the settings.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// After a restore: bring back from the ledger the blocks that were sealed before it, the newest first. What they hold is read with the
    /// keys that `athlete recover` brings back; do that first. Cut short, the same again goes on.
    Fetch {
        /// How far back, e.g. 30d; without it, all.
        #[arg(long, value_parser = duration)]
        since: Option<Duration>,
    },
}

/// `evidence ...`
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Write a file that proves one reading, or one alert with the readings that fired it and the rule.
    Export {
        /// A reading's id (from `pitchside readings`) or an alert's (from `pitchside alerts`).
        id: String,
        /// Where to write it; `-` is standard output.
        #[arg(long, value_name = "FILE", default_value = "-")]
        out: PathBuf,
        /// Of an alert: only the alert itself, disclosing no reading.
        #[arg(long)]
        record_only: bool,
    },
    /// Verify such a file; nothing but the file and a policy is needed. Exit 3 if it was tampered with.
    Verify {
        /// The evidence.
        file: PathBuf,
        /// C2SP policy naming the ledger's key.
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
    },
}
