//! The reference in `rules/` is what the engine has, and its examples run.
//! `UPDATE=1 cargo test -p pitchside-rules --test reference` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use pitchside_model::*;
use pitchside_rules::{Engine, RuleSet, RuleSource, reference};

#[test]
fn the_committed_reference_is_the_generated_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    for (name, text) in reference::files() {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "rules/{name} is old; run `{}` and commit it", reference::COMMAND);
    }
}

fn rate(second: i64) -> Entry {
    let time = Timestamp::from_seconds(1_767_225_600 + second);
    let reading = Reading {
        quantity: Quantity::HEART_RATE,
        unit: Unit::PER_MINUTE,
        device_time: time,
        gateway_time: time,
        quality: Quality::empty(),
        value: Value::Number(Decimal::integer(100 + second)),
    };
    Entry {
        device: DeviceId::parse("strap").unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(second as u64),
        readings: vec![reading],
    }
}

#[test]
fn every_example_runs_as_a_rule() {
    let manifest = "name = \"shown\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\n\
                    inputs = [\"heart_rate\"]\ngaps = true\n";
    for entry in reference::reference().entries {
        let script = format!("let shown = {{ {} }};\nshown == true || shown != true", entry.example);
        let rule = RuleSource::parse("shown", manifest, &script).unwrap();
        let engine = RuleSet::new([rule]).and_then(|set| Engine::new(Arc::new(set)));
        let mut engine = engine.unwrap_or_else(|problems| panic!("{}: {}: {problems:?}", entry.name, entry.example));
        let fed = engine.feed(&(0..90).map(rate).collect::<Vec<_>>());
        assert!(fed.faults.is_empty(), "{}: {}: {:?}", entry.name, entry.example, fed.faults[0]);
        assert!(!entry.doc.is_empty() && !entry.example.is_empty(), "{}", entry.name);
    }
}
