use sha2::{Digest as _, Sha256};

use super::*;
use crate::room::TestDisk;

/// What contents leave free of a test's disk.
const RESERVE: u64 = Bulk::Content.reserve(64 << 30);

fn open_in(dir: &Path) -> FileContents {
    FileContents::new(dir.to_owned(), Arc::new(TestDisk::with(1 << 30)))
}

fn store() -> (tempfile::TempDir, FileContents) {
    let dir = tempfile::tempdir().unwrap();
    let contents = open_in(dir.path());
    (dir, contents)
}

/// A store on a disk the test fills.
fn store_on(disk: &TestDisk) -> (tempfile::TempDir, FileContents) {
    let dir = tempfile::tempdir().unwrap();
    let contents = FileContents::new(dir.path().to_owned(), Arc::new(disk.clone()));
    (dir, contents)
}

fn arriving(dir: &Path) -> usize {
    fs::read_dir(dir.join("arriving")).unwrap().count()
}

fn content(size: usize, salt: u8) -> (Vec<u8>, ContentId, KnownContent) {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8 ^ salt).collect();
    let id = ContentId(*blake3::hash(&bytes).as_bytes());
    let known = KnownContent { size: size as u64, sha256: Sha256::digest(&bytes).into() };
    (bytes, id, known)
}

#[test]
fn an_upload_resumes_and_is_whole_only_after_both_hashes() {
    let (dir, contents) = store();
    let (bytes, id, known) = content(100_000, 1);
    assert!(matches!(contents.append(id, 100_000, 0, b"x"), Err(ContentError::NotOffered)));
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 0);
    assert_eq!(contents.append(id, 100_000, 0, &bytes[..60_000]).unwrap(), 60_000);
    assert_eq!(contents.append(id, 100_000, 0, &bytes[..60_000]).unwrap(), 60_000, "a repeated piece changes nothing");
    let contents = open_in(dir.path());
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 60_000);
    assert!(matches!(contents.append(id, 100_000, 60_000, &vec![0; 40_001]), Err(ContentError::TooLong)));
    assert_eq!(contents.append(id, 100_000, 60_000, &bytes[60_000..]).unwrap(), 100_000);
    assert!(!contents.is_whole(id).unwrap());
    contents.finish(id, &known).unwrap();
    contents.finish(id, &known).unwrap();
    assert!(contents.is_whole(id).unwrap() && contents.is_sound(id, &known).unwrap());
    assert_eq!(contents.offer(id, &known, 0).unwrap(), 100_000, "what is here needs no room");
    assert_eq!(contents.read(id, 99_990, 50).unwrap().unwrap(), &bytes[99_990..]);
    let span = Span::new(2, 6).unwrap();
    let slice = contents.slice(id, known.size, span).unwrap().unwrap();
    let mut decoder = ledger_block::content::Decoder::new(id, Shape::new(known.size).unwrap(), span).unwrap();
    let mut rest = slice.as_slice();
    while decoder.push(&mut rest).unwrap().is_some() {}
    decoder.finish().unwrap();
    assert_eq!(contents.slice(id, known.size, Span::new(2, 7).unwrap()).unwrap(), None);
    assert_eq!(contents.list().unwrap(), [id]);
}

#[test]
fn bytes_of_another_content_and_a_lie_about_sha_256_are_forgotten() {
    let (_dir, contents) = store();
    let (bytes, id, known) = content(50_000, 2);
    for (sent, known) in [
        (vec![0; 50_000], known),
        (bytes[..49_999].to_vec(), known),
        (bytes.clone(), KnownContent { sha256: [9; 32], ..known }),
    ] {
        contents.offer(id, &known, 1 << 20).unwrap();
        contents.append(id, 50_000, 0, &sent).unwrap();
        assert!(matches!(contents.finish(id, &known), Err(ContentError::Mismatch)));
        assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 0, "it begins again");
    }
    assert_eq!(contents.list().unwrap(), []);
}

