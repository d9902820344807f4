//! The programs under test, found beside this one, and what they answer.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program of the workspace: `target/debug/NAME` for a test in `target/debug/deps`.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a file");
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    beside
        .unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace --bins` (or `make build`) first"))
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// It did what it was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs a program to its end, with nothing of ours in its environment.
pub fn run(program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Answer {
    run_fed(program, args, "")
}

/// As [`run`], with this on its standard input.
pub fn run_fed(program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &str) -> Answer {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PITCHSIDE")) {
        command.env_remove(name);
    }
    command.args(args).env("RUST_BACKTRACE", "0");
    if input.is_empty() {
        return answer(&command.stdin(Stdio::null()).output().expect("the program runs"));
    }
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program runs");
    // It may end without reading all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    answer(&child.wait_with_output().expect("the program ends"))
}

fn answer(done: &Output) -> Answer {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: done.status.code().unwrap_or(-1), out: text(&done.stdout), err: text(&done.stderr) }
}
