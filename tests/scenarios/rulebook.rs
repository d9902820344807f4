//! Rules an admin changes: tried on history, published, overtaken, merged, rolled back, replayed, watched in the shadow.

use std::path::{Path, PathBuf};

use gatewayd::rulebook::Lock;
use pitchside_tests::{Clinic, Running, Sensor, until};
use serde_json::Value;

/// So many seconds of a heart rate, one reading a second.
async fn for_seconds(clinic: &Running, sensor: &mut Sensor, seconds: u32, per_minute: i64) {
    for _ in 0..seconds {
        clinic.advance(1);
        sensor.heart_rate(per_minute).await;
    }
}

async fn clinic() -> (Running, Sensor) {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger().start().await;
    let s7 = clinic.sensor("s7").await;
    (clinic, s7)
}

/// A copy of the newest version, with another limit.
fn draft(clinic: &Running, folder: &str, limit: &str) -> PathBuf {
    let dir = clinic.dir().join(folder).join("good");
    clinic.pitchside(&["rules", "checkout", "good", dir.to_str().unwrap()]).ok();
    std::fs::write(dir.join("rule.rhai"), format!("value > {limit}")).unwrap();
    dir
}

fn publish(clinic: &Running, dir: &Path, note: &str) -> pitchside_tests::program::Answer {
    clinic.pitchside(&["--json", "rules", "publish", dir.to_str().unwrap(), "--note", note, "--author", note])
}

fn replay(clinic: &Running, id: &str) -> Value {
    clinic.pitchside(&["--json", "rules", "replay", id]).ok().json()
}

#[tokio::test]
async fn a_draft_on_sealed_history_says_what_it_would_add_and_what_would_be_gone() {
    let (clinic, mut s7) = clinic().await;
    for rate in [100, 190, 100, 150, 100, 185, 100] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
    }
    clinic.alerted(2).await;
    clinic.seal().await;
    let backtest = |draft: &str| clinic.pitchside(&["--json", "rules", "backtest", draft, "--since", "1d"]).ok().json();
    let live = backtest("good");
    assert_eq!(
        (&live["fires"], &live["difference"]["same"], &live["difference"]["new"]),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!((&live["readings"], &live["subjects"][0]["name"]), (&7.into(), &"ada".into()), "{live}");
    let lower = backtest(draft(&clinic, "lower", "140.0").to_str().unwrap());
    assert_eq!((&lower["fires"], &lower["difference"]["new"]), (&3.into(), &1.into()), "{lower}");
    let higher = backtest(draft(&clinic, "higher", "188.0").to_str().unwrap());
    assert_eq!((&higher["difference"]["same"], &higher["difference"]["gone"]), (&1.into(), &1.into()), "{higher}");
    let ids: Vec<String> = clinic.alerts().iter().map(|row| row.alert.id.to_string()).collect();
    let found = live["alerts"].as_array().unwrap().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned());
    assert_eq!(found.collect::<Vec<_>>(), ids, "the ids the alerts were delivered under");
    let nobody = clinic.pitchside(&["rules", "backtest", "good", "--athlete", "bea"]);
    assert_eq!(nobody.code, 2, "{nobody:?}");
    let words = clinic.pitchside(&["rules", "backtest", "good"]).ok().out;
    assert!(words.contains("fires 2 times") && words.contains("TIMELINE"), "{words}");
}

