use std::fs;

use ledger_block::content::{Decoder, GROUP_BYTES, Shape, slice};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

fn bytes(size: u64, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn content(bytes: &[u8]) -> Content {
    let sha256 = Sha256::digest(bytes).into();
    Content { id: ContentId(*blake3::hash(bytes).as_bytes()), sha256, shape: Shape::new(bytes.len() as u64).unwrap() }
}

fn items(bytes: &[u8], first: u32, last: u32) -> Vec<Item> {
    let content = content(bytes);
    let span = Span::new(first, last).unwrap();
    let (id, outboard) = slice::outboard(content.shape, bytes).unwrap();
    let slice = slice::encode(id, content.shape, span, bytes, &outboard[..]).unwrap();
    let mut decoder = Decoder::new(id, content.shape, span).unwrap();
    let mut slice = slice.as_slice();
    std::iter::from_fn(|| decoder.push(&mut slice).unwrap()).collect()
}

const LIMITS: StoreLimits = StoreLimits { bytes_max: 1 << 20, contents_max: 8, disk_reserve_bytes: 0 };

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), LIMITS).unwrap();
    (dir, store)
}

#[test]
fn a_content_arrives_across_restarts_and_is_whole_only_after_both_hashes() {
    let (dir, store) = store();
    let bytes = bytes(10 * GROUP_BYTES + 77, 1);
    let content = content(&bytes);
    store.admit(&content, &[], &[]).unwrap();
    store.keep(content.id, &items(&bytes, 0, 4)).unwrap();
    store.flush(content.id).unwrap();
    drop(store);
    let store = Store::open(dir.path(), LIMITS).unwrap();
    assert_eq!(store.standing(content.id).unwrap().groups, 5);
    assert_eq!(Store::look(dir.path()), store.list(), "whoever only looks sees the same");
    assert!(matches!(store.complete(content.id), Err(StoreError::Incomplete { missing: 6, .. })));
    assert!(
        store.slice(content.id, Span::new(1, 4).unwrap()).unwrap().is_some(),
        "a partial holder serves what it has"
    );
    assert_eq!(store.slice(content.id, Span::new(4, 5).unwrap()).unwrap(), None);
    store.keep(content.id, &items(&bytes, 5, 10)).unwrap();
    assert_eq!(store.path(content.id), None);
    let path = store.complete(content.id).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(store.path(content.id), Some(path));
    drop(store);
    let store = Store::open(dir.path(), LIMITS).unwrap();
    assert!(store.standing(content.id).unwrap().whole);
    store.verify(content.id).unwrap();
    assert_eq!(
        store.slice(content.id, Span::new(0, 9).unwrap()).unwrap().map(|s| s.len() as u64),
        slice::encoded_bytes(content.shape, Span::new(0, 9).unwrap())
    );
}

#[test]
fn a_manifest_whose_two_hashes_disagree_is_found_and_its_content_removed() {
    let (dir, store) = store();
    let bytes = bytes(50_000, 2);
    let mut content = content(&bytes);
    content.sha256[0] ^= 1;
    store.admit(&content, &[], &[]).unwrap();
    store.keep(content.id, &items(&bytes, 0, 3)).unwrap();
    let refused = store.complete(content.id).unwrap_err();
    assert!(matches!(refused, StoreError::Sha256 { .. }), "{refused}");
    assert_eq!(store.standing(content.id), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let file = dir.path().join("bundle");
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(store.import(&file, &content, &[]), Err(StoreError::Sha256 { .. })));
}

