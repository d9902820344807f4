use pitchside_model::{AthleteId, Quantity};
use proptest::prelude::*;

use super::*;
use crate::ring::Whose;

fn athlete(name: &str) -> Whose {
    Whose::Athlete(AthleteId::parse(name).unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

const HEART: Subject = Subject::Readings(Quantity::HEART_RATE);

#[test]
fn every_quantity_generation_and_hour_has_a_key_of_its_own() {
    let key = AthleteKey::new([1; 32]);
    let mark =
        |subject, generation, hour| key.hour(subject, Generation(generation), HourIndex(hour)).plaintext_mark(b"same");
    let all = [
        mark(HEART, 0, 400_000),
        mark(HEART, 0, 400_001),
        mark(HEART, 1, 400_000),
        mark(Subject::Readings(Quantity::ECG), 0, 400_000),
        mark(Subject::Alerts, 0, 400_000),
        AthleteKey::new([2; 32]).hour(HEART, Generation(0), HourIndex(400_000)).plaintext_mark(b"same"),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one));
    }
    assert_eq!(mark(HEART, 0, 400_000), all[0]);
}

#[test]
fn a_wrapped_key_opens_for_its_owner_and_box_only() {
    let (kek, key) = (Kek::new([9; 32]), AthleteKey::new([7; 32]));
    let wrapped = kek.wrap(&key, &athlete("a1"), Generation(2), [5; 24]).unwrap();
    assert_eq!(wrapped.len(), WRAPPED_KEY_BYTES);
    assert_eq!(kek.unwrap(&wrapped, &athlete("a1"), Generation(2)), Ok(key));
    assert_eq!(kek.unwrap(&wrapped, &athlete("a2"), Generation(2)), Err(WrapError::Refused));
    assert_eq!(kek.unwrap(&wrapped, &athlete("a1"), Generation(3)), Err(WrapError::Refused));
    assert_eq!(kek.unwrap(&wrapped, &Whose::House, Generation(2)), Err(WrapError::Refused));
    assert_eq!(Kek::new([8; 32]).unwrap(&wrapped, &athlete("a1"), Generation(2)), Err(WrapError::Refused));
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        assert!(kek.unwrap(&changed, &athlete("a1"), Generation(2)).is_err());
        assert_eq!(kek.unwrap(&wrapped[..at], &athlete("a1"), Generation(2)), Err(WrapError::Shape));
    }
    assert_eq!(format!("{kek:?}"), "Kek(..)");
}

#[test]
fn a_recovery_copy_opens_with_the_secret_it_was_made_for_only() {
    let secret = RecoverySecret::new(&[3; 32]).unwrap();
    let key = AthleteKey::new([7; 32]);
    let public = RecoveryPublic::new(&secret.public().to_bytes()).unwrap();
    let copy = public.seal(&key, &athlete("a1"), Generation(0), [1; 32]).unwrap();
    assert_eq!(copy.len(), RECOVERY_COPY_BYTES);
    assert_eq!(secret.open(&copy, &athlete("a1"), Generation(0)), Ok(key.clone()));
    assert_eq!(secret.open(&copy, &athlete("a2"), Generation(0)), Err(RecoveryError::Refused));
    assert_eq!(secret.open(&copy, &athlete("a1"), Generation(1)), Err(RecoveryError::Refused));
    let other = RecoverySecret::new(&[4; 32]).unwrap();
    assert_eq!(other.open(&copy, &athlete("a1"), Generation(0)), Err(RecoveryError::Refused));
    assert_eq!(secret.open(&copy[1..], &athlete("a1"), Generation(0)), Err(RecoveryError::Shape(79)));
    assert_ne!(public.seal(&key, &athlete("a1"), Generation(0), [2; 32]).unwrap(), copy);
}

/// RFC 9180, appendix A.2.1: base mode of exactly our suite, sequence number 0.
#[test]
fn the_published_hpke_vector_opens() {
    let secret = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let secret = RecoverySecret::new(&secret.try_into().unwrap()).unwrap();
    let public = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
    assert_eq!(secret.public().to_bytes().to_vec(), public);
    let opened = secret.open_raw(
        &hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"),
        &hex("4f6465206f6e2061204772656369616e2055726e"),
        &hex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
        &hex("436f756e742d30"),
    );
    assert_eq!(opened.unwrap().as_slice(), b"Beauty is truth, truth beauty");
}

#[test]
fn a_span_of_hours_is_covered_by_few_nodes() {
    let nodes = |from, to| cover(HourIndex(from)..HourIndex(to));
    assert_eq!(nodes(8, 16), [(29, HourIndex(8))]);
    assert_eq!(nodes(7, 9), [(32, HourIndex(7)), (32, HourIndex(8))]);
    assert_eq!(nodes(5, 5), []);
    assert!(nodes(400_001, 408_761).len() <= 26, "a year");
    assert!(nodes(1, u32::MAX).len() <= 62);
}

proptest! {
    #[test]
    fn the_nodes_of_a_span_open_its_hours_and_no_others(from in 0u32..5_000, length in 0u32..900, probe in 0u32..6_000) {
        let root = AthleteKey::new([1; 32]).subject_root(HEART, Generation(0));
        let nodes: Vec<Node> = cover(HourIndex(from)..HourIndex(from + length))
            .into_iter()
            .map(|(depth, first)| root.descend(depth, first).unwrap())
            .collect();
        let probe = HourIndex(probe);
        let found: Vec<HourKey> = nodes.iter().filter_map(|node| node.hour(probe)).collect();
        prop_assert_eq!(found.len(), usize::from((from..from + length).contains(&probe.0)));
        for key in found {
            prop_assert_eq!(key.plaintext_mark(b"x"), root.hour(probe).unwrap().plaintext_mark(b"x"));
        }
        for node in nodes {
            let told = Node::from_parts(node.depth(), node.first(), *node.key());
            prop_assert_eq!(told, Some(node));
        }
    }
}

/// `vectors/keys.txt` was computed by another program, in another language, from the READMEs.
#[test]
fn keys_come_out_as_the_vectors_say() {
    let vectors = include_str!("../../vectors/keys.txt");
    let value = |name: &str| hex(vectors.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap());
    let key = AthleteKey::new(value("athlete-key").try_into().unwrap());
    let root = key.subject_root(Subject::Readings(Quantity::CORE_TEMPERATURE), Generation(1));
    assert_eq!(root.key().to_vec(), value("quantity-key"));
    assert_eq!(root.descend(32, HourIndex(498_681)).unwrap().key().to_vec(), value("hour-key"));
    let kek = Kek::new(value("kek").try_into().unwrap());
    let wrapped = kek.wrap(&key, &athlete("a1"), Generation(1), value("wrap-salt").try_into().unwrap()).unwrap();
    assert_eq!(wrapped[..WRAPPED_KEY_BYTES - 16], value("wrapped"));
}
