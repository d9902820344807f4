//! Evidence of a reading and of an alert: accepted with nothing but the file and a policy, refused with any byte changed.

use std::path::Path;

use gatewayd::identity::Identity;
use ledger_block::evidence::alert::{AlertEvidence, Happened, LogLine};
use ledger_block::policy::Policy;
use ledger_block::{GatewayKey, evidence};
use pitchside_model::GapReason;
use pitchside_tests::program::{Answer, program, repository, run};
use pitchside_tests::{Clinic, Running, Told, frames, until};
use pitchside_wire::Content;

async fn clinic() -> Running {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    for rate in [100, 150, 190] {
        clinic.advance(1);
        s7.heart_rate(rate).await;
    }
    clinic.alerted(1).await;
    clinic.seal().await;
    clinic.synced().await;
    clinic
}

/// On another machine: the file, the policy, and no settings.
fn verify(file: &Path, policy: &Path) -> Answer {
    let [file, policy] = [file, policy].map(|path| path.to_str().unwrap());
    run(&program("pitchside"), ["--json", "evidence", "verify", file, "--policy", policy])
}

/// The verifier that was written from the pages alone.
fn verify_elsewhere(file: &Path, policy: &Path) -> Answer {
    let script = repository().join("ledger/block/examples/verify_evidence.py");
    run(Path::new("python3"), [script.as_path(), file, Path::new("--policy"), policy])
}

fn changed_bytes_are_refused(folder: &Path, file: &Path, policy: &Path) {
    let whole = std::fs::read(file).unwrap();
    let parsed = Policy::parse(&std::fs::read(policy).unwrap()).unwrap();
    evidence::verify(&whole, &parsed).unwrap();
    for at in 0..whole.len() {
        for bit in [0x01, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            assert!(evidence::verify(&changed, &parsed).is_err(), "byte {at} of {} changed by {bit:#04x}", whole.len());
        }
        assert!(evidence::verify(&whole[..at], &parsed).is_err(), "cut at {at}");
    }
    let path = folder.join("changed");
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed).unwrap();
        let answer = verify(&path, policy);
        let other = answer.err.contains("not an evidence file");
        assert!(
            answer.code == 3 && answer.err.contains("tampered") || answer.code == 1 && other,
            "byte {at}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn evidence_of_a_reading_is_accepted_offline_and_refused_with_any_byte_changed() {
    let mut clinic = clinic().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (file, policy) = (elsewhere.path().join("reading"), elsewhere.path().join("policy"));
    std::fs::copy(clinic.ledger().policy(), &policy).unwrap();
    let readings = clinic.pitchside(&["--json", "readings", "--device", "s7"]).ok().json();
    let of_150 = readings.as_array().unwrap().iter().find(|row| row["value"] == "150").unwrap();
    assert_eq!(of_150["sealed"], true);
    let id = of_150["id"].as_str().unwrap();
    clinic.pitchside(&["evidence", "export", id, "--out", file.to_str().unwrap()]).ok();
    let said = verify(&file, &policy).ok().json();
    assert_eq!((&said["accepted"], &said["value"]), (&true.into(), &"150 /min".into()));
    assert_eq!((&said["athlete"], &said["device"], &said["assurance"]), (&"ada".into(), &"s7".into(), &"noise".into()));
    assert_eq!(said["ledger"], "pitchside.example/test");
    changed_bytes_are_refused(elsewhere.path(), &file, &policy);
}

#[tokio::test]
async fn the_record_of_an_alert_is_accepted_offline_and_refused_with_any_byte_changed() {
    let mut clinic = clinic().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (file, policy) = (elsewhere.path().join("alert"), elsewhere.path().join("policy"));
    std::fs::copy(clinic.ledger().policy(), &policy).unwrap();
    let id = clinic.alerts().remove(0).alert.id.to_string();
    clinic.pitchside(&["evidence", "export", &id, "--record-only", "--out", file.to_str().unwrap()]).ok();
    let said = verify(&file, &policy).ok().json();
    assert_eq!((&said["accepted"], &said["value"]), (&true.into(), &"heart_rate 190 /min".into()));
    assert!(said["what"].as_str().unwrap().contains("(high) by rule good 1.0.0"), "{said}");
    changed_bytes_are_refused(elsewhere.path(), &file, &policy);
}

