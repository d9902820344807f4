//! Streams that plugins derive: named by rules, corrected and switched off while the gateway runs, made again in a replay.

use std::path::Path;

use pitchside_tests::program::{program, run};
use pitchside_tests::{Clinic, Running, Sensor, until};
use serde_json::Value;

use super::packages::{Maker, plugin};

/// Writes a plugin that makes `heat_index` of heart rates.
fn write_stream(plugins: &Path, version: &str, script: &str) {
    let folder = plugins.join("felt");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("derive.rhai"), script).unwrap();
    std::fs::write(folder.join("cases.txt"), "case none\n  +0s heart_rate gap silent -> nothing\n").unwrap();
    std::fs::write(folder.join("README.md"), "# A test\n").unwrap();
    let about = format!("name = \"felt\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"derived\"\n");
    // Last: with it the folder is a plugin.
    let manifest = format!("{about}inputs = [\"heart_rate\"]\noutputs = [\"heat_index\"]\n");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
}

/// A rule on what the plugin makes.
fn write_rule(rules: &Path, script: &str) {
    let folder = rules.join("hot");
    std::fs::create_dir_all(&folder).unwrap();
    let about = "name = \"hot\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"high\"\n";
    for (file, text) in [
        ("rule.toml", format!("{about}inputs = [\"heat_index\"]\n").as_str()),
        ("rule.rhai", script),
        ("cases.txt", "case none\n  +0s heat_index 1 Cel ->\n"),
        ("README.md", "# A test\n"),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
}

async fn clinic(script: &str) -> (Running, Sensor) {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger();
    write_stream(&clinic.dir().join("plugins"), "1.0.0", script);
    write_rule(&clinic.dir().join("rules"), "value > 70.0");
    let clinic = clinic.start().await;
    let s7 = clinic.sensor("s7").await;
    (clinic, s7)
}

/// Version and state of each rule and stream.
fn standing(clinic: &Running) -> Vec<(String, String, bool)> {
    let rows = clinic.pitchside(&["--json", "rules", "status"]).ok().json();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| (text(row, "rule"), text(row, "version"), row["off"] == true);
    rows.as_array().unwrap().iter().map(row).collect()
}

/// Waits until the stream is at a version, or is gone.
async fn comes_to(clinic: &Running, version: Option<&str>) {
    until("the stream to change", || {
        let standing = standing(clinic);
        let felt = standing.iter().find(|(name, ..)| name == "felt").map(|(_, version, _)| version.as_str());
        (!standing.is_empty() && felt == version).then_some(())
    })
    .await;
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

fn replay(clinic: &Running, id: &str) -> Value {
    clinic.pitchside(&["--json", "rules", "replay", id]).ok().json()
}

#[tokio::test]
async fn a_stream_is_switched_off_though_the_folder_of_rules_is_not_in_order() {
    let (clinic, mut s7) = clinic("value / 2.0").await;
    comes_to(&clinic, Some("1.0.0")).await;
    std::fs::write(clinic.dir().join("rules/good/rule.rhai"), "value <").unwrap();
    clinic.pitchside(&["plugin", "disable", "felt"]).ok();
    comes_to(&clinic, None).await;
    beats(&clinic, &mut s7, &[160, 100, 190]).await;
    let alerts = clinic.alerted(1).await;
    assert!(alerts.iter().all(|row| row.alert.rule.as_str() == "good"), "as it was in force before: {alerts:?}");
}

#[tokio::test]
async fn a_rule_on_a_plugins_stream_raises_and_replays_with_the_very_version_that_was_in_force() {
    let (mut clinic, mut s7) = clinic("value / 2.0").await;
    comes_to(&clinic, Some("1.0.0")).await;
    beats(&clinic, &mut s7, &[100, 150, 100]).await;
    let first = clinic.alerted(1).await.remove(0).alert;
    assert_eq!((first.rule.as_str(), first.quantity.name()), ("hot", "heat_index"));
    assert_eq!(first.value.map(|value| value.to_string()).as_deref(), Some("75"));
    clinic.seal().await;
    assert!(clinic.values("s7").iter().all(|value| value.starts_with("heart_rate")), "what is derived is not kept");
    let id = first.id.to_string();
    let said = replay(&clinic, &id);
    assert_eq!(said["result"], "identical", "{said}");
    let backtest = clinic.pitchside(&["--json", "rules", "backtest", "hot", "--since", "1d"]).ok().json();
    assert_eq!((&backtest["fires"], &backtest["difference"]["same"]), (&1.into(), &1.into()), "{backtest}");

    // Corrected: what was raised is raised again by the version of then, and no longer by this one.
    let blocks = clinic.blocks().len();
    write_stream(&clinic.dir().join("plugins"), "1.0.1", "value / 4.0");
    comes_to(&clinic, Some("1.0.1")).await;
    beats(&clinic, &mut s7, &[150, 100]).await;
    clinic.seal().await;
    assert!(clinic.blocks().len() > blocks);
    assert_eq!(replay(&clinic, &id)["result"], "identical");
    let backtest = clinic.pitchside(&["--json", "rules", "backtest", "hot", "--since", "1d"]).ok().json();
    assert_eq!(backtest["fires"], 0, "{backtest}");
    assert_ne!(replay(&clinic, &id)["set_hash"], Value::Null);

    write_stream(&clinic.dir().join("plugins"), "1.0.2", "value / 2.0");
    comes_to(&clinic, Some("1.0.2")).await;
    beats(&clinic, &mut s7, &[160, 100]).await;
    clinic.alerted(2).await;

    // Switched off: nothing is made any more; other rules go on.
    let off = clinic.pitchside(&["plugin", "disable", "felt"]).ok();
    assert!(off.err.contains("the rule hot hears no heat_index from now on"), "{off:?}");
    comes_to(&clinic, None).await;
    for command in [["rules", "status"].as_slice(), &["doctor"]] {
        let said = clinic.pitchside(command).out;
        assert!(said.contains("hears no heat_index: felt is switched off"), "{command:?}: {said}");
    }
    beats(&clinic, &mut s7, &[170, 100, 190]).await;
    let alerts = clinic.alerted(3).await;
    assert_eq!(alerts.iter().filter(|row| row.alert.rule.as_str() == "hot").count(), 2, "{alerts:?}");
    clinic.seal().await;
    for row in clinic.alerts() {
        let said = replay(&clinic, &row.alert.id.to_string());
        assert_eq!(said["result"], "identical", "{said}");
    }

    // Evidence holds the stream's texts, and needs nothing but the file.
    clinic.synced().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (file, policy) = (elsewhere.path().join("alert"), elsewhere.path().join("policy"));
    std::fs::copy(clinic.ledger().policy(), &policy).unwrap();
    clinic.pitchside(&["evidence", "export", &id, "--out", file.to_str().unwrap()]).ok();
    let verified = ["--json", "evidence", "verify", file.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
    let said = run(&program("pitchside"), verified).ok().json();
    assert_eq!((&said["follows"], &said["rules_in_block"]), (&"from_readings".into(), &true.into()), "{said}");
    assert_eq!(said["readings"], 2, "100 and 150 a minute: {said}");
}

#[tokio::test]
async fn what_is_known_of_a_stream_outlives_a_change_of_the_rules_while_the_box_is_off() {
    let (mut clinic, mut s7) = clinic("value / 2.0").await;
    // Rules that know nothing hear nothing of before.
    clinic.settings().journal.horizon_s = 0;
    comes_to(&clinic, Some("1.0.0")).await;
    beats(&clinic, &mut s7, &[100, 150]).await;
    clinic.alerted(1).await;
    clinic.stop().await;
    clinic.write_rule("other", "value > 300.0");
    clinic.start().await;
    s7.connect().await;
    beats(&clinic, &mut s7, &[100]).await;
    until("the alert to be over", || clinic.alerts()[0].cleared).await;
    assert_eq!(clinic.alerts().len(), 1);
}

#[tokio::test]
async fn a_stream_that_loops_is_switched_off_named_and_put_back() {
    let (clinic, mut s7) = clinic("loop {}").await;
    beats(&clinic, &mut s7, &[100, 101, 102, 103, 104, 105, 106, 107, 190]).await;
    assert_eq!(clinic.alerted(1).await[0].alert.rule.as_str(), "good", "the other rule does not notice");
    let off = || standing(&clinic).into_iter().find(|(name, ..)| name == "felt").filter(|(.., off)| *off);
    until("the stream to be off", off).await;
    let words = clinic.pitchside(&["rules", "status"]).ok().out;
    assert!(words.contains("felt (stream)") && words.contains("switched off"), "{words}");
    let log = clinic.pitchside(&["plugin", "logs", "felt"]).ok().out;
    assert!(log.contains("too many operations") && log.contains("it is switched off"), "{log}");
    clinic.pitchside(&["rules", "again", "felt"]).ok();
    write_stream(&clinic.dir().join("plugins"), "1.0.1", "value / 2.0");
    comes_to(&clinic, Some("1.0.1")).await;
    beats(&clinic, &mut s7, &[100, 150]).await;
    assert!(clinic.alerted(2).await.iter().any(|row| row.alert.rule.as_str() == "hot"));
}

#[tokio::test]
async fn a_new_version_of_a_stream_hears_sealed_history_and_takes_over_only_if_it_makes_the_same() {
    let (clinic, mut s7) = clinic("value / 2.0").await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    let package = |version: &str, script: &str| {
        let manifest = format!(
            "name = \"felt\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"derived\"\n\
             inputs = [\"heart_rate\"]\noutputs = [\"heat_index\"]\n"
        );
        let cases = "case none\n  +0s heart_rate gap silent -> nothing\n";
        let package = maker.packs_files("felt", &manifest, ("derive.rhai", script), cases);
        maker.signs(&package);
        package.to_str().unwrap().to_owned()
    };
    plugin(&clinic, &["install", &package("1.1.0", "value / 2.0\n"), "--new-signer"]).ok();
    beats(&clinic, &mut s7, &[60, 80, 100]).await;
    clinic.seal().await;

    let update = |version: &str, script: &str, more: &[&str]| {
        let package = package(version, script);
        plugin(&clinic, &[&["update", package.as_str(), "--since", "10000d"], more].concat())
    };
    let other = update("1.2.0", "if value > 90.0 { 1.0 } else { value / 2.0 }\n", &[]);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.err.contains("of ada: it made heat_index 50 Cel at "), "{other:?}");
    assert!(other.err.contains("it makes heat_index 1 Cel at "), "{other:?}");
    let fails = update("1.3.0", "if value > 90.0 { [][3] } else { value / 2.0 }\n", &["--allow-differences"]);
    assert!(fails.code == 1 && fails.err.contains("1.3.0 is refused, 1.1.0 stays: it fails: message "), "{fails:?}");
    let alike = update("1.4.0", "value * 0.5\n", &[]).ok();
    assert!(alike.out.contains("it does the same on 3 readings of sealed history, 3 made of them"), "{alike:?}");
    comes_to(&clinic, Some("1.4.0")).await;

    // Where neither makes anything, nothing was compared.
    update("1.5.0", "if value > 200.0 { value } else { () }\n", &["--allow-differences"]).ok();
    let silent = update("1.6.0", "if value > 200.0 { value / 9.0 } else { () }\n", &[]);
    let why = "neither version makes a reading of 3 readings of sealed history";
    assert!(silent.code == 1 && silent.err.contains(why) && silent.err.contains("--allow-differences"), "{silent:?}");
    let log = plugin(&clinic, &["logs", "felt"]).ok().out;
    assert!(log.contains("1.6.0 is refused, 1.5.0 stays: there was nothing to compare it on"), "{log}");
}
