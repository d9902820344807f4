//! Commands on a new box, as somebody types them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

fn pitchside(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pitchside")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(folder: &Path, args: &[&str]) -> String {
    let output = pitchside(folder, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_file_without_a_folder_is_written_where_one_stands() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box"]);
    let box_of = ["--config", "box/pitchside.toml"];
    done(dir.path(), &[&["device", "enrol", "s7", "--out", "s7.card"][..], &box_of].concat());
    assert!(!std::fs::read(dir.path().join("s7.card")).unwrap().is_empty());
}

#[test]
fn a_fresh_box_takes_a_line_and_an_adapter_at_the_end_of_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box"]);
    let settings = dir.path().join("box/pitchside.toml");
    let more = "\n[[serial]]\npath = \"/dev/ttyUSB0\"\n\n[[ble]]\nadapter = \"hci0\"\n";
    std::fs::write(&settings, std::fs::read_to_string(&settings).unwrap() + more).unwrap();
    done(dir.path(), &["config", "check", "--config", "box/pitchside.toml"]);
}

#[test]
fn the_doctor_names_listeners_and_says_nothing_of_an_oldest_where_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box"]);
    let settings = dir.path().join("box/pitchside.toml");
    let without = std::fs::read_to_string(&settings).unwrap();
    let examine = |settings_text: String| {
        std::fs::write(&settings, settings_text).unwrap();
        let output = pitchside(dir.path(), &["--json", "doctor", "--config", "box/pitchside.toml"]);
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let of = |what: &str| findings.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap().clone();
        (of("listeners"), of("undecoded payloads"))
    };
    let (listeners, undecoded) = examine(without.clone());
    assert_eq!(undecoded["evidence"], "0 wait for their plugin");
    assert_eq!((&listeners["ok"], &listeners["evidence"]), (&false.into(), &NONE.into()));
    assert!(listeners["mend"].as_str().unwrap().contains("mqtt.tls"));
    assert!(!without.contains("tls ="), "{without}");
    let mut with: toml::Table = without.parse().unwrap();
    let mqtt = with.entry("mqtt").or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
    mqtt.insert("tls".into(), "127.0.0.1:8883".into());
    let (listeners, _) = examine(with.to_string());
    assert_eq!((&listeners["ok"], &listeners["evidence"]), (&true.into(), &"127.0.0.1:8883".into()));
}

const NONE: &str = "none configured: no device can send anything";
