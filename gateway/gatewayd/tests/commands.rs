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

/// A command on the box.
fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--config", "box/pitchside.toml"]].concat()
}

/// The plugins of the repository.
const LIBRARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");

#[test]
fn what_can_never_work_is_refused_at_enrolment_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box", "--plugins", LIBRARY]);
    let (zeros, address) = ("00".repeat(32), "F0:F1:F2:F3:F4:01");
    let refused: &[(&[&str], &str)] = &[
        (&["--decoder", "nope"], "there is no plugin nope; decoders are: generic-heart-rate, "),
        (&["--decoder", "webhook-out"], "plugin webhook-out decodes nothing, its kind is output; decoders are: "),
        (&["--class", "app", "--read", "live/#", "--decoder", "json-mapper"], "leave --decoder out"),
        (
            &["--class", "bonded", "--address", address, "--just-works", "--decoder", "json-mapper"],
            "no decoder is ever asked",
        ),
        (&["--class", "app"], "--read 'alerts/#'"),
        (&["--class", "app", "--read", "alerts/#/x"], "\"alerts/#/x\" is no topic filter"),
        (&["--class", "app", "--read", "alerts/#", "--read", ""], "\"\" is no topic filter"),
        (&["--read", "alerts/#"], "--read is for --class app"),
        (&["--class", "password", "--public-key", &zeros], "--public-key is for --class p2"),
        (&["--class", "p2", "--public-key", &zeros], "this public key is of low order"),
        (&["--class", "wired", "--address", address], "--address is for what is reached by Bluetooth"),
        (&["--class", "bonded", "--address", "FF:FF:FF:FF:FF:FF", "--just-works"], "nobody's address"),
        (&["--class", "bonded", "--address", address, "--just-works", "--out", "s7"], "leave --out out"),
    ];
    for (args, why) in refused {
        let output =
            pitchside(dir.path(), &[&["device", "enrol", "s7", "--config", "box/pitchside.toml"][..], *args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(why), "{args:?}: {}", text(&output.stderr));
    }
    let own = ["device", "enrol", "pitchside-drill", "--class", "bonded", "--address", address, "--just-works"];
    let output = pitchside(dir.path(), &with(&own));
    assert_eq!(output.status.code(), Some(2), "the gateway's own: {}", text(&output.stderr));
    let listed = done(dir.path(), &["--json", "device", "list", "--config", "box/pitchside.toml"]);
    assert_eq!(listed.trim(), "[]");
}

#[test]
fn a_decoder_that_waits_is_told_and_a_file_is_named_only_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box", "--plugins", LIBRARY]);
    let run = |args: &[&str]| {
        let output = pitchside(dir.path(), &with(args));
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    };
    let (_, told) =
        run(&["device", "enrol", "hall", "--class", "password", "--decoder", "json-mapper", "--out", "hall"]);
    assert_eq!(told, "", "it is there and on");
    run(&["plugin", "disable", "json-mapper"]);
    let (_, told) =
        run(&["device", "enrol", "roof", "--class", "password", "--decoder", "json-mapper", "--out", "roof"]);
    assert!(told.contains("plugin json-mapper is switched off: pitchside plugin enable json-mapper"), "{told}");
    let (said, told) = run(&["device", "enrol", "plate", "--class", "wired", "--out", "plate"]);
    assert_eq!(said, "enrolled plate (wired)\n");
    assert!(told.contains("plate is not written") && !dir.path().join("plate").exists(), "{told}");
}

#[test]
fn a_device_that_measures_nobody_is_given_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    done(dir.path(), &["init", "--dir", "box"]);
    for (id, class) in [("s7", "p1"), ("s8", "p1"), ("strap", "bonded")] {
        let address: &[&str] = if class == "bonded" { &["--address", "F0:F1:F2:F3:F4:01"] } else { &[] };
        done(dir.path(), &with(&[&["device", "enrol", id, "--class", class][..], address].concat()));
    }
    done(dir.path(), &with(&["device", "enrol", "coach", "--class", "app", "--read", "alerts/#"]));
    done(dir.path(), &with(&["athlete", "add", "ada"]));
    for id in ["s7", "strap"] {
        done(dir.path(), &with(&["device", "revoke", id]));
    }
    for (args, why) in [
        (["device", "assign", "s7", "ada"], "s7 is revoked, for good: enrol it anew"),
        (["device", "assign", "coach", "ada"], "coach is an app"),
        (["device", "code", "strap", "--forget"], "strap is revoked, for good, and pairs no more"),
    ] {
        let output = pitchside(dir.path(), &with(&args));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(why), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(done(dir.path(), &with(&["device", "assign", "s8", "ada"])), "s8 now measures ada\n");
}