#[tokio::test]
async fn evidence_of_an_alert_has_its_readings_and_its_rule_and_is_refused_with_any_byte_changed() {
    let mut clinic = clinic().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (file, policy) = (elsewhere.path().join("alert"), elsewhere.path().join("policy"));
    std::fs::copy(clinic.ledger().policy(), &policy).unwrap();
    let alert = clinic.alerts().remove(0).alert;
    // That it went out is written down after the alert itself.
    until("it to be marked as delivered", || clinic.tables().undelivered_alerts(9).unwrap().is_empty().then_some(()))
        .await;
    clinic.tables().acknowledge_alert(alert.id, "ann", clinic.now()).unwrap();
    clinic.pitchside(&["evidence", "export", &alert.id.to_string(), "--out", file.to_str().unwrap()]).ok();
    let said = verify(&file, &policy).ok().json();
    assert_eq!((&said["accepted"], &said["value"]), (&true.into(), &"heart_rate 190 /min".into()));
    assert_eq!(
        (&said["readings"], &said["follows"], &said["rules_in_block"]),
        (&3.into(), &"from_readings".into(), &true.into())
    );
    let log: Vec<&str> = said["log"].as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(log, ["recorded", "delivered", "acknowledged"], "{said}");
    assert_eq!(said["log"][2]["by"], "ann");
    assert!(
        said["log"][1]["at"].is_string() && said["log"][1]["by"] == "page and MQTT",
        "who was told, and when: {said}"
    );
    let whole = std::fs::read(&file).unwrap();
    let parsed = Policy::parse(&std::fs::read(&policy).unwrap()).unwrap();
    evidence::alert::verify(&whole, &parsed).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= if at % 2 == 0 { 0x01 } else { 0x80 };
        assert!(evidence::alert::verify(&changed, &parsed).is_err(), "byte {at} of {}", whole.len());
    }
    let path = elsewhere.path().join("changed");
    for at in (0..8).chain((8..whole.len()).step_by(whole.len() / 8)) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(verify(&path, &policy).code, 3, "byte {at}");
    }
}

#[tokio::test]
async fn evidence_of_an_alert_holds_nothing_of_whoever_wore_the_device_before() {
    let clinic = Clinic::new().strap("guard").athlete("anneliese").strap("spare").athlete("ben");
    let mut clinic = clinic.library(&["head-impact"]).ledger().start().await;
    let mut guard = clinic.sensor("guard").await;
    let hit = |m_s2: &str| frames::senml(clinic.now().millis(), "head_linear_acceleration", "m/s2", m_s2);
    assert_eq!(guard.says(Content::SenmlJson, hit("300")).await, Told::Stored);
    clinic.advance(1);
    clinic.pitchside(&["device", "assign", "guard", "ben"]).ok();
    until("what it told of her to end", || (clinic.gaps("guard") == [GapReason::Ended]).then_some(())).await;
    clinic.advance(2);
    assert_eq!(guard.says(Content::SenmlJson, hit("900")).await, Told::Stored);
    let alert = clinic.alerted(1).await.remove(0).alert;
    clinic.seal().await;
    clinic.synced().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("alert");
    clinic.pitchside(&["evidence", "export", &alert.id.to_string(), "--out", file.to_str().unwrap()]).ok();
    let said = verify(&file, &clinic.ledger().policy()).ok().json();
    assert_eq!((&said["athlete"], &said["readings"]), (&"ben".into(), &1.into()), "{said}");
    assert_eq!(said["follows"], "from_readings");
    // The rule is about the device, though somebody is known to wear it: so is the alert's id.
    let elsewhere = verify_elsewhere(&file, &clinic.ledger().policy()).ok().json();
    assert_eq!((&elsewhere["record"]["8"], &elsewhere["readings"]), (&"ben".into(), &1.into()), "{elsewhere}");
    let whole = std::fs::read(&file).unwrap();
    assert!(!whole.windows(9).any(|window| window == b"anneliese"));
}

