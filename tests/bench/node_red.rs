//! The peer of the rules: the same two conditions as a function node of Node-RED, which `make bench` installs, and in node's vm
//! alone. `node_red/bench.js` drives both.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::clinic::repository;

/// Where `tests/tools/setup.sh bench` puts Node-RED.
const INSTALLED: &str = "target/node-red";

/// Readings a second through one function node.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Speed {
    /// In node's vm alone.
    pub vm: f64,
    /// In Node-RED; none if it is not installed.
    pub node_red: Option<f64>,
}

/// How fast `threshold` or `window` is.
pub fn measure(body: &str, count: usize) -> anyhow::Result<Speed> {
    let folder = repository("tests/bench/node_red");
    let installed = repository(INSTALLED);
    let mut command = Command::new("node");
    command.arg(folder.join("bench.js")).arg(folder.join(format!("{body}.js"))).arg(count.to_string());
    if installed.join("node_modules/node-red").is_dir() {
        command.arg(installed.canonicalize()?);
    }
    let done = command.stdin(Stdio::null()).output().context("starting node; make bench installs it")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "node failed: {}", said.trim());
    // Node-RED itself may say a line of its own before.
    let out = String::from_utf8_lossy(&done.stdout);
    let last = out.lines().last().context("node said nothing")?;
    Ok(serde_json::from_str(last)?)
}
