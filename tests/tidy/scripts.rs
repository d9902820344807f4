//! The box's scripts and units: whole, bounded, and nothing said twice.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{files_below, root};

const SCRIPTS: &str = "usr/lib/pitchside";
const UNITS: &str = "usr/lib/systemd/system";

fn laid_over() -> PathBuf {
    root().join("images/root")
}

/// Every script of the box, with its text.
fn scripts() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("UTF-8 script"));
    files_below(&laid_over().join(SCRIPTS)).into_iter().map(read).collect()
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o111 == 0o111
}

#[test]
fn every_script_of_the_box_reads_and_is_either_run_or_sourced() {
    let scripts = scripts();
    assert!(scripts.len() > 10, "the scripts are elsewhere");
    for (path, text) in &scripts {
        let parsed = Command::new("sh").arg("-n").arg(path).status().expect("a shell");
        assert!(parsed.success(), "{} does not read", path.display());
        let name = Path::new("/").join(path.strip_prefix(laid_over()).expect("below the root"));
        let sourced = format!(". {}\n", name.display());
        let is_sourced = scripts.iter().any(|(_, other)| other.contains(&sourced));
        assert_eq!(is_executable(path), text.starts_with("#!/bin/sh\n"), "{}: mode and first line", path.display());
        assert_ne!(is_executable(path), is_sourced, "{}: run or sourced, not both, not neither", path.display());
    }
}

#[test]
fn what_two_scripts_need_is_defined_in_one() {
    let mut defined: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (path, text) in scripts() {
        for line in text.lines().filter(|line| line.contains("() {")) {
            if let Some(other) = defined.insert(line.trim().to_owned(), path.clone()) {
                panic!("{} and {} both have: {line}", other.display(), path.display());
            }
        }
    }
}

#[test]
fn every_unit_runs_a_script_that_is_there() {
    for path in files_below(&laid_over().join(UNITS)) {
        let text = std::fs::read_to_string(&path).expect("UTF-8 unit");
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let program = line.split(' ').next().unwrap_or_default();
            let Some(ours) = program.strip_prefix('/').filter(|program| program.starts_with(SCRIPTS)) else { continue };
            let script = laid_over().join(ours);
            assert!(script.exists() && is_executable(&script), "{}: no {program}", path.display());
        }
    }
}
