use super::*;

fn store() -> (tempfile::TempDir, FileContents) {
    let dir = tempfile::tempdir().unwrap();
    let contents = FileContents::new(dir.path().to_owned());
    (dir, contents)
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
    let contents = FileContents::new(dir.path().to_owned());
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
    assert_eq!(fs::read_dir(dir.path().join("arriving")).unwrap().count(), ARRIVING_MAX);
}
