//! Copies of keys, the beginning of a restored chain, snapshots, and looking after the file.

use std::time::Duration;

use super::*;

fn athlete(name: &str) -> AthleteId {
    AthleteId::parse(name).unwrap()
}

fn key(name: &str, generation: u32) -> AthleteKey {
    AthleteKey { athlete: athlete(name), generation, wrapped: vec![9; 73] }
}

fn copy(name: &str, byte: u8) -> KeyCopy {
    KeyCopy { name: [byte; 32], athlete: Some(athlete(name)), generation: 0, body: vec![byte; 80] }
}

#[test]
fn a_copy_goes_to_the_ledger_once_and_leaves_it_when_the_athlete_is_erased() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.add_athlete_with(key("ada", 0), Some(copy("ada", 1)), Timestamp(0)).unwrap();
    store.add_athlete_with(key("ben", 0), Some(copy("ben", 2)), Timestamp(0)).unwrap();
    store.add_athlete(key("cleo", 0), Timestamp(0)).unwrap();
    assert_eq!(store.key_copy_counts().unwrap().missing, 1, "cleo's");
    assert_eq!(store.open_key_copies(9).unwrap().len(), 2);
    store.note_key_copy(&[1; 32], true).unwrap();
    assert_eq!(store.open_key_copies(9).unwrap(), [([2; 32], Some(vec![2; 80]))]);
    // A late word about a copy that is kept does not lose it.
    store.note_key_copy(&[1; 32], false).unwrap();
    store.forget_key_copies(&athlete("ada")).unwrap();
    store.forget_key_copies(&athlete("ben")).unwrap();
    assert_eq!(store.open_key_copies(9).unwrap(), [([1; 32], None), ([2; 32], None)], "both may be there");
    store.note_key_copy(&[2; 32], true).unwrap();
    store.note_key_copy(&[1; 32], false).unwrap();
    assert_eq!(store.open_key_copies(9).unwrap(), [([2; 32], None)], "held is not deleted");
}

fn name(athlete: &AthleteId, byte: u8, generation: u32) -> CopyName {
    CopyName { name: [byte; 32], athlete: Some(athlete.clone()), generation }
}

#[test]
fn a_copy_known_by_its_name_alone_leaves_the_ledger_when_its_athlete_is_erased_or_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let [ada, ben] = ["ada", "ben"].map(athlete);
    store.add_athlete_with(key("ada", 0), Some(copy("ada", 1)), Timestamp(0)).unwrap();
    store.add_athlete(key("ben", 0), Timestamp(0)).unwrap();
    store.erase_athlete(&ben, Timestamp(1)).unwrap();
    let house = CopyName { name: [4; 32], athlete: None, generation: 0 };
    store.know_key_copies(vec![name(&ada, 1, 0), name(&ada, 2, 0), name(&ben, 3, 0), house]).unwrap();
    let counts = store.key_copy_counts().unwrap();
    assert_eq!((counts.waiting, counts.held, counts.leaving), (1, 2, 1), "what was to be handed over still is");
    assert_eq!(store.open_key_copies(9).unwrap(), [([1; 32], Some(vec![1; 80])), ([3; 32], None)]);
    store.erase_athlete(&ada, Timestamp(2)).unwrap();
    // Whoever was cut off before forgetting the copies meets them in the list.
    store.know_key_copies(vec![name(&ada, 1, 0), name(&ada, 2, 0)]).unwrap();
    assert_eq!(store.open_key_copies(9).unwrap(), [([1; 32], None), ([2; 32], None), ([3; 32], None)]);
}

#[test]
fn the_ledgers_list_is_gone_through_once_after_each_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["ada", "ben"] {
        store.add_athlete(key(name, 0), Timestamp(0)).unwrap();
    }
    assert_eq!(store.copies_to_seek().unwrap(), None, "nobody is erased");
    store.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
    assert_eq!(store.copies_to_seek().unwrap(), Some(1));
    store.erase_athlete(&athlete("ben"), Timestamp(1)).unwrap();
    store.note_copies_sought(1).unwrap();
    assert_eq!(store.copies_to_seek().unwrap(), Some(2), "one was erased while the list was read");
    store.note_copies_sought(2).unwrap();
    assert_eq!(store.copies_to_seek().unwrap(), None);
    drop(store);
    assert_eq!(open(dir.path()).copies_to_seek().unwrap(), None, "over a restart");
}

