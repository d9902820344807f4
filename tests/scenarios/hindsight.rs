//! What is published after an alert is not what raised it, whenever its block is sealed; and whose readings its evidence shows.

use std::time::Duration;

use ledger_block::evidence;
use ledger_block::policy::Policy;
use pitchside_model::{AlertId, GapReason};
use pitchside_rules::replay::ENGINE_VERSION;
use pitchside_store::RuleChange;
use pitchside_tests::program::{program, run};
use pitchside_tests::{Clinic, Running, Sensor, until};
use serde_json::Value;

/// A rule whose alerts do not close a block.
async fn clinic() -> (Running, Sensor) {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 150.0").ledger();
    let manifest = clinic.dir().join("rules/good/rule.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"high\"", "\"medium\"")).unwrap();
    let clinic = clinic.start().await;
    let s7 = clinic.sensor("s7").await;
    (clinic, s7)
}

async fn beats(clinic: &Running, s7: &mut Sensor, rates: &[i64]) {
    for rate in rates {
        clinic.advance(1);
        s7.heart_rate(*rate).await;
    }
}

/// So many alerts are on the record: the disk took half a second for the last, in which other rules may have come.
async fn alerted(clinic: &Running, count: usize) -> AlertId {
    let id = clinic.alerted(count).await.pop().unwrap().alert.id;
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    let late = "UPDATE alert_steps SET recorded_at = recorded_at + 500000 WHERE alert = ?1 AND step = 0";
    assert_eq!(database.execute(late, [id.0]).unwrap(), 1);
    id
}

fn changes(clinic: &Running) -> Vec<RuleChange> {
    clinic.tables().rule_changes().unwrap()
}

/// Does something, and waits until other rules are in force.
async fn puts_in_force(clinic: &Running, what: impl FnOnce()) {
    let before = changes(clinic).len();
    what();
    until("other rules to be in force", || (changes(clinic).len() > before).then_some(())).await;
}

/// Another limit, under the same label.
async fn publish(clinic: &Running, limit: &str) {
    let dir = clinic.dir().join(format!("draft-{limit}")).join("good");
    clinic.pitchside(&["rules", "checkout", "good", dir.to_str().unwrap()]).ok();
    std::fs::write(dir.join("rule.rhai"), format!("value > {limit}")).unwrap();
    puts_in_force(clinic, || {
        clinic.pitchside(&["rules", "publish", dir.to_str().unwrap(), "--note", limit, "--author", "ann"]).ok();
    })
    .await;
}

async fn sealed(clinic: &Running) {
    clinic.advance(1);
    clinic.seal().await;
    clinic.synced().await;
}

