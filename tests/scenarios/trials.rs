//! What an admin sets, trusts and distrusts while versions of a plugin come and go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pitchside_model::{PluginName, Timestamp};
use pitchside_store::PluginChange;
use pitchside_tests::{Clinic, Running, Sensor, Told, until};
use pitchside_wire::Content;

use super::packages::{GOOD, Maker, install, log, plugin, standing, waiting};

/// A signed package of a decoder that adds what is set, at most `max`.
fn makes_adder(maker: &Maker, version: &str, max: u8) -> PathBuf {
    let manifest = format!(
        "name = \"acme\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n\
         [params.add]\ndefault = 0\nmin = 0\nmax = {max}\n"
    );
    let script = "[reading(\"heart_rate\", payload.u8(1) + add.to_int(), \"/min\")]\n";
    let package =
        maker.packs_files("acme", &manifest, ("decode.rhai", script), "case cut\n  00 -> error short_payload\n");
    maker.signs(&package);
    package
}

async fn says(s7: &mut Sensor, rate: u8) {
    assert_eq!(s7.says(Content::Vendor, [0, rate]).await, Told::Stored);
}

/// Says 60 until it is read as this; how many readings there are then.
async fn until_read(clinic: &Running, s7: &mut Sensor, value: &str) -> usize {
    while !clinic.values("s7").iter().any(|read| read == value) {
        says(s7, 60).await;
    }
    clinic.values("s7").len()
}

#[tokio::test]
async fn a_decoder_that_what_is_set_does_not_fit_any_more_waits_for_the_admin_and_reads_nothing_otherwise() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &makes_adder(&maker, "1.0.0", 100)).ok();
    plugin(&clinic, &["set", "acme", "add", "90"]).ok();
    let mut s7 = clinic.sensor("s7").await;
    let before = until_read(&clinic, &mut s7, "heart_rate 150").await;

    let said = install(&clinic, &makes_adder(&maker, "1.1.0", 50)).ok();
    let why = "add must be set again: 90 is not within 0 and 50";
    assert!(said.err.contains(&format!("acme 1.1.0 does not run as it is set: {why}")), "{said:?}");
    while waiting(&clinic) == 0 {
        says(&mut s7, 60).await;
    }
    let settings = plugin(&clinic, &["settings", "acme"]).ok().out;
    assert!(settings.contains("to be set again: 90 is not within 0 and 50"), "{settings}");
    assert!(plugin(&clinic, &["list"]).ok().out.contains(&format!("on ({why})")));
    let doctor = clinic.pitchside(&["doctor"]).out;
    assert!(doctor.contains(&format!("plugin acme does not run as it is set: {why}")), "{doctor}");
    until("it to be in the log", || log(&clinic).contains("it does not run as it is set").then_some(())).await;

    let refused = plugin(&clinic, &["update", makes_adder(&maker, "1.2.0", 40).to_str().unwrap()]);
    assert!(refused.code == 1 && refused.err.contains("1.1.0 stays: it could not run as it is set"), "{refused:?}");
    plugin(&clinic, &["set", "acme", "add", "40"]).ok();
    until("what waited is read", || (waiting(&clinic) == 0).then_some(())).await;
    until_read(&clinic, &mut s7, "heart_rate 100").await;
    let since = clinic.values("s7").split_off(before);
    assert!(since.iter().all(|value| value == "heart_rate 150" || value == "heart_rate 100"), "{since:?}");
}

#[tokio::test]
async fn a_version_on_trial_does_not_take_over_once_its_signer_is_distrusted() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &makes_adder(&maker, "1.0.0", 100)).ok();
    let next = makes_adder(&maker, "1.1.0", 100);
    plugin(&clinic, &["update", next.to_str().unwrap(), "--payloads", "100000", "--within", "1000h"]).ok();
    plugin(&clinic, &["distrust", &maker.public()]).ok();
    until("the trial to be over", || standing(&clinic).2.is_none().then_some(())).await;
    assert_eq!(standing(&clinic).0, "1.0.0");
    let said = log(&clinic);
    assert!(said.contains("1.1.0 is refused, 1.0.0 stays: its signer is trusted no more"), "{said}");
    let all = plugin(&clinic, &["logs"]).ok().out;
    for deed in ["is trusted: plugins it signs may be installed", "is trusted no more; what it signed stays"] {
        assert!(all.contains(deed), "{deed}: {all}");
    }
}

