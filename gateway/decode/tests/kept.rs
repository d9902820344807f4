//! Decoders that keep something of a device: what they see, what is kept, and that nobody loses or poisons it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "stands in for the door")]

use std::sync::Arc;
use std::time::Duration;

use pitchside_decode::plugin::{Findings, Folder, PluginLimits, States, Trial};
use pitchside_decode::{Decoders, Plugin, Tolerances};
use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, PluginName, Timestamp, Value};
use pitchside_script::Program;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Counts the payloads of a device; by the first byte it goes wrong after having counted.
const COUNTS: &str = r#"
count += 1;
seen[topic] = if topic in seen { seen[topic] + 1 } else { 1 };
switch payload.u8(0) {
    0 => [reading("heart_rate", count * 100 + seen[topic], "/min")],
    1 => throw "bad_day",
    2 => { let a = [1]; a[7] },
    3 => { loop { } },
    4 => [reading("heart_rate", 72, "Cel")],
    5 => 7,
    6 => { let large = "x"; for i in 0..15 { large += large; } seen.large = large; [] },
    7 => { let deep = []; for i in 0..20 { deep = [deep]; } seen.deep = deep; [] },
    8 => { seen.odd = Fn("abs"); [] },
    9 => { count = "many"; [] },
    10 => { seen.odd = reading("heart_rate", 1, "/min"); [] },
    11 => [reading("heart_rate", 72, "/min").at_ms(9000000000000)],
    12 => { seen.large = []; loop { seen.large = [seen.large, seen.large]; } },
    _ => [],
}
"#;

/// What it keeps.
const FIELDS: &str = "count = 0\nseen = {}";

fn folder(source: &str, state: &str) -> Folder {
    let manifest = format!(
        "name = \"test-plugin\"\nversion = \"1.0.0\"\nsummary = \"For tests.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n[state]\n{state}\n"
    );
    Folder::of_texts(&manifest, source.to_owned(), String::new()).unwrap()
}

fn limits() -> PluginLimits {
    PluginLimits {
        faults_of_device: 1_000,
        faults_of_all: 1_000,
        restart_after: Duration::ZERO,
        ..PluginLimits::default()
    }
}

async fn started(folder: &Folder, states: &States) -> Plugin {
    let program = Program { exe: env!("CARGO_BIN_EXE_decode-probe").into(), args: Vec::new() };
    Plugin::start_with(folder, &program, limits(), states.clone()).await.unwrap()
}

async fn plugin(source: &str, states: &States) -> Plugin {
    started(&folder(source, FIELDS), states).await
}

/// A version that keeps these fields, on trial beside the one that runs.
async fn beside(decoders: &Decoders, source: &str, state: &str) -> Arc<Trial> {
    let trial = Arc::new(Trial::new(started(&folder(source, state), &States::default()).await));
    assert!(decoders.set_trial(&name(), Some(Arc::clone(&trial))));
    trial
}

