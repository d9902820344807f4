//! A box that is lost, restored on another one, asked how it is, and destroyed.

use std::path::{Path, PathBuf};

use gatewayd::adapters::athletes::load_ring;
use gatewayd::identity::Identity;
use ledger_block::SignedHeader;
use pitchside_seal::{Filter, KeyRing, open};
use pitchside_store::{BlockRow, ChainStart};
use pitchside_tests::program::Answer;
use pitchside_tests::{Clinic, Running, Told, until};
use pitchside_wire::Content;

use super::outputs::webhook;
use super::packages::{GOOD, Maker, install, plugin};

pub async fn clinic() -> Running {
    Clinic::new().strap("s7").athlete("ada").ledger().start().await
}

/// Two blocks that are at R2, with a backup made between them; the box itself is then gone.
async fn lost() -> (Running, PathBuf, Vec<BlockRow>) {
    let mut clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(61).await;
    clinic.seal().await;
    clinic.synced().await;
    let backup = clinic.dir().join("backup");
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    s7.heart_rate(62).await;
    clinic.seal().await;
    let blocks = clinic.synced().await;
    clinic.kill().await;
    (clinic, backup, blocks)
}

fn restore(clinic: &mut Running, backup: &Path) {
    restore_to(clinic, backup, "new");
}

/// Waits until the ledger holds the copies of what keys there are; news of them travels with whatever else is said.
pub async fn copied(clinic: &Running) {
    until("the ledger holds the copies", || {
        Some(clinic.tables().key_copy_counts().unwrap()).filter(|counts| counts.waiting == 0 && counts.held >= 2)
    })
    .await;
}

/// Restores the backup to a folder of this name beside the box, and moves the clinic there.
pub fn restore_to(clinic: &mut Running, backup: &Path, name: &str) {
    let (new, key) = (clinic.dir().join(name), clinic.dir().join("recovery.key"));
    let [backup, new_text, key] = [backup, &new, &key].map(|path| path.to_str().unwrap());
    let answer = clinic.pitchside(&["backup", "restore", backup, "--dir", new_text, "--recovery-key", key]).ok();
    assert!(answer.out.contains("1 devices, 1 athletes under fresh keys"), "{answer:?}");
    clinic.moved_to(&new);
}

#[tokio::test]
async fn a_restored_box_goes_on_with_the_chain_where_the_ledger_saw_it_end() {
    let (mut clinic, backup, before) = lost().await;
    restore(&mut clinic, &backup);
    clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(63).await;
    let blocks =
        until("the first block of the restored box", || Some(clinic.blocks()).filter(|blocks| !blocks.is_empty()));
    clinic.seal().await;
    let first = blocks.await.remove(0);
    let last = before.last().unwrap();
    assert_eq!((first.key.incarnation, first.key.index), (1, last.key.index + 1));
    let header = SignedHeader::verify(&first.header).unwrap();
    assert_eq!(header.header().previous, last.hash, "the backup had not seen this block; the ledger had");
    clinic.synced().await;
    clinic.pitchside(&["blocks", "verify"]).ok();
    let report = clinic.ledger().fsck();
    assert!(report.is_sound(), "{:#?}", report.faults);
    assert_eq!(clinic.values("s7"), ["heart_rate 63"]);
}

#[tokio::test]
async fn a_restored_box_takes_readings_but_seals_nothing_before_the_ledger_has_answered() {
    let (mut clinic, backup, before) = lost().await;
    clinic.ledger().off().await;
    restore(&mut clinic, &backup);
    clinic.start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(63).await;
    clinic.seal().await;
    assert!(clinic.blocks().is_empty(), "a block on a guess could contradict the ledger");
    let healthy = || Some(clinic.pitchside(&["--json", "doctor", "--health"])).filter(|answer| answer.code == 0);
    let health = until("the gateway is healthy", healthy).await.json();
    assert!(health["checks"].to_string().contains("the ledger has not said yet"), "{health}");
    assert!(health["checks"].to_string().contains("known offline since"), "{health}");
    clinic.ledger().on().await;
    let blocks = until("what waited is sealed", || Some(clinic.blocks()).filter(|blocks| !blocks.is_empty())).await;
    assert_eq!(blocks[0].key.index, before.last().unwrap().key.index + 1);
    assert_eq!(clinic.values("s7"), ["heart_rate 63"]);
}

