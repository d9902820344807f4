//! What an admin sets, trusts and distrusts while versions of a decoder come and go.

use std::path::PathBuf;

use pitchside_tests::{Clinic, Running, Sensor, Told, until};
use pitchside_wire::Content;

use super::packages::{Maker, install, log, plugin, standing, waiting};

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
