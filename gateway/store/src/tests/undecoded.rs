use super::*;

fn empty(name: &str, seq: u64) -> Entry {
    Entry { device: device(name), readings: Vec::new(), ..entry(seq) }
}

fn waiting(store: &Store) -> Vec<Undecoded> {
    store.undecoded(UndecodedId(0), 100).unwrap().into_iter().map(|(_, kept)| kept.unwrap()).collect()
}

fn journaled(store: &Store) -> Vec<Entry> {
    store.journal_since(RowId(0), 1 << 20).unwrap().into_iter().flat_map(|row| row.entries).collect()
}

fn tight(dir: &Path) -> Store {
    let options = Options { undecoded_bytes_max: 5_000, undecoded_bytes_of_device_max: 2_100, ..Options::default() };
    Store::open_with(dir, root(), options).unwrap()
}

#[test]
fn a_payload_waits_whole_across_restarts_and_its_number_is_taken() {
    let dir = TempDir::new().unwrap();
    let payload = vec![0xab; 9_000];
    let store = open(dir.path());
    assert_eq!(store.claim(&device("pod-1"), Epoch(1), Seq(0)), Claim::New);
    wait(store.journal_undecoded(empty("pod-1", 0), &payload, None, Timestamp(77))).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.claim(&device("pod-1"), Epoch(1), Seq(0)), Claim::Duplicate);
    let kept = waiting(&store);
    assert_eq!((kept.len(), kept[0].arrived_at, &kept[0].payload), (1, Timestamp(77), &payload));
    assert_eq!(kept[0].entry, empty("pod-1", 0));
    assert_eq!(store.undecoded_waiting().unwrap(), Waiting { payloads: 1, oldest: Some(Timestamp(77)) });
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let disk = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!disk.windows(32).any(|at| at == [0xab; 32]), "encrypted");
    }
}

#[test]
fn a_payload_that_waits_keeps_its_topic_and_one_from_before_topics_has_none() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    wait(store.journal_undecoded(empty("hub-1", 0), b"21.5", Some("hall/state"), Timestamp(1))).unwrap();
    wait(store.journal_undecoded(empty("hub-1", 1), b"21.6", None, Timestamp(2))).unwrap();
    let topics: Vec<_> = waiting(&store).into_iter().map(|kept| (kept.payload, kept.topic)).collect();
    assert_eq!(topics, [(b"21.5".to_vec(), Some("hall/state".into())), (b"21.6".to_vec(), None)]);
}

#[test]
fn readings_come_and_the_payload_goes_in_one_step() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    wait(store.journal_undecoded(empty("strap-1", 0), b"raw", None, Timestamp(1))).unwrap();
    let kept = waiting(&store).remove(0);
    wait(store.journal_decoded(&kept, entry(0).readings)).unwrap();
    assert!(waiting(&store).is_empty());
    assert_eq!(journaled(&store), [empty("strap-1", 0), entry(0)]);
}

#[test]
fn a_payload_its_decoder_refuses_goes_to_quarantine() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    wait(store.journal_undecoded(empty("pod-1", 0), b"raw", None, Timestamp(1))).unwrap();
    store.refuse_undecoded(&waiting(&store)[0], "short_payload").unwrap();
    assert!(waiting(&store).is_empty());
    let refused = store.quarantined(10).unwrap();
    assert_eq!(
        (refused.len(), refused[0].kept.as_slice(), refused[0].reason.as_str()),
        (1, &b"raw"[..], "short_payload")
    );
}

#[test]
fn what_waits_is_bounded_a_device_and_in_all_and_leaves_room_when_it_goes() {
    let dir = TempDir::new().unwrap();
    let full = |store: &Store, name: &str, seq| {
        assert!(matches!(store.claim(&device(name), Epoch(1), Seq(seq)), Claim::New | Claim::Skipped(_)));
        match wait(store.journal_undecoded(empty(name, seq), &[1; 500], None, Timestamp(1))) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error, StoreError::UndecodedFull(device(name)));
                assert!(error.passes());
                true
            }
        }
    };
    let store = tight(dir.path());
    assert_eq!([0, 1, 2].map(|seq| full(&store, "a", seq)), [false, false, true], "of one device");
    assert!(matches!(store.claim(&device("a"), Epoch(1), Seq(2)), Claim::New), "it may come again");
    store.release(&device("a"), Epoch(1), Seq(2));
    assert_eq!([0, 1].map(|seq| full(&store, "b", seq)), [false, false]);
    assert!(full(&store, "c", 0), "of all");
    drop(store);
    let store = tight(dir.path());
    assert!(full(&store, "a", 2) && full(&store, "c", 0), "also after a restart");
    wait(store.journal_decoded(&waiting(&store)[0], Vec::new())).unwrap();
    store.refuse_undecoded(&waiting(&store)[0], "short_payload").unwrap();
    assert!(!full(&store, "a", 2) && !full(&store, "c", 0));
    assert!(full(&store, "d", 0));
}

#[test]
fn a_payload_that_no_longer_opens_does_not_hide_the_others() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    for seq in 0..3 {
        wait(store.journal_undecoded(empty("pod-1", seq), b"raw", None, Timestamp(1))).unwrap();
    }
    let raw = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    raw.execute("UPDATE undecoded SET arrived_at = 2 WHERE id = 2", []).unwrap();
    let found = store.undecoded(UndecodedId(0), 10).unwrap();
    assert_eq!(found.iter().map(|(_, kept)| kept.is_ok()).collect::<Vec<_>>(), [true, false, true]);
}