#[tokio::test]
async fn whoever_writes_a_verifier_from_the_pages_comes_to_the_same_answers() {
    let mut clinic = clinic().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let [file, policy, changed] = ["evidence", "policy", "changed"].map(|name| elsewhere.path().join(name));
    std::fs::copy(clinic.ledger().policy(), &policy).unwrap();
    let id = clinic.alerts().remove(0).alert.id.to_string();
    let readings = clinic.pitchside(&["--json", "readings", "--device", "s7"]).ok().json();
    let sealed = readings.as_array().unwrap().iter().find(|row| row["sealed"] == true).unwrap();
    let (alert, reading) = (id.as_str(), sealed["id"].as_str().unwrap());
    for what in [&[reading][..], &[alert, "--record-only"], &[alert]] {
        let args = [&["evidence", "export", "--out", file.to_str().unwrap()][..], what].concat();
        clinic.pitchside(&args).ok();
        let said = verify_elsewhere(&file, &policy).ok().json();
        let ours = verify(&file, &policy).ok().json();
        assert_eq!((&said["gateway"], &said["leaf_index"]), (&ours["gateway"], &ours["leaf_index"]));
        if what == [alert] {
            assert_eq!(said["record"]["3"], alert);
            for same in ["rule_hash", "rules_in_block", "readings", "blocks", "engine"] {
                assert_eq!(said[same], ours[same], "{same}");
            }
            assert_eq!(said["happened"].as_array().unwrap().len(), ours["log"].as_array().unwrap().len());
            assert_eq!(said["evaluated"], false);
        }
        let whole = std::fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 6) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&changed, &bytes).unwrap();
            let answer = verify_elsewhere(&changed, &policy);
            assert!(answer.code == 3 && answer.err.starts_with("refused: "), "byte {at}: {answer:?}");
        }
    }
    let text = std::fs::read_to_string(&policy).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("quorum")).collect();
    std::fs::write(&policy, without.join("\n") + "\n").unwrap();
    assert_eq!([verify(&file, &policy).code, verify_elsewhere(&file, &policy).code], [2, 2]);
}

/// Whoever has a box's keys may sign what they like into its evidence.
#[tokio::test]
async fn nothing_that_evidence_holds_looks_like_another_line_or_steers_a_terminal() {
    let mut clinic = clinic().await;
    let (file, policy) = (clinic.dir().join("alert"), clinic.ledger().policy());
    let alert = clinic.alerts().remove(0).alert;
    clinic.pitchside(&["evidence", "export", &alert.id.to_string(), "--out", file.to_str().unwrap()]).ok();
    let parsed = Policy::parse(&std::fs::read(&policy).unwrap()).unwrap();
    let said = evidence::alert::verify(&std::fs::read(&file).unwrap(), &parsed).unwrap().said;
    let key = GatewayKey::new(&Identity::load(&clinic.settings().gateway.key_dir).unwrap().sign);
    let signed = |forged: AlertEvidence| {
        std::fs::write(&file, forged.to_bytes(&key).unwrap()).unwrap();
        let [file, policy] = [&file, &policy].map(|path| path.to_str().unwrap());
        ["", "--json"].map(|json| {
            let args = [json, "evidence", "verify", file, "--policy", policy];
            run(&program("pitchside"), args.into_iter().filter(|arg| !arg.is_empty()))
        })
    };
    let quiet = |text: &str| {
        !text.contains(['\u{1b}', '\u{9b}', '\u{202e}']) && !text.contains("\nledger   pitchside.example/real")
    };
    let by = "x\nledger   pitchside.example/real, leaf 1 of 2".to_owned();
    let line = LogLine { what: Happened::Acknowledged, at: None, by: Some(by) };
    let engine = "\u{1b}[2Kold\u{9b}1m\u{202e}".to_owned();
    for answer in signed(AlertEvidence { engine, log: vec![line], ..said.clone() }) {
        let answer = answer.ok();
        assert!(quiet(&answer.out) && answer.out.contains("x ledger   pitchside.example/real"), "{answer:?}");
    }
    let manifest =
        said.manifest.replace("name = \"good\"", "name = \"\\u001b[2Kgood\\nledger   pitchside.example/real\"");
    assert_ne!(manifest, said.manifest);
    for answer in signed(AlertEvidence { manifest, ..said }) {
        assert!(answer.code != 0 && quiet(&answer.err) && answer.err.trim_end().lines().count() == 1, "{answer:?}");
    }
}

