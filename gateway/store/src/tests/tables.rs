use super::*;

#[test]
fn a_command_beside_the_gateway_changes_what_the_gateway_sees() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let beside = Tables::attach(dir.path(), root()).unwrap();
    let before = store.changes().unwrap();
    beside.add_device(enrolled("strap-1")).unwrap();
    let after = store.changes().unwrap();
    assert_eq!((after.devices, after.users), (before.devices + 1, before.users));
    assert_eq!(store.device(&device("strap-1")).unwrap(), Some(enrolled("strap-1")));
    assert!(matches!(beside.add_device(enrolled("strap-1")), Err(StoreError::Exists { .. })));
    wait(store.journal_append(vec![entry(0)])).unwrap();
    store.set_p2_timestamp(&device("strap-1"), b"later").unwrap();
    assert_eq!(store.changes().unwrap(), after, "readings and handshakes are no such change");
    assert_eq!(store.p2_timestamp(&device("strap-1")).unwrap(), Some(b"later".to_vec()));
    beside.revoke_device(&device("strap-1"), Timestamp(5)).unwrap();
    beside.revoke_device(&device("strap-1"), Timestamp(6)).unwrap();
    assert_eq!(store.devices().unwrap()[0].revoked_at, Some(Timestamp(5)));
    assert!(matches!(beside.revoke_device(&device("nobody"), Timestamp(6)), Err(StoreError::Unknown { .. })));
}

#[test]
fn sessions_are_bounded_and_end_with_the_device() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.add_device(enrolled("strap-1")).unwrap();
    let session = |number: u8| DeviceSession {
        id: vec![number; 8],
        device: device("strap-1"),
        ceiling: 1_024,
        body: vec![number; 90],
    };
    for number in 0..7 {
        store.put_session(session(number)).unwrap();
    }
    assert_eq!(store.sessions().unwrap(), (3..7).map(session).collect::<Vec<_>>());
    store.set_session_ceiling(&[6; 8], 2_048).unwrap();
    store.set_session_ceiling(&[6; 8], 1_000).unwrap();
    assert_eq!(store.sessions().unwrap()[3].ceiling, 2_048);
    store.set_session_ceiling(&[6; 8], u64::MAX).unwrap();
    store.set_session_ceiling(&[6; 8], 5).unwrap();
    assert_eq!(store.sessions().unwrap()[3].ceiling, u64::MAX);
    store.drop_session(&[6; 8]).unwrap();
    assert!(matches!(store.set_session_ceiling(&[6; 8], 1), Err(StoreError::Unknown { .. })));
    store.revoke_device(&device("strap-1"), Timestamp(9)).unwrap();
    assert!(store.sessions().unwrap().is_empty());
}

#[test]
fn a_device_measures_one_athlete_at_a_time() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let athlete = |name: &str| AthleteId::parse(name).unwrap();
    let key = |name: &str, generation| AthleteKey { athlete: athlete(name), generation, wrapped: vec![5; 60] };
    store.add_device(enrolled("strap-1")).unwrap();
    assert!(matches!(store.assign(&device("strap-1"), &athlete("ann"), Timestamp(0)), Err(StoreError::Unknown { .. })));
    store.add_athlete(key("ann", 1), Timestamp(0)).unwrap();
    store.add_athlete(key("bea", 1), Timestamp(0)).unwrap();
    store.assign(&device("strap-1"), &athlete("ann"), Timestamp(10)).unwrap();
    store.assign(&device("strap-1"), &athlete("bea"), Timestamp(20)).unwrap();
    assert!(matches!(store.assign(&device("strap-1"), &athlete("ann"), Timestamp(15)), Err(StoreError::Conflict(_))));
    let whose = |at| store.assignment_at(&device("strap-1"), Timestamp(at)).unwrap().map(|found| found.athlete);
    assert_eq!(
        (whose(9), whose(10), whose(19), whose(20)),
        (None, Some(athlete("ann")), Some(athlete("ann")), Some(athlete("bea")))
    );
    store.unassign(&device("strap-1"), Timestamp(30)).unwrap();
    assert_eq!(whose(30), None);
    assert!(store.assignments().unwrap().is_empty());
    store.assign(&device("strap-1"), &athlete("ann"), Timestamp(30)).unwrap();
    assert_eq!(store.assignments().unwrap().len(), 1);

    assert!(matches!(store.add_athlete_key(key("ann", 3), None), Err(StoreError::Conflict(_))));
    store.add_athlete_key(key("ann", 2), None).unwrap();
    assert_eq!(store.athlete_key(&athlete("ann"), 1).unwrap(), Some(key("ann", 1)));
    store.erase_athlete(&athlete("ann"), Timestamp(40)).unwrap();
    assert_eq!(store.athlete_key(&athlete("ann"), 1).unwrap(), None);
    assert_eq!(store.athlete(&athlete("ann")).unwrap().unwrap().erased_at, Some(Timestamp(40)));
    assert!(store.assignments().unwrap().is_empty());
    assert!(matches!(
        store.assign(&device("strap-1"), &athlete("ann"), Timestamp(50)),
        Err(StoreError::Unknown { .. })
    ));
}

