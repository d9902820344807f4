use pitchside_model::Timestamp;
use proptest::prelude::*;

use super::signed::{MANIFEST_CONTEXT, POLICY_CONTEXT};
use super::*;
use crate::cbor::Deterministic as _;

pub(crate) fn key(seed: u8) -> ReleaseKey {
    ReleaseKey::new(&[seed; 32])
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        target: Target::Sensor,
        component: "strap-firmware".parse().unwrap(),
        hardware: ["strap-r2", "strap-r3"].map(|id| id.parse().unwrap()).to_vec(),
        version: Version::new(1, 4, 0),
        counter: SecurityCounter(3),
        size: 65_536,
        sha256: [1; 32],
        blake3: [2; 32],
        from: Some(Version::new(1, 2, 0)),
        expires: Timestamp::from_seconds(1_900_000_000),
    }
}

pub(crate) fn policy(threshold: u8, seeds: &[u8]) -> ReleasePolicy {
    let mut keys: Vec<[u8; 32]> = seeds.iter().map(|seed| key(*seed).public()).collect();
    keys.sort_unstable();
    ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold, keys, single: threshold == 1 }
}

pub(crate) fn signed(manifest: Manifest, seeds: &[u8]) -> SignedManifest {
    let mut signed = SignedManifest::draft(manifest).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&key(*seed)).unwrap());
    signed
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let version = || (any::<u32>(), any::<u32>(), 1u32..).prop_map(|(a, b, c)| Version::new(a, b, c));
    (
        (any::<bool>(), "[a-z][a-z0-9._-]{0,31}", prop::collection::btree_set("[A-Za-z0-9][a-z0-9._-]{0,31}", 1..=16)),
        (version(), any::<bool>(), any::<u32>(), 1..=SIZE_MAX),
        (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<i64>()),
    )
        .prop_map(|((sensor, component, hardware), (version, from, counter, size), (sha256, blake3, expires))| {
            Manifest {
                target: if sensor { Target::Sensor } else { Target::Box },
                component: component.parse().unwrap(),
                hardware: hardware.iter().map(|id| id.parse().unwrap()).collect(),
                version,
                counter: SecurityCounter(counter),
                size,
                sha256,
                blake3,
                from: from.then(|| Version { patch: version.patch - 1, ..version }),
                expires: Timestamp(expires),
            }
        })
}

proptest! {
    #[test]
    fn manifests_read_back_and_fit_their_bound(manifest in any_manifest()) {
        prop_assert_eq!(manifest.check(), Ok(()));
        let bytes = manifest.to_cbor();
        prop_assert!(bytes.len() <= MANIFEST_BYTES_MAX, "{} bytes", bytes.len());
        prop_assert_eq!(Manifest::parse(&bytes), Ok(manifest));
    }

    #[test]
    fn signatures_collected_apart_make_the_same_object(mut seeds in prop::collection::vec(1u8..40, 1..6), split in 0usize..6) {
        seeds.sort_unstable();
        seeds.dedup();
        let together = signed(manifest(), &seeds);
        let (first, second) = seeds.split_at(split.min(seeds.len()));
        let mut merged = signed(manifest(), second);
        merged.merge(&signed(manifest(), first)).unwrap();
        prop_assert_eq!(merged.to_bytes(), together.to_bytes());
        let read = SignedManifest::parse(&merged.to_bytes()).unwrap();
        prop_assert_eq!(&read, &together);
        prop_assert_eq!(read.id(), manifest().id());
        prop_assert_eq!(read.verify(&policy(u8::try_from(seeds.len()).unwrap(), &seeds)), Ok(()));
    }

    #[test]
    fn one_changed_bit_of_a_signed_release_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = signed(manifest(), &[1, 2]).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let accepted = SignedManifest::parse(&bytes).is_ok_and(|read| read.verify(&policy(2, &[1, 2, 3])).is_ok());
        prop_assert!(!accepted, "byte {at}");
    }

    #[test]
    fn no_bytes_make_the_readers_stumble(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        // What reads at all reads back to the same bytes.
        if let Ok(read) = Manifest::parse(&noise) { prop_assert_eq!(read.to_cbor(), noise.clone()); }
        if let Ok(read) = ReleasePolicy::parse(&noise) { prop_assert_eq!(read.to_cbor(), noise.clone()); }
        prop_assert!(SignedManifest::parse(&noise).is_err());
        prop_assert!(SignedPolicy::parse(&noise).is_err());
    }

    #[test]
    fn versions_are_written_in_one_way(version in (any::<u32>(), any::<u32>(), any::<u32>()), other in "[0-9.+v-]{0,12}") {
        let version = Version::new(version.0, version.1, version.2);
        prop_assert_eq!(version.to_string().parse(), Ok(version));
        if let Ok(read) = other.parse::<Version>() { prop_assert_eq!(read.to_string(), other); }
    }
}

