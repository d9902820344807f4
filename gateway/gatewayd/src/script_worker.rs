//! This program as a worker of scripts: started with one socket and nothing else, it closes its jail and answers.

use std::path::PathBuf;

use anyhow::Context as _;
use pitchside_script::Program;

/// This program's own file.
pub fn own_file() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program's own file")
}

/// That program as a worker of this kind.
pub fn program(exe: PathBuf, kind: &str) -> Program {
    Program { exe, args: vec!["script-worker".into(), kind.into()] }
}
