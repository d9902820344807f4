//! The hostile corpus as rules, in a real rules worker: each script meets the functions real rules have. Beside it an honest
//! rule runs, which must not notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pitchside_model::AlertEvent;
use pitchside_rules::{RulesError, RulesWorker};

use common::{program, rate, write};

const STATE: &str = "[state]\nmemory = 0.0\nwords = \"\"\n";

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.sort();
    scripts
}

/// Puts each script in force as a rule, feeds a reading, and returns of each what came of it.
async fn attack(folder: &str) -> Vec<(String, String, String)> {
    let rules_folder = tempfile::tempdir().unwrap();
    write(rules_folder.path(), "honest", "", "value > 180.0");
    let mut rules = RulesWorker::spawn(&program(), rules_folder.path()).await.unwrap();
    let mut outcomes = Vec::new();
    for (number, path) in (0u64..).zip(scripts(folder)) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let script = std::fs::read_to_string(&path).unwrap();
        // A name of its own, so that nothing of the one before is left.
        let rule = format!("attack-{name}");
        write(rules_folder.path(), &rule, STATE, &script);
        let (begun, restarts) = (Instant::now(), rules.restarts());
        let loaded = rules.reload().await;
        // Minutes apart: what is raised too often stays raised.
        let fed = rules.feed(&[rate(120 * number + 1, 190), rate(120 * number + 2, 100)]).await;
        let fed = fed.unwrap_or_else(|e| panic!("{name}: {e}"));
        let took = begun.elapsed();
        let honest = |event: &&AlertEvent| matches!(event, AlertEvent::Raised(a) if a.rule.as_str() == "honest");
        assert_eq!(fed.events.iter().filter(honest).count(), 1, "the honest rule noticed {name}: {fed:?}");
        assert!(took < Duration::from_secs(30), "{name}: {took:?}");
        let told = match (loaded, fed.faults.first()) {
            (Err(RulesError::Problems(problems)), _) => format!("refused: {}", problems[0]),
            (Err(error), _) => format!("refused: {error}"),
            (Ok(_), Some(fault)) => fault.fault.to_string(),
            (Ok(_), None) => fed
                .events
                .iter()
                .find_map(|event| match event {
                    AlertEvent::Raised(alert) if alert.rule.as_str() == rule => {
                        Some(format!("raise {}", alert.message))
                    }
                    _ => None,
                })
                .unwrap_or_else(|| "nothing".to_owned()),
        };
        let died = if rules.restarts() > restarts { " (the worker died and was filled again)" } else { "" };
        println!("{name:32} {:>4} ms  {told}{died}", took.as_millis());
        std::fs::remove_dir_all(rules_folder.path().join(&rule)).unwrap();
        assert!(!told.chars().any(pitchside_script::fault::deceives), "{name}: {told:?}");
        let header = script.lines().next().and_then(|line| line.strip_prefix("// stopped by: "));
        outcomes.push((name, header.unwrap_or_default().to_owned(), told));
    }
    outcomes
}

#[tokio::test]
async fn whatever_attacks_the_sandbox_attacks_it_in_vain_as_a_rule() {
    assert!(attack("../script/tests/hostile").await.len() >= 60);
}

#[tokio::test]
async fn odd_calls_of_what_rules_have_are_stopped_by_what_they_name() {
    let wrong: Vec<String> = attack("tests/hostile")
        .await
        .into_iter()
        .filter(|(_, stoppers, told)| !stoppers.split(" | ").any(|s| told.contains(s)) && !told.contains("too slow"))
        .map(|(name, stoppers, told)| format!("{name}: expected {stoppers}, got {told}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