#[tokio::test]
async fn evidence_does_not_convince_whoever_trusts_another_ledger() {
    let (clinic, mut other) = (clinic().await, Clinic::new().ledger().start().await);
    let file = clinic.dir().join("alert");
    let alert = clinic.alerts().remove(0).alert;
    clinic.pitchside(&["evidence", "export", &alert.id.to_string(), "--out", file.to_str().unwrap()]).ok();
    let answer = verify(&file, &other.ledger().policy());
    assert_eq!(answer.code, 3, "{answer:?}");
}

#[tokio::test]
async fn a_changed_block_is_found_and_named() {
    let mut clinic = clinic().await;
    clinic.stop().await;
    clinic.pitchside(&["blocks", "verify"]).ok();
    let database = clinic.settings().gateway.data_dir.join("pitchside.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    let change = "UPDATE block_payloads SET payload = CAST(payload || x'00' AS BLOB) WHERE block_index = 0";
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    let answer = clinic.pitchside(&["blocks", "verify"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.err.contains("block 0"), "{answer:?}");
}

/// Changes the blocks from one index to before another, in one column, as whoever has the database can.
fn damage(clinic: &mut Running, from: usize, up_to: usize, (table, column): (&str, &str)) {
    let database = clinic.settings().gateway.data_dir.join("pitchside.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    let change = format!(
        "UPDATE {table} SET {column} = CAST({column} || x'00' AS BLOB) WHERE block_index >= {from} AND block_index < {up_to}"
    );
    assert_eq!(connection.execute(&change, []).unwrap(), up_to - from);
}

#[tokio::test]
async fn a_changed_block_keeps_nobody_from_what_lies_in_an_older_one() {
    let mut clinic = clinic().await;
    let older = clinic.blocks().len();
    clinic.advance(1);
    clinic.sensor("s7").await.heart_rate(62).await;
    clinic.seal().await;
    clinic.synced().await;
    let alert = clinic.alerts().remove(0).alert.id.to_string();
    let readings = clinic.pitchside(&["--json", "readings", "--device", "s7"]).ok().json();
    let reading = |value: &str| {
        let row = readings.as_array().unwrap().iter().find(|row| row["value"] == value).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    clinic.stop().await;
    let (of_150, of_62, all) = (reading("150"), reading("62"), clinic.blocks().len());
    for damaged in [("block_payloads", "payload"), ("blocks", "header")] {
        damage(&mut clinic, older, all, damaged);
        for told in [
            &["evidence", "export", of_150.as_str(), "--out", "-"][..],
            &["evidence", "export", &alert, "--out", "-"],
            &["evidence", "export", &alert, "--record-only", "--out", "-"],
            &["rules", "replay", &alert],
        ] {
            let answer = clinic.pitchside(told).ok();
            assert_eq!(answer.err.matches("tampered: block ").count(), 1, "{damaged:?}, {told:?}: {answer:?}");
            assert!(answer.err.contains(&format!("/{}: ", all - 1)), "the newest is named: {answer:?}");
        }
        let answer = clinic.pitchside(&["evidence", "export", &of_62, "--out", "-"]);
        assert_eq!(answer.code, 3, "{damaged:?}: {answer:?}");
        let clauses: Vec<&str> = answer.err.trim_end().split(": ").collect();
        assert!(clauses.windows(2).all(|two| two[0] != two[1]), "said once: {answer:?}");
    }
}

#[tokio::test]
async fn a_changed_block_among_an_alerts_readings_leaves_the_record_of_the_alert() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(100).await;
    clinic.seal().await;
    let before = clinic.blocks().len();
    clinic.advance(1);
    s7.heart_rate(190).await;
    let alert = clinic.alerted(1).await.remove(0).alert.id.to_string();
    clinic.seal().await;
    clinic.synced().await;
    clinic.stop().await;
    damage(&mut clinic, 0, before, ("block_payloads", "payload"));
    let answer = clinic.pitchside(&["evidence", "export", &alert, "--out", "-"]);
    assert!(answer.code == 3 && answer.err.contains("--record-only"), "{answer:?}");
    clinic.pitchside(&["evidence", "export", &alert, "--record-only", "--out", "-"]).ok();
    let answer = clinic.pitchside(&["rules", "replay", &alert]);
    assert!(answer.code == 3 && !answer.err.contains("--record-only"), "{answer:?}");
}