#[test]
fn rotten_bytes_are_found_and_not_served() {
    let (_dir, contents) = store();
    let (mut bytes, id, known) = content(50_000, 3);
    contents.offer(id, &known, 1 << 20).unwrap();
    contents.append(id, 50_000, 0, &bytes).unwrap();
    contents.finish(id, &known).unwrap();
    bytes[20_000] ^= 1;
    fs::write(contents.folder(id).join("data"), &bytes).unwrap();
    assert!(!contents.is_sound(id, &known).unwrap());
    assert!(contents.slice(id, known.size, Span::new(1, 1).unwrap()).is_err());
    assert!(contents.slice(id, known.size, Span::new(0, 0).unwrap()).is_ok(), "other groups are as they were");
}

#[test]
fn what_rotted_is_taken_anew_from_whoever_offers_it() {
    for file in ["data", "outboard"] {
        let (_dir, contents) = store();
        let (bytes, id, known) = content(50_000, 3);
        let upload = || {
            assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 0);
            contents.append(id, 50_000, 0, &bytes).unwrap();
            contents.finish(id, &known).unwrap();
        };
        upload();
        let path = contents.folder(id).join(file);
        let mut rotten = fs::read(&path).unwrap();
        rotten[70] ^= 1;
        fs::write(&path, &rotten).unwrap();
        upload();
        assert!(contents.is_sound(id, &known).unwrap(), "{file}");
        fs::remove_file(&path).unwrap();
        upload();
        assert!(contents.is_sound(id, &known).unwrap(), "{file} was missing");
    }
}

#[test]
fn the_store_is_bounded_in_bytes_and_in_contents_that_arrive() {
    let (dir, contents) = store();
    let (_, id, known) = content(600, 4);
    contents.offer(id, &known, 1_000).unwrap();
    let (_, other, of_other) = content(500, 5);
    assert!(matches!(
        contents.offer(other, &of_other, 1_000),
        Err(ContentError::Full { needed: 500, used: 600, bytes_max: 1_000 })
    ));
    assert_eq!(contents.offer(id, &known, 1_000).unwrap(), 0, "what arrives has its room");
    for salt in 10..30 {
        let (_, id, known) = content(10, salt);
        contents.offer(id, &known, 1 << 20).unwrap();
    }
    assert_eq!(arriving(dir.path()), ARRIVING_MAX);
}

#[test]
fn a_content_is_taken_only_if_all_of_it_leaves_the_log_its_room() {
    let disk = TestDisk::default();
    let (_dir, contents) = store_on(&disk);
    let (bytes, id, known) = content(100_000, 6);
    let needed = 100_000 + Shape::new(100_000).unwrap().outboard_bytes();
    disk.leave(RESERVE + needed - 1);
    let refused = contents.offer(id, &known, 1 << 20);
    assert!(matches!(refused, Err(ContentError::NoRoom(no_room)) if no_room.needed == needed), "{refused:?}");
    disk.leave(RESERVE + needed);
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 0);
    contents.append(id, 100_000, 0, &bytes[..60_000]).unwrap();
    // The disk has less by what came; the rest still fits.
    disk.leave(RESERVE + needed - 60_000);
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 60_000);
    contents.append(id, 100_000, 60_000, &bytes[60_000..]).unwrap();
    contents.finish(id, &known).unwrap();
    disk.leave(0);
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 100_000, "what is here needs no room");
}

#[test]
fn what_finds_no_more_room_on_the_way_is_given_up() {
    let disk = TestDisk::with(1 << 30);
    let (dir, contents) = store_on(&disk);
    let (bytes, id, known) = content(100_000, 7);
    contents.offer(id, &known, 1 << 20).unwrap();
    contents.append(id, 100_000, 0, &bytes[..60_000]).unwrap();
    // Somebody else has filled the disk since.
    disk.leave(RESERVE + 39_999);
    let refused = contents.append(id, 100_000, 60_000, &bytes[60_000..]);
    assert!(matches!(refused, Err(ContentError::NoRoom(NoRoom { needed: 40_000, .. }))), "{refused:?}");
    assert_eq!(arriving(dir.path()), 0, "it is not in the log's way");
    disk.leave(1 << 30);
    assert_eq!(contents.offer(id, &known, 1 << 20).unwrap(), 0, "it begins again");
}