#[tokio::test]
async fn nothing_of_a_signer_who_is_distrusted_comes_into_force_again() {
    let clinic = Clinic::new().start().await;
    let (maker, other) = (Maker::new("acme.example/plugins"), Maker::new("other.example"));
    let trust = |verb: &str, maker: &Maker| plugin(&clinic, &[verb, &maker.public()]).ok();
    trust("trust", &maker);
    trust("trust", &other);
    install(&clinic, &maker.makes("1.0.0", GOOD)).ok();
    plugin(&clinic, &["install", other.makes("1.1.0", GOOD).to_str().unwrap(), "--new-signer"]).ok();
    let refused = |verb: &str, version: &str, maker: &Maker| {
        let answer = plugin(&clinic, &[verb, "acme"]);
        let key = std::fs::read_to_string(maker.public()).unwrap();
        let why = format!("acme {version} is signed by {}, whom this box does not trust", maker.signer());
        let remedy = format!("pitchside plugin trust {}, then pitchside plugin {verb} acme", key.trim());
        assert!(answer.code == 1 && answer.err.contains(&why) && answer.err.contains(&remedy), "{answer:?}");
    };

    trust("distrust", &maker);
    refused("rollback", "1.0.0", &maker);
    assert_eq!(standing(&clinic), ("1.1.0".into(), "on".into(), None));
    trust("distrust", &other);
    plugin(&clinic, &["enable", "acme"]).ok();
    plugin(&clinic, &["disable", "acme"]).ok();
    refused("enable", "1.1.0", &other);
    assert_eq!(
        standing(&clinic),
        ("1.1.0".into(), "off".into(), None),
        "what is in force stays, what is off stays off"
    );

    trust("trust", &other);
    plugin(&clinic, &["enable", "acme"]).ok();
    trust("trust", &maker);
    plugin(&clinic, &["rollback", "acme"]).ok();
    assert_eq!(standing(&clinic), ("1.0.0".into(), "on".into(), None));

    // Of one that came before whole keys were kept, the note tells.
    let (tables, name) = (clinic.tables(), PluginName::parse("acme").unwrap());
    let after = tables.plugin(&name).unwrap().unwrap().current;
    let mut package = tables.plugin_package(after.unwrap()).unwrap().unwrap();
    package.signer = "acme.example/plugins".to_owned();
    let change = PluginChange::Install { package, grants: Vec::new(), after };
    tables.change_plugin(&name, change, "came before whole keys were kept", Timestamp(1)).unwrap();
    for verb in ["disable", "enable", "disable"] {
        plugin(&clinic, &[verb, "acme"]).ok();
    }
    trust("distrust", &maker);
    let answer = plugin(&clinic, &["enable", "acme"]);
    assert!(answer.code == 1 && answer.err.contains("pitchside plugin trust KEY, then"), "{answer:?}");
}

/// A signed package of a decoder that counts the payloads of a device in `n`, and says 60 and as much.
fn makes_counter(maker: &Maker, version: &str, script: &str) -> PathBuf {
    let manifest = format!(
        "name = \"acme\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n\
         [state]\nn = 0\n"
    );
    let cases = "case the first\n  00 -> heart_rate 61 /min\n";
    let package = maker.packs_files("acme", &manifest, ("decode.rhai", script), cases);
    maker.signs(&package);
    package
}

#[tokio::test]
async fn a_version_that_spoils_what_it_keeps_of_devices_does_not_take_over() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &makes_counter(&maker, "1.0.0", "n += 1;\n[reading(\"heart_rate\", 60 + n, \"/min\")]\n")).ok();
    let mut s7 = clinic.sensor("s7").await;
    until_read(&clinic, &mut s7, "heart_rate 63").await;
    let update = |version: &str, script: &str| {
        let package = makes_counter(&maker, version, script);
        plugin(&clinic, &["update", package.to_str().unwrap(), "--payloads", "5", "--within", "1000h"]).ok();
    };

    // Its case holds, and so does each payload that is read from what 1.0.0 has kept.
    update("1.1.0", "let said = n + 1;\nn = 0;\n[reading(\"heart_rate\", 60 + said, \"/min\")]\n");
    while standing(&clinic).2.is_some() {
        says(&mut s7, 60).await;
    }
    let why = "1.1.0 is refused, 1.0.0 stays: it reads differently a payload of 2 bytes, with what it kept of those before: it was";
    assert!(standing(&clinic).0 == "1.0.0" && log(&clinic).contains(why), "{}", log(&clinic));
    assert!(log(&clinic).contains("it is heart_rate 61 /min"), "{}", log(&clinic));

    update("1.2.0", "n = n + 1;\n[reading(\"heart_rate\", 60 + n, \"/min\")]\n");
    while standing(&clinic).2.is_some() {
        says(&mut s7, 60).await;
    }
    assert!(standing(&clinic).0 == "1.2.0" && log(&clinic).contains("1.2.0 took over from 1.0.0"), "{}", log(&clinic));
    for _ in 0..3 {
        says(&mut s7, 60).await;
    }
    until("all is read", || (waiting(&clinic) == 0).then_some(())).await;
    let values = clinic.values("s7");
    let counted: BTreeSet<String> = (1..=values.len()).map(|n| format!("heart_rate {}", 60 + n)).collect();
    assert_eq!(values.into_iter().collect::<BTreeSet<_>>(), counted, "what takes over goes on from what was kept");
}