#[test]
fn bytes_that_rot_while_the_rest_arrives_are_found_at_the_end_and_fetched_again() {
    let (dir, store) = store();
    let bytes = bytes(6 * GROUP_BYTES, 3);
    let content = content(&bytes);
    store.admit(&content, &[], &[]).unwrap();
    store.keep(content.id, &items(&bytes, 0, 5)).unwrap();
    store.flush(content.id).unwrap();
    let part = dir.path().join(content.id.to_string()).join("part");
    let mut rotten = bytes.clone();
    rotten[2 * 16_384 + 3] ^= 4;
    fs::write(&part, &rotten).unwrap();
    assert!(matches!(store.complete(content.id), Err(StoreError::Incomplete { missing: 1, .. })));
    assert_eq!(store.held(content.id).unwrap().missing().map(|group| group.0).collect::<Vec<_>>(), [2]);
    store.keep(content.id, &items(&bytes, 2, 2)).unwrap();
    store.complete(content.id).unwrap();
}

/// Changes a byte of a file below a content's folder.
fn rot(dir: &tempfile::TempDir, content: &Content, file: &str, at: usize) {
    let path = dir.path().join(content.id.to_string()).join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
}

/// A store that has a content whole.
fn stored(bytes: &[u8]) -> (tempfile::TempDir, Store, Content) {
    let ((dir, store), content) = (store(), content(bytes));
    let file = dir.path().join("bundle");
    fs::write(&file, bytes).unwrap();
    store.import(&file, &content, &[]).unwrap();
    fs::remove_file(file).unwrap();
    (dir, store, content)
}

fn missing(store: &Store, content: &Content) -> Vec<u32> {
    store.held(content.id).unwrap().missing().map(|group| group.0).collect()
}

#[test]
fn a_byte_that_rots_in_a_whole_content_costs_its_group_and_not_the_content() {
    let bytes = bytes(6 * GROUP_BYTES + 5, 8);
    let all = Span::new(0, 6).unwrap();
    for read_first in [true, false] {
        let (dir, store, content) = stored(&bytes);
        let losses = store.losses();
        rot(&dir, &content, "data", 2 * 16_384 + 3);
        assert!(store.slice(content.id, Span::new(3, 6).unwrap()).unwrap().is_some(), "nobody has seen it yet");
        let found = if read_first { store.read(content.id, 40_000, 5) } else { store.slice(content.id, all) };
        assert_eq!(found.unwrap(), None, "what is wrong is not given");
        assert_eq!((store.path(content.id), missing(&store, &content)), (None, vec![2]));
        assert!(losses.has_changed().unwrap(), "whoever fetches is woken");
        assert!(store.slice(content.id, Span::new(3, 6).unwrap()).unwrap().is_some(), "the rest is still given");
        // A start in between changes nothing.
        drop(store);
        let store = Store::open(dir.path(), LIMITS).unwrap();
        assert_eq!(missing(&store, &content), [2]);
        store.admit(&content, &[], &[]).unwrap();
        store.keep(content.id, &items(&bytes, 2, 2)).unwrap();
        assert_eq!(fs::read(store.complete(content.id).unwrap()).unwrap(), bytes);
        assert_eq!(
            store.slice(content.id, all).unwrap().map(|slice| slice.len() as u64),
            slice::encoded_bytes(content.shape, all)
        );
    }
}

#[test]
fn hashes_that_rot_are_fetched_again_with_the_groups_they_lead_to() {
    let bytes = bytes(10 * GROUP_BYTES, 9);
    let (dir, store, content) = stored(&bytes);
    // The root's own pair: nothing is proven any more.
    rot(&dir, &content, "outboard", 7);
    let span = Span::new(0, 3).unwrap();
    assert_eq!(store.slice(content.id, span).unwrap(), None);
    assert_eq!(missing(&store, &content), [0, 1, 2, 3]);
    store.keep(content.id, &items(&bytes, 0, 3)).unwrap();
    store.complete(content.id).unwrap();
    assert!(store.slice(content.id, Span::new(0, 9).unwrap()).unwrap().is_some());
}