#[test]
fn the_ledgers_list_is_gone_through_again_while_there_are_copies_it_could_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.add_athlete(key("ada", 0), Timestamp(0)).unwrap();
    store.erase_athlete(&athlete("ada"), Timestamp(1)).unwrap();
    let listed = |unreadable: &[[u8; 32]]| {
        store.note_copies_sought(1).unwrap();
        (store.note_unreadable_copies(unreadable).unwrap(), store.copies_to_seek().unwrap())
    };
    assert_eq!(listed(&[]), (false, None));
    assert_eq!(listed(&[[7; 32], [8; 32]]), (true, Some(1)));
    assert_eq!(listed(&[[7; 32], [8; 32]]), (false, Some(1)), "told once");
    let kept = UnreadableCopies { count: 2, first: vec![[7; 32], [8; 32]] };
    assert_eq!(store.unreadable_copies().unwrap(), kept);
    assert_eq!(listed(&[[9; 32]; 40]), (true, Some(1)));
    assert_eq!((store.unreadable_copies().unwrap().count, store.unreadable_copies().unwrap().first.len()), (40, 16));
    assert_eq!(listed(&[]), (false, None), "mended");
    assert_eq!(store.unreadable_copies().unwrap(), UnreadableCopies::default());
}

#[test]
fn an_athlete_whose_name_is_taken_leaves_no_copy_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.add_athlete_with(key("ada", 0), Some(copy("ada", 1)), Timestamp(0)).unwrap();
    let again = store.add_athlete_with(key("ada", 0), Some(copy("ada", 2)), Timestamp(0));
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    assert_eq!(store.key_copy_counts().unwrap().waiting, 1);
}

#[test]
fn a_restored_chain_begins_once_and_where_it_was_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.next_block().unwrap(), Some((BlockKey { incarnation: 0, index: 0 }, [0; 32])));
    store.set_chain_start(ChainStart::Waiting { known: None, receipted: None }).unwrap();
    assert_eq!(store.next_block().unwrap(), None);
    let after = Some(Anchor { incarnation: 4, index: 8, hash: [3; 32] });
    let settled = ChainStart::After { incarnation: 5, after };
    store.set_chain_start(settled).unwrap();
    store.set_chain_start(settled).unwrap();
    assert_eq!(store.next_block().unwrap(), Some((BlockKey { incarnation: 5, index: 9 }, [3; 32])));
    let other = ChainStart::After { incarnation: 6, after };
    assert!(matches!(store.set_chain_start(other), Err(StoreError::Conflict(_))));
    let row = wait(store.journal_append(vec![entry(1)])).unwrap();
    let first = NewBlock { key: BlockKey { incarnation: 5, index: 9 }, ..block(9, row) };
    store.put_block(first, marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    assert!(matches!(store.set_chain_start(settled), Err(StoreError::Conflict(_))), "a block is sealed");
    assert_eq!(store.next_block().unwrap().unwrap().0, BlockKey { incarnation: 5, index: 10 });
}

#[test]
fn a_block_that_has_a_receipt_and_no_row_is_missed_and_nothing_is_sealed_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for index in 0..3 {
        store.put_block(block(index, RowId(0)), Marks::default()).unwrap();
    }
    let key = |index| BlockKey { incarnation: 1, index };
    for index in 0..2 {
        store.set_receipt(key(index), Level::R1, b"sequenced", Timestamp(0)).unwrap();
    }
    store.set_receipt(key(1), Level::R2, b"proof", Timestamp(0)).unwrap();
    assert_eq!(store.lost_end().unwrap(), None, "the last one waits for its receipt");
    let after = Anchor { incarnation: 1, index: 5, hash: [5; 32] };
    let on = Beyond { incarnation: 2, after };
    assert!(matches!(store.go_on_beyond(on), Err(StoreError::Conflict(_))), "nothing is lost");
    // Payloads go when retention wants them to; that is no loss.
    store.set_receipt(key(0), Level::R3, b"cosigned", Timestamp(0)).unwrap();
    assert_eq!(store.prune_payloads(Timestamp(i64::MAX)).unwrap(), 1);
    assert_eq!(store.lost_end().unwrap(), None);
    let file = rusqlite::Connection::open(dir.path().join("pitchside.db")).unwrap();
    file.execute("DELETE FROM blocks WHERE block_index > 0", []).unwrap();
    let lost = LostEnd { key: key(1), receipt: b"proof".to_vec(), settled: false };
    assert_eq!(store.lost_end().unwrap(), Some(lost.clone()));
    assert_eq!(store.next_block().unwrap(), None);
    for early in [Beyond { incarnation: 1, after }, Beyond { after: Anchor { index: 0, ..after }, ..on }] {
        assert!(matches!(store.go_on_beyond(early), Err(StoreError::Conflict(_))));
    }
    store.go_on_beyond(on).unwrap();
    assert_eq!(store.lost_end().unwrap(), Some(LostEnd { settled: true, ..lost }), "they are still not here");
    let next = BlockKey { incarnation: 2, index: 6 };
    assert_eq!(store.next_block().unwrap(), Some((next, [5; 32])));
    store.put_block(NewBlock { key: next, ..block(6, RowId(0)) }, Marks::default()).unwrap();
    assert_eq!((store.lost_end().unwrap(), store.went_on_beyond().unwrap()), (None, Some(on)));
    assert_eq!(store.next_block().unwrap().unwrap().0, BlockKey { incarnation: 2, index: 7 });
}

