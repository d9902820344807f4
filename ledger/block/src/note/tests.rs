use proptest::prelude::*;

use super::*;

/// Published notes with the keys that verify them.
pub(crate) fn published() -> Vec<(Vec<VerifierKey>, String)> {
    let mut found = Vec::new();
    let (mut keys, mut note) = (Vec::new(), None::<String>);
    for line in include_str!("../../vectors/notes.txt").lines() {
        match note.take() {
            Some(text) if line == "end" => found.push((std::mem::take(&mut keys), text)),
            Some(text) => note = Some(text + line + "\n"),
            None if line == "note" => note = Some(String::new()),
            None => {
                if let Some(key) = line.strip_prefix("key ") {
                    keys.push(VerifierKey::parse(key).unwrap());
                }
            }
        }
    }
    assert_eq!(found.len(), 3);
    found
}

fn signer(name: &str, kind: KeyKind) -> SignerKey {
    SignerKey::new(name, kind, &[7; 32]).unwrap()
}

#[test]
fn published_notes_verify_and_read_back() {
    for (keys, text) in published() {
        let note = SignedNote::parse(text.as_bytes()).unwrap();
        let known: Vec<&VerifierKey> = keys.iter().collect();
        assert_eq!(note.verify(&known).unwrap(), (0..keys.len()).collect::<Vec<_>>());
        assert_eq!(note.to_string(), text);
        for key in &keys {
            assert_eq!(VerifierKey::parse(&key.to_string()).as_ref(), Ok(key));
        }
    }
}

#[test]
fn the_published_signer_key_makes_the_published_signature() {
    let key =
        SignerKey::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
    let want = &published()[1].1;
    let mut note = SignedNote::new(SignedNote::parse(want.as_bytes()).unwrap().text().to_owned()).unwrap();
    note.sign(&key, 0).unwrap();
    assert_eq!(&note.to_string(), want);
    assert_eq!(SignerKey::parse(&key.to_secret_text()).unwrap().verifier(), key.verifier());
    assert_eq!(format!("{key:?}"), "SignerKey(PeterNeumann)");
}

#[test]
fn every_piece_of_a_key_text_is_needed() {
    let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for start in 0..text.len() {
        for end in start..text.len() + usize::from(start > 0) {
            assert!(VerifierKey::parse(&text[start..end]).is_err());
        }
    }
    let slip = text.replacen('c', "d", 1);
    assert!(matches!(VerifierKey::parse(&slip), Err(KeyError::Id { .. })));
    let pq = format!("w+00000000+{}", BASE64.encode(&[6; 1313]));
    assert_eq!(VerifierKey::parse(&pq[..900]), Err(KeyError::Shape));
    assert_eq!(VerifierKey::parse(&format!("w+00000000+{}", BASE64.encode(&[6; 33]))), Err(KeyError::Kind(6)));
}

#[test]
fn a_signature_of_an_unknown_key_is_ignored_and_a_wrong_one_of_a_known_key_refuses() {
    let (log, other) = (signer("log.example", KeyKind::Ed25519), signer("w.example", KeyKind::Cosignature));
    let mut note = SignedNote::new("text\n".to_owned()).unwrap();
    note.sign(&log, 0).unwrap();
    note.sign(&other, 1_700_000_000).unwrap();
    assert_eq!(note.verify(&[log.verifier()]), Ok(vec![0]));
    assert_eq!(note.verify(&[other.verifier(), log.verifier()]), Ok(vec![1, 0]));
    let stranger = SignerKey::new("log.example", KeyKind::Ed25519, &[8; 32]).unwrap();
    assert_eq!(note.verify(&[stranger.verifier()]), Err(NoteError::NotSigned(1)));
    let forged = SignedNote::parse(note.to_string().replacen("text", "tExt", 1).as_bytes()).unwrap();
    assert_eq!(forged.verify(&[log.verifier()]), Err(NoteError::WrongSignature("log.example".into())));
}

#[test]
fn malformed_notes_are_refused() {
    let good = &published()[0].1;
    let many = format!("x\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(SIGNATURES_MAX + 1));
    for (bad, why) in [
        ("", NoteError::Shape),
        ("text\n", NoteError::Shape),
        ("text\n\n", NoteError::Shape),
        ("text\n\nnot a signature\n", NoteError::Signature(1)),
        ("text\n\n\u{2014} a+b AAAAAAA=\n", NoteError::Signature(1)),
        ("text\n\n\u{2014} a AAAA\n", NoteError::Signature(1)),
        ("text\n\n\u{2014} a AAAAAAB=\n", NoteError::Signature(1)),
        ("te\txt\n\n\u{2014} a AAAAAAA=\n", NoteError::NotText { at: 2 }),
        (good.trim_end(), NoteError::Shape),
        (&many, NoteError::TooManySignatures),
    ] {
        assert_eq!(SignedNote::parse(bad.as_bytes()).unwrap_err(), why, "{bad:?}");
    }
    assert_eq!(SignedNote::parse(&[b'a', 0xff]).unwrap_err(), NoteError::NotText { at: 1 });
    assert_eq!(SignedNote::parse(&vec![b'a'; NOTE_BYTES_MAX + 1]).unwrap_err(), NoteError::TooLong(NOTE_BYTES_MAX + 1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_reads_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn a_changed_byte_of_a_signed_note_never_verifies(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (keys, text) = published().swap_remove(0);
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let verdict = SignedNote::parse(&bytes).and_then(|note| note.verify(&[&keys[0]]));
        prop_assert!(verdict.is_err());
    }
}