#[test]
fn a_disk_that_is_full_before_it_said_so_keeps_nothing_of_a_content() {
    let (dir, contents) = store();
    let (bytes, id, known) = content(50_000, 8);
    contents.offer(id, &known, 1 << 20).unwrap();
    let part = contents.part(id, known.size);
    fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let refused = contents.append(id, 50_000, 0, &bytes);
    assert!(matches!(refused, Err(ContentError::DiskFull)), "{refused:?}");
    assert_eq!(arriving(dir.path()), 0);
    assert!(matches!(contents.append(id, 50_000, 0, &bytes), Err(ContentError::NotOffered)));
}

#[test]
fn a_store_that_was_filled_up_gives_way_and_no_further_than_it_must() {
    let disk = TestDisk::with(1 << 30);
    let (dir, contents) = store_on(&disk);
    let (bytes, id, known) = content(50_000, 9);
    contents.offer(id, &known, 1 << 20).unwrap();
    contents.append(id, 50_000, 0, &bytes[..20_000]).unwrap();
    disk.leave(RESERVE);
    contents.make_room().unwrap();
    assert_eq!(contents.offer(id, &known, 1 << 20).map_err(drop), Err(()), "there is no room for the rest of it");
    assert_eq!(arriving(dir.path()), 1, "and the log has its own");
    fs::create_dir(contents.making(id)).unwrap();
    disk.leave(RESERVE - 1);
    contents.make_room().unwrap();
    assert_eq!(arriving(dir.path()), 0, "what a crash left neither");
    let (_bare, nothing) = store_on(&disk);
    nothing.make_room().unwrap();
}

#[test]
fn two_who_upload_one_content_at_once_are_both_told_that_it_is_whole() {
    let (_dir, contents) = store();
    let (bytes, id, known) = content(50_000, 10);
    contents.offer(id, &known, 1 << 20).unwrap();
    contents.append(id, 50_000, 0, &bytes[..20_000]).unwrap();
    contents.append(id, 50_000, 20_000, &bytes[20_000..]).unwrap();
    contents.finish(id, &known).unwrap();
    // The other one's pieces come after that.
    assert_eq!(contents.append(id, 50_000, 20_000, &bytes[20_000..]).unwrap(), 50_000);
    contents.finish(id, &known).unwrap();
    // And if the first one's bytes were wrong, the other is told to begin again.
    let (bytes, id, known) = content(50_000, 11);
    contents.offer(id, &known, 1 << 20).unwrap();
    contents.append(id, 50_000, 0, &[0; 50_000]).unwrap();
    assert!(matches!(contents.finish(id, &known), Err(ContentError::Mismatch)));
    assert!(matches!(contents.finish(id, &known), Err(ContentError::NotOffered)));
    assert!(matches!(contents.append(id, 50_000, 20_000, &bytes[20_000..]), Err(ContentError::NotOffered)));
}

#[test]
fn offers_pieces_and_ends_in_parallel_leave_one_sound_content() {
    let (_dir, contents) = store();
    let (bytes, id, known) = content(300_000, 12);
    let upload = || {
        // Whoever is told that there is nothing here any more offers it again, as publishers do.
        'offered: loop {
            let mut held = contents.offer(id, &known, 1 << 20).unwrap();
            while held < known.size {
                let from = usize::try_from(held).unwrap();
                let piece = &bytes[from..(from + 7_000).min(bytes.len())];
                match contents.append(id, known.size, held, piece) {
                    Ok(now) => held = now,
                    Err(ContentError::NotOffered) => continue 'offered,
                    Err(error) => panic!("{error}"),
                }
            }
            match contents.finish(id, &known) {
                Ok(()) => return,
                Err(ContentError::NotOffered) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(upload);
            }
        });
        assert!(contents.is_sound(id, &known).unwrap());
        // Next time each of them finds it rotten.
        let path = contents.folder(id).join("data");
        let mut rotten = fs::read(&path).unwrap();
        rotten[70_000] ^= 1;
        fs::write(&path, &rotten).unwrap();
    }
}