#[tokio::test]
async fn a_bad_block_ends_a_backtest_and_is_named() {
    let (mut clinic, mut s7) = clinic().await;
    for rate in [190, 100] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
        clinic.seal().await;
    }
    let id = clinic.alerted(1).await[0].alert.id.to_string();
    clinic.seal().await;
    clinic.stop().await;
    assert_eq!(replay(&clinic, &id)["result"], "identical");
    let database = rusqlite::Connection::open(clinic.settings().gateway.data_dir.join("pitchside.db")).unwrap();
    let change = "UPDATE block_payloads SET payload = CAST(payload || x'00' AS BLOB) WHERE block_index = 0";
    assert_eq!(database.execute(change, []).unwrap(), 1);
    for command in [["backtest", "good"], ["replay", &id]] {
        let answer = clinic.pitchside(&[&["rules"][..], &command].concat());
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.err.contains("tampered: block 0/0"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_published_comes_into_force_by_itself_and_goes_to_the_ledger() {
    let (clinic, mut s7) = clinic().await;
    for_seconds(&clinic, &mut s7, 1, 190).await;
    clinic.alerted(1).await;
    for_seconds(&clinic, &mut s7, 1, 100).await;
    let dir = draft(&clinic, "ann", "140.0");
    let said = publish(&clinic, &dir, "ann").ok().json();
    assert_eq!((&said["number"], &said["ledger"]), (&2.into(), &true.into()), "the first is what was found");
    let mut rate = 150;
    while clinic.alerts().len() < 2 {
        for_seconds(&clinic, &mut s7, 1, rate).await;
        rate = if rate == 150 { 100 } else { 150 };
    }
    until("the ledger to have both", || {
        let waiting = clinic.tables().waiting_acts(10).unwrap();
        waiting.is_empty().then_some(())
    })
    .await;
    let back = clinic.pitchside(&["--json", "rules", "rollback", "good", "1"]).ok().json();
    assert_eq!(back["number"], 3);
    assert_eq!(std::fs::read_to_string(clinic.dir().join("rules/good/rule.rhai")).unwrap(), "value > 180.0");
    let history = clinic.pitchside(&["--json", "rules", "history", "good"]).ok().json();
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["-", "-", "in force"], "{history}");
    let diff = clinic.pitchside(&["rules", "diff", "good@1", "good@2"]).ok().out;
    assert!(diff.contains("-value > 180.0") && diff.contains("+value > 140.0"), "{diff}");
    clinic.seal().await;
    for row in clinic.alerts() {
        let said = replay(&clinic, &row.alert.id.to_string());
        assert_eq!(said["result"], "identical", "{said}");
    }
}

#[tokio::test]
async fn of_versions_that_differ_in_their_words_alone_one_is_in_force() {
    let (clinic, _s7) = clinic().await;
    let states = || {
        let history = clinic.pitchside(&["--json", "rules", "history", "good"]).ok().json();
        let states = history.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned());
        states.collect::<Vec<_>>()
    };
    let dir = draft(&clinic, "ann", "180.0");
    std::fs::write(dir.join("README.md"), "# A test\n\nAnn's word.\n").unwrap();
    assert_eq!(publish(&clinic, &dir, "ann").ok().json()["number"], 2);
    assert_eq!(states(), ["-", "in force"]);
    std::fs::write(dir.join("cases.txt"), "case none\n  +0s heart_rate 2 /min ->\n").unwrap();
    assert_eq!(publish(&clinic, &dir, "ann").ok().json()["number"], 3);
    clinic.pitchside(&["rules", "rollback", "good", "1"]).ok();
    assert_eq!(states(), ["-", "-", "-", "in force"]);
}

#[tokio::test]
async fn a_publication_that_was_cut_off_comes_into_force_by_itself() {
    let (clinic, _s7) = clinic().await;
    let dir = draft(&clinic, "ann", "140.0");
    publish(&clinic, &dir, "ann").ok();
    // As it was between the record and the swap.
    let (left, live) = (clinic.dir().join(".rules.new"), clinic.dir().join("rules/good/rule.rhai"));
    let lock = Lock::take(&clinic.dir().join("rules")).unwrap();
    std::fs::create_dir_all(left.join("good")).unwrap();
    for file in ["rule.toml", "rule.rhai", "cases.txt", "README.md"] {
        std::fs::copy(dir.join(file), left.join("good").join(file)).unwrap();
    }
    std::fs::write(&live, "value > 180.0").unwrap();
    drop(lock);
    until("what was recorded is in force", || {
        (std::fs::read_to_string(&live).unwrap() == "value > 140.0" && !left.exists()).then_some(())
    })
    .await;
    let history = clinic.pitchside(&["--json", "rules", "history", "good"]).ok().json();
    assert_eq!(history.as_array().unwrap().len(), 2, "nothing old was recorded again: {history}");
}