#[tokio::test]
async fn the_old_box_coming_back_is_refused_and_kept_as_evidence() {
    let (mut clinic, backup, _) = lost().await;
    let old = clinic.dir().to_path_buf();
    restore(&mut clinic, &backup);
    clinic.start().await;
    clinic.sensor("s7").await.heart_rate(63).await;
    clinic.seal().await;
    until("the restored box's block", || Some(clinic.blocks()).filter(|blocks| !blocks.is_empty())).await;
    clinic.synced().await;
    clinic.stop().await;
    clinic.moved_to(&old);
    clinic.start().await;
    clinic.sensor("s7").await.heart_rate(64).await;
    clinic.seal().await;
    let index = rusqlite::Connection::open(old.join("ledger/log/index.sqlite")).unwrap();
    let count = || index.query_row("SELECT count(*) FROM evidence", [], |row| row.get::<_, i64>(0)).unwrap();
    until("the conflicting header is kept", || (count() > 0).then_some(())).await;
    let second_box = || {
        let findings = clinic.pitchside(&["--json", "doctor"]).json();
        findings.as_array().unwrap().iter().find(|finding| finding["what"] == "second box").cloned()
    };
    let told = until("doctor to name the second box", second_box).await;
    assert!(told["evidence"].as_str().unwrap().starts_with("in reach, and refuses since"), "{told}");
    assert!(told["mend"].as_str().unwrap().contains("stop one of the two for good"), "{told}");
}

// The command asks the ledger, which runs in this process.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_lost_box_come_back_from_the_ledger_with_the_recovery_key() {
    let mut clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(61).await;
    clinic.seal().await;
    let block = clinic.synced().await.remove(0);
    let payload = clinic.tables().payload(block.key).unwrap().unwrap();
    copied(&clinic).await;
    let backup = clinic.dir().join("backup");
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    clinic.kill().await;
    restore(&mut clinic, &backup);
    let ring = |clinic: &mut Running| -> KeyRing {
        let keys = clinic.settings().gateway.key_dir.clone();
        load_ring(clinic.tables(), &Identity::load(&keys).unwrap()).unwrap()
    };
    let header = SignedHeader::verify(&block.header).unwrap();
    let read = |ring: &KeyRing| {
        let opened = open(&header, &payload, ring, &Filter::default()).unwrap();
        opened.entries().iter().filter(|entry| entry.athlete.is_some()).count()
    };
    assert_eq!(read(&ring(&mut clinic)), 0, "no backup holds an athlete's key");
    let key = clinic.dir().join("recovery.key");
    let said = clinic.pitchside(&["--json", "athlete", "recover", "--recovery-key", key.to_str().unwrap()]).ok();
    assert_eq!(said.json()["recovered"], 2, "ada's key and the house's: {said:?}");
    assert!(read(&ring(&mut clinic)) > 0);
}

