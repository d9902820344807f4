//! Every rule and plugin comes whole: manifest, script, README, and cases that fire, stay silent and are malformed.

use std::path::{Path, PathBuf};

fn folders(kind: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(super::root().join(kind))
        .expect("library folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "{kind}/ is empty");
    folders
}

fn cases(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("cases.txt")).expect("cases.txt");
    text.split("\ncase ").map(str::to_owned).filter(|case| case.contains("->")).collect()
}

#[test]
fn every_rule_has_a_firing_a_silent_a_gap_and_a_malformed_case() {
    for folder in folders("rules") {
        for file in ["rule.toml", "rule.rhai", "README.md"] {
            assert!(folder.join(file).is_file(), "{}: {file} is missing", folder.display());
        }
        let cases = cases(&folder);
        let name = folder.display();
        assert!(cases.iter().any(|c| c.contains("-> raise")), "{name}: no case raises");
        assert!(cases.iter().any(|c| !c.contains("-> raise") && !c.contains("-> error")), "{name}: no case is silent");
        assert!(cases.iter().any(|c| c.contains(" gap ")), "{name}: no case has a gap");
        assert!(
            cases.iter().any(|c| c.lines().next().is_some_and(|l| l.contains("malformed"))),
            "{name}: no malformed case"
        );
    }
}

#[test]
fn no_rule_finds_an_illness_and_every_one_says_what_it_does_not() {
    for folder in folders("rules") {
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("README.md");
        let name = folder.display();
        for heading in ["**Does:**", "**Does not:**", "**Source:**", "**Known false alerts:**", "**Params:**"] {
            assert!(readme.contains(heading), "{name}: {heading}");
        }
        assert!(!readme.to_lowercase().contains("diagnos"), "{name}: rules ask people to assess");
    }
}

#[test]
fn every_plugin_has_a_firing_a_silent_and_a_malformed_case() {
    for folder in folders("plugins") {
        for file in ["plugin.toml", "README.md"] {
            assert!(folder.join(file).is_file(), "{}: {file} is missing", folder.display());
        }
        let scripts = ["decode.rhai", "output.rhai", "derive.rhai"];
        let scripts = scripts.iter().filter(|file| folder.join(file).is_file()).count();
        let (cases, name) = (cases(&folder), folder.display());
        assert_eq!(scripts, 1, "{name}: one script, called by its kind");
        let any = |says: &str| cases.iter().any(|case| case.contains(says));
        if folder.join("derive.rhai").is_file() {
            // What is derived refuses nothing: it is silent, or passes a gap on.
            assert!(any("-> nothing") && any("-> gap"), "{name}: no case is silent, or none has a gap");
            continue;
        }
        assert!(any("-> error"), "{name}: no case refuses");
        assert!(cases.iter().any(|c| !c.contains("-> error")), "{name}: no case answers");
        // What always has something to say of a payload says by a gap what is missing.
        let is_silent = |line: &str| line.trim_end().ends_with("->") || line.contains(" gap ");
        assert!(cases.iter().any(|case| case.lines().any(is_silent)), "{name}: no case is silent");
    }
}