#[tokio::test]
async fn of_two_admins_the_second_is_told_who_came_between_and_can_merge() {
    let (clinic, _s7) = clinic().await;
    let (ann, bea) = (draft(&clinic, "ann", "170.0"), draft(&clinic, "bea", "180.0"));
    std::fs::write(bea.join("README.md"), "# A test\n\nBea's word.\n").unwrap();
    publish(&clinic, &ann, "ann").ok();
    let told = publish(&clinic, &bea, "bea");
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.err.contains("version 2 of good came between, published by ann"), "{told:?}");
    clinic.pitchside(&["rules", "merge", bea.to_str().unwrap()]).ok();
    assert_eq!(publish(&clinic, &bea, "bea").ok().json()["number"], 3);
    let live = |file: &str| std::fs::read_to_string(clinic.dir().join("rules/good").join(file)).unwrap();
    assert_eq!((live("rule.rhai").as_str(), live("README.md").contains("Bea's word.")), ("value > 170.0", true));
    // Both change the same line: marks, which are not published.
    let (ann, bea) = (draft(&clinic, "ann2", "160.0"), draft(&clinic, "bea2", "150.0"));
    publish(&clinic, &ann, "ann").ok();
    let clash = clinic.pitchside(&["rules", "merge", bea.to_str().unwrap()]);
    assert!(clash.code == 1 && clash.out.contains("rule.rhai"), "{clash:?}");
    let again = clinic.pitchside(&["rules", "merge", bea.to_str().unwrap()]);
    assert!(again.code == 1 && again.err.contains("nothing was merged: rule.rhai:1"), "{again:?}");
    let marked = publish(&clinic, &bea, "bea");
    assert!(marked.code == 1 && marked.err.contains("marks of a merge"), "{marked:?}");
    let unsaid = clinic.dir().join("copy/good");
    std::fs::create_dir_all(&unsaid).unwrap();
    for file in ["rule.toml", "rule.rhai", "cases.txt", "README.md"] {
        std::fs::copy(ann.join(file), unsaid.join(file)).unwrap();
    }
    assert_eq!(publish(&clinic, &unsaid, "x").code, 2, "a draft must say where it began");
}

#[tokio::test]
async fn what_is_only_watched_gets_into_no_draft_unless_it_is_asked_for() {
    let (clinic, _s7) = clinic().await;
    let (ann, bea) = (draft(&clinic, "ann", "180.0"), draft(&clinic, "bea", "140.0"));
    let experiment = ["rules", "publish", bea.to_str().unwrap(), "--note", "try", "--author", "bea", "--shadow"];
    clinic.pitchside(&experiment).ok();
    let fresh = clinic.dir().join("fresh/good");
    let copied = clinic.pitchside(&["--json", "rules", "checkout", "good", fresh.to_str().unwrap()]).ok();
    assert_eq!((&copied.json()["number"], &copied.json()["shadow"]), (&1.into(), &false.into()));
    assert!(copied.err.contains("good@2 is only watched (a shadow)"), "{copied:?}");
    std::fs::write(ann.join("README.md"), "# A test\n\nAnn's word.\n").unwrap();
    let merged = clinic.pitchside(&["rules", "merge", ann.to_str().unwrap()]).ok().out;
    assert!(merged.contains("nothing of good was put in force since @1"), "{merged}");
    assert_eq!(publish(&clinic, &ann, "ann").ok().json()["number"], 3);
    let live = |file: &str| std::fs::read_to_string(clinic.dir().join("rules/good").join(file)).unwrap();
    assert_eq!(live("rule.rhai"), "value > 180.0", "the experiment is in nobody's draft");
    // Whoever wants it in force says so, and has what was put in force since.
    let tried = clinic.dir().join("tried/good");
    let copied = clinic.pitchside(&["rules", "checkout", "good@2", tried.to_str().unwrap()]).ok().out;
    assert!(copied.contains("good@2, which is only watched (a shadow), is in"), "{copied}");
    let told = publish(&clinic, &tried, "bea");
    assert!(told.code == 1 && told.err.contains("version 3 of good came between, published by ann"), "{told:?}");
    clinic.pitchside(&["rules", "merge", tried.to_str().unwrap()]).ok();
    assert_eq!(publish(&clinic, &tried, "bea").ok().json()["number"], 4);
    assert_eq!((live("rule.rhai").as_str(), live("README.md").contains("Ann's word.")), ("value > 140.0", true));
}

