//! What `pitchside rules check` says, rule by broken rule. `UPDATE=1 cargo test -p pitchside-rules --test lint` writes
//! `broken/expected.txt` anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_rules::{RuleSet, lint_folder};

#[test]
fn every_problem_of_every_broken_rule_is_told_with_its_place_and_kind() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let told: String = lint_folder(&folder).iter().map(|problem| format!("{problem} [{}]\n", problem.code)).collect();
    let expected = folder.join("expected.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&expected).unwrap_or_default());
}

#[test]
fn whatever_keeps_a_rule_from_loading_is_an_error_of_the_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let told = lint_folder(&folder);
    for problem in RuleSet::load(&folder).unwrap_err() {
        assert!(told.iter().any(|p| p.is_error() && p.file == problem.file), "{problem}");
    }
}

#[test]
fn the_library_is_without_errors_and_without_warnings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let told: Vec<String> = lint_folder(&folder).iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
