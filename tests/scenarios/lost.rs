//! What a box that lost something must not do: bring an erased athlete's keys back, seal under another box's key, begin a second
//! chain.

use std::path::{Path, PathBuf};

use gatewayd::backup::RecoveryKey;
use gatewayd::files::write_secret;
use gatewayd::identity::Identity;
use ledger_block::SignedHeader;
use pitchside_model::AthleteId;
use pitchside_seal::{Generation, Whose};
use pitchside_store::{BlockRow, RootKey, Tables};
use pitchside_tests::{Clinic, Running, until};

use super::backup::{self, clinic, restore_to};

/// A box whose copies of keys lie in the ledger, and its backup; the box itself is then gone.
async fn copied() -> (Running, PathBuf) {
    let mut clinic = clinic().await;
    clinic.sensor("s7").await.heart_rate(61).await;
    clinic.seal().await;
    clinic.synced().await;
    backup::copied(&clinic).await;
    let backup = clinic.dir().join("backup");
    clinic.pitchside(&["backup", "create", backup.to_str().unwrap()]).ok();
    clinic.kill().await;
    (clinic, backup)
}

/// Copies of ada's keys, of whatever generation, in the ledger's store.
fn copies_of_ada(clinic: &Running) -> usize {
    fn names(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { names(&path, found) } else { found.push(entry.file_name().into_string().unwrap()) }
        }
    }
    let line = std::fs::read_to_string(clinic.dir().join("recovery.key")).unwrap();
    let public = RecoveryKey::parse(&line).unwrap().secret.public();
    let ada = Whose::Athlete(ada());
    let tags = [0, 1, 2].map(|number| data_encoding::HEXLOWER.encode(&public.copy_tag(&ada, Generation(number))));
    let mut found = Vec::new();
    names(&clinic.dir().join("ledger/log/copies"), &mut found);
    found.iter().filter(|name| name.len() == 64 && tags.iter().any(|tag| name.starts_with(tag.as_str()))).count()
}

/// Turns the ledger off and on: it forgets whose clock it heard last, so commands with the machine's clock and a gateway with the
/// clinic's may take turns.
async fn between_clocks(clinic: &mut Running) {
    clinic.ledger().off().await;
    clinic.ledger().on().await;
}

fn recover(clinic: &Running) {
    let key = clinic.dir().join("recovery.key");
    clinic.pitchside(&["athlete", "recover", "--recovery-key", key.to_str().unwrap()]).ok();
}

fn ada() -> AthleteId {
    AthleteId::parse("ada").unwrap()
}

// The command asks the ledger, which runs in this process.
#[tokio::test(flavor = "multi_thread")]
async fn an_athlete_erased_on_a_restored_box_has_no_copy_of_any_key_left_and_none_comes_back() {
    let (mut clinic, backup) = copied().await;
    assert_eq!(copies_of_ada(&clinic), 1);
    restore_to(&mut clinic, &backup, "new");
    between_clocks(&mut clinic).await;
    recover(&clinic);
    assert!(clinic.tables().athlete_key(&ada(), 0).unwrap().is_some());
    let doctor = clinic.pitchside(&["--json", "doctor"]).json();
    let copies = doctor.as_array().unwrap().iter().find(|finding| finding["what"] == "copies of keys").unwrap();
    assert_eq!(copies["ok"], true, "the ledger holds a copy of every key: {copies}");
    between_clocks(&mut clinic).await;
    clinic.start().await;
    until("the ledger holds the copies of both generations", || (copies_of_ada(&clinic) == 2).then_some(())).await;
    // While it runs, and says nothing else.
    clinic.pitchside(&["athlete", "erase", "ada", "--confirm", "ada"]).ok();
    until("the ledger holds no copy of hers", || (copies_of_ada(&clinic) == 0).then_some(())).await;
    clinic.kill().await;
    restore_to(&mut clinic, &backup, "again");
    between_clocks(&mut clinic).await;
    recover(&clinic);
    assert!(clinic.tables().athlete_key(&ada(), 0).unwrap().is_none(), "erased for good");
}

