//! The rules of the top-level folder `rules/`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_rules::{RuleSet, run_cases};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

#[test]
fn every_case_of_every_rule_passes() {
    let report = run_cases(&folder());
    assert!(report.passed(), "{report}");
    assert!(report.cases.len() >= 16, "{report}");
}

#[test]
fn the_library_loads_and_its_hash_follows_every_byte() {
    let set = RuleSet::load(&folder()).unwrap();
    assert_eq!(set.hash(), RuleSet::read(&folder()).unwrap().hash());
    let names: Vec<&str> = set.rules().iter().map(|rule| rule.name().as_str()).collect();
    assert_eq!(names, ["heart-rate-ceiling", "heart-rate-recovery", "heat-illness", "sensor-silent"]);
    let fewer = RuleSet::new(set.rules()[1..].iter().cloned()).unwrap();
    assert_ne!(fewer.hash(), set.hash());
}

#[test]
fn the_reference_names_everything_a_script_can_use() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (name, _) in pitchside_rules::VARIABLES {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
    for (name, _) in pitchside_rules::input::METHODS {
        assert!(readme.contains(&format!("`.{name}`")), "{name}");
    }
    for (name, _) in pitchside_rules::input::PROPERTIES {
        assert!(readme.contains(&format!("`.{name}`")), "{name}");
    }
    for (name, _) in pitchside_rules::functions::HELPERS {
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
    for made in pitchside_rules::derive::DERIVATIONS {
        let names = made.outputs.iter().chain(made.inputs).map(|quantity| quantity.name());
        for name in names.chain(made.formula.iter().copied()).filter(|name| !name.starts_with("acceleration_")) {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn every_rule_has_a_firing_a_silent_a_gap_and_a_malformed_case() {
    use pitchside_script::cases::{Content, Outcome, parse_rule_cases};
    for rule in RuleSet::read(&folder()).unwrap().rules() {
        let text = std::fs::read_to_string(folder().join(rule.name().as_str()).join("cases.txt")).unwrap();
        let cases = parse_rule_cases("cases.txt", &text).unwrap();
        let raises = |outcomes: &[Outcome]| outcomes.iter().any(|o| matches!(o, Outcome::Raise(..)));
        assert!(cases.iter().any(|c| c.steps.iter().any(|s| raises(&s.expected))), "{}: firing", rule.name());
        assert!(cases.iter().any(|c| c.steps.iter().all(|s| s.expected.is_empty())), "{}: silent", rule.name());
        let gap = |c: Content| matches!(c, Content::Gap(_));
        assert!(cases.iter().any(|c| c.steps.iter().any(|s| gap(s.content))), "{}: gap", rule.name());
        assert!(cases.iter().any(|c| c.steps.iter().any(|s| !s.quality.is_empty())), "{}: malformed", rule.name());
    }
}
