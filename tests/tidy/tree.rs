//! File sizes, the top level, the lint headers.

use std::path::Path;

/// A file this long is not one thing.
const LINES_MAX: usize = 400;

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<String> = super::sources()
        .iter()
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn every_main_is_short() {
    for main in ["gateway/gatewayd/src/main.rs", "ledger/ledgerd/src/main.rs"] {
        let lines = std::fs::read_to_string(super::root().join(main)).expect("main.rs").lines().count();
        assert!(lines < 100, "{main} has {lines} lines");
    }
}

#[test]
fn every_crate_opens_with_a_paragraph_and_a_table_of_contents() {
    for (path, text) in super::sources() {
        if path.ends_with("src/lib.rs") {
            assert!(text.starts_with("//! "), "{} has no opening paragraph", path.display());
        }
    }
}

#[test]
fn the_top_level_stays_small() {
    const ALLOWED: &[&str] = &[
        ".cargo",
        ".ci",
        ".clippy.toml",
        ".git",
        ".gitignore",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "deny.toml",
        "docs",
        "gateway",
        "images",
        "ledger",
        "plugins",
        "rules",
        "rustfmt.toml",
        "target",
        "tests",
        "demo",
    ];
    let stray: Vec<_> = std::fs::read_dir(super::root())
        .expect("root")
        .map(|entry| entry.expect("entry").file_name())
        .filter(|name| !ALLOWED.iter().any(|allowed| name == *allowed))
        .collect();
    assert!(stray.is_empty(), "not of the top level: {stray:?}");
}

#[test]
fn every_top_level_folder_says_what_it_is() {
    for folder in ["docs", "gateway", "ledger", "plugins", "rules", "images", "tests"] {
        assert!(super::root().join(folder).join("README.md").is_file(), "{folder}/README.md is missing");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!(", "unimplemented!(", concat!("FIX", "ME"), "#[ignore"];
    for (path, text) in super::sources() {
        if path.starts_with(Path::new("tests/tidy")) {
            continue;
        }
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}
