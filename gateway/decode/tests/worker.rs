//! Plugins in real worker processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "stands in for the door")]

use std::path::Path;
use std::time::Duration;

use pitchside_decode::plugin::worker::StartError;
use pitchside_decode::plugin::{Findings, Folder, PluginLimits, Trial, cases};
use pitchside_decode::{DecodeError, Decoders, Plugin, Tolerances};
use pitchside_model::{
    Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, PluginName, Quality, Timestamp, Value,
};
use pitchside_script::Program;
use pitchside_script::manifest::PluginKind;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn program() -> Program {
    Program { exe: env!("CARGO_BIN_EXE_decode-probe").into(), args: Vec::new() }
}

fn folder(source: &str) -> Folder {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("test-plugin");
    std::fs::create_dir(&dir).unwrap();
    let manifest = "name = \"test-plugin\"\nversion = \"1.0.0\"\nsummary = \"For tests.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\", \"ecg\"]\n";
    std::fs::write(dir.join("plugin.toml"), manifest).unwrap();
    std::fs::write(dir.join("decode.rhai"), source).unwrap();
    std::fs::write(dir.join("cases.txt"), "case one\n  00 48 -> heart_rate 72 /min\n").unwrap();
    Folder::read(&dir).unwrap()
}

async fn decoders(source: &str, limits: PluginLimits) -> Decoders {
    let plugin = Plugin::start(&folder(source), &program(), limits).await.unwrap();
    Decoders::new(Tolerances::default(), [plugin])
}

#[test]
fn a_plugin_that_would_speak_for_the_gateway_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("test-plugin");
    std::fs::create_dir(&dir).unwrap();
    let manifest = "name = \"test-plugin\"\nversion = \"1.0.0\"\nsummary = \"For tests.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\", \"health\"]\n";
    std::fs::write(dir.join("plugin.toml"), manifest).unwrap();
    std::fs::write(dir.join("decode.rhai"), "[]").unwrap();
    std::fs::write(dir.join("cases.txt"), "").unwrap();
    let error = Folder::read(&dir).unwrap_err().to_string();
    assert!(
        error.ends_with("plugin.toml: outputs: health is the gateway's own record, no device may send it: take it out"),
        "{error}"
    );
}

fn message(device: &str, bytes: &[u8]) -> Authentic<Payload> {
    let payload = Payload { kind: PayloadKind::Vendor, bytes: bytes.to_vec(), topic: None };
    Authentic::vouch(DeviceId::parse(device).unwrap(), Assurance::Noise, LinkId(1), payload)
}

fn name() -> PluginName {
    PluginName::parse("test-plugin").unwrap()
}

