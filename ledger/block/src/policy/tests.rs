use proptest::prelude::*;

use super::*;
use crate::note::{KeyKind, SignerKey};

fn log() -> SignerKey {
    SignerKey::new("log.example/1", KeyKind::Ed25519, &[1; 32]).unwrap()
}

fn witness(n: u8) -> SignerKey {
    SignerKey::new(&format!("w{n}.example"), KeyKind::Cosignature, &[10 + n; 32]).unwrap()
}

/// The example of C2SP tlog-policy with keys in place.
fn example() -> String {
    let mut text = format!("# an example\n\n log\t{} https://log.example \n", log().verifier());
    for (at, name) in ["X1", "X2", "X3", "Y1", "Y2", "Y3"].iter().enumerate() {
        text += &format!("witness {name} {}\n", witness(at as u8).verifier());
    }
    text + "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

fn checkpoint(witnesses: &[u8]) -> String {
    let mut note = Checkpoint::new("log.example/1", 5, [9; 32]).sign(&log(), 0).unwrap();
    for n in witnesses {
        note.sign(&witness(*n), 1_700_000_000).unwrap();
    }
    note.to_string()
}

#[test]
fn the_quorum_of_the_published_example_counts_two_of_x_and_one_of_y() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    for (cosigned, accepted) in [
        (&[0u8, 1, 3][..], true),
        (&[0, 2, 5], true),
        (&[0, 1, 2, 3, 4, 5], true),
        (&[0, 3], false),
        (&[0, 1, 2], false),
        (&[3, 4, 5], false),
        (&[], false),
    ] {
        let verdict = policy.verify_checkpoint(checkpoint(cosigned).as_bytes());
        assert_eq!(verdict.is_ok(), accepted, "{cosigned:?}: {verdict:?}");
        if let Err(error) = verdict {
            assert_eq!(error, TrustError::Quorum { have: cosigned.len() });
        }
    }
}

#[test]
fn a_real_log_and_its_witness_meet_a_policy_naming_both() {
    let (keys, note) = crate::note::tests::published().swap_remove(2);
    let text = format!("log {}\nwitness w {}\nquorum w\n", keys[0], keys[1]);
    let trusted = Policy::parse(text.as_bytes()).unwrap().verify_checkpoint(note.as_bytes()).unwrap();
    assert_eq!(trusted.checkpoint.size, 139_911_860);
    assert_eq!(trusted.witnesses, ["witness.stagemole.eu"]);
}

#[test]
fn only_a_listed_log_under_its_own_origin_is_believed() {
    let policy = Policy::of_logs([log().verifier().clone()]);
    assert_eq!(policy.verify_checkpoint(checkpoint(&[0]).as_bytes()).unwrap().log, *log().verifier());
    let other = SignerKey::new("log.example/2", KeyKind::Ed25519, &[2; 32]).unwrap();
    let stranger = Checkpoint::new("log.example/2", 5, [9; 32]).sign(&other, 0).unwrap();
    let origin = "log.example/2".to_owned();
    assert_eq!(policy.verify_checkpoint(stranger.to_string().as_bytes()), Err(TrustError::UnknownLog { origin }));
    // The known origin, told by a stranger's key; and the known key under another origin.
    let posing = SignerKey::new("log.example/1", KeyKind::Ed25519, &[2; 32]).unwrap();
    let posed = Checkpoint::new("log.example/1", 5, [9; 32]).sign(&posing, 0).unwrap();
    let origin = "log.example/1".to_owned();
    assert_eq!(policy.verify_checkpoint(posed.to_string().as_bytes()), Err(TrustError::NotSigned { origin }));
    let moved = Checkpoint::new("log.example/2", 5, [9; 32]).sign(&log(), 0).unwrap();
    assert!(matches!(policy.verify_checkpoint(moved.to_string().as_bytes()), Err(TrustError::UnknownLog { .. })));
}

#[test]
fn malformed_lines_are_named_with_their_number() {
    let (l, w, w2) =
        (log().verifier().to_string(), witness(0).verifier().to_string(), witness(1).verifier().to_string());
    let groups = format!("witness a {w}\nwitness b {w2}\n");
    for (text, line, why) in [
        (format!("log {l}\nlog {l}\nquorum none\n"), 2, LineError::DuplicateKey),
        (format!("log {w}\nquorum none\n"), 1, LineError::KeyKind),
        (format!("witness a {l}\nquorum none\n"), 1, LineError::KeyKind),
        (format!("witness a {w}\nwitness b {w}\nquorum none\n"), 2, LineError::DuplicateKey),
        (format!("witness a {w}\nwitness a {w2}\nquorum none\n"), 2, LineError::DuplicateName),
        (format!("witness none {w}\nquorum none\n"), 1, LineError::None),
        ("quorum a\n".to_owned(), 1, LineError::UnknownName),
        ("quorum none\nquorum none\n".to_owned(), 2, LineError::SecondQuorum),
        ("quorum\n".to_owned(), 1, LineError::Items("quorum NAME")),
        ("logs x\n".to_owned(), 1, LineError::Keyword),
        ("quorum none\r\n".to_owned(), 1, LineError::Octet(b'\r')),
        (format!("{groups}group g 3 a b\nquorum g\n"), 3, LineError::Threshold),
        (format!("{groups}group g 0 a b\nquorum g\n"), 3, LineError::Threshold),
        (format!("{groups}group g +1 a b\nquorum g\n"), 3, LineError::Threshold),
        (format!("{groups}group g all\nquorum g\n"), 3, LineError::Items("group NAME all|any|NUMBER MEMBER...")),
        (format!("{groups}group g any none\nquorum g\n"), 3, LineError::None),
        (format!("{groups}group g any c\nquorum g\n"), 3, LineError::UnknownName),
        (format!("{groups}group g any a a\nquorum g\n"), 3, LineError::MemberTwice),
        (format!("{groups}group g any a\ngroup h any a\nquorum h\n"), 4, LineError::MemberTwice),
        (format!("{groups}group g any g\nquorum g\n"), 3, LineError::UnknownName),
    ] {
        assert_eq!(Policy::parse(text.as_bytes()), Err(PolicyError::Line { line, why }), "{text}");
    }
    assert_eq!(Policy::parse(b""), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse(format!("log {l}\n").as_bytes()), Err(PolicyError::NoQuorum));
    assert_eq!(Policy::parse(b"quorum none"), Err(PolicyError::CutShort));
    assert_eq!(Policy::parse(&vec![b'#'; POLICY_BYTES_MAX + 1]), Err(PolicyError::TooLong(POLICY_BYTES_MAX + 1)));
}

#[test]
fn names_are_octets_and_a_kelvin_sign_is_not_a_k() {
    let (a, b) = (witness(0), witness(1));
    let text = format!("witness K {}\nwitness \u{212a} {}\nquorum \u{212a}\n", a.verifier(), b.verifier());
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert!(policy.quorum_met(&[1]) && !policy.quorum_met(&[0]));
    assert!(Policy::parse(b"# \xff\xfe\nquorum none\n").is_ok());
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse(&bytes);
    }
}