fn taken(store: &Tables) -> Vec<SnapshotRow> {
    let mut rows = Vec::new();
    store
        .snapshot::<StoreError>(&mut |row| {
            rows.push(row);
            Ok(())
        })
        .unwrap();
    rows
}

#[test]
fn a_snapshot_put_into_an_empty_database_is_the_same_snapshot() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(one.path());
    store
        .add_device(Device {
            id: device("strap-1"),
            class: "P2".to_owned(),
            secret: vec![5; 90],
            decoder: None,
            filters: vec!["a/#".to_owned()],
            enrolled_at: Timestamp(1),
            revoked_at: None,
        })
        .unwrap();
    store.set_p2_timestamp(&device("strap-1"), &[7; 8]).unwrap();
    store.add_athlete(key("ada", 0), Timestamp(2)).unwrap();
    store.add_athlete(key("ben", 0), Timestamp(2)).unwrap();
    store.assign(&device("strap-1"), &athlete("ada"), Timestamp(10)).unwrap();
    store.assign(&device("strap-1"), &athlete("ben"), Timestamp(20)).unwrap();
    store.erase_athlete(&athlete("ben"), Timestamp(30)).unwrap();
    store.know_key_copies(vec![name(&athlete("ada"), 1, 0), name(&athlete("ben"), 2, 0)]).unwrap();
    let rows = taken(&store);
    assert_eq!(rows.len(), 1 + 1 + 2 + 1 + 2, "what ben wore is not in it");
    let other = open(two.path());
    other.put_snapshot(rows.clone()).unwrap();
    assert_eq!(taken(&other), rows);
    assert_eq!(other.open_key_copies(9).unwrap(), [([2; 32], None)], "ben's is still to be deleted, ada's is held");
    assert!(other.athlete_key(&athlete("ada"), 0).unwrap().is_none(), "no key is in a snapshot");
    assert!(other.put_recovered_key(key("ada", 0)).unwrap());
    assert!(!other.put_recovered_key(key("ada", 0)).unwrap(), "once");
    assert!(!other.put_recovered_key(key("ben", 0)).unwrap(), "erased is erased");
}

