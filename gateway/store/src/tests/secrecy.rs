use super::*;

#[test]
fn only_we_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let inner = dir.path().join("data");
    let _store = open(&inner);
    for path in [inner.clone(), inner.join("pitchside.db"), inner.join("pitchside.db-wal"), inner.join("run.lock")] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn an_erased_key_is_gone_from_the_files() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let wrapped = b"wrapped-key-of-ann-0123456789abcdef".to_vec();
    let ann = AthleteId::parse("ann").unwrap();
    store
        .add_athlete(AthleteKey { athlete: ann.clone(), generation: 1, wrapped: wrapped.clone() }, Timestamp(0))
        .unwrap();
    assert!(holds(dir.path(), &wrapped));
    store.erase_athlete(&ann, Timestamp(1)).unwrap();
    assert!(!holds(dir.path(), &wrapped));
}

/// True if any file of the database holds these bytes.
pub(super) fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn no_file_tells_of_anybodys_health() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let mut telling = entry(0);
    telling.readings[0].value = Value::Number(Decimal::integer(0x1234_5678_9abc));
    let value = postcard::to_stdvec(&telling.readings[0].value).unwrap();
    wait(store.journal_append(vec![telling])).unwrap();
    store.record_alerts(&[raised(1)], Timestamp(1)).unwrap();
    store.acknowledge_alert(AlertId([1; 16]), "doctor-ann", Timestamp(2)).unwrap();
    let reset = Reset { by: "doctor-eve".to_owned(), note: Some("fainted, cooled".to_owned()) };
    store.ask_reset(AlertId([1; 16]), &reset, Timestamp(2)).unwrap();
    store.quarantine(Some(&device("pill-1")), b"core 39.7 Cel", "truncated", Timestamp(3)).unwrap();
    store.set_secret("gateway/identity", b"a private signing key").unwrap();
    for secret in [
        &value[..],
        b"zebra",
        b"core temperature",
        b"heat-illness",
        b"doctor-ann",
        b"doctor-eve",
        b"fainted",
        b"core 39.7",
        b"private signing",
    ] {
        assert!(!holds(dir.path(), secret), "{}", String::from_utf8_lossy(secret));
    }
    assert!(holds(dir.path(), b"truncated"), "the search does find what is in the clear");
    assert_eq!(store.secret("gateway/identity").unwrap().unwrap().as_slice(), b"a private signing key");
}
