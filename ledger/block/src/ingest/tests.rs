use super::*;
use crate::GatewayKey;
use crate::cbor::{CborError, Deterministic as _, exact};
use crate::release::{DEVICES_MAX, ReleaseId, Sum, Tally};
use pitchside_model::{DeviceId, Timestamp};
use proptest::prelude::*;

fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

fn hash() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn request() -> impl Strategy<Value = Request> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 1..max);
    prop_oneof![
        any::<u64>().prop_map(|seen| Request::Hello { seen }),
        bytes(900).prop_map(|header| Request::Begin { header }),
        (hash(), 0..=PAYLOAD_BYTES_MAX, bytes(4_000)).prop_map(|(payload, offset, bytes)| Request::Chunk {
            payload,
            offset,
            bytes
        }),
        bytes(900).prop_map(|transaction| Request::Transact { transaction }),
        (hash(), 0..=PAYLOAD_BYTES_MAX).prop_map(|(payload, offset)| Request::Fetch { payload, offset }),
        any::<u64>().prop_map(|number| Request::Ping { number }),
        any::<u64>().prop_map(|index| Request::Recall { index }),
        (hash(), bytes(COPY_BYTES_MAX)).prop_map(|(name, body)| Request::Keep { name, body }),
        hash().prop_map(|name| Request::Drop { name }),
        prop::option::of(hash()).prop_map(|after| Request::Copies { after }),
        (any::<u64>(), any::<u64>()).prop_map(|(since, seen)| Request::Releases { since, seen }),
        hash().prop_map(|content| Request::Content { content }),
        (hash(), 0..=crate::content::SIZE_MAX, bytes(4_000)).prop_map(|(content, offset, bytes)| Request::Piece {
            content,
            offset,
            bytes
        }),
        hash().prop_map(|id| Request::Sum { release: ReleaseId(id) }),
    ]
}

fn proven() -> impl Strategy<Value = Proven> {
    (prop::collection::vec(any::<u8>(), 0..300), any::<u64>(), prop::collection::vec(hash(), 0..=PROOF_HASHES_MAX))
        .prop_map(|(note, from, proof)| Proven { note, from, proof })
}

