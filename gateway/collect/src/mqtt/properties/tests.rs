use proptest::prelude::*;

use super::*;

const ALL: [Of; 7] =
    [Of::Connect, Of::Will, Of::Publish, Of::Acknowledgement, Of::Subscribe, Of::Unsubscribe, Of::Disconnect];

const TWICE: CloseReason = CloseReason::Protocol("a property that may be there once is there twice");

/// Reads properties, and sees that nothing behind them is touched.
fn said(of: Of, properties: &[u8]) -> Result<Properties, CloseReason> {
    let body = [&[properties.len() as u8][..], properties, b"!"].concat();
    let mut cursor = Cursor::new(Bytes::from(body));
    let properties = read(of, &mut cursor)?;
    assert_eq!(cursor.rest().as_ref(), b"!");
    Ok(properties)
}

/// A property with a value that may be.
fn property(id: u8) -> Vec<u8> {
    let value: &[u8] = match id {
        0x01 | 0x0b | 0x17 | 0x19 => &[1],
        0x02 | 0x11 | 0x18 | 0x27 => &[0, 0, 1, 0],
        0x21..=0x23 => &[0, 1],
        0x26 => &[0, 1, b'k', 0, 1, b'v'],
        _ => &[0, 1, b'x'],
    };
    [&[id][..], value].concat()
}

#[test]
fn a_property_comes_once_in_every_packet_that_has_it_and_a_users_own_as_often_as_it_likes() {
    for of in ALL {
        for id in of.allowed().iter().copied().filter(|id| *id != USER_PROPERTY) {
            let twice = [property(id), property(USER_PROPERTY), property(id)].concat();
            assert_eq!(said(of, &twice), Err(TWICE), "{of:?} {id:#04x}");
            let once = said(of, &property(id));
            match (of, id) {
                (Of::Publish, SUBSCRIPTION_IDENTIFIER) | (Of::Connect, AUTHENTICATION_DATA) => {
                    assert!(matches!(once, Err(CloseReason::Protocol(_))), "{of:?} {id:#04x}");
                }
                (Of::Publish, TOPIC_ALIAS) => assert_eq!(once, Err(CloseReason::TopicAlias)),
                (Of::Subscribe, _) => assert_eq!(once, Err(CloseReason::SubscriptionIdentifier)),
                _ => assert!(once.is_ok(), "{of:?} {id:#04x}"),
            }
        }
        assert_eq!(said(of, &[property(USER_PROPERTY), property(USER_PROPERTY)].concat()), Ok(Properties::default()));
    }
}

#[test]
fn a_property_of_another_packet_or_of_none_is_malformed() {
    for of in ALL {
        for id in (0..=u8::MAX).filter(|id| !of.allowed().contains(id)) {
            assert!(matches!(said(of, &property(id)), Err(CloseReason::Malformed(_))), "{of:?} {id:#04x}");
        }
    }
}

#[test]
fn values_that_are_forbidden_are_protocol_errors_and_texts_that_are_none_are_malformed() {
    let forbidden: [(Of, &[u8]); 10] = [
        (Of::Connect, &[0x21, 0, 0]),
        (Of::Connect, &[0x27, 0, 0, 0, 0]),
        (Of::Connect, &[0x17, 2]),
        (Of::Connect, &[0x19, 2]),
        (Of::Connect, &[0x16, 0, 0]),
        (Of::Will, &[0x01, 2]),
        (Of::Will, &[0x08, 0, 1, b'#']),
        (Of::Publish, &[0x01, 0xff]),
        (Of::Publish, &[0x08, 0, 3, b'a', b'/', b'+']),
        (Of::Subscribe, &[0x0b, 0]),
    ];
    for (of, properties) in forbidden {
        assert!(matches!(said(of, properties), Err(CloseReason::Protocol(_))), "{of:?} {properties:02x?}");
    }
    assert_eq!(said(Of::Publish, &[0x23, 0, 0]), Err(CloseReason::TopicAlias), "0 is no alias either");
    let malformed: [(Of, &[u8]); 5] = [
        (Of::Publish, &[0x03, 0, 1, 0xff]),
        (Of::Publish, &[0x26, 0, 1, b'k', 0, 1, 0]),
        (Of::Disconnect, &[0x1f, 0, 9, b'x']),
        (Of::Connect, &[0x11, 0, 0]),
        (Of::Acknowledgement, &[0x1f]),
    ];
    for (of, properties) in malformed {
        assert!(matches!(said(of, properties), Err(CloseReason::Malformed(_))), "{of:?} {properties:02x?}");
    }
}

#[test]
fn what_a_client_asks_for_is_heeded_and_what_it_leaves_out_has_its_default() {
    let all =
        [&[0x11, 0, 0, 0, 60][..], &[0x21, 0, 7], &[0x27, 0, 1, 0, 0], &[0x17, 0], &[0x15, 0, 1, b'm', 0x16, 0, 0]];
    let asked = Properties {
        session_expiry: 60,
        receive_max: 7,
        packet_bytes_max: 65_536,
        problem_information: false,
        authentication_method: true,
    };
    assert_eq!(said(Of::Connect, &all.concat()), Ok(asked));
    let nothing = Properties {
        session_expiry: 0,
        receive_max: 65_535,
        packet_bytes_max: usize::MAX,
        problem_information: true,
        authentication_method: false,
    };
    assert_eq!(said(Of::Connect, &[]), Ok(nothing));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic_or_go_beyond_the_length_that_is_told(
        ids in prop::collection::vec((prop::sample::select(ALL.to_vec()), any::<u8>()), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for (of, id) in ids {
            let _ = said(of, &noise);
            let _ = said(of, &[property(id), noise.clone()].concat());
            let _ = read(of, &mut Cursor::new(Bytes::from(noise.clone())));
        }
    }
}
