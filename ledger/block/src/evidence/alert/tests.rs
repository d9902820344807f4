use pitchside_model::Timestamp;

use super::*;
use crate::evidence::tests::{disclosed, evidence, policy};
use crate::header::SIGNED_HEADER_BYTES_MAX;
use crate::header::tests::key as gateway_key;
use crate::note::NOTE_BYTES_MAX;
use crate::record::RECORD_BYTES_MAX;

/// Of these places in the segment, or of the alert.
fn readings(places: impl IntoIterator<Item = Option<usize>>) -> Readings {
    places.into_iter().map(disclosed).collect()
}

fn whole() -> AlertEvidence {
    AlertEvidence {
        alert: evidence(true),
        readings: readings([3, 4].map(Some)),
        rules: vec![("heat-illness".to_owned(), [7; 32])],
        manifest: "name = \"heat-illness\"\n".to_owned(),
        script: "value > 39.0\n".to_owned(),
        streams: Vec::new(),
        engine: "pitchside-rules/0.1.0".to_owned(),
        before: Some(vec![1, 2, 3]),
        log: vec![
            LogLine { what: Happened::Recorded, at: Some(Timestamp(5)), by: None },
            LogLine { what: Happened::Delivered, at: None, by: None },
            LogLine { what: Happened::Escalated, at: Some(Timestamp(8)), by: None },
            LogLine { what: Happened::Acknowledged, at: Some(Timestamp(9)), by: Some("ann".to_owned()) },
        ],
        made_at: Timestamp(10),
    }
}

fn file() -> Vec<u8> {
    whole().to_bytes(&gateway_key()).unwrap()
}

#[test]
fn an_alert_with_its_readings_is_believed_offline_and_says_what_was_put_in() {
    let bytes = file();
    assert!(is_one(&bytes) && !is_one(&evidence(true).to_bytes()));
    let verdict = verify(&bytes, &policy()).unwrap();
    assert_eq!(verdict.said, whole());
    assert_eq!((verdict.readings.len(), verdict.blocks), (2, 1), "a block that several readings share is proven once");
    assert_eq!(verdict.alert.rule.as_str(), "heat-illness");
}

#[test]
fn the_streams_a_rule_named_are_in_it_and_a_file_without_any_is_as_it_was() {
    let with = AlertEvidence { streams: vec![("kind = \"derived\"\n".to_owned(), "value\n".to_owned())], ..whole() };
    let bytes = with.to_bytes(&gateway_key()).unwrap();
    assert_eq!(verify(&bytes, &policy()).unwrap().said, with);
    assert!(bytes.len() > file().len());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(verify(&changed, &policy()).is_err(), "byte {at}");
    }
}

#[test]
fn any_changed_bit_and_any_cut_is_refused() {
    let bytes = file();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(verify(&changed, &policy()).is_err(), "bit {bit} of byte {at}");
        }
        assert!(verify(&bytes[..at], &policy()).is_err(), "cut at {at}");
    }
    assert!(verify(&[bytes.as_slice(), &[0]].concat(), &policy()).is_err());
}

#[test]
fn only_the_gateway_whose_block_holds_the_alert_may_state_it() {
    let thief = GatewayKey::new(&[66; 32]);
    let bytes = whole().to_bytes(&thief).unwrap();
    assert_eq!(verify(&bytes, &policy()).unwrap_err(), AlertFault::Statement(CoseError::Signature));
}

#[test]
fn a_gateway_cannot_put_a_reading_in_that_is_in_no_block_nor_a_record_of_another_kind() {
    let mut forged = whole();
    forged.readings.readings[1].disclosed.blind[0] ^= 1;
    let bytes = forged.to_bytes(&gateway_key()).unwrap();
    assert_eq!(verify(&bytes, &policy()).unwrap_err(), AlertFault::Reading { at: 1, fault: Fault::NotInBlock });
    let forged = AlertEvidence { readings: readings([None, Some(4)]), ..whole() };
    let bytes = forged.to_bytes(&gateway_key()).unwrap();
    assert_eq!(verify(&bytes, &policy()).unwrap_err(), AlertFault::NotAReading(0));
    let about_a_reading = AlertEvidence { alert: evidence(false), ..whole() };
    let bytes = about_a_reading.to_bytes(&gateway_key()).unwrap();
    assert_eq!(verify(&bytes, &policy()).unwrap_err(), AlertFault::NotAnAlert);
}

