use proptest::prelude::*;

use super::*;

pub(crate) fn any_header(key: &GatewayKey) -> Header {
    Header {
        gateway: key.id(),
        incarnation: Incarnation(1),
        index: BlockIndex(300),
        previous: [1; 32],
        sealed_at: Timestamp(1_763_700_000_000_000),
        clock: ClockState::Synchronised,
        segment_root: [2; 32],
        payload_length: 4_096,
        payload_digest: [3; 32],
        rules: [4; 32],
        plugins: [5; 32],
        firmware: [6; 32],
        checkpoint: Some(SeenCheckpoint { size: 70_000, root: [7; 32] }),
    }
}

pub(crate) fn key() -> GatewayKey {
    GatewayKey::new(&[42; 32])
}

#[test]
fn a_signed_header_reads_back_and_any_changed_bit_is_refused() {
    let signed = SignedHeader::sign(any_header(&key()), &key()).unwrap();
    assert_eq!(SignedHeader::verify(signed.bytes()).as_ref(), Ok(&signed));
    assert!(signed.bytes().len() < 450, "{} bytes", signed.bytes().len());
    for at in 0..signed.bytes().len() {
        for bit in 0..8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            assert!(SignedHeader::verify(&bytes).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut longer = signed.bytes().to_vec();
    longer.push(0);
    assert!(SignedHeader::verify(&longer).is_err());
    assert!(SignedHeader::verify(&signed.bytes()[1..]).is_err(), "untagged");
}

#[test]
fn a_key_signs_for_its_own_gateway_only() {
    let other = GatewayKey::new(&[43; 32]);
    let wrong = SignedHeader::sign(any_header(&other), &key());
    assert_eq!(wrong, Err(HeaderError::Signer { signer: key().id(), gateway: other.id() }));
    // The same bytes signed for another purpose are no header.
    let posing = key().sign(&any_header(&key()).to_cbor(), b"pitchside/enrol/1").unwrap();
    assert_eq!(SignedHeader::verify(&posing), Err(HeaderError::Cose(CoseError::Signature)));
    // Nor is a header for another gateway under our signature.
    let posing = key().sign(&any_header(&other).to_cbor(), HEADER_CONTEXT).unwrap();
    assert_eq!(SignedHeader::verify(&posing), Err(HeaderError::Cose(CoseError::Signature)));
}

#[test]
fn the_secret_is_not_printed() {
    assert_eq!(format!("{:?}", key()), format!("GatewayKey({})", key().id()));
    assert_eq!(GatewayId::parse(&key().id().to_string()), Some(key().id()));
}

#[test]
fn an_unprotected_header_or_another_algorithm_is_refused() {
    use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana};
    let payload = any_header(&key()).to_cbor();
    let sign = |protected: coset::Header, unprotected: coset::Header| {
        CoseSign1Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload.clone())
            .create_signature(HEADER_CONTEXT, |message| {
                ed25519_dalek::Signer::sign(&key().0, message).to_bytes().to_vec()
            })
            .build()
            .to_tagged_vec()
            .unwrap()
    };
    let plain = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build();
    assert!(SignedHeader::verify(&sign(plain.clone(), Default::default())).is_ok());
    let noted = HeaderBuilder::new().key_id(b"x".to_vec()).build();
    assert_eq!(SignedHeader::verify(&sign(plain, noted)), Err(HeaderError::Cose(CoseError::Form)));
    let other = HeaderBuilder::new().algorithm(iana::Algorithm::ES256).build();
    assert_eq!(SignedHeader::verify(&sign(other, Default::default())), Err(HeaderError::Cose(CoseError::Form)));
}

proptest! {
    #[test]
    fn any_header_reads_back_and_somebody_elses_cbor_agrees(
        incarnation: u64, index: u64, sealed_at: i64, length: u64, seen in prop::option::of((any::<u64>(), any::<[u8; 32]>())),
        root: [u8; 32], clock in 0u8..3,
    ) {
        let header = Header {
            incarnation: Incarnation(incarnation),
            index: BlockIndex(index),
            sealed_at: Timestamp(sealed_at),
            payload_length: length,
            segment_root: root,
            clock: ClockState::from_code(clock).unwrap(),
            checkpoint: seen.map(|(size, root)| SeenCheckpoint { size, root }),
            ..any_header(&key())
        };
        let bytes = header.to_cbor();
        prop_assert_eq!(exact::<Header>(&bytes), Ok(header));
        let value: ciborium::value::Value = ciborium::from_reader(bytes.as_slice()).unwrap();
        let mut again = Vec::new();
        ciborium::into_writer(&value, &mut again).unwrap();
        prop_assert_eq!(bytes, again);
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(SignedHeader::verify(&bytes).is_err());
    }
}

#[test]
fn a_key_under_which_no_signature_can_hold_is_known() {
    assert!(key().id().can_sign());
    // y = 0 and y = 1 are points of small order; y = 2 is none of the curve's.
    let y = |low: u8| GatewayId(std::array::from_fn(|at| if at == 0 { low } else { 0 }));
    assert_eq!([0, 1, 2].map(|low| y(low).can_sign()), [false; 3]);
}