#[tokio::test]
async fn history_says_of_a_version_whether_the_ledger_has_it() {
    let (mut clinic, _s7) = clinic().await;
    let dir = draft(&clinic, "ann", "140.0");
    clinic.stop().await;
    let said = clinic.pitchside(&["rules", "publish", dir.to_str().unwrap(), "--note", "x"]).ok().out;
    assert!(said.contains("the ledger will be told"), "{said}");
    let ledger = |clinic: &Running| -> Vec<String> {
        let rows = clinic.pitchside(&["--json", "rules", "history", "good"]).ok().json();
        rows.as_array().unwrap().iter().map(|row| row["ledger"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ledger(&clinic)[1], "waiting", "nobody runs who could tell it");
    clinic.start().await;
    until("the ledger to have both", || clinic.tables().waiting_acts(10).unwrap().is_empty().then_some(())).await;
    assert_eq!(ledger(&clinic), ["told", "told"]);
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.execute("UPDATE acts SET state = 2", []).unwrap();
    assert_eq!(ledger(&clinic), ["refused", "refused"]);
}

#[tokio::test]
async fn a_payload_that_was_taken_away_is_missed_whatever_its_row_says() {
    let (mut clinic, mut s7) = clinic().await;
    for rate in [190, 100] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
        clinic.seal().await;
    }
    clinic.synced().await;
    clinic.stop().await;
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    let forged = "INSERT INTO receipts SELECT incarnation, block_index, 3, received_at, receipt FROM receipts \
                  WHERE block_index = 0 AND level = 2";
    assert_eq!(database.execute("DELETE FROM block_payloads WHERE block_index = 0", []).unwrap(), 1);
    for deed in ["UPDATE blocks SET level = 3 WHERE block_index = 0", forged] {
        assert_eq!(database.execute(deed, []).unwrap(), 1);
        for command in [&["rules", "backtest", "good"][..], &["blocks", "verify"]] {
            let answer = clinic.pitchside(command);
            assert!(answer.code == 3 && answer.err.contains("block 0/0: its payload is missing"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_backtest_says_what_is_told_earlier_and_is_no_success_if_the_draft_was_switched_off() {
    let (clinic, mut s7) = clinic().await;
    for rate in [100, 150, 190, 100] {
        for_seconds(&clinic, &mut s7, 1, rate).await;
    }
    for_seconds(&clinic, &mut s7, 10, 165).await;
    for_seconds(&clinic, &mut s7, 1, 155).await;
    clinic.alerted(1).await;
    clinic.seal().await;
    let lower = draft(&clinic, "lower", "140.0");
    let words = clinic.pitchside(&["rules", "backtest", lower.to_str().unwrap()]).ok().out;
    assert!(words.contains("difference: 0 the same, 2 new, 0 gone, 1 told earlier, 0 told later"), "{words}");
    assert!(words.contains("< earlier") && words.lines().any(|line| line.contains(" earlier ")), "{words}");
    let shaky = draft(&clinic, "shaky", "140.0");
    let script = "let limits = [150.0, 170.0];\nlet zone = if value > 160.0 { 2 } else { 0 };\nvalue > limits[zone]\n";
    std::fs::write(shaky.join("rule.rhai"), script).unwrap();
    let answer = clinic.pitchside(&["--json", "rules", "backtest", shaky.to_str().unwrap()]);
    assert!(answer.code == 1 && answer.err.contains("good was switched off for its faults"), "{answer:?}");
    let said = answer.json();
    assert_eq!((&said["schema"], &said["faults"]), (&"pitchside/backtest/1".into(), &8.into()), "{said}");
    let (stops, off) = (said["stops"].as_array().unwrap(), said["switched_off"].as_array().unwrap());
    assert_eq!((stops.len(), &stops[0]["times"], &stops[0]["whose"]), (1, &8.into(), &"draft".into()), "{said}");
    assert_eq!((off.len(), &off[0]["rule"]), (1, &"good".into()), "{said}");
    let words = clinic.pitchside(&["rules", "backtest", shaky.to_str().unwrap()]).out;
    let at = off[0]["at"].as_str().unwrap();
    assert!(words.contains(&format!("good was switched off at {at}; nothing after it was tried")), "{words}");
}

#[tokio::test]
async fn a_draft_that_fails_its_cases_is_not_published() {
    let (clinic, _s7) = clinic().await;
    let dir = draft(&clinic, "ann", "0.5");
    let told = publish(&clinic, &dir, "ann");
    assert!(told.code == 1 && told.err.contains("expected nothing"), "{told:?}");
    std::fs::write(dir.join("rule.rhai"), "valeu > 1.0").unwrap();
    assert!(publish(&clinic, &dir, "ann").err.contains("did you mean"), "compiled before");
    // Nor is one that the gateway would not load with the others.
    let reserved = clinic.dir().join("alert-path");
    std::fs::rename(&dir, &reserved).unwrap();
    let manifest = std::fs::read_to_string(reserved.join("rule.toml")).unwrap();
    std::fs::write(reserved.join("rule.toml"), manifest.replace("\"good\"", "\"alert-path\"")).unwrap();
    let told = publish(&clinic, &reserved, "ann");
    assert!(told.code == 1 && told.err.contains("a rule of the gateway's own"), "{told:?}");
    assert_eq!(std::fs::read_to_string(clinic.dir().join("rules/good/rule.rhai")).unwrap(), "value > 180.0");
}

#[tokio::test]
async fn a_shadow_hears_everything_and_only_writes_it_down() {
    let (clinic, mut s7) = clinic().await;
    let dir = draft(&clinic, "ann", "140.0");
    let said =
        clinic.pitchside(&["--json", "rules", "publish", dir.to_str().unwrap(), "--note", "x", "--shadow"]).ok().json();
    assert_eq!((&said["shadow"], &said["ledger"]), (&true.into(), &false.into()));
    let log = || clinic.tables().shadow_log(Some("good"), 100).unwrap();
    let mut rate = 150;
    while log().is_empty() {
        for_seconds(&clinic, &mut s7, 1, rate).await;
        rate = if rate == 150 { 100 } else { 150 };
    }
    for_seconds(&clinic, &mut s7, 1, 190).await;
    clinic.alerted(1).await;
    clinic.seal().await;
    assert!(clinic.alerts().iter().all(|row| row.alert.value.unwrap().to_string() == "190"), "only the rule in force");
    assert!(clinic.sealed_alerts().iter().all(|alert| alert.value.unwrap().to_string() == "190"));
    let lines = clinic.pitchside(&["--json", "rules", "shadow", "good"]).ok().json();
    assert!(lines.as_array().unwrap().iter().any(|line| line["value"] == "150 /min"), "{lines}");
    let other = clinic.pitchside(&["rules", "shadow", "good@1", "off"]);
    assert!(other.code == 1 && other.err.contains("but not as good@1"), "{other:?}");
    clinic.pitchside(&["rules", "shadow", &format!("good@{}", said["number"]), "off"]).ok();
    assert_eq!(clinic.pitchside(&["--json", "rules", "shadow"]).ok().json(), serde_json::json!([]));
}

#[tokio::test]
async fn an_alert_on_what_no_sensor_sends_is_raised_again_from_what_it_was_derived_from() {
    let clinic = Clinic::new().strap("s7").athlete("ada").rule_on("load", "training_load", "value > 1.0");
    let clinic = clinic.ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    for_seconds(&clinic, &mut s7, 130, 180).await;
    let id = clinic.alerted(1).await[0].alert.id.to_string();
    clinic.seal().await;
    assert_eq!(replay(&clinic, &id)["result"], "identical");
}

#[tokio::test]
async fn an_alert_of_a_rule_changed_behind_its_back_shows_the_difference() {
    let (clinic, mut s7) = clinic().await;
    for_seconds(&clinic, &mut s7, 1, 190).await;
    let id = clinic.alerted(1).await[0].alert.id.to_string();
    clinic.seal().await;
    assert_eq!(replay(&clinic, &id)["result"], "identical");
    // Somebody with the disk rewrites the texts that are kept.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.execute("UPDATE rule_texts SET script = 'value > 195.0'", []).unwrap();
    let answer = clinic.pitchside(&["rules", "replay", &id]);
    assert!(answer.code != 0 && !answer.out.contains("identical"), "{answer:?}");
}