#[test]
fn manifests_out_of_bounds_are_refused() {
    let hardware = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<HardwareId>>();
    let many: Vec<HardwareId> = (10..27).map(|n| format!("h{n}").parse().unwrap()).collect();
    for (bad, why) in [
        (Manifest { hardware: vec![], ..manifest() }, ManifestError::Hardware),
        (Manifest { hardware: hardware(&["b", "a"]), ..manifest() }, ManifestError::Hardware),
        (Manifest { hardware: hardware(&["a", "a"]), ..manifest() }, ManifestError::Hardware),
        (Manifest { hardware: many, ..manifest() }, ManifestError::Hardware),
        (Manifest { size: 0, ..manifest() }, ManifestError::Size(0)),
        (Manifest { size: SIZE_MAX + 1, ..manifest() }, ManifestError::Size(SIZE_MAX + 1)),
        (
            Manifest { from: Some(manifest().version), ..manifest() },
            ManifestError::From { version: manifest().version, from: manifest().version },
        ),
    ] {
        assert_eq!(bad.check(), Err(why));
        let read = Manifest::parse(&bad.to_cbor());
        // 17 hardware ids are refused before they are counted into memory.
        assert!(
            read == Err(why) || matches!(read, Err(ManifestError::Cbor(_) | ManifestError::TooLong(_))),
            "{read:?}"
        );
    }
    assert!("x".repeat(33).parse::<HardwareId>().is_err());
    assert_eq!(Manifest::parse(&[0; 769]), Err(ManifestError::TooLong(769)));
}

#[test]
fn too_few_signatures_or_those_of_strangers_release_nothing() {
    let policy = policy(2, &[1, 2, 3]);
    let verify = |seeds: &[u8]| signed(manifest(), seeds).verify(&policy);
    assert_eq!(verify(&[1, 2]), Ok(()));
    assert_eq!(verify(&[1, 2, 3]), Ok(()));
    assert_eq!(verify(&[]), Err(EndorseError::Threshold { have: 0, want: 2 }));
    assert_eq!(verify(&[3]), Err(EndorseError::Threshold { have: 1, want: 2 }));
    assert_eq!(verify(&[1, 1]), Err(EndorseError::Threshold { have: 1, want: 2 }), "one key counts once");
    let stranger = Kid::of(&key(9).public());
    assert_eq!(verify(&[1, 2, 9]), Err(EndorseError::UnknownKey(stranger)), "a stranger's signature spoils it");
}

#[test]
fn a_signature_twice_in_one_object_is_refused_by_its_form() {
    // The object with key 1's signature, and again with it twice.
    let once = signed(manifest(), &[1]).to_bytes();
    let (head, tail) = once.split_at(once.len() - 82);
    let mut twice = [head, tail, tail].concat();
    let count = head.len() - 1;
    assert_eq!(twice[count], 0x81);
    twice[count] = 0x82;
    assert!(matches!(SignedManifest::parse(&twice), Err(UnsoundRelease::Endorsed(EndorseError::Form(_)))));
}

#[test]
fn a_signature_over_a_policy_is_none_over_a_release() {
    let mut endorsed = Endorsed::draft(manifest().to_cbor());
    endorsed.sign(POLICY_CONTEXT, &key(1)).unwrap();
    let public = [key(1).public()];
    assert!(endorsed.verify(POLICY_CONTEXT, &public).is_ok());
    assert_eq!(endorsed.verify(MANIFEST_CONTEXT, &public), Err(EndorseError::Signature(Kid::of(&public[0]))));
}

