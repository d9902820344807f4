//! The pages of `docs/`, played: every command they show is run and must answer as they say, every file they show is written and
//! must be in order. Only what is fenced as `text` is passed over. Stage directions, which readers don't see, say what happens
//! in the clinic meanwhile: see [`stage`].
//!
//! `UPDATE=1 cargo test -p pitchside-tests --test docs` writes down what the commands say now, `[..]` for what differs each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod page;
mod play;
mod stage;

use std::path::Path;

use pitchside_tests::program::repository;

/// The pages, each by the test below that plays it.
const PAGES: [&str; 7] = [
    "README.md",
    "plugins/explanation.md",
    "plugins/how-to.md",
    "plugins/tutorial.md",
    "rules/explanation.md",
    "rules/how-to.md",
    "rules/tutorial.md",
];

fn below(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        } else {
            found.push(path.strip_prefix(repository().join("docs")).unwrap().display().to_string());
        }
    }
}

#[test]
fn every_page_is_played() {
    let mut found = Vec::new();
    below(&repository().join("docs"), &mut found);
    found.sort();
    assert_eq!(found, PAGES, "a page that no test plays, or a test without its page");
}

#[tokio::test]
async fn the_map() {
    play::page("README.md").await;
}

#[tokio::test]
async fn a_rule_from_nothing_to_a_replayed_alert() {
    play::page("rules/tutorial.md").await;
}

#[tokio::test]
async fn what_an_admin_wants_done() {
    play::page("rules/how-to.md").await;
}

#[tokio::test]
async fn why_rules_are_as_they_are() {
    play::page("rules/explanation.md").await;
}

#[tokio::test]
async fn a_plugin_from_nothing_to_its_logs() {
    play::page("plugins/tutorial.md").await;
}

#[tokio::test]
async fn what_an_integrator_wants_done() {
    play::page("plugins/how-to.md").await;
}

#[tokio::test]
async fn why_plugins_are_as_they_are() {
    play::page("plugins/explanation.md").await;
}
