//! The vectors are what this code makes, and they are taken and refused as they say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use data_encoding::HEXLOWER;
use ledger_block::release::{EndorseError, Manifest, SignedManifest, SignedPolicy};
use pitchside_release::manifest::ContentNames;

#[allow(dead_code)]
#[path = "../examples/vectors.rs"]
mod example;

const FILE: &str = include_str!("../vectors/release.txt");

fn value(name: &str) -> Vec<u8> {
    let line = FILE.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    HEXLOWER.decode(line.unwrap_or_else(|| panic!("no {name}")).as_bytes()).unwrap()
}

#[test]
fn the_vectors_are_what_this_code_makes() {
    assert_eq!(
        example::vectors(),
        FILE,
        "cargo run -q -p pitchside-release --example vectors > gateway/release/vectors/release.txt"
    );
}

#[test]
fn the_release_among_the_vectors_is_believed_and_its_changes_are_not() {
    let policy = SignedPolicy::parse(&value("signed-policy")).unwrap();
    policy.verify(None).unwrap();
    let verify = |name: &str| SignedManifest::parse(&value(name)).unwrap().verify(policy.policy());
    assert_eq!(verify("signed-manifest"), Ok(()));
    assert_eq!(verify("one-signature"), Err(EndorseError::Threshold { have: 1, want: 2 }));
    assert!(matches!(verify("stranger"), Err(EndorseError::UnknownKey(_))));
    assert!(matches!(verify("changed"), Err(EndorseError::Signature(_))));
    let manifest = Manifest::parse(&value("manifest")).unwrap();
    ContentNames::of(example::content().as_slice()).unwrap().check(&manifest).unwrap();
    assert_eq!(manifest.id().0.to_vec(), value("release-id"));
    Manifest::parse(&value("box-manifest")).unwrap();
}