fn reply() -> impl Strategy<Value = Reply> {
    let head = (any::<u64>(), any::<u64>(), hash(), any::<u64>()).prop_map(|(incarnation, index, hash, leaf)| Head {
        incarnation,
        index,
        hash,
        leaf,
    });
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    prop_oneof![
        ("[a-z./]{1,40}", "[a-z][a-z0-9.-]{0,20}", prop::option::of(head), prop::option::of(proven())).prop_map(
            |(origin, gateway, head, checkpoint)| Reply::Welcome { origin, gateway: id(&gateway), head, checkpoint }
        ),
        (hash(), 0..=PAYLOAD_BYTES_MAX).prop_map(|(payload, offset)| Reply::Resume { payload, offset }),
        (hash(), bytes(900)).prop_map(|(leaf, receipt)| Reply::Receipt { leaf, receipt }),
        proven().prop_map(Reply::Checkpoint),
        (
            prop::option::of(hash()),
            prop::option::of(0..=PAYLOAD_BYTES_MAX),
            prop::sample::select(Code::ALL),
            "\\PC{0,60}"
        )
            .prop_map(|(about, expected, code, detail)| {
                Reply::Refused { about, expected, refusal: Refusal::because(code, detail) }
            }),
        (hash(), 0..=PAYLOAD_BYTES_MAX, 0..=PAYLOAD_BYTES_MAX, bytes(4_000))
            .prop_map(|(payload, offset, total, bytes)| Reply::Part { payload, offset, total, bytes }),
        any::<u64>().prop_map(|number| Reply::Pong { number }),
        (bytes(900), bytes(900)).prop_map(|(header, receipt)| Reply::Recalled { header, receipt }),
        (hash(), any::<bool>()).prop_map(|(name, held)| Reply::Kept { name, held }),
        (hash(), 0..=crate::content::SIZE_MAX, any::<bool>()).prop_map(|(content, held, whole)| Reply::Stored {
            content,
            held,
            whole
        }),
        (
            proven(),
            prop::collection::btree_map(
                any::<u64>(),
                (bytes(900), prop::collection::vec(hash(), 0..5)),
                0..=RELEASE_LEAVES_MAX
            ),
            any::<u64>()
        )
            .prop_map(|(checkpoint, leaves, next)| {
                let leaf = |(place, (leaf, path))| ProvenLeaf { place, leaf, path };
                Reply::Releases(Releases { checkpoint, leaves: leaves.into_iter().map(leaf).collect(), next })
            }),
        (hash(), any::<[u32; 4]>()).prop_map(|(id, [confirmed, failed, gateways, failing])| {
            Reply::Sum(Summed {
                release: ReleaseId(id),
                sum: Sum { tally: Tally { confirmed, failed }, gateways, failing },
            })
        }),
        prop::collection::vec((hash(), prop::collection::vec(any::<u8>(), 0..90)), 0..=COPIES_MAX)
            .prop_map(|copies| Reply::Copies(copies.into_iter().map(|(name, body)| Copy { name, body }).collect())),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let subject = || any::<[u8; 16]>().prop_map(SubjectId);
    let name = || "[a-z][a-z0-9.-]{0,20}".prop_map(|text| id(&text));
    prop_oneof![
        (name(), any::<bool>(), hash(), hash()).prop_map(|(name, publisher, signing, channel)| Act::Enrol {
            name,
            role: if publisher { Role::Publisher } else { Role::Gateway },
            signing,
            channel
        }),
        (subject(), any::<u32>(), hash()).prop_map(|(subject, generation, key)| Act::AssignKey {
            subject,
            generation,
            key
        }),
        (subject(), hash(), any::<i64>()).prop_map(|(subject, grant, until)| Act::Grant {
            subject,
            grant,
            until: Timestamp(until)
        }),
        hash().prop_map(|grant| Act::Revoke { grant }),
        hash().prop_map(|manifest| Act::OldRelease { manifest }),
        (hash(), 1u8..=100).prop_map(|(manifest, percent)| Act::OldRollout { manifest, percent }),
        hash().prop_map(|manifest| Act::OldHalt { manifest }),
        hash().prop_map(|rules| Act::Rule { rules }),
        (name(), hash()).prop_map(|(name, key)| Act::Rotate { name, key }),
        (subject(), any::<u32>()).prop_map(|(subject, generation)| Act::Erase { subject, generation }),
        (hash(), 2..=transaction::VERSION).prop_map(|(key, version)| Act::Found { key, version }),
        (2..=transaction::VERSION).prop_map(|version| Act::Upgrade { version }),
        prop::collection::vec(any::<u8>(), 0..900).prop_map(|signed| Act::ReleasePolicy { signed }),
        prop::collection::vec(any::<u8>(), 0..900).prop_map(|signed| Act::Release { signed }),
        (hash(), "[a-z][a-z0-9.-]{0,20}", prop::sample::select(&Cohort::STEPS)).prop_map(|(id, hardware, cohort)| {
            Act::Rollout { release: ReleaseId(id), hardware: hardware.parse().unwrap(), cohort }
        }),
        (hash(), any::<bool>()).prop_map(|(id, failed)| Act::Halt {
            release: ReleaseId(id),
            why: if failed { HaltReason::Failures } else { HaltReason::Aborted }
        }),
        (hash(), 0..DEVICES_MAX, 0..DEVICES_MAX).prop_map(|(id, failed, more)| Act::Tally {
            release: ReleaseId(id),
            tally: Tally { confirmed: more.min(DEVICES_MAX - failed).max(1), failed }
        }),
    ]
}

proptest! {
    #[test]
    fn requests_read_back(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn replies_read_back(reply in reply()) {
        prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn transactions_read_back_and_verify_in_their_log_only(act in act(), time in any::<i64>()) {
        let key = GatewayKey::new(&[7; 32]);
        let transaction = Transaction { signer: id("box-1"), time: Timestamp(time), act };
        let leaf = transaction.sign("ledger.example", &key).unwrap();
        prop_assert!(SignedTransaction::is_one(&leaf));
        let read = SignedTransaction::parse(&leaf).unwrap();
        prop_assert_eq!(read.transaction(), &transaction);
        let public = key.id().0;
        prop_assert!(read.is_signed_by("ledger.example", &public));
        prop_assert!(!read.is_signed_by("other.example", &public));
        prop_assert!(!read.is_signed_by("ledger.example", &GatewayKey::new(&[8; 32]).id().0));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // What reads at all reads back to the same bytes.
        if let Ok(request) = Request::decode(&bytes) { prop_assert_eq!(request.encode(), bytes.clone()); }
        if let Ok(reply) = Reply::decode(&bytes) { prop_assert_eq!(reply.encode(), bytes.clone()); }
        prop_assert!(SignedTransaction::parse(&bytes).is_err());
    }

    #[test]
    fn a_message_cut_or_lengthened_is_refused(request in request(), cut in 1usize..40) {
        let bytes = request.encode();
        prop_assert!(Request::decode(&bytes[..bytes.len() - cut.min(bytes.len())]).is_err());
        let mut longer = bytes;
        longer.push(0);
        prop_assert_eq!(Request::decode(&longer), Err(CborError::Trailing(1)));
    }
}

#[test]
fn every_changed_byte_of_a_transaction_is_found() {
    let key = GatewayKey::new(&[7; 32]);
    let act = Act::Rule { rules: [3; 32] };
    let leaf = Transaction { signer: id("box-1"), time: Timestamp(5), act }.sign("o", &key).unwrap();
    for at in 0..leaf.len() {
        let mut bad = leaf.clone();
        bad[at] ^= 1;
        let found = SignedTransaction::parse(&bad);
        assert!(!found.is_ok_and(|t| t.is_signed_by("o", &key.id().0)), "byte {at}");
    }
}

#[test]
fn other_forms_of_the_same_numbers_are_refused() {
    // Ping 5 with the number in two bytes instead of one.
    assert_eq!(Request::decode(&[0x82, 0x05, 0x18, 0x05]), Err(CborError::NotDeterministic));
    assert_eq!(Request::decode(&[0x82, 0x05, 0x05]), Ok(Request::Ping { number: 5 }));
    // An array without a length.
    assert!(Request::decode(&[0x9f, 0x05, 0x05, 0xff]).is_err());
    assert!(Request::decode(&[0x82, 0x10, 0x05]).is_err());
}

#[test]
fn codes_keep_their_numbers_and_texts_their_bound() {
    for code in Code::ALL {
        assert_eq!(Code::from_number(*code as u16), Some(*code));
    }
    assert_eq!(Code::from_number(0), None);
    assert_eq!(Refusal::because(Code::Busy, "ä".repeat(900)).text.len().div_ceil(2), 200);
}

#[test]
fn a_log_of_version_2_begins_with_the_bytes_it_always_began_with() {
    let key = [7; 32];
    let found = |version| Transaction { signer: id(OPERATOR), time: Timestamp(5), act: Act::Found { key, version } };
    let second = found(2).to_cbor();
    assert_eq!(second[..5], [0xa5, 0x00, 0x02, 0x01, 0x0b], "five fields, version 2, kind 11");
    let third = found(3).to_cbor();
    assert_eq!(third[..5], [0xa6, 0x00, 0x03, 0x01, 0x0b], "six fields, version 3, kind 11");
    assert_eq!(third[third.len() - 2..], [0x05, 0x03]);
    // Neither in the other's clothes, nor a version nobody knows.
    let mut claims = third.clone();
    claims[2] = 2;
    assert!(exact::<Transaction>(&claims).is_err());
    let unknown = found(4).sign("o", &GatewayKey::new(&[7; 32])).unwrap();
    assert_eq!(SignedTransaction::parse(&unknown).unwrap_err(), TransactionError::Version(4));
}

#[test]
fn a_tally_counts_somebody_and_no_more_than_a_gateway_has() {
    let key = GatewayKey::new(&[7; 32]);
    let reads = |confirmed, failed| {
        let act = Act::Tally { release: ReleaseId([1; 32]), tally: Tally { confirmed, failed } };
        let leaf = Transaction { signer: id("box-1"), time: Timestamp(5), act }.sign("o", &key).unwrap();
        SignedTransaction::parse(&leaf).is_ok()
    };
    assert!(reads(DEVICES_MAX - 1, 1) && reads(0, 1) && reads(1, 0));
    assert!(!reads(DEVICES_MAX, 1) && !reads(0, 0) && !reads(u32::MAX, 1));
}

#[test]
fn a_copy_that_the_ledger_cannot_read_is_told_by_its_name_and_handed_in_by_nobody() {
    let lost = Copy { name: [2; 32], body: Vec::new() };
    let page = Reply::Copies(vec![Copy::unreadable([1; 32]), lost, Copy { name: [3; 32], body: vec![7; 80] }]);
    let Ok(Reply::Copies(read)) = Reply::decode(&page.encode()) else { panic!("a page") };
    assert_eq!(read.iter().map(Copy::is_readable).collect::<Vec<_>>(), [false, false, true]);
    assert!(Request::decode(&Request::Keep { name: [2; 32], body: Vec::new() }.encode()).is_err());
}