#[test]
fn a_reading_that_is_shown_twice_is_refused_as_is_one_that_is_not_in_its_place() {
    let with = |places: &[usize]| {
        let readings = readings(places.iter().copied().map(Some));
        let bytes = AlertEvidence { readings, ..whole() }.to_bytes(&gateway_key()).unwrap();
        verify(&bytes, &policy()).map(|verdict| verdict.readings.len())
    };
    assert_eq!(with(&[0, 1, 2, 5]), Ok(4));
    assert_eq!(with(&[0, 1, 1]), Err(AlertFault::Twice(2)));
    assert_eq!(with(&[3, 4, 5, 3]), Err(AlertFault::Twice(3)), "also where it is not beside itself");
    assert_eq!(with(&[0, 2, 1]), Err(AlertFault::OutOfOrder(2)));
}

#[test]
fn what_readings_share_is_held_once_however_many_point_at_it() {
    let bytes =
        AlertEvidence { readings: readings([0, 1, 2, 5].map(Some)), ..whole() }.to_bytes(&gateway_key()).unwrap();
    let said = verify(&bytes, &policy()).unwrap().said.readings;
    let held = (said.checkpoints.len(), said.blocks.len(), said.segments.len(), said.len());
    assert_eq!(held, (1, 1, 1, 4));
}

#[test]
fn what_is_longer_than_its_kind_can_be_or_points_at_nothing_is_no_evidence() {
    let refused = |change: &dyn Fn(&mut Readings)| {
        let mut forged = whole();
        change(&mut forged.readings);
        let bytes = forged.to_bytes(&gateway_key()).unwrap();
        matches!(verify(&bytes, &policy()), Err(AlertFault::Structure(CborError::Shape { .. })))
    };
    assert!(!refused(&|_| ()));
    // Each just short of its bound is read, and refused for what it is.
    for (at, more) in [(0, false), (1, true)] {
        assert_eq!(refused(&|said| said.checkpoints[0] = vec![b'x'; NOTE_BYTES_MAX + at]), more);
        assert_eq!(refused(&|said| said.blocks[0].header = vec![0; SIGNED_HEADER_BYTES_MAX + at]), more);
        assert_eq!(refused(&|said| said.readings[0].disclosed.record = vec![0; RECORD_BYTES_MAX + at]), more);
    }
    assert!(refused(&|said| said.blocks[0].checkpoint = 1));
    assert!(refused(&|said| said.segments[0].block = 1));
    assert!(refused(&|said| said.readings[1].segment = 1));
}

#[test]
fn an_alert_whose_own_file_has_a_wrong_digest_is_refused_though_the_gateway_signed_it() {
    let (statement, alert) = (whole().to_cbor(), evidence(true).to_bytes());
    let start = statement.windows(alert.len()).position(|window| window == alert).unwrap();
    let mut changed = statement.clone();
    changed[start + alert.len() - 1] ^= 1;
    for (statement, holds) in [(statement, true), (changed, false)] {
        let bytes = codec::wrap(&gateway_key().sign(&statement, CONTEXT).unwrap());
        assert_eq!(verify(&bytes, &policy()).is_ok(), holds);
    }
}

#[test]
fn whichever_of_its_first_bytes_was_changed_it_is_still_known_for_evidence_of_an_alert() {
    let bytes = file();
    for at in 0..bytes.len().min(12) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(is_one(&changed) && verify(&changed, &policy()).unwrap_err().is_tampered(), "byte {at}");
    }
    assert!(!is_one(b"") && !is_one(b"a text file") && !is_one(&evidence(false).to_bytes()));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let wrapped = codec::wrap(&bytes);
        proptest::prop_assert!(verify(&bytes, &policy()).is_err() && verify(&wrapped, &policy()).is_err());
    }
}
