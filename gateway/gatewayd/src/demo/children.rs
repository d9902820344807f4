//! The other programs of the demo: found beside this one, ended with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A program beside this one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own file")?;
    let path = own.with_file_name(name);
    anyhow::ensure!(path.is_file(), "{} is not there; `make build` makes it", path.display());
    Ok(path)
}

/// Runs a program to its end and returns its standard output.
pub async fn output(program: &Path, args: &[&std::ffi::OsStr]) -> anyhow::Result<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output().await;
    let done = done.with_context(|| format!("running {}", program.display()))?;
    anyhow::ensure!(
        done.status.success(),
        "{} failed ({}): {}",
        program.display(),
        done.status,
        String::from_utf8_lossy(&done.stderr).trim()
    );
    String::from_utf8(done.stdout).context("its output is not UTF-8")
}

/// A program that runs beside us and says something on its standard output, a line at a time.
pub struct Beside {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Beside {
    /// Starts it; its standard error goes to `log`.
    pub fn start(program: &Path, args: &[&std::ffi::OsStr], log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C is for this program, which ends them in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().context("its standard output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// What it says next; none once it has ended.
    pub async fn line(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    /// Waits for its end; true if it ended well.
    pub async fn ended(mut self) -> anyhow::Result<bool> {
        while self.lines.next_line().await?.is_some() {}
        Ok(self.child.wait().await?.success())
    }

    /// Asks it to stop; it may say more before it ends.
    pub fn terminate(&self) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
    }

    /// Asks it to stop, and waits.
    pub async fn stop(mut self) {
        self.terminate();
        let _ = self.child.wait().await;
    }
}
