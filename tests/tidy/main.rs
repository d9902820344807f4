//! Holds the tree to what README and DESIGN promise about its structure. Reads files, and runs the scripts it finds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod imports;
mod library;
mod orders;
mod scripts;
mod tree;
mod words;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// Every file below `folder` that is ours: no build output, no fetched parts.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    const NOT_OURS: &[&str] = &["target", "node_modules", "dist", ".git", ".svelte-kit", "corpus", "artifacts", "out"];
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable folder") {
            let entry = entry.expect("readable entry");
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                if !NOT_OURS.iter().any(|skip| name == *skip) {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(PathBuf, String)> {
    ["gateway", "ledger", "tests"]
        .iter()
        .flat_map(|folder| files_below(&root().join(folder)))
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("UTF-8 source");
            (path.strip_prefix(root()).expect("below the root").to_path_buf(), text)
        })
        .collect()
}

fn is_test_code(path: &Path) -> bool {
    path.starts_with("tests") || path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "examples")
}
