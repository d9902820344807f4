//! Who may import whom: DESIGN's table, against every manifest.

use std::collections::BTreeMap;

/// Package -> the packages of ours it may depend on. `tests` may depend on anything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("pitchside-model", &[]),
    ("pitchside-wire", &[]),
    ("ledger-block", &["pitchside-model"]),
    ("pitchside-device-sdk", &["pitchside-wire"]),
    ("pitchside-collect", &["pitchside-model", "pitchside-wire"]),
    ("pitchside-auth", &["pitchside-model", "pitchside-wire"]),
    ("pitchside-config", &["pitchside-model"]),
    ("pitchside-script", &["pitchside-model"]),
    ("pitchside-decode", &["pitchside-model", "pitchside-script"]),
    ("pitchside-rules", &["pitchside-model", "pitchside-script"]),
    ("pitchside-seal", &["pitchside-model", "ledger-block"]),
    ("pitchside-store", &["pitchside-model", "ledger-block"]),
    ("pitchside-sync", &["pitchside-model", "ledger-block"]),
    ("pitchside-release", &["pitchside-model", "ledger-block"]),
    ("pitchside-admin", &["pitchside-model", "ledger-block"]),
    ("ledger-log", &["ledger-block"]),
    ("ledgerd", &["ledger-block", "ledger-log"]),
];

fn manifests() -> BTreeMap<String, toml::Table> {
    let root = super::root();
    let workspace: toml::Table =
        std::fs::read_to_string(root.join("Cargo.toml")).expect("workspace manifest").parse().expect("TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    members
        .iter()
        .map(|member| {
            let path = root.join(member.as_str().expect("a path")).join("Cargo.toml");
            let manifest: toml::Table = std::fs::read_to_string(&path).expect("manifest").parse().expect("TOML");
            (manifest["package"]["name"].as_str().expect("a name").to_owned(), manifest)
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_design_allows() {
    let manifests = manifests();
    let mut wrong = Vec::new();
    for (name, manifest) in &manifests {
        if name == "pitchside-tests" {
            continue;
        }
        let allowed = ALLOWED.iter().find(|(n, _)| n == name).map(|(_, a)| *a);
        for section in ["dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in table.keys().filter(|d| manifests.contains_key(*d)) {
                let ok = match allowed {
                    Some(list) => list.contains(&dependency.as_str()),
                    None => name == "pitchside-gatewayd" && dependency != "pitchside-device-sdk",
                };
                if !ok {
                    wrong.push(format!("{name} must not import {dependency}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let text = std::fs::read_to_string(super::root().join("Cargo.toml")).expect("workspace manifest");
    let section = text.split("[workspace.dependencies]").nth(1).expect("section").split("\n[").next().expect("body");
    let bare: Vec<&str> = section
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#') && !line.contains("path = "))
        .filter(|line| !line.contains(" # "))
        .collect();
    assert!(bare.is_empty(), "dependencies without a reason:\n{}", bare.join("\n"));
}

#[test]
fn every_dependency_is_used() {
    let manifests = manifests();
    let workspace: toml::Table =
        std::fs::read_to_string(super::root().join("Cargo.toml")).expect("workspace manifest").parse().expect("TOML");
    let all = workspace["workspace"]["dependencies"].as_table().expect("dependencies");
    let unused: Vec<&String> = all
        .keys()
        .filter(|name| {
            !manifests.values().any(|manifest| {
                ["dependencies", "dev-dependencies", "build-dependencies"]
                    .iter()
                    .any(|s| manifest.get(*s).and_then(toml::Value::as_table).is_some_and(|t| t.contains_key(*name)))
            })
        })
        .collect();
    assert!(unused.is_empty(), "no crate uses: {unused:?}");
}

#[test]
fn only_auth_vouches() {
    let offenders: Vec<_> = super::sources()
        .into_iter()
        .filter(|(path, text)| {
            text.contains("::vouch(")
                && text.contains("Authentic::vouch(")
                && !path.starts_with("gateway/auth")
                && !super::is_test_code(path)
                && !text.contains("#[cfg(test)]\nmod tests {")
        })
        .map(|(path, _)| path)
        .filter(|path| !path.ends_with("model/src/authentic.rs"))
        .collect();
    assert!(offenders.is_empty(), "`Authentic` is made outside auth: {offenders:?}");
}
