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

/// Runs `restart` as the box does, of a gateway that gives these answers, one each time it is asked: what was said on the screen and to
/// the programs beside it, and the word the gateway is left with.
fn restarted(answers: &[&str]) -> (String, String) {
    let box_ = tempfile::tempdir().expect("a folder");
    let at = |name: &str| box_.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(at(name), text).expect("room");
    let own = |name: &str| {
        let text = std::fs::read_to_string(laid_over().join(SCRIPTS).join(name)).expect("a script");
        let here = text.replace("/usr/lib/pitchside", &at("").display().to_string());
        let here = here.replace("/data/box/data/update", &at("asked").display().to_string());
        put(name, &here.replace(">/dev/console", &format!(">>{}", at("console").display())));
    };
    ["restart", "asked.sh"].into_iter().for_each(own);
    std::fs::create_dir(at("asked")).expect("a folder");
    put("asked/taken", "");
    // From before: no answer to a question that is asked now.
    put("asked/restart", "go\n");
    put("answers", &answers.iter().map(|answer| format!("{answer}\n")).collect::<String>());
    let (answers, answer) = (at("answers").display().to_string(), at("asked/restart").display().to_string());
    put(
        "as-pitchside.sh",
        &format!(
            "sleep() {{ :; }}\nseq() {{ echo 1 2; }}\nas_pitchside() {{\n  \"$@\"\n  [ \"$*\" != 'rm -f {answer}' ] || {{ head -n1 {answers} >{answer}; \
             sed -i 1d {answers}; }}\n}}\n"
        ),
    );
    for (program, text) in [("slots", "[ \"$1\" != get-current ] || echo B"), ("systemctl", ":")] {
        let said = at("console").display().to_string();
        put(program, &format!("#!/bin/sh\necho {program} \"$@\" >>{said}\n{text}\n"));
        let run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(at(program), run).expect("a program");
    }
    let path = format!("{}:{}", box_.path().display(), std::env::var("PATH").unwrap_or_default());
    let ran = Command::new("sh").arg(at("restart")).env("PATH", path).output().expect("a shell");
    assert!(ran.status.success(), "{ran:?}");
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
    let left = if at("asked/taken").exists() { "taken, " } else { "" };
    (read("console"), format!("{left}{}", read("asked/result").trim()))
}

#[test]
fn a_box_restarts_into_its_update_when_the_gateway_says_so_or_says_nothing_for_long() {
    let end = "update: installed, restarting into it\nsystemctl --no-block reboot\n";
    let word = "taken, installed, restarting into it".to_owned();
    let waits = "waits: somebody trains, or did a moment ago";
    let (said, left) = restarted(&[waits, waits, "go"]);
    assert_eq!((said, left), (format!("update: installed; {waits}\n{end}"), word.clone()));
    assert_eq!(restarted(&[]), (end.to_owned(), word), "no gateway, no reading");
}

#[test]
fn a_box_takes_back_an_update_that_was_withdrawn_before_its_restart() {
    let (said, left) = restarted(&["waits: its rollout is paused", "withdrawn: 1.2.0 takes its place"]);
    assert!(said.contains("slots set-state A bad\n") && !said.contains("systemctl"), "{said}");
    assert_eq!(left, "refused: 1.2.0 takes its place");
}