#[test]
fn a_bundle_that_rotted_is_found_before_it_is_handed_on() {
    let bytes = bytes(6 * GROUP_BYTES, 10);
    let (dir, store, content) = stored(&bytes);
    store.verify(content.id).unwrap();
    [1, 5].iter().for_each(|group| rot(&dir, &content, "data", group * 16_384));
    assert!(matches!(store.verify(content.id), Err(StoreError::Rotten(_))));
    assert_eq!(missing(&store, &content), [1, 5], "all of it was looked at");
    assert!(matches!(store.verify(content.id), Err(StoreError::Incomplete { missing: 2, .. })));
    store.keep(content.id, &items(&bytes, 1, 1)).unwrap();
    store.keep(content.id, &items(&bytes, 5, 5)).unwrap();
    store.complete(content.id).unwrap();
    store.verify(content.id).unwrap();
}

#[test]
fn a_crash_while_a_rotten_content_is_reopened_leaves_it_whole_or_arriving() {
    let bytes = bytes(4 * GROUP_BYTES, 11);
    let (dir, store, content) = stored(&bytes);
    let folder = dir.path().join(content.id.to_string());
    drop(store);
    // The bitmap stands, the name does not yet.
    rot(&dir, &content, "data", 3);
    fs::write(folder.join("held"), []).unwrap();
    let store = Store::open(dir.path(), LIMITS).unwrap();
    assert!(store.standing(content.id).unwrap().whole);
    assert_eq!(store.read(content.id, 0, 5).unwrap(), None, "found again");
    assert_eq!(missing(&store, &content), [0]);
    drop(store);
    // Both stand, and the bitmap is none: every group is looked at.
    fs::write(folder.join("held"), []).unwrap();
    let store = Store::open(dir.path(), LIMITS).unwrap();
    assert_eq!(missing(&store, &content), [0]);
}

#[test]
fn a_published_file_is_taken_in_only_if_it_is_that_content() {
    let (dir, store) = store();
    let (file, bytes) = (dir.path().join("bundle"), bytes(100_000, 4));
    let content = content(&bytes);
    for wrong in [&bytes[..99_999], &[&bytes[..], b"x"].concat(), &vec![0; 100_000]] {
        fs::write(&file, wrong).unwrap();
        assert!(matches!(store.import(&file, &content, &[]), Err(StoreError::Mismatch { .. })));
    }
    fs::write(&file, &bytes).unwrap();
    store.import(&file, &content, &[]).unwrap();
    store.import(&file, &content, &[]).unwrap();
    assert!(store.standing(content.id).unwrap().whole);
    let mut other = content.clone();
    other.sha256[9] ^= 1;
    assert!(matches!(store.admit(&other, &[], &[]), Err(StoreError::OtherSha(_))));
}

#[test]
fn the_oldest_gives_way_but_nothing_that_is_kept() {
    let (dir, store) = store();
    let contents: Vec<_> = (0..4).map(|seed| content(&bytes(400 << 10, seed))).collect();
    store.admit(&contents[0], &[], &[]).unwrap();
    store.admit(&contents[1], &[], &[]).unwrap();
    store.admit(&contents[2], &[contents[0].id], &[]).unwrap();
    let left: Vec<_> = store.list().into_iter().map(|standing| standing.content.id).collect();
    assert!(left.contains(&contents[0].id) && !left.contains(&contents[1].id));
    let kept = [contents[0].id, contents[2].id];
    assert!(matches!(store.admit(&contents[3], &kept, &[]), Err(StoreError::NoRoom { .. })));
    let huge = Content { shape: Shape::new(2 << 20).unwrap(), ..contents[3].clone() };
    assert!(matches!(store.admit(&huge, &[], &[]), Err(StoreError::NoRoom { .. })));
    assert_eq!(store.list().len(), 2, "a content that can never fit clears nothing away");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn what_is_wanted_and_older_gives_way_to_what_is_newer_after_what_nobody_wants() {
    let (_dir, store) = store();
    let all: Vec<Vec<u8>> = (1..5).map(|seed| bytes(400_000, seed)).collect();
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|at| content(&all[at]));
    let kept = [first.id, second.id, third.id, fourth.id];
    let here = || store.list().into_iter().map(|standing| standing.content.id).collect::<Vec<_>>();
    store.admit(&first, &kept, &[]).unwrap();
    // Came later, and nobody wants it.
    store.admit(&second, &[], &[]).unwrap();
    let wanted = [first.id, third.id];
    store.admit(&third, &wanted, &[first.id]).unwrap();
    assert!(
        here().contains(&first.id) && !here().contains(&second.id),
        "nobody wants that, though it is not the oldest"
    );
    assert!(matches!(store.admit(&fourth, &kept, &[]), Err(StoreError::NoRoom { .. })));
    assert!(matches!(store.admit(&fourth, &kept, &[second.id]), Err(StoreError::NoRoom { .. })), "that is not here");
    store.admit(&fourth, &kept, &[third.id, first.id]).unwrap();
    assert!(here().contains(&first.id) && !here().contains(&third.id), "no more than is needed, in that order");
}