#[tokio::test]
async fn a_version_on_trial_is_judged_by_what_is_set_now() {
    let clinic = Clinic::new().strap("s7").decoder("acme").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &makes_adder(&maker, "1.0.0", 100)).ok();
    let mut s7 = clinic.sensor("s7").await;
    until_read(&clinic, &mut s7, "heart_rate 60").await;
    let next = makes_adder(&maker, "1.1.0", 100);
    plugin(&clinic, &["update", next.to_str().unwrap(), "--payloads", "100", "--within", "1000h"]).ok();
    plugin(&clinic, &["set", "acme", "add", "90"]).ok();
    until_read(&clinic, &mut s7, "heart_rate 150").await;
    while standing(&clinic).2.is_some() {
        for _ in 0..20 {
            says(&mut s7, 60).await;
        }
    }
    let said = log(&clinic);
    assert!(standing(&clinic).0 == "1.1.0" && said.contains("1.1.0 took over from 1.0.0"), "{said}");
}

#[tokio::test]
async fn a_new_version_of_an_output_is_told_what_was_recorded_and_takes_over_only_if_it_asks_for_the_same() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    let package = |version: &str, script: &str| {
        let manifest = format!(
            "name = \"lamp\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"output\"\ncapabilities = [\"mqtt:lamp\"]\n\
             hears = [\"raised\", \"acknowledged\"]\n"
        );
        let package = maker.packs_files("lamp", &manifest, ("output.rhai", script), "case none\n  drill low x ->\n");
        maker.signs(&package);
        package.to_str().unwrap().to_owned()
    };
    let version = || {
        let list = clinic.pitchside(&["--json", "plugin", "list"]).ok().json();
        let lamp = list.as_array().unwrap().iter().find(|row| row["name"] == "lamp").expect("lamp is there").clone();
        lamp["version"].as_str().unwrap().to_owned()
    };
    let says =
        |text: &str| format!("if event.step == \"raised\" {{ [mqtt_publish(\"lamp\", {text})] }} else {{ [] }}\n");
    plugin(&clinic, &["install", &package("0.9.0", &says("event.rule")), "--grant", "mqtt:lamp"]).ok();
    // Nothing is recorded, and it hears no drill: it is told what never was.
    let other = plugin(&clinic, &["update", &package("0.9.1", &says("event.priority"))]);
    assert!(other.code == 1 && other.err.contains("(raised of medium priority: it was "), "{other:?}");
    plugin(&clinic, &["disable", "lamp"]).ok();
    let alike = plugin(&clinic, &["update", &package("1.0.0", &says("event.rule + \"\""))]).ok();
    let said = ["it does the same on 4 made-up steps;", "; it stays switched off"];
    assert!(said.iter().all(|part| alike.out.contains(part)), "{alike:?}");
    plugin(&clinic, &["enable", "lamp"]).ok();
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(190).await;
    until("the alert to be recorded", || clinic.tables().last_delivery_step().unwrap().0.ge(&1).then_some(())).await;

    let other = plugin(&clinic, &["update", &package("1.1.0", &says("event.priority"))]);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.err.contains("it does something else (raised of alert "), "{other:?}");
    assert!(other.err.contains("body: \"fast\"") && other.err.contains("--allow-differences"), "{other:?}");
    let fails = plugin(
        &clinic,
        &["update", &package("1.2.0", "if event.step == \"raised\" { [][9] } else { [] }\n"), "--allow-differences"],
    );
    assert!(fails.code == 1 && fails.err.contains("1.2.0 is refused, 1.0.0 stays: it fails: raised of"), "{fails:?}");
    let unseen = format!("if event.step == \"acknowledged\" {{ [][9] }} else {{ {} }}\n", says("event.rule"));
    let fails = plugin(&clinic, &["update", &package("1.2.1", &unseen), "--allow-differences"]);
    assert!(fails.code == 1 && fails.err.contains("it fails: acknowledged of medium priority: "), "{fails:?}");
    assert_eq!(version(), "1.0.0");
    let log = plugin(&clinic, &["logs", "lamp"]).ok().out;
    for refused in ["1.1.0", "1.2.0", "1.2.1"] {
        assert!(log.contains(&format!("{refused} is refused, 1.0.0 stays")), "{log}");
    }

    let alike = plugin(&clinic, &["update", &package("1.3.0", &says("\"\" + event.rule"))]).ok();
    assert!(alike.out.contains("it does the same on 1 recorded step, 3 made-up steps;"), "{alike:?}");
    assert_eq!(version(), "1.3.0");
    plugin(&clinic, &["update", &package("1.4.0", &says("event.priority")), "--allow-differences"]).ok();
    assert_eq!(version(), "1.4.0");
}