// The command asks the ledger, which runs in this process.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_before_a_restore_comes_back_from_the_ledger_and_is_replayed_and_proven() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(190).await;
    let alert = clinic.alerted(1).await.pop().unwrap().alert.id.to_string();
    clinic.seal().await;
    let before = clinic.synced().await;
    copied(&clinic).await;
    let (backup, policy) = (clinic.dir().join("backup"), clinic.ledger().policy());
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    clinic.kill().await;
    restore(&mut clinic, &backup);
    let early = clinic.pitchside(&["blocks", "fetch"]);
    assert!(early.code == 1 && early.err.contains("has not said yet where the chain"), "{early:?}");
    let replay = ["rules", "replay", alert.as_str()];
    let none = clinic.pitchside(&replay);
    assert!(
        none.code == 1 && none.err.contains("what was sealed before this box was restored is not here"),
        "{none:?}"
    );
    clinic.start().await;
    let settled = || matches!(clinic.tables().chain_start().unwrap(), Some(ChainStart::After { .. })).then_some(());
    until("the ledger to say where the chain goes on", settled).await;
    let last = before.len() - 1;
    for asked in [&replay[..], &["evidence", "export", &alert, "--out", "-"]] {
        let told = clinic.pitchside(asked);
        assert!(told.code == 1 && told.err.contains(&format!("blocks 0 to {last}, from before")), "{told:?}");
    }
    let listed = clinic.pitchside(&["blocks", "list"]).ok();
    assert!(listed.err.contains("`pitchside blocks fetch` brings them back"), "{listed:?}");
    let backtest = || clinic.pitchside(&["--json", "rules", "backtest", "good", "--since", "1d"]).ok().json();
    assert_eq!(backtest()["blocks_only_in_ledger"], before.len());
    let key = clinic.dir().join("recovery.key");
    clinic.pitchside(&["athlete", "recover", "--recovery-key", key.to_str().unwrap()]).ok();
    let fetched = clinic.pitchside(&["--json", "blocks", "fetch"]).ok().json();
    assert_eq!((&fetched["blocks"], &fetched["blocks_only_in_ledger"]), (&before.len().into(), &0.into()));
    assert!(fetched["readings"].as_u64() > Some(0), "{fetched}");
    assert_eq!(clinic.pitchside(&["--json", "rules", "replay", &alert]).ok().json()["result"], "identical");
    let file = clinic.dir().join("one.evidence");
    let [file, policy] = [&file, &policy].map(|path| path.to_str().unwrap());
    clinic.pitchside(&["evidence", "export", &alert, "--out", file]).ok();
    clinic.pitchside(&["evidence", "verify", file, "--policy", policy]).ok();
    let heard = backtest();
    assert_eq!((&heard["blocks_only_in_ledger"], &heard["fires"]), (&0.into(), &1.into()), "{heard}");
    // What is sealed now goes on with the chain, under the incarnation that was settled. The rules know nothing of the alert that the box
    // was lost with, still raised, and raise one of their own.
    clinic.sensor("s7").await.heart_rate(191).await;
    let of_restored = until("the alert of the restored box", || {
        clinic.alerts().into_iter().map(|row| row.alert.id.to_string()).find(|id| *id != alert)
    });
    let of_restored = of_restored.await;
    clinic.seal().await;
    let blocks = until("the first block of the restored box", || {
        Some(clinic.blocks()).filter(|blocks| blocks.len() > before.len())
    });
    let first = blocks.await.swap_remove(before.len());
    assert_eq!((first.key.incarnation, first.key.index), (1, before.len() as u64));
    clinic.synced().await;
    for id in [&of_restored, &alert] {
        assert_eq!(clinic.pitchside(&["--json", "rules", "replay", id]).ok().json()["result"], "identical");
    }
    let other = clinic.dir().join("other.evidence");
    let other = other.to_str().unwrap();
    clinic.pitchside(&["evidence", "export", &of_restored, "--out", other]).ok();
    let proven = clinic.pitchside(&["--json", "evidence", "verify", other, "--policy", policy]).ok().json();
    assert_eq!(proven["follows"], "from_readings", "{proven}");
    clinic.pitchside(&["blocks", "verify"]).ok();
    let again = clinic.pitchside(&["blocks", "fetch"]).ok();
    assert!(again.out.contains("nothing to bring back"), "{again:?}");
    let report = clinic.ledger().fsck();
    assert!(report.is_sound(), "{:#?}", report.faults);
}

#[tokio::test]
async fn installed_plugins_come_back_and_work_with_what_they_were_granted_and_the_secrets_they_name() {
    let (port, got) = webhook(0).await;
    let mut clinic =
        Clinic::new().strap("s7").athlete("ada").decoder("acme").rule("fast", "value > 180.0").start().await;
    let maker = Maker::new("acme.example/plugins");
    plugin(&clinic, &["trust", &maker.public()]).ok();
    install(&clinic, &maker.makes("1.0.0", GOOD)).ok();
    let capability = format!("http:127.0.0.1:{port}");
    let manifest = format!(
        "name = \"hook\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"output\"\ncapabilities = [\"{capability}\"]\n[texts.path]\ndefault = \"/x\"\nmax = 20\n[secrets.token]\nsummary = \"A test.\"\n"
    );
    let script = format!(
        "if event.priority == \"low\" {{ return []; }}\n[http_post(`http://127.0.0.1:{port}${{path}}`, \"text/plain\", event.step).bearer(\"token\")]\n"
    );
    let hook = maker.packs_files("hook", &manifest, ("output.rhai", &script), "case none\n  raised low x ->\n");
    maker.signs(&hook);
    plugin(&clinic, &["install", hook.to_str().unwrap(), "--grant", &capability]).ok();
    plugin(&clinic, &["set", "hook", "path", "/sent"]).ok();
    clinic.pitchside_fed(&["plugin", "secret", "hook", "token"], "tk_very_secret\n").ok();
    let backup = clinic.dir().join("backup");
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    clinic.kill().await;
    restore(&mut clinic, &backup);
    clinic.start().await;
    let name = pitchside_model::PluginName::parse("hook").unwrap();
    until("the output runs", || clinic.tables().plugin_told(&name).unwrap()).await;
    let mut s7 = clinic.sensor("s7").await;
    assert_eq!(s7.says(Content::Vendor, [0, 190]).await, Told::Stored);
    let sent = until("the alert goes out", || got.lock().unwrap().first().cloned()).await;
    assert!(sent.0.starts_with("POST /sent ") && sent.0.contains("authorization: Bearer tk_very_secret"), "{sent:?}");
    assert_eq!((sent.1.as_str(), clinic.values("s7")), ("raised", vec!["heart_rate 190".to_owned()]));
    install(&clinic, &maker.makes("1.1.0", &format!("{GOOD}// Newer.\n"))).ok();
}