/// By its first byte: a good reading, or one of the ways to go wrong.
const MISCHIEF: &str = r#"
switch payload.u8(0) {
    0 => [reading("heart_rate", payload.u8(1), "/min")],
    1 => { loop { } },
    2 => 7,
    3 => [reading("heart_rate", 72, "bpm")],
    4 => [reading("mood", 72, "/min")],
    5 => [reading("power", 72, "W")],
    6 => [reading("heart_rate", 72.5, "/min")],
    7 => [reading("heart_rate", 72, "Cel")],
    8 => [wave("ecg", 0, 0, [1, 2])],
    9 => [gap("heart_rate", "gone_fishing")],
    10 => { let a = [1]; a[7] },
    11 => { let s = "x"; loop { s += s; } },
    12 => [reading("heart_rate", 72, "/min").at_ms(9000000000000)],
    13 => { let a = []; for i in 0..2000 { a.push(reading("heart_rate", i, "/min")); } a },
    14 => [reading("clock_offset", 5, "ms")],
    15 => [gap("health", "silent")],
    16 => [reading("heart_rate", 1.0e300, "/min")],
    _ => throw "wrong_model",
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_payloads_become_readings_even_beside_bad_ones() {
    let decoders = std::sync::Arc::new(decoders(MISCHIEF, PluginLimits::default()).await);
    let mut tasks = Vec::new();
    for i in 1..=200u8 {
        let decoders = std::sync::Arc::clone(&decoders);
        tasks.push(tokio::spawn(async move {
            // Every tenth comes from a device that only sends what makes the script fail.
            if i % 10 == 0 {
                return decoders.vendor(&name(), &message("rogue", &[10]), NOW).await.is_err();
            }
            let readings = decoders.vendor(&name(), &message("strap", &[0, i]), NOW).await.unwrap();
            readings[0].value == Value::Number(pitchside_model::Decimal::integer(i64::from(i)))
                && readings[0].quality == Quality::NO_CLOCK
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap());
    }
    let status = decoders.statuses().remove(0);
    assert_eq!((status.decoded, status.off), (180, false));
    assert!(status.off_for.iter().all(|d| d.as_str() == "rogue"));
    assert_eq!(status.off_for.len(), 1);
}

#[tokio::test]
async fn nonsense_is_refused_by_name() {
    let limits = PluginLimits { faults_of_device: 1_000, faults_of_all: 1_000, ..PluginLimits::default() };
    let decoders = decoders(MISCHIEF, limits).await;
    for (byte, code) in [
        (1, "plugin_fault"),
        (2, "not_readings"),
        (3, "unknown_unit"),
        (4, "unknown_quantity"),
        (5, "undeclared_quantity"),
        (6, "float_value"),
        (7, "unit_mismatch"),
        (8, "period"),
        (9, "gap_reason"),
        (10, "plugin_fault"),
        (11, "plugin_fault"),
        (12, "time_too_far"),
        (13, "too_many"),
        (14, "gateways_own"),
        (15, "gateways_own"),
        (16, "out_of_range"),
        (99, "wrong_model"),
    ] {
        let error = decoders.vendor(&name(), &message("strap", &[byte]), NOW).await.unwrap_err();
        assert_eq!(error.code(), code, "{byte}: {error}");
    }
    let readings = decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.unwrap();
    assert_eq!(readings.len(), 1);
    let error = decoders.vendor(&name(), &message("strap", &[]), NOW).await.unwrap_err();
    assert_eq!(error.code(), "short_payload");
}

#[tokio::test]
async fn a_device_that_keeps_failing_is_switched_off_alone() {
    let decoders = decoders(MISCHIEF, PluginLimits::default()).await;
    for _ in 0..5 {
        let error = decoders.vendor(&name(), &message("rogue", &[10]), NOW).await.unwrap_err();
        assert!(matches!(error, DecodeError::PluginFault { .. }), "{error}");
    }
    let error = decoders.vendor(&name(), &message("rogue", &[0, 72]), NOW).await.unwrap_err();
    assert_eq!(error, DecodeError::SwitchedOff { plugin: "test-plugin".to_owned(), faults: 5 });
    assert!(decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.is_ok());
    decoders.plugin(&name()).unwrap().reset();
    assert!(decoders.vendor(&name(), &message("rogue", &[0, 72]), NOW).await.is_ok());
}

#[tokio::test]
async fn what_a_device_left_behind_switches_nothing_off_and_a_readable_payload_lets_it_in_again() {
    let decoders = decoders(MISCHIEF, PluginLimits { faults_of_all: 8, ..PluginLimits::default() }).await;
    for _ in 0..5 {
        assert!(decoders.vendor(&name(), &message("rogue", &[10]), NOW).await.is_err());
    }
    for _ in 0..20 {
        let error = decoders.vendor_again(&name(), &message("rogue", &[10]), NOW).await.unwrap_err();
        assert_eq!(error.code(), "plugin_fault", "asked although it is switched off for the device");
        assert!(error.is_ours() && !error.is_of_the_plugin());
    }
    assert!(!decoders.statuses()[0].off);
    let good = message("rogue", &[0, 72]);
    assert_eq!(decoders.vendor(&name(), &good, NOW).await.unwrap_err().code(), "plugin_off");
    assert!(decoders.vendor_again(&name(), &good, NOW).await.is_ok());
    assert!(decoders.vendor(&name(), &good, NOW).await.is_ok());
}

#[tokio::test]
async fn a_clock_a_unit_or_a_number_that_is_passed_on_is_the_devices_fault() {
    let limits = PluginLimits { faults_of_device: 100, ..PluginLimits::default() };
    let decoders = decoders(MISCHIEF, limits).await;
    let ours = async |byte| decoders.vendor(&name(), &message("strap", &[byte]), NOW).await.unwrap_err().is_ours();
    for byte in [12, 3, 7, 16, 99] {
        assert!(!ours(byte).await, "{byte}");
    }
    for byte in [2, 10, 4, 5, 6, 9] {
        assert!(ours(byte).await, "{byte}");
    }
}

#[tokio::test]
async fn units_and_numbers_that_are_passed_on_switch_nothing_off() {
    let decoders = decoders(MISCHIEF, PluginLimits { faults_of_all: 8, ..PluginLimits::default() }).await;
    for byte in [3, 7, 16].repeat(10) {
        assert!(decoders.vendor(&name(), &message("strap", &[byte]), NOW).await.is_err());
    }
    assert!(decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.is_ok());
}

#[tokio::test]
async fn a_script_that_fails_for_everybody_is_switched_off() {
    let decoders = decoders("[1][7]", PluginLimits { faults_of_all: 8, ..PluginLimits::default() }).await;
    for i in 0..8 {
        let error = decoders.vendor(&name(), &message(&format!("strap-{i}"), &[0]), NOW).await.unwrap_err();
        assert_eq!(error.code(), "plugin_fault");
    }
    let error = decoders.vendor(&name(), &message("strap-new", &[0]), NOW).await.unwrap_err();
    assert_eq!(error.code(), "plugin_off");
    assert!(decoders.statuses()[0].off);
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again_and_nobody_else_pays() {
    let limits = PluginLimits { restart_after: Duration::ZERO, ..PluginLimits::default() };
    let decoders = std::sync::Arc::new(decoders(MISCHIEF, limits).await);
    let strap = message("strap", &[0, 72]);
    assert!(decoders.vendor(&name(), &strap, NOW).await.is_ok());
    kill(decoders.plugin(&name()).unwrap().status().process.unwrap());
    assert!(decoders.vendor(&name(), &strap, NOW).await.is_ok(), "it is started and asked again");
    let status = &decoders.statuses()[0];
    assert_eq!((status.restarts, status.faults), (1, 0), "what kills it from outside is no fault of the script");
}

fn kill(pid: u32) {
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn a_script_that_does_not_compile_says_everything_at_once() {
    let error =
        Plugin::start(&folder("let a = undefined_a;\nundefined_b(a)"), &program(), PluginLimits::default()).await;
    let Err(StartError::Script { problems, .. }) = error else { panic!("{error:?}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[tokio::test]
async fn other_kinds_and_other_plugins_are_refused() {
    let decoders = decoders(MISCHIEF, PluginLimits::default()).await;
    let other = PluginName::parse("other").unwrap();
    assert_eq!(decoders.vendor(&other, &message("strap", &[0]), NOW).await.unwrap_err().code(), "unknown_plugin");
    let senml = Payload { kind: PayloadKind::SenmlJson, bytes: b"[]".to_vec(), topic: None };
    let senml = Authentic::vouch(DeviceId::parse("strap").unwrap(), Assurance::Noise, LinkId(1), senml);
    assert_eq!(decoders.vendor(&name(), &senml, NOW).await.unwrap_err().code(), "not_vendor");
    assert_eq!(decoders.native(&message("strap", &[0]), NOW).unwrap_err().code(), "no_plugin");
}

#[test]
fn every_decoder_and_output_of_the_repository_passes_its_cases() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut seen = 0;
    for folder in Folder::read_all(&dir).unwrap() {
        let folder = folder.unwrap();
        // Derived streams are the rules', and tested there.
        if folder.manifest.kind == PluginKind::Derived {
            continue;
        }
        let report = cases::run(&folder).unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
        assert!(report.passed(), "{}\n{report}", folder.manifest.name);
        assert!(report.cases.len() >= 3, "{}: a firing, a silent and a malformed case", folder.manifest.name);
        seen += 1;
    }
    assert!(seen >= 2);
}

/// Waits for a trial to have found something: what is awaited decides when to go on.
async fn found(trial: &std::sync::Arc<Trial>, wanted: impl Fn(&Findings) -> bool) -> Findings {
    for _ in 0..3_000 {
        let findings = trial.findings();
        if wanted(&findings) {
            return findings;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {:?}", trial.findings());
}

#[tokio::test]
async fn a_new_version_is_asked_beside_the_old_one_and_compared() {
    let good = "[reading(\"heart_rate\", payload.u8(1), \"/min\")]";
    let decoders = decoders(good, PluginLimits::default()).await;
    let beside = async |source: &str| {
        let plugin = Plugin::start(&folder(source), &program(), PluginLimits::default()).await.unwrap();
        let trial = std::sync::Arc::new(Trial::new(plugin));
        assert!(decoders.set_trial(&name(), Some(std::sync::Arc::clone(&trial))));
        trial
    };
    let says = async |bytes: &[u8]| decoders.vendor(&name(), &message("strap", bytes), NOW).await;

    let alike = beside("let rate = payload.u8(1); [reading(\"heart_rate\", rate, \"/min\")]").await;
    for rate in 0..20 {
        says(&[0, rate]).await.unwrap();
    }
    says(&[0]).await.unwrap_err();
    let findings = found(&alike, |f| f.compared == 21).await;
    assert_eq!((findings.difference, findings.failure), (None, None), "refusals of one name are alike too");

    let other = beside("[reading(\"heart_rate\", payload.u8(1) + 1, \"/min\")]").await;
    assert_eq!(says(&[0, 72]).await.unwrap()[0].value, Value::Number(pitchside_model::Decimal::integer(72)));
    let text = found(&other, |f| f.differences == 1).await.difference.unwrap();
    assert!(text.contains("heart_rate 72 /min") && text.contains("heart_rate 73 /min"), "{text}");

    let failing = beside("[1][7]").await;
    says(&[0, 72]).await.unwrap();
    let text = found(&failing, |f| f.failure.is_some()).await.failure.unwrap();
    assert!(text.starts_with("on a payload of 2 bytes: "), "{text}");
    assert_eq!(decoders.statuses()[0].faults, 0, "its faults are its own");
}

#[tokio::test]
async fn another_version_takes_over_between_two_payloads_and_what_went_wrong_is_told_once() {
    let limits = PluginLimits { faults_of_all: 2, ..PluginLimits::default() };
    let decoders = decoders("[1][7]", limits).await;
    for _ in 0..3 {
        decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.unwrap_err();
    }
    let plugin = decoders.plugin(&name()).unwrap();
    let (troubles, lost) = plugin.take_troubles();
    assert_eq!((troubles.len(), lost), (2, 0), "switched off, it fails no more");
    assert!(troubles[0].contains("line 1"), "{troubles:?}");
    assert!(plugin.take_troubles().0.is_empty());
    let generation = decoders.generation();
    let good = folder("[reading(\"heart_rate\", payload.u8(1), \"/min\")]");
    decoders.set_plugin(Plugin::start(&good, &program(), limits).await.unwrap());
    assert!(decoders.generation() > generation && !decoders.statuses()[0].off);
    decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.unwrap();
    assert!(decoders.remove_plugin(&name()));
    let gone = decoders.vendor(&name(), &message("strap", &[0, 72]), NOW).await.unwrap_err();
    assert!(matches!(gone, DecodeError::UnknownPlugin(_)));
}
