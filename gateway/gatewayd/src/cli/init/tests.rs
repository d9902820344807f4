use pitchside_admin::PasswordHash;
use pitchside_store::Store;
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::files::is_there;

fn plan(dir: &Path) -> InitPlan {
    let gateway = Gateway { data_dir: "data".into(), key_dir: "keys".into(), ..Gateway::default() };
    InitPlan { dir: dir.to_owned(), settings: Settings { gateway, ..Settings::default() } }
}

/// Why no box was made.
fn refused(dir: &Path) -> String {
    match make_box(&plan(dir)) {
        Ok(_) => panic!("a box was made in {}", dir.display()),
        Err(Failure::Failed(error)) => format!("{error:#}"),
        Err(other) => panic!("{other:?}"),
    }
}

/// Every file of the keys.
fn keys(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = std::fs::read_dir(dir.join("keys")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = listed.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn root(dir: &Path) -> RootKey {
    RootKey::new(*Identity::load(&dir.join("keys")).unwrap().derive("pitchside/1/store").unwrap())
}

/// What was shown opens what stays: the box's backups, and its page.
fn assert_shown_is_true(dir: &Path, made: &NewBox) {
    let shown = RecoveryKey::parse(&made.recovery).unwrap();
    let kept = RecoveryPublicFile::read(&dir.join("keys")).unwrap().unwrap();
    assert_eq!(shown.secret.public().to_bytes(), kept.to_bytes());
    let identity = Identity::load(&dir.join("keys")).unwrap();
    assert_eq!(shown.gateway, GatewayKey::new(&identity.sign).id());
    let users = Tables::attach(&dir.join("data"), root(dir)).unwrap().users().unwrap();
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), [FIRST_USER]);
    assert!(PasswordHash::parse(&users[0].password_hash).unwrap().verify(made.password.as_bytes()));
    assert!(dir.join(SETTINGS_FILE).is_file());
}

#[test]
fn a_box_whose_settings_lie_elsewhere_keeps_its_recovery_key_and_all_others() {
    let home = TempDir::new().unwrap();
    let (dir, elsewhere) = (home.path().join("box"), home.path().join("elsewhere.toml"));
    let made = make_box(&plan(&dir)).unwrap();
    assert!(refused(&dir).contains("pitchside.toml exists"));
    std::fs::rename(dir.join(SETTINGS_FILE), &elsewhere).unwrap();
    let before = keys(&dir);
    let why = refused(&dir);
    assert!(why.contains("keys/root.key exists") && why.contains("--config"), "{why}");
    assert_eq!(keys(&dir), before);
    assert!(!is_there(&dir.join(SETTINGS_FILE)));
    std::fs::rename(&elsewhere, dir.join(SETTINGS_FILE)).unwrap();
    assert_shown_is_true(&dir, &made);
}

#[test]
fn what_is_left_of_a_box_gets_no_new_keys_beside_it() {
    for left in ["keys/sign.key", "keys/ca.key", "keys/recovery.pub", "data/pitchside.db"] {
        let dir = TempDir::new().unwrap();
        let left = dir.path().join(left);
        std::fs::create_dir(left.parent().unwrap()).unwrap();
        std::fs::write(&left, "what it was").unwrap();
        assert!(refused(dir.path()).contains(&format!("{} exists", left.display())));
        assert_eq!(std::fs::read(&left).unwrap(), b"what it was");
        assert!(!is_there(&dir.path().join("keys/root.key")), "beside {}", left.display());
    }
}

#[test]
fn keys_left_by_an_init_of_an_older_version_are_refused_with_a_way_out_that_leads_to_a_box() {
    let dir = TempDir::new().unwrap();
    let left = dir.path().join("keys");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("root.key"), "what it was").unwrap();
    let way_out = format!("move {} away", left.display());
    let why = refused(dir.path());
    assert!(why.contains("keys/root.key exists") && why.contains(&way_out), "{why}");
    assert_eq!(keys(dir.path()).len(), 1, "nothing was changed");
    std::fs::rename(&left, dir.path().join("away")).unwrap();
    let made = make_box(&plan(dir.path())).unwrap();
    assert_shown_is_true(dir.path(), &made);
    // With a database there is a box: its keys stay where they are.
    std::fs::remove_file(dir.path().join(SETTINGS_FILE)).unwrap();
    let why = refused(dir.path());
    assert!(!why.contains(&way_out) && why.contains("--config"), "{why}");
}

#[test]
fn an_init_cut_off_anywhere_is_completed_and_what_it_shows_opens_what_stays() {
    // What the cut left unmade, from the last that is made to the first.
    let steps: [&[&str]; 7] = [
        &[],
        &["pitchside.toml"],
        &["pitchside.toml", "data/pitchside.db"],
        &["pitchside.toml", "data/pitchside.db", "keys/recovery.pub"],
        &["pitchside.toml", "data/pitchside.db", "keys/recovery.pub", "keys/ledger-enrolment.toml", "keys/ca.pem"],
        &["pitchside.toml", "data/pitchside.db", "keys/recovery.pub", "keys/ca.pem", "keys/ca.key", "keys/ledger.psk"],
        &["pitchside.toml", "data/pitchside.db", "keys/recovery.pub", "keys/ca.pem", "keys/ca.key", "keys/root.key"],
    ];
    for unmade in steps {
        let dir = TempDir::new().unwrap();
        let (_, cut) = prepare(&plan(dir.path())).unwrap();
        drop(cut);
        for name in unmade {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        let before = std::fs::read(dir.path().join("keys/root.key")).ok();
        let (made, begun) = prepare(&plan(dir.path())).unwrap();
        assert!(begun.again(), "{unmade:?}");
        begun.finish().unwrap();
        assert_shown_is_true(dir.path(), &made);
        let after = std::fs::read(dir.path().join("keys/root.key")).unwrap();
        assert!(before.is_none_or(|before| before == after), "{unmade:?}: the root key stays");
        let hosts = ["box.local".to_owned()];
        assert!(tls::serving(&dir.path().join("keys"), "box", Clock::System, &hosts, &[]).is_ok(), "{unmade:?}");
        let whole = keys(dir.path());
        assert!(refused(dir.path()).contains("there is a box here already"), "{unmade:?}");
        assert_eq!(keys(dir.path()), whole);
    }
}

#[test]
fn two_inits_at_once_make_one_box() {
    let dir = TempDir::new().unwrap();
    let (made, first) = prepare(&plan(dir.path())).unwrap();
    assert!(refused(dir.path()).contains("under way"));
    first.finish().unwrap();
    assert_shown_is_true(dir.path(), &made);
}

#[test]
fn a_box_that_was_used_is_not_completed_and_one_without_its_root_key_gets_no_other() {
    let dir = TempDir::new().unwrap();
    drop(prepare(&plan(dir.path())).unwrap());
    let (root_key, kept) = (dir.path().join("keys/root.key"), dir.path().join("kept"));
    std::fs::rename(&root_key, &kept).unwrap();
    let before = keys(dir.path());
    assert!(refused(dir.path()).contains("root.key"));
    assert_eq!(keys(dir.path()), before);
    std::fs::rename(&kept, &root_key).unwrap();
    let before = keys(dir.path());
    drop(Store::open(&dir.path().join("data"), root(dir.path())).unwrap());
    assert!(refused(dir.path()).contains("in use"));
    assert_eq!(keys(dir.path()), before);
}
