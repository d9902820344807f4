//! What is refused, and in which words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pitchside_config::{Loaded, Problem, Source, explain};

fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pitchside.toml");
    std::fs::write(&file, text).unwrap();
    Loaded::load(&Source::File(file))
}

fn refusal(text: &str) -> String {
    load(text).expect_err("must be refused").iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_unknown_key_is_refused_and_the_right_one_named() {
    let said = refusal("[mqtt]\nconnection_max = 5\n");
    assert!(said.contains("pitchside.toml") && said.contains("mqtt.connections_max"), "{said}");
    assert!(refusal("[blokcs]\ninterval_ms = 500\n").contains("no such setting"));
}

#[test]
fn plaintext_beyond_loopback_is_refused() {
    assert!(refusal("[mqtt]\ntcp = [\"0.0.0.0:1883\"]\n").contains("not loopback"));
    assert!(load("[mqtt]\ntcp = [\"127.0.0.1:1883\", \"[::1]:1883\"]\n").is_ok());
}

#[test]
fn wrong_types_and_values_are_refused_with_their_key() {
    assert!(refusal("[http]\naddress = \"here\"\n").contains("http.address"));
    assert!(refusal("[blocks]\ninterval_ms = 5\n").contains("blocks.interval_ms"));
    assert!(refusal("[gateway]\nname = \"a/b\"\n").contains("gateway.name"));
    let slow = refusal("[firmware]\nserve_bytes_per_s_max = 20000\n");
    assert!(slow.contains("firmware.serve_bytes_per_s_max") && slow.contains("from 65536"), "{slow}");
    assert!(refusal("[[serial]]\npath = \"/dev/ttyS0\"\nmode = \"wired\"\n").contains("serial.device"));
    assert!(
        refusal("[ledger]\naddress = \"x\"\npublic_key = \"00\"\npolicy = \"p\"\n").lines().count() == 2,
        "all at once"
    );
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let said = Loaded::load(&Source::File("/nonexistent/pitchside.toml".into())).unwrap_err();
    assert!(said[0].to_string().contains("pitchside init"));
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let loaded = load("[gateway]\ndata_dir = \"data\"\n").unwrap();
    assert!(loaded.settings.gateway.data_dir.is_absolute());
    assert!(loaded.origin("gateway.data_dir").0.contains("pitchside.toml"));
    assert_eq!(loaded.origin("http.address").0, "default");
}

#[test]
fn every_setting_is_explained() {
    let table = toml::Table::try_from(pitchside_config::Settings::default()).unwrap();
    for (section, keys) in &table {
        if let Some(keys) = keys.as_table() {
            for key in keys.keys() {
                assert_eq!(explain::explain(&format!("{section}.{key}")).len(), 1, "{section}.{key}");
            }
        }
    }
}