fn verified(clinic: &mut Running, id: AlertId) -> Value {
    let (file, policy) = (clinic.dir().join("alert"), clinic.ledger().policy());
    clinic.pitchside(&["evidence", "export", &id.to_string(), "--out", file.to_str().unwrap()]).ok();
    let args = ["--json", "evidence", "verify", file.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
    run(&program("pitchside"), args).ok().json()
}

/// Replay and evidence name the rule, and the set, that came with this change.
fn is_of(clinic: &mut Running, id: AlertId, change: usize) {
    let RuleChange { set_hash, rules, .. } = changes(clinic).swap_remove(change);
    let (_, text) = rules.into_iter().find(|(name, _)| name == "good").unwrap();
    let rule = clinic.tables().rule_text(&text).unwrap().unwrap().rule_hash;
    let [rule, set] = [rule, set_hash].map(|hash| data_encoding::HEXLOWER.encode(&hash));
    let said = clinic.pitchside(&["--json", "rules", "replay", &id.to_string()]).ok().json();
    assert_eq!((&said["result"], &said["rule_hash"]), (&"identical".into(), &rule.as_str().into()), "{said}");
    assert_eq!(said["set_hash"], set, "{said}");
    let said = verified(clinic, id);
    assert_eq!((&said["rule_hash"], &said["rules_in_block"]), (&rule.as_str().into(), &true.into()), "{said}");
    assert_eq!(said["follows"], "from_readings", "{said}");
    assert_eq!(
        (&said["log"][0]["what"], &said["log"][0]["by"]),
        (&"recorded".into(), &ENGINE_VERSION.into()),
        "{said}"
    );
}

#[tokio::test]
async fn a_rule_published_between_an_alert_and_its_block_is_not_what_raised_it() {
    // One raises the same, one does not.
    for limit in ["159.0", "200.0"] {
        let (mut clinic, mut s7) = clinic().await;
        beats(&clinic, &mut s7, &[100, 160]).await;
        let id = alerted(&clinic, 1).await;
        publish(&clinic, limit).await;
        beats(&clinic, &mut s7, &[161]).await;
        sealed(&clinic).await;
        is_of(&mut clinic, id, 0);
        assert_eq!(clinic.alerts().len(), 1);
    }
}

#[tokio::test]
async fn what_is_published_once_training_is_over_changes_nothing_about_its_last_alert() {
    let (mut clinic, mut s7) = clinic().await;
    beats(&clinic, &mut s7, &[100, 160]).await;
    let id = alerted(&clinic, 1).await;
    sealed(&clinic).await;
    is_of(&mut clinic, id, 0);
    // Nothing was heard since: by its date it is older than the block.
    publish(&clinic, "159.0").await;
    is_of(&mut clinic, id, 0);
    puts_in_force(&clinic, || clinic.write_rule("other", "value > 300.0")).await;
    is_of(&mut clinic, id, 0);
}

#[tokio::test]
async fn each_of_many_versions_is_named_by_the_block_of_its_alerts_though_the_box_was_cut_off_before_it_sealed_any() {
    let (mut clinic, mut s7) = clinic().await;
    let mut ids = Vec::new();
    for limit in ["150.0", "140.0", "145.0"] {
        if !ids.is_empty() {
            publish(&clinic, limit).await;
        }
        beats(&clinic, &mut s7, &[100, 160]).await;
        ids.push(alerted(&clinic, ids.len() + 1).await);
        beats(&clinic, &mut s7, &[100]).await;
    }
    puts_in_force(&clinic, || clinic.write_rule("other", "value > 300.0")).await;
    clinic.kill().await;
    clinic.start().await;
    sealed(&clinic).await;
    for (change, id) in ids.into_iter().enumerate() {
        is_of(&mut clinic, id, change);
    }
}

#[tokio::test]
async fn rules_that_came_while_the_disk_took_no_alerts_are_named_once_it_does() {
    let (clinic, mut s7) = clinic().await;
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON alert_steps BEGIN SELECT RAISE(ABORT, 'disk is full'); END;";
    database.execute_batch(full).unwrap();
    beats(&clinic, &mut s7, &[100, 160]).await;
    puts_in_force(&clinic, || clinic.write_rule("other", "value > 300.0")).await;
    // What is kept ends with the hashes of rules and plugins.
    let named = || {
        let kept = clinic.tables().meta("sealing/rules").unwrap().unwrap();
        kept[kept.len() - 64..kept.len() - 32].to_vec()
    };
    assert_eq!(named(), [0; 32], "it is not certain which raised what comes");
    database.execute_batch("DROP TRIGGER full;").unwrap();
    let set = changes(&clinic).pop().unwrap().set_hash;
    until("the rules to be named", || (named() == set).then_some(())).await;
    assert_eq!(clinic.alerts().len(), 1);
}

#[tokio::test]
async fn rules_that_came_while_the_clock_ran_ahead_hide_none_that_came_later() {
    let (mut clinic, mut s7) = clinic().await;
    beats(&clinic, &mut s7, &[100]).await;
    let first = changes(&clinic).remove(0);
    let ahead = RuleChange { at: clinic.now().plus_micros(86_400_000_000), engine: "another".to_owned(), ..first };
    assert!(clinic.tables().note_rules(ahead, Vec::new()).unwrap());
    publish(&clinic, "140.0").await;
    beats(&clinic, &mut s7, &[145]).await;
    let id = alerted(&clinic, 1).await;
    sealed(&clinic).await;
    is_of(&mut clinic, id, 2);
}

#[tokio::test]
async fn evidence_of_an_alert_about_a_device_holds_nothing_of_whoever_wore_it_before() {
    let clinic = Clinic::new().strap("guard").athlete("anneliese").strap("spare").athlete("ben");
    let mut clinic = clinic.library(&["sensor-silent"]).ledger().start().await;
    let mut guard = clinic.sensor("guard").await;
    beats(&clinic, &mut guard, &[151, 152, 153]).await;
    clinic.pitchside(&["device", "assign", "guard", "ben"]).ok();
    until("what it told of her to end", || (clinic.gaps("guard") == [GapReason::Ended]).then_some(())).await;
    beats(&clinic, &mut guard, &[88, 89]).await;
    guard.unlink();
    let alert = clinic.alerted(1).await.remove(0).alert;
    assert_eq!((alert.rule.as_str(), alert.athlete.as_ref().map(|id| id.as_str())), ("sensor-silent", Some("ben")));
    sealed(&clinic).await;
    let said = verified(&mut clinic, alert.id);
    assert!(said["follows"] != "no" && said["rules_in_block"] == true, "{said}");
    let policy = Policy::parse(&std::fs::read(clinic.ledger().policy()).unwrap()).unwrap();
    let file = std::fs::read(clinic.dir().join("alert")).unwrap();
    assert!(!file.windows(9).any(|window| window == b"anneliese"));
    let readings = evidence::alert::verify(&file, &policy).unwrap().readings;
    assert!(!readings.is_empty() && readings.iter().all(|record| record.athlete == alert.athlete), "{readings:?}");
}
