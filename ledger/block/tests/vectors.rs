//! The vectors are what this code makes, and a verifier written from the README alone agrees with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;
use ledger_block::{evidence, policy::Policy, record::Record};

#[allow(dead_code)]
#[path = "../examples/vectors.rs"]
mod example;

const FILE: &str = include_str!("../vectors/block.txt");

fn value(name: &str) -> Vec<u8> {
    let line = FILE.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    HEXLOWER.decode(line.unwrap_or_else(|| panic!("no {name}")).as_bytes()).unwrap()
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    assert_eq!(
        example::vectors(),
        FILE,
        "cargo run -q -p ledger-block --example vectors > ledger/block/vectors/block.txt"
    );
}

#[test]
fn the_evidence_among_the_vectors_is_believed() {
    let policy = Policy::parse(&value("policy")).unwrap();
    let reading = evidence::verify(&value("evidence-reading"), &policy).unwrap();
    assert!(matches!(reading.record, Record::Reading(_)));
    let alert = evidence::verify(&value("evidence-alert"), &policy).unwrap();
    assert!(matches!(alert.record, Record::Alert(_)));
    let with_readings = evidence::alert::verify(&value("evidence-with-readings"), &policy).unwrap();
    assert_eq!((with_readings.readings.len(), with_readings.verdict.record), (5, alert.record));
}

fn python(arguments: &[&str]) -> (Option<i32>, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(folder.join("examples/verify_evidence.py"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("this test needs python3: apt-get install python3");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_independent_verifier_accepts_the_vectors_and_refuses_changed_ones() {
    let (code, said) = python(&["--self-test", "vectors/block.txt"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("every change refused").count(), 3, "{said}");
}
