//! What the prose says exists: make targets, commands, links; and words we do not use.

use std::collections::BTreeSet;
use std::path::PathBuf;

fn pages() -> Vec<(PathBuf, String)> {
    super::files_below(&super::root())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| (path.clone(), std::fs::read_to_string(&path).expect("UTF-8 page")))
        .collect()
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = std::fs::read_to_string(super::root().join("Makefile")).expect("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.', ' ']))
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(names, _)| names.split_whitespace())
        .collect();
    for (path, text) in pages() {
        for part in text.split("`make ").skip(1) {
            let target = part.split([' ', '`', '\n']).next().unwrap_or("");
            assert!(targets.contains(target), "{} names `make {target}`", path.display());
        }
    }
}

#[test]
fn every_pitchside_command_that_a_page_names_exists() {
    let command = gatewayd::cli::command();
    for (path, text) in pages() {
        for part in text.split("`pitchside ").skip(1) {
            let line = part.split(['`', '\n']).next().unwrap_or("");
            let mut at = &command;
            for word in line.split_whitespace() {
                if at.get_subcommands().next().is_none() || word.starts_with('-') {
                    break;
                }
                let found = at.find_subcommand(word);
                assert!(found.is_some(), "{} names `pitchside {line}`", path.display());
                at = found.unwrap_or(at);
            }
        }
    }
}

#[test]
fn relative_links_lead_somewhere() {
    for (path, text) in pages() {
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let linked = path.parent().expect("a folder").join(target);
            assert!(linked.exists(), "{} links to {target}", path.display());
        }
    }
}

#[test]
fn an_alert_is_called_nothing_else() {
    let word = concat!("ala", "rm");
    for (path, text) in super::sources() {
        assert!(!text.to_lowercase().contains(word), "{} says \"{word}\"", path.display());
    }
}
