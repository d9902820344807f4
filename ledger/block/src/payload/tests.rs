use proptest::prelude::*;

use super::*;
use crate::header::tests::{any_header, key};
use crate::merkle::{empty_root, verify_inclusion};

fn segments(n: u8) -> Vec<SealedSegment> {
    (0..n)
        .map(|i| SealedSegment {
            commitment: *blake3::hash(&[i]).as_bytes(),
            root: [i; 32],
            hour: HourIndex(400_000),
            ciphertext: vec![i; 16 + usize::from(i)],
        })
        .collect()
}

fn header(built: &BuiltPayload) -> Header {
    Header {
        segment_root: built.segment_root,
        payload_length: built.bytes.len() as u64,
        payload_digest: built.digest,
        ..any_header(&key())
    }
}

#[test]
fn every_segment_is_found_by_its_commitment_and_proven() {
    let built = build(&[9; SALT_BYTES], segments(7)).unwrap();
    let payload = verify(&header(&built), &built.bytes).unwrap();
    assert_eq!(payload.salt(), &[9; SALT_BYTES]);
    let bare = merkle::root(&payload.leaves());
    for segment in segments(7) {
        let at = payload.find(&segment.commitment).unwrap();
        let found = payload.segment(at).unwrap();
        assert_eq!(found.to_sealed(), segment);
        assert_eq!(verify_inclusion(&found.leaf(), at as u64, 7, &payload.prove(at).unwrap(), &bare), Ok(()));
    }
    assert_eq!(payload.find(&[0; 32]), None);
}

#[test]
fn an_empty_block_has_the_pinned_root() {
    let built = build(&[0; SALT_BYTES], Vec::new()).unwrap();
    assert_eq!(built.segment_root, counted_root(0, &empty_root()));
    assert!(verify(&header(&built), &built.bytes).is_ok());
}

#[test]
fn any_changed_bit_of_a_payload_is_found() {
    let built = build(&[9; SALT_BYTES], segments(5)).unwrap();
    let header = header(&built);
    for at in 0..built.bytes.len() {
        let mut changed = built.bytes.clone();
        changed[at] ^= 1;
        assert_eq!(verify(&header, &changed), Err(PayloadError::Digest));
        // Even a header signed over the changed bytes does not make them a payload of those segments, except for salt and
        // hours: they only say which key to use, and a wrong one opens nothing.
        let forged = Header { payload_digest: *blake3::hash(&changed).as_bytes(), ..header.clone() };
        let hour = (28..28 + 5 * 72).contains(&at) && (64..68).contains(&((at - 28) % 72));
        assert_eq!(verify(&forged, &changed).is_ok(), at < SALT_BYTES || hour, "byte {at}");
    }
    let (have, want) = (built.bytes.len() as u64 - 1, built.bytes.len() as u64);
    assert_eq!(verify(&header, &built.bytes[1..]), Err(PayloadError::Length { have, want }));
}

#[test]
fn a_segment_told_twice_or_out_of_order_is_refused() {
    let mut twice = segments(2);
    twice.push(twice[0].clone());
    assert_eq!(build(&[0; 24], twice), Err(PayloadError::Malformed("its segments are not in order")));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0u32..6) {
        let _ = Payload::parse(&bytes);
        let mut framed = bytes;
        if let Some(place) = framed.get_mut(24..28) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        let _ = Payload::parse(&framed);
    }
}