/// What has come of a trial, once it is through with so many payloads.
async fn found(trial: &Trial, payloads: u64) -> Findings {
    let through = async {
        loop {
            let findings = trial.findings();
            if u64::from(findings.begun) + u64::from(findings.compared) + findings.passed_over >= payloads {
                return findings;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), through).await.expect("the trial gets through with them")
}

/// [`COUNTS`], but for what becomes of the count when it was said.
fn counts_and(then: &str) -> String {
    let said = "0 => [reading(\"heart_rate\", count * 100 + seen[topic], \"/min\")],";
    assert!(COUNTS.contains(said));
    COUNTS.replace(
        said,
        &format!("0 => {{ let said = count; {then} [reading(\"heart_rate\", said * 100 + seen[topic], \"/min\")] }},"),
    )
}

async fn decoders(source: &str) -> (Decoders, States) {
    let states = States::default();
    (Decoders::new(Tolerances::default(), [plugin(source, &states).await]), states)
}

fn name() -> PluginName {
    PluginName::parse("test-plugin").unwrap()
}

fn message(device: &str, topic: &str, bytes: &[u8]) -> Authentic<Payload> {
    let topic = Some(topic).filter(|topic| !topic.is_empty()).map(Arc::from);
    let payload = Payload { kind: PayloadKind::Vendor, bytes: bytes.to_vec(), topic };
    Authentic::vouch(DeviceId::parse(device).unwrap(), Assurance::Password, LinkId(1), payload)
}

/// What a device's payload is read as: a hundred times its number, and its number on this topic.
async fn says(decoders: &Decoders, device: &str, topic: &str) -> i64 {
    let readings = decoders.vendor(&name(), &message(device, topic, &[0]), NOW).await.unwrap();
    let Value::Number(number) = readings[0].value else { panic!("{readings:?}") };
    number.mantissa
}

async fn refused(decoders: &Decoders, byte: u8) -> String {
    let error = decoders.vendor(&name(), &message("hub", "a", &[byte]), NOW).await.unwrap_err();
    error.code().to_owned()
}

#[tokio::test]
async fn a_decoder_sees_the_topic_and_what_it_kept_of_this_device() {
    let (decoders, _) = decoders(COUNTS).await;
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    assert_eq!(says(&decoders, "hub", "b").await, 201);
    assert_eq!(says(&decoders, "hub", "a").await, 302);
    assert_eq!(says(&decoders, "hub", "").await, 401, "no topic is an empty one");
    assert_eq!(says(&decoders, "other", "a").await, 101, "another device's is another");
}

#[tokio::test]
async fn what_is_not_read_leaves_what_is_kept_as_it_was() {
    let (decoders, states) = decoders(COUNTS).await;
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    states.take_changed();
    for (byte, code) in [
        (1, "bad_day"),
        (2, "plugin_fault"),
        (3, "plugin_fault"),
        (4, "unit_mismatch"),
        (5, "not_readings"),
        (6, "state_too_large"),
        (7, "state_too_deep"),
        (8, "state_kind"),
        (9, "state_kind"),
        (10, "state_kind"),
        (11, "time_too_far"),
        (12, "plugin_fault"),
    ] {
        assert_eq!(refused(&decoders, byte).await, code, "{byte}");
        assert!(states.take_changed().is_empty(), "{byte}");
    }
    assert_eq!(says(&decoders, "hub", "a").await, 202);
}

#[tokio::test]
async fn a_variable_of_the_scripts_own_that_is_called_as_a_field_is_not_the_field() {
    let source = "count += 1; let n = count; let count = 900; [reading(\"heart_rate\", n, \"/min\")]";
    let (decoders, _) = decoders(source).await;
    assert_eq!(says(&decoders, "hub", "a").await, 1);
    assert_eq!(says(&decoders, "hub", "a").await, 2);
}

#[tokio::test]
async fn a_worker_that_dies_loses_nothing_of_it() {
    let (decoders, _) = decoders(COUNTS).await;
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    let process = decoders.plugin(&name()).unwrap().status().process.unwrap();
    assert!(std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
    // The first call may find it dead, and is then asked again by whoever kept the payload.
    let first = decoders.vendor(&name(), &message("hub", "a", &[0]), NOW).await;
    assert_eq!(says(&decoders, "hub", "a").await, if first.is_ok() { 303 } else { 202 });
    assert!(decoders.statuses()[0].restarts >= 1);
}

#[tokio::test]
async fn another_version_goes_on_from_it_and_one_on_trial_begins_from_it() {
    let (decoders, states) = decoders(COUNTS).await;
    for at in 1..=3 {
        assert_eq!(says(&decoders, "hub", "a").await, 101 * at);
    }
    let trial = beside(&decoders, &format!("{COUNTS}\n// the next"), FIELDS).await;
    for at in 4..=6 {
        assert_eq!(says(&decoders, "hub", "a").await, 101 * at);
    }
    let findings = found(&trial, 3).await;
    assert_eq!((findings.difference, findings.failure), (None, None));
    assert_eq!((findings.begun, findings.compared), (1, 2), "the first shows nothing of what it keeps itself");
    decoders.set_plugin(plugin(&COUNTS.replace("+= 1", "+= 2"), &states).await);
    assert_eq!(says(&decoders, "hub", "a").await, 807, "six payloads of the version before, one of two");
}

#[tokio::test]
async fn a_version_on_trial_that_spoils_what_it_keeps_is_seen_at_the_second_payload() {
    let (decoders, _) = decoders(COUNTS).await;
    for at in 1..=3 {
        assert_eq!(says(&decoders, "hub", "a").await, 101 * at);
    }
    let trial = beside(&decoders, &counts_and("count = 0;"), FIELDS).await;
    assert_eq!(says(&decoders, "hub", "a").await, 404);
    assert_eq!(found(&trial, 1).await.difference, None, "from what the one that runs had kept it reads well");
    assert_eq!(says(&decoders, "hub", "a").await, 505, "what it keeps is not kept of the device");
    let findings = found(&trial, 2).await;
    assert_eq!((findings.begun, findings.compared, findings.differences), (1, 1, 1));
    let text = findings.difference.unwrap();
    for part in
        ["a payload of 1 bytes, with what it kept of those before: ", "heart_rate 505 /min", "heart_rate 105 /min"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // One that leaves all at its first value has kept that, and does not begin anew.
    let runs = started(&folder("n += 1; [reading(\"heart_rate\", n, \"/min\")]", "n = 0"), &States::default()).await;
    let decoders = Decoders::new(Tolerances::default(), [runs]);
    let spoils = "let said = n + 1; n = 0; [reading(\"heart_rate\", said, \"/min\")]";
    let trial = beside(&decoders, spoils, "n = 0").await;
    for at in 1..=2 {
        assert_eq!(says(&decoders, "hub", "a").await, at);
    }
    assert_eq!(found(&trial, 2).await.differences, 1);
}

#[tokio::test]
async fn a_version_on_trial_is_run_on_fields_that_it_alone_keeps() {
    let (decoders, _) = decoders(COUNTS).await;
    let fails = format!("last += 1;\nif last == 3 {{ let a = [1]; a[7]; }}\n{COUNTS}");
    let trial = beside(&decoders, &fails, &format!("{FIELDS}\nlast = 0")).await;
    for at in 1..=2 {
        assert_eq!(says(&decoders, "hub", "a").await, 101 * at);
    }
    assert_eq!(found(&trial, 2).await.failure, None);
    assert_eq!(says(&decoders, "hub", "a").await, 303);
    let text = found(&trial, 3).await.failure.unwrap();
    assert!(text.starts_with("on a payload of 1 bytes, with what it kept of those before: "), "{text}");
    // One under whose name nothing was kept begins at its first value, as it would if it took over.
    let other = beside(&decoders, &COUNTS.replace("count", "number"), "number = 0\nseen = {}").await;
    assert_eq!(says(&decoders, "hub", "a").await, 404);
    let text = found(&other, 1).await.difference.unwrap();
    assert!(text.contains("a payload of 1 bytes: it was heart_rate 404 /min"), "{text}");
    assert!(text.contains("it is heart_rate 104 /min"), "{text}");
}

#[tokio::test]
async fn whatever_befalls_the_version_that_runs_the_one_on_trial_keeps_in_step() {
    let (decoders, states) = decoders(COUNTS).await;
    let trial = beside(&decoders, &format!("{COUNTS}\n// the next"), FIELDS).await;
    let hub = message("hub", "a", &[0]);
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    assert_eq!(says(&decoders, "hub", "a").await, 202);
    for (byte, code) in [(1, "bad_day"), (4, "unit_mismatch"), (11, "time_too_far"), (2, "plugin_fault")] {
        assert_eq!(refused(&decoders, byte).await, code, "{byte}");
    }
    decoders.vendor_repeated(&name(), &hub, NOW).await.unwrap();
    assert_eq!(says(&decoders, "hub", "a").await, 303, "of what neither reads, and what came before, nothing is kept");
    decoders.vendor_again(&name(), &hub, NOW).await.unwrap();
    assert_eq!(says(&decoders, "hub", "a").await, 505, "what waited counts");
    decoders.forget(&DeviceId::parse("hub").unwrap());
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    assert_eq!(says(&decoders, "hub", "a").await, 202);
    // Started anew, it stands alone for a moment.
    decoders.set_plugin(plugin(COUNTS, &states).await);
    assert_eq!(says(&decoders, "hub", "a").await, 303);
    assert!(decoders.set_trial(&name(), Some(Arc::clone(&trial))));
    assert_eq!(says(&decoders, "hub", "a").await, 404);
    assert!(decoders.set_trial(&name(), Some(Arc::clone(&trial))));
    assert_eq!(says(&decoders, "hub", "a").await, 505);
    let findings = found(&trial, 12).await;
    assert_eq!((findings.difference, findings.failure), (None, None));
    assert_eq!((findings.begun, findings.compared, findings.passed_over), (3, 9, 0));
}

#[tokio::test]
async fn one_that_comes_again_counts_once_and_a_forgotten_device_begins_anew() {
    let (decoders, states) = decoders(COUNTS).await;
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    for _ in 0..3 {
        decoders.vendor_repeated(&name(), &message("hub", "a", &[0]), NOW).await.unwrap();
    }
    assert_eq!(says(&decoders, "hub", "a").await, 202);
    let changes = states.take_changed();
    assert_eq!(changes.len(), 1);
    decoders.forget(&DeviceId::parse("hub").unwrap());
    assert_eq!(says(&decoders, "hub", "a").await, 101);
    let (device, kept) = changes.into_iter().next().unwrap();
    let other = States::default();
    other.restore(&device, kept.unwrap());
    let restarted = Decoders::new(Tolerances::default(), [plugin(COUNTS, &other).await]);
    assert_eq!(says(&restarted, "hub", "a").await, 303, "as it was written down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_of_one_device_that_come_at_once_lose_nothing_of_each_other() {
    let (decoders, _) = decoders(COUNTS).await;
    let decoders = Arc::new(decoders);
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let decoders = Arc::clone(&decoders);
            // Every tenth fails.
            let byte = if n % 10 == 9 { 3 } else { 0 };
            tokio::spawn(async move { decoders.vendor(&name(), &message("hub", "a", &[byte]), NOW).await.is_ok() })
        })
        .collect();
    let mut read = 0;
    for task in tasks {
        read += i64::from(task.await.unwrap());
    }
    assert_eq!(read, 54);
    assert_eq!(says(&decoders, "hub", "a").await, 101 * 55);
}
