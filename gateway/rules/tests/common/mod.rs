//! What the tests of the real rules worker share: the program, rules on a disk, and readings for them.

use std::path::Path;

use pitchside_model::*;
use pitchside_script::Program;

/// The worker.
pub fn program() -> Program {
    Program { exe: env!("CARGO_BIN_EXE_rules-worker").into(), args: Vec::new() }
}

/// Writes a rule on heart rate; `state` is that part of its manifest.
pub fn write(folder: &Path, name: &str, state: &str, script: &str) {
    let rule = folder.join(name);
    std::fs::create_dir_all(&rule).unwrap();
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n{state}"
    );
    std::fs::write(rule.join("rule.toml"), manifest).unwrap();
    std::fs::write(rule.join("rule.rhai"), script).unwrap();
    std::fs::write(rule.join("cases.txt"), "case none\n  +0s heart_rate 1 /min ->\n").unwrap();
    std::fs::write(rule.join("README.md"), "# A test\n").unwrap();
}

/// A heart rate of Ann's.
pub fn rate(second: u64, value: i64) -> Entry {
    let time = Timestamp::from_seconds(1_767_225_600 + second as i64);
    Entry {
        device: DeviceId::parse("strap").unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(second),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Unit::PER_MINUTE,
            device_time: time,
            gateway_time: time,
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(value)),
        }],
    }
}