#[test]
fn a_revoked_device_is_given_to_nobody() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let ann = AthleteId::parse("ann").unwrap();
    store.add_device(enrolled("strap-1")).unwrap();
    store.add_athlete(AthleteKey { athlete: ann.clone(), generation: 0, wrapped: vec![5; 60] }, Timestamp(0)).unwrap();
    store.revoke_device(&device("strap-1"), Timestamp(9)).unwrap();
    assert!(matches!(store.assign(&device("strap-1"), &ann, Timestamp(10)), Err(StoreError::Conflict(_))));
    assert!(store.assignments().unwrap().is_empty());
}

#[test]
fn quarantine_makes_room_for_the_latest() {
    let dir = TempDir::new().unwrap();
    let options = Options { quarantine_rows_max: 3, ..Options::default() };
    let store = Store::open_with(dir.path(), root(), options).unwrap();
    for number in 0..5u8 {
        store.quarantine(None, &vec![number; 10_000], "too long", Timestamp(i64::from(number))).unwrap();
    }
    let kept = store.quarantined(10).unwrap();
    assert_eq!(kept.iter().map(|refused| refused.at.0).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!((kept[0].bytes, kept[0].kept.len()), (10_000, quarantine::KEPT_BYTES_MAX));
}

#[test]
fn users_are_stored_with_argon2id_hashes_only() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let user = |name: &str, hash: &str| User {
        name: name.to_owned(),
        role: "admin".to_owned(),
        password_hash: hash.to_owned(),
        added_at: Timestamp(1),
        disabled_at: None,
    };
    assert!(matches!(store.add_user(user("ann", "secret")), Err(StoreError::Conflict(_))));
    store.add_user(user("ann", "$argon2id$v=19$x")).unwrap();
    assert!(matches!(store.add_user(user("ann", "$argon2id$v=19$x")), Err(StoreError::Exists { .. })));
    store.put_user(user("ann", "$argon2id$v=19$y")).unwrap();
    assert_eq!(store.user("ann").unwrap().unwrap().password_hash, "$argon2id$v=19$y");
    assert_eq!(store.users().unwrap().len(), 1);
    store.remove_user("ann").unwrap();
    assert_eq!(store.user("ann").unwrap(), None);
}

#[test]
fn the_stores_own_names_cannot_be_set() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    assert!(matches!(store.set_meta("store/boot", b"x"), Err(StoreError::Conflict(_))));
    store.set_meta("incarnation", b"1").unwrap();
    assert_eq!(store.meta("incarnation").unwrap(), Some(b"1".to_vec()));
    // A secret moved to another name does not open.
    store.set_secret("a", b"x").unwrap();
    let sealed = store.meta("a").unwrap().unwrap();
    store.set_meta("b", &sealed).unwrap();
    assert!(matches!(store.secret("b"), Err(StoreError::Damaged { .. })));
}

#[test]
fn every_statement_fits_the_schema() {
    let dir = TempDir::new().unwrap();
    let _store = open(dir.path());
    let raw = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    let mut count = 0;
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            raw.prepare(&std::fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count > 50);
}