#[test]
fn plugins_and_rules_are_in_a_snapshot_and_their_secrets_open_under_another_root_key() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(one.path());
    let name = PluginName::parse("acme").unwrap();
    let package = |number: u8| PluginPackage {
        sha256: [number; 32],
        name: name.clone(),
        version: format!("1.{number}.0"),
        signer: "acme.example/plugins".into(),
        archive: vec![number; 100],
        note: b"note".to_vec(),
        installed_at: Timestamp(i64::from(number)),
    };
    let change = |to| store.change_plugin(&name, to, "a deed", Timestamp(9)).unwrap();
    let grants = vec!["http:hooks.example.org".to_owned()];
    change(PluginChange::Install { package: package(1), grants, after: None });
    change(PluginChange::Install { package: package(2), grants: vec![], after: Some([1; 32]) });
    let candidate = Candidate { sha256: [3; 32], payloads: 10, until: Timestamp(99), differ: true };
    change(PluginChange::Try { package: package(3), grants: vec![], candidate, after: Some([2; 32]) });
    change(PluginChange::Enable(false));
    for (key, value, secret) in [("path", "/a", false), ("token", "tk_very_secret", true)] {
        change(PluginChange::Set(store.seal_plugin_setting(&name, key, value, secret).unwrap()));
    }
    store.trust_plugin_signer("acme.example/plugins+1+AA", "trusted", Timestamp(3)).unwrap();
    // One of the library, which has no package.
    store.change_plugin(&PluginName::parse("strap").unwrap(), PluginChange::Enable(false), "", Timestamp(9)).unwrap();
    let text = RuleText {
        name: "hot".into(),
        manifest: "m".into(),
        script: "s".into(),
        cases: "c".into(),
        readme: "r".into(),
        rule_hash: [4; 32],
        text_hash: [5; 32],
    };
    let new = NewRuleVersion {
        text: text.clone(),
        label: "1.0.0".into(),
        author: "ann".into(),
        note: "because".into(),
        at: Timestamp(5),
        shadow: false,
        base: 0,
        set_hash: [7; 32],
        act: Some(([8; 32], b"leaf".to_vec())),
    };
    store.publish_rule(new).unwrap();
    let rules = vec![("hot".to_owned(), [5; 32])];
    let in_force = RuleChange { at: Timestamp(6), set_hash: [7; 32], rules, engine: "1".into() };
    store.note_rules(in_force.clone(), vec![text.clone()]).unwrap();

    let rows = taken(&store);
    let other = Tables::init(two.path(), RootKey::new([9; 32])).unwrap();
    other.put_snapshot(rows.clone()).unwrap();
    assert_eq!(taken(&other), rows);
    assert_eq!(other.plugins().unwrap(), store.plugins().unwrap());
    assert_eq!(other.plugin_package([2; 32]).unwrap(), Some(package(2)));
    assert_eq!(other.plugin_grants(&name).unwrap(), ["http:hooks.example.org"]);
    assert_eq!(other.plugin_settings(&name).unwrap(), [("path".to_owned(), "/a".to_owned())]);
    assert_eq!(other.plugin_secrets(&name).unwrap()[0].1.as_str(), "tk_very_secret");
    assert_eq!(other.plugin_signers().unwrap(), store.plugin_signers().unwrap());
    assert_eq!(other.rule_versions(None).unwrap(), store.rule_versions(None).unwrap());
    assert_eq!(other.rule_text(&[5; 32]).unwrap(), Some(text));
    assert_eq!(other.rule_changes().unwrap(), [in_force]);
    assert_eq!(other.plugin_log(None, 9).unwrap(), [], "the log is in no snapshot: it may hold values");
    let shown: String = rows.iter().map(|row| format!("{row:?}")).collect();
    assert!(!shown.contains("tk_very_secret"));
}

#[test]
fn a_snapshot_knows_the_ends_of_the_chain_also_of_a_box_that_was_restored_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ends = |store: &Tables| match taken(store).remove(0) {
        SnapshotRow::Chain { last, receipted } => (last, receipted),
        other => panic!("{other:?}"),
    };
    assert_eq!(ends(&store), (None, None));
    let before = Anchor { incarnation: 4, index: 8, hash: [3; 32] };
    store.set_chain_start(ChainStart::After { incarnation: 5, after: Some(before) }).unwrap();
    // Under its own incarnation, so that whoever is restored from this goes above it.
    assert_eq!(ends(&store), (Some(Anchor { incarnation: 5, ..before }), Some(before)));
    let row = wait(store.journal_append(vec![entry(1)])).unwrap();
    let key = BlockKey { incarnation: 5, index: 9 };
    store.put_block(NewBlock { key, ..block(9, row) }, marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    let last = Anchor { incarnation: 5, index: 9, hash: [9; 32] };
    assert_eq!(ends(&store), (Some(last), Some(before)));
    store.set_receipt(key, Level::R1, b"r1", Timestamp(0)).unwrap();
    assert_eq!(ends(&store), (Some(last), Some(last)));
}

fn earlier(index: u64) -> EarlierBlock {
    let hash = |index: u64| [index as u8; 32];
    EarlierBlock {
        key: BlockKey { incarnation: 4, index },
        hash: hash(index),
        previous: index.checked_sub(1).map_or([0; 32], hash),
        sealed_at: Timestamp(index as i64),
        header: vec![1, index as u8],
        payload: vec![2, index as u8],
        readings: 3,
        receipt: vec![4, index as u8],
    }
}