#[tokio::test]
async fn copies_that_a_restored_box_does_not_remember_are_found_in_the_ledgers_list_and_deleted() {
    let (mut clinic, backup) = copied().await;
    restore_to(&mut clinic, &backup, "new");
    // As from a backup of before it held their names.
    let database = rusqlite::Connection::open(clinic.dir().join("new/data/pitchside.db")).unwrap();
    assert!(database.execute("DELETE FROM key_copies WHERE state = 1", []).unwrap() >= 1);
    drop(database);
    clinic.pitchside(&["athlete", "erase", "ada", "--confirm", "ada"]).ok();
    clinic.start().await;
    until("the ledger holds no copy of hers", || (copies_of_ada(&clinic) == 0).then_some(())).await;
    until("the list was gone through", || clinic.tables().copies_to_seek().unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn a_copy_the_ledger_cannot_read_is_told_by_the_doctor_while_the_others_are_deleted() {
    let clinic = clinic().await;
    backup::copied(&clinic).await;
    // A link to itself: nobody can read it, root included.
    let folder = clinic.dir().join("ledger/log/copies/box/00");
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("00".repeat(32));
    std::os::unix::fs::symlink(&copy, &copy).unwrap();
    clinic.pitchside(&["athlete", "erase", "ada", "--confirm", "ada"]).ok();
    until("the list was gone through", || (clinic.tables().unreadable_copies().unwrap().count == 1).then_some(()))
        .await;
    until("the ledger holds no copy of hers", || (copies_of_ada(&clinic) == 0).then_some(())).await;
    let finding = || {
        let doctor = clinic.pitchside(&["--json", "doctor"]).json();
        doctor.as_array().unwrap().iter().find(|found| found["what"] == "copies the ledger cannot read").cloned()
    };
    let told = finding().expect("a finding");
    assert!(told["evidence"].as_str().unwrap().contains(&"00".repeat(32)), "{told}");
    let way = clinic.pitchside(&["--json", "doctor"]).json();
    let way = way.as_array().unwrap().iter().find(|found| found["what"] == "way to the ledger").unwrap().clone();
    assert_eq!(way["ok"], true, "no connection ended over it: {way}");
}

#[tokio::test]
async fn a_foreign_signing_key_is_refused_before_it_breaks_the_chain() {
    let mut clinic = clinic().await;
    clinic.sensor("s7").await.heart_rate(61).await;
    clinic.seal().await;
    clinic.stop().await;
    let before = clinic.blocks().len();
    let sign = clinic.settings().gateway.key_dir.join("sign.key");
    let own = std::fs::read(&sign).unwrap();
    write_secret(&sign, data_encoding::HEXLOWER.encode(&[7; 32]).as_bytes()).unwrap();
    let start = clinic.pitchside(&["run"]);
    assert_eq!(start.code, 1, "{start:?}");
    assert!(start.err.contains("sign.key is not the one this chain was made with"), "{start:?}");
    let doctor = clinic.pitchside(&["--json", "doctor"]).json();
    let keys = doctor.as_array().unwrap().iter().find(|finding| finding["what"] == "keys").unwrap();
    assert!(keys["evidence"].as_str().unwrap().contains("sign.key is not the one"), "{keys}");
    write_secret(&sign, &own).unwrap();
    clinic.start().await;
    clinic.sensor("s7").await.heart_rate(62).await;
    clinic.seal().await;
    assert!(clinic.blocks().len() > before);
    clinic.pitchside(&["blocks", "verify"]).ok();
}

#[tokio::test]
async fn a_box_whose_data_is_gone_does_not_begin_a_second_chain() {
    let mut clinic = clinic().await;
    clinic.sensor("s7").await.heart_rate(61).await;
    clinic.seal().await;
    let last = clinic.synced().await.pop().unwrap();
    // No goodbye: nothing is sealed after that.
    clinic.kill().await;
    let data = clinic.settings().gateway.data_dir.clone();
    std::fs::remove_dir_all(&data).unwrap();
    let start = clinic.pitchside(&["run"]);
    assert_eq!(start.code, 1, "{start:?}");
    assert!(start.err.contains("the data is gone") && start.err.contains("backup restore"), "{start:?}");
    assert!(!data.exists(), "nothing was made");
    // Somebody makes an empty one under the same keys.
    let keys = Identity::load(&clinic.settings().gateway.key_dir).unwrap();
    drop(Tables::init(&data, RootKey::new(*keys.derive("pitchside/1/store").unwrap())).unwrap());
    let home = clinic.dir().to_path_buf();
    clinic.moved_to(&home);
    clinic.start().await;
    let (next, previous) = until("the chain goes on after the ledger's last block", || {
        clinic.tables().next_block().unwrap().filter(|(next, _)| next.incarnation == 1)
    })
    .await;
    assert_eq!((next.index, previous), (last.key.index + 1, last.hash));
}

/// Deletes the newest block, as if it had never been; its receipts stay.
fn cut_the_last_block(clinic: &mut Running) -> BlockRow {
    let last = clinic.blocks().pop().unwrap();
    let database = rusqlite::Connection::open(clinic.settings().gateway.data_dir.join("pitchside.db")).unwrap();
    for table in ["blocks", "block_payloads"] {
        let delete = format!("DELETE FROM {table} WHERE block_index = ?1");
        assert_eq!(database.execute(&delete, [i64::try_from(last.key.index).unwrap()]).unwrap(), 1);
    }
    last
}

#[tokio::test]
async fn a_chain_whose_last_block_was_deleted_beside_its_receipts_is_told_by_whoever_reads_it() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").ledger().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(61).await;
    clinic.seal().await;
    clinic.advance(1);
    s7.heart_rate(190).await;
    let alert = clinic.alerted(1).await.pop().unwrap().alert.id.to_string();
    clinic.seal().await;
    clinic.synced().await;
    clinic.kill().await;
    clinic.pitchside(&["blocks", "verify"]).ok();
    clinic.pitchside(&["rules", "replay", &alert]).ok();
    while clinic.sealed_alerts().iter().any(|sealed| sealed.id.to_string() == alert) {
        cut_the_last_block(&mut clinic);
    }
    let backtest = ["rules", "backtest", "good"];
    for told in [
        &["blocks", "verify"][..],
        &["rules", "replay", &alert],
        &["evidence", "export", &alert, "--out", "-"],
        &backtest,
    ] {
        let answer = clinic.pitchside(told);
        assert_eq!(answer.code, 3, "{told:?}: {answer:?}");
        assert!(answer.err.contains("the history was rolled back"), "{told:?}: {answer:?}");
    }
    let doctor = clinic.pitchside(&["--json", "doctor"]).json();
    let end = doctor.as_array().unwrap().iter().find(|finding| finding["what"] == "end of the chain").unwrap();
    assert_eq!(end["ok"], false, "{end}");
}

#[tokio::test]
async fn a_box_that_lost_the_end_of_its_chain_goes_on_after_the_ledgers_and_not_in_its_place() {
    let mut clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    for rate in [61, 62] {
        s7.heart_rate(rate).await;
        clinic.seal().await;
    }
    clinic.synced().await;
    clinic.kill().await;
    let last = cut_the_last_block(&mut clinic);
    clinic.ledger().off().await;
    clinic.start().await;
    clinic.sensor("s7").await.heart_rate(63).await;
    clinic.seal().await;
    assert!(clinic.blocks().iter().all(|block| block.key < last.key), "a block on a guess could contradict the ledger");
    clinic.ledger().on().await;
    let next = until("what waited is sealed", || clinic.blocks().pop().filter(|block| block.key > last.key)).await;
    assert_eq!((next.key.incarnation, next.key.index), (last.key.incarnation + 1, last.key.index + 1));
    assert_eq!(SignedHeader::verify(&next.header).unwrap().header().previous, last.hash);
    clinic.synced().await;
    let report = clinic.ledger().fsck();
    assert!(report.is_sound(), "{:#?}", report.faults);
    let answer = clinic.pitchside(&["blocks", "verify"]);
    assert!(answer.code == 3 && answer.err.contains("it was dropped"), "the hole stays one: {answer:?}");
}