#[test]
fn a_threshold_of_one_is_refused_unless_it_was_chosen() {
    let chosen = policy(1, &[1, 2, 3]);
    assert_eq!(chosen.check(), Ok(()));
    let overlooked = ReleasePolicy { single: false, ..chosen.clone() };
    assert_eq!(overlooked.check(), Err(ReleasePolicyError::ThresholdOfOne));
    assert_eq!(ReleasePolicy::parse(&overlooked.to_cbor()), Err(ReleasePolicyError::ThresholdOfOne));
    assert_eq!(ReleasePolicy { single: true, ..policy(2, &[1, 2]) }.check(), Err(ReleasePolicyError::NotSingle(2)));
    for threshold in [0, 4] {
        let why = ReleasePolicyError::Threshold { threshold, keys: 3 };
        assert_eq!(ReleasePolicy { threshold, single: false, ..chosen.clone() }.check(), Err(why));
    }
    let weak = ReleasePolicy { keys: vec![[0; 32], [1; 32]], ..policy(2, &[1, 2]) };
    assert!(matches!(weak.check(), Err(ReleasePolicyError::Key(_))), "a point of small order signs everything");
}

#[test]
fn a_policy_follows_only_with_the_consent_of_the_one_before() {
    let first = policy(2, &[1, 2, 3]);
    let sign = |policy: &ReleasePolicy, seeds: &[u8]| {
        let mut signed = SignedPolicy::draft(policy.clone()).unwrap();
        seeds.iter().for_each(|seed| signed.sign(&key(*seed)).unwrap());
        SignedPolicy::parse(&signed.to_bytes()).unwrap()
    };
    assert_eq!(sign(&first, &[1, 3]).verify(None), Ok(()));
    let too_few = SignedPolicyError::Endorsed(EndorseError::Threshold { have: 1, want: 2 });
    assert_eq!(sign(&first, &[1]).verify(None), Err(too_few), "keys nobody holds are no policy");

    let next = ReleasePolicy { number: 2, previous: first.id(), ..policy(2, &[3, 4, 5]) };
    assert_eq!(sign(&next, &[1, 2, 4, 5]).verify(Some(&first)), Ok(()));
    assert_eq!(sign(&next, &[1, 3, 4]).verify(Some(&first)), Ok(()), "a key of both counts for both");
    let without = SignedPolicyError::Predecessor { have: 1, want: 2 };
    assert_eq!(sign(&next, &[3, 4, 5]).verify(Some(&first)), Err(without), "the operator alone replaces nobody");
    assert_eq!(sign(&next, &[1, 2, 4]).verify(Some(&first)), Err(too_few));
    let skipped = ReleasePolicy { number: 3, ..next.clone() };
    let why = SignedPolicyError::Successor { have: 3, in_force: 1 };
    assert_eq!(sign(&skipped, &[1, 2, 4, 5]).verify(Some(&first)), Err(why));
    let other = ReleasePolicy { previous: PolicyId([9; 32]), ..next.clone() };
    let why = SignedPolicyError::Successor { have: 2, in_force: 1 };
    assert_eq!(sign(&other, &[1, 2, 4, 5]).verify(Some(&first)), Err(why), "a successor of another policy");
    assert_eq!(sign(&first, &[1, 2]).verify(Some(&next)), Err(SignedPolicyError::Successor { have: 1, in_force: 2 }));
}

#[test]
fn somebody_elses_cose_reads_what_is_signed_here() {
    use coset::{CoseSign, TaggedCborSerializable as _};
    use ed25519_dalek::{Signature, VerifyingKey};
    let bytes = signed(manifest(), &[1, 2]).to_bytes();
    let read = CoseSign::from_tagged_slice(&bytes).unwrap();
    assert_eq!(read.payload.as_deref(), Some(manifest().to_cbor().as_slice()));
    for (at, signature) in read.signatures.iter().enumerate() {
        let public = [1, 2].map(|seed| key(seed).public()).into_iter();
        let public = public.into_iter().find(|key| Kid::of(key).0 == *signature.protected.header.key_id).unwrap();
        read.verify_signature(at, MANIFEST_CONTEXT, |signature, message| {
            let key = VerifyingKey::from_bytes(&public).unwrap();
            key.verify_strict(message, &Signature::from_slice(signature).unwrap())
        })
        .unwrap();
    }
}