#[test]
fn blocks_from_before_a_restore_come_back_the_newest_first_and_change_nothing_of_what_is_sealed_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.not_here().unwrap(), None, "a box that was never restored");
    let early = store.put_earlier_block(earlier(2), Timestamp(0));
    assert!(matches!(early, Err(StoreError::Conflict(_))), "there is no such block in its chain");
    store.set_chain_start(ChainStart::Waiting { known: None, receipted: None }).unwrap();
    assert_eq!(store.not_here().unwrap(), None, "the ledger has not said yet");
    let anchor = Anchor { incarnation: 4, index: 2, hash: [2; 32] };
    store.set_chain_start(ChainStart::After { incarnation: 5, after: Some(anchor) }).unwrap();
    assert_eq!(store.not_here().unwrap(), Some(NotHere { index: 2, hash: [2; 32] }));
    let hole = store.put_earlier_block(earlier(1), Timestamp(0));
    assert!(matches!(hole, Err(StoreError::Conflict(_))), "no holes");
    let other = EarlierBlock { hash: [9; 32], ..earlier(2) };
    assert!(matches!(store.put_earlier_block(other, Timestamp(0)), Err(StoreError::Conflict(_))), "another block");
    store.put_earlier_block(earlier(2), Timestamp(7)).unwrap();
    assert_eq!(store.not_here().unwrap(), Some(NotHere { index: 1, hash: [1; 32] }));
    let next = (BlockKey { incarnation: 5, index: 3 }, [2; 32]);
    assert_eq!(store.next_block().unwrap(), Some(next), "what is sealed here is of the incarnation that was settled");
    let ends = match taken(&store).remove(0) {
        SnapshotRow::Chain { last, receipted } => (last, receipted),
        other => panic!("{other:?}"),
    };
    assert_eq!(ends, (Some(Anchor { incarnation: 5, ..anchor }), Some(anchor)), "as before they came back");
    let row = wait(store.journal_append(vec![entry(1)])).unwrap();
    store.put_block(NewBlock { key: next.0, ..block(9, row) }, marks(&store.unsealed(1 << 20).unwrap())).unwrap();
    for index in [1, 0] {
        store.put_earlier_block(earlier(index), Timestamp(7)).unwrap();
    }
    assert_eq!(store.not_here().unwrap(), None);
    let rows = store.blocks_after(None, 9).unwrap();
    let seen: Vec<_> = rows.iter().map(|row| (row.key.incarnation, row.key.index, row.readings, row.level)).collect();
    assert_eq!(
        seen,
        [(4, 0, 3, Level::R2), (4, 1, 3, Level::R2), (4, 2, 3, Level::R2), (5, 3, rows[3].readings, Level::R0)]
    );
    assert_eq!(store.payload(rows[1].key).unwrap(), Some(vec![2, 1]));
    assert_eq!(store.receipt(rows[1].key, Level::R2).unwrap(), Some(vec![4, 1]));
    assert_eq!(store.backlog().unwrap().blocks, 1, "they are in the ledger already");
    assert_eq!(store.next_block().unwrap().unwrap().0, BlockKey { incarnation: 5, index: 4 });
    drop(store);
    assert_eq!(open(dir.path()).not_here().unwrap(), None, "over a restart");
}

#[test]
fn what_waits_is_counted_and_a_broken_page_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.unsealed_backlog().unwrap(), Unsealed::default());
    let row = wait(store.journal_append(vec![entry(1)])).unwrap();
    assert_eq!(store.newest_row().unwrap(), row);
    let waiting = store.unsealed_backlog().unwrap();
    assert_eq!((waiting.rows, waiting.oldest), (1, Some(Timestamp::from_seconds(1_001))));
    assert_eq!(store.integrity(Duration::from_secs(60)).unwrap(), Integrity::Sound);
    store.close();
    drop(store);
    let path = dir.path().join("pitchside.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let page: i64 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'journal'", [], |row| row.get(0))
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = usize::try_from(page - 1).unwrap() * 4_096;
    bytes[at..at + 64].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let tables = Tables::attach(dir.path(), root()).unwrap();
    assert!(matches!(tables.integrity(Duration::from_secs(60)).unwrap(), Integrity::Broken(_)));
}