#[test]
fn a_disk_without_room_is_said_before_a_byte_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreLimits { disk_reserve_bytes: u64::MAX / 2, ..LIMITS }).unwrap();
    let refused = store.admit(&content(&bytes(100_000, 5)), &[], &[]).unwrap_err();
    assert!(matches!(refused, StoreError::DiskFull { needed: 100_000, .. }), "{refused}");
    assert!(refused.to_string().contains("the disk is full: 100000 bytes are needed"), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_half_made_is_removed_and_a_damaged_folder_takes_no_other_with_it() {
    let (dir, store) = store();
    let (one, two) = (content(&bytes(20_000, 6)), content(&bytes(20_000, 7)));
    store.admit(&one, &[], &[]).unwrap();
    store.admit(&two, &[], &[]).unwrap();
    drop(store);
    fs::create_dir(dir.path().join(format!(".new-{}", one.id))).unwrap();
    fs::create_dir(dir.path().join(format!(".gone-{}", one.id))).unwrap();
    fs::write(dir.path().join(two.id.to_string()).join("about"), "nonsense").unwrap();
    let store = Store::open(dir.path(), LIMITS).unwrap();
    assert_eq!(store.list().len(), 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

proptest! {
    #[test]
    fn about_reads_as_written_and_nothing_else_reads(size in 1u64..(1 << 30), sha in any::<[u8; 32]>(), order in any::<u64>(), noise in ".{0,80}") {
        let dir = tempfile::tempdir().unwrap();
        let id = ContentId([7; 32]);
        let about = About { content: Content { id, sha256: sha, shape: Shape::new(size).unwrap() }, order };
        fs::write(dir.path().join("about"), about.text()).unwrap();
        prop_assert_eq!(About::read(dir.path(), id).unwrap(), about);
        fs::write(dir.path().join("about"), noise).unwrap();
        prop_assert!(About::read(dir.path(), id).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_reading_gives_the_bytes_asked_for_or_none(offset in 0u64..200_000, length in 0usize..80_000, held in 0u32..11) {
        let (_dir, store) = store();
        let bytes = bytes(10 * GROUP_BYTES + 77, 9);
        let content = content(&bytes);
        store.admit(&content, &[], &[]).unwrap();
        store.keep(content.id, &items(&bytes, 0, held)).unwrap();
        let end = (offset + length as u64).min(bytes.len() as u64);
        let here = ((u64::from(held) + 1) * GROUP_BYTES).min(bytes.len() as u64);
        let wanted = (offset < end && end <= here.next_multiple_of(GROUP_BYTES)).then(|| &bytes[offset as usize..end as usize]);
        let read = store.read(content.id, offset, length).unwrap();
        prop_assert_eq!(read.as_deref(), wanted);
        prop_assert_eq!(store.read(content.id, 0, READ_BYTES_MAX + 1).unwrap(), None, "bounded");
    }
}