#[tokio::test]
async fn health_is_asked_of_the_running_gateway() {
    let mut clinic = clinic().await;
    let health = || clinic.pitchside(&["--json", "doctor", "--health"]);
    let answer = until("the gateway is healthy", || Some(health()).filter(|answer| answer.code == 0)).await;
    let said = answer.json();
    assert_eq!(said["healthy"], true);
    assert!(said["certificate_until_us"].as_i64().unwrap() > said["started_at_us"].as_i64().unwrap(), "{said}");
    let what: Vec<&str> = said["checks"].as_array().unwrap().iter().map(|c| c["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["commit", "store writable", "sealing", "rules", "alert path", "ledger"]);
    let rules = said["checks"][3]["evidence"].as_str().unwrap();
    assert!(rules.starts_with("a synthetic reading raised its alert after "), "{rules}");
    clinic.stop().await;
    let answer = clinic.pitchside(&["doctor", "--health"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.err.contains("the gateway does not run"), "{answer:?}");
}

#[tokio::test]
async fn a_gateway_without_room_to_write_is_not_healthy() {
    let clinic = Clinic::new().strap("s7").with(|settings| settings.journal.reserve_bytes = 1 << 40).start().await;
    // It may be asked a moment after it has started.
    let found = |answer: &Answer| answer.err.contains("not healthy: store writable");
    let unhealthy = || Some(clinic.pitchside(&["doctor", "--health"])).filter(found);
    assert_eq!(until("it to be found without room", unhealthy).await.code, 1);
}

#[tokio::test]
async fn a_factory_reset_waits_for_the_gateway_to_stop_and_leaves_nothing() {
    let mut clinic = clinic().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    let refused = clinic.pitchside(&["factory-reset", "--yes"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("a gateway runs on this box"), "{refused:?}");
    let asked = clinic.pitchside(&["factory-reset"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    clinic.pitchside(&["factory-reset", "--yes", "--at-next-start"]).ok();
    clinic.stop().await;
    assert!(clinic.dir().join("keys/root.key").exists(), "the box is not touched while it runs");
    let start = clinic.pitchside(&["run"]);
    assert!(start.err.contains("the factory reset is complete"), "{start:?}");
    let left = |folder: &str| std::fs::read_dir(clinic.dir().join(folder)).map_or(0, Iterator::count);
    assert_eq!((left("keys"), left("data"), left("rules")), (0, 0, 0));
    assert!(!clinic.dir().join("pitchside.toml").exists());
}

#[tokio::test]
async fn the_doctor_says_which_command_mends_what_it_finds() {
    let mut clinic = clinic().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    clinic.stop().await;
    let keys = clinic.settings().gateway.key_dir.clone();
    let sign = keys.join("noise.key");
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    std::fs::set_permissions(&sign, open).unwrap();
    let answer = clinic.pitchside(&["--json", "doctor"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let findings = answer.json();
    let of = |what: &str| findings.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap().clone();
    assert_eq!(of("key file")["mend"], format!("chmod 600 {}", sign.display()));
    assert_eq!(of("gateway")["mend"], "systemctl start pitchside");
    let closed = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&sign, closed).unwrap();
    let findings = clinic.pitchside(&["--json", "doctor"]).json();
    let of = |what: &str| findings.as_array().unwrap().iter().find(|f| f["what"] == what).unwrap().clone();
    assert_eq!(of("database")["ok"], true);
    assert_eq!(of("key file")["ok"], true);
    assert_eq!(of("chain")["ok"], true);
}

#[tokio::test]
async fn a_restored_box_without_a_ledger_goes_on_after_the_last_block_its_backup_knew() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    clinic.sensor("s7").await.heart_rate(61).await;
    clinic.seal().await;
    let before = clinic.blocks();
    let backup = clinic.dir().join("backup");
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    clinic.kill().await;
    restore(&mut clinic, &backup);
    clinic.start().await;
    assert!(matches!(clinic.tables().chain_start().unwrap(), Some(ChainStart::After { incarnation: 1, .. })));
    clinic.sensor("s7").await.heart_rate(62).await;
    clinic.seal().await;
    let first = clinic.blocks().remove(0);
    assert_eq!(first.key.index, before.last().unwrap().key.index + 1);
    clinic.pitchside(&["blocks", "verify"]).ok();
}
