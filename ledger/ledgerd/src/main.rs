//! The `ledgerd` binary.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    ledgerd::cli::run(&ledgerd::cli::Args::parse())
}
