use super::*;
use pitchside_model::{BleAddress, Bonding, Pairing, Profiles};
use proptest::prelude::*;

fn counting(seed: u8) -> impl FnMut(&mut [u8]) -> Result<(), RandomFailed> {
    let mut next = seed;
    move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    }
}

fn enrol(class: Class, own_key: Option<PublicKey>) -> Result<(DeviceRecord, Card), EnrolError> {
    let id = DeviceId::parse("strap-07").unwrap();
    let gateway = GatewayIdentity::from_private(PrivateKey::new([9; 32]));
    let new = NewDevice { id, class, own_key, decoder: None };
    device(new, &gateway, &Kek::new([1; 32]), &mut counting(1), Timestamp(5))
}

const CLASSES: [Class; 3] = [Class::P0, Class::P1, Class::P2];

#[test]
fn a_card_reads_back_from_its_text_and_its_file() {
    for class in CLASSES {
        let (record, card) = enrol(class, None).unwrap();
        let text = card.to_text();
        assert!(
            text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':'),
            "alphanumeric QR mode"
        );
        assert_eq!(Card::parse_text(&text), Ok(card.clone()));
        assert_eq!(Card::parse_text(&format!(" {}\n", text.to_lowercase())), Ok(card.clone()));
        assert_eq!(Card::parse_file(&card.to_file()), Ok(card.clone()));
        let keys = device_keys(&record, &Kek::new([1; 32])).unwrap();
        assert_eq!(keys.psk, card.psk);
        assert_eq!(card.credential().unwrap().class(), class);
    }
}

#[test]
fn a_p2_device_may_keep_its_own_private_key() {
    let own = PrivateKey::new([8; 32]).public();
    let (record, card) = enrol(Class::P2, Some(own)).unwrap();
    assert_eq!(device_keys(&record, &Kek::new([1; 32])).unwrap().public, own);
    assert!(card.private.is_none() && card.credential().is_none());
    assert_eq!(Card::parse_text(&card.to_text()), Ok(card));
    assert_eq!(enrol(Class::P1, Some(own)).unwrap_err(), EnrolError::OwnKey);
}

#[test]
fn a_key_that_is_nobodys_is_no_devices_own() {
    let one: [u8; 32] = std::array::from_fn(|at| u8::from(at == 0));
    for nobodys in [[0; 32], one] {
        assert_eq!(enrol(Class::P2, Some(PublicKey(nobodys))).unwrap_err(), EnrolError::LowOrder);
    }
}

#[test]
fn a_secret_moved_to_another_row_does_not_unwrap() {
    let (record, _) = enrol(Class::P1, None).unwrap();
    let kek = Kek::new([1; 32]);
    let renamed = DeviceRecord { id: DeviceId::parse("strap-08").unwrap(), ..record.clone() };
    let weakened = DeviceRecord { class: DeviceClass::P0, ..record.clone() };
    let widened = DeviceRecord { filters: vec!["#".to_owned()], ..record };
    for row in [renamed, weakened, widened] {
        assert_eq!(device_keys(&row, &kek).err(), Some(UnwrapError::Changed));
    }
}

#[test]
fn a_mistyped_text_is_noticed() {
    let text = enrol(Class::P2, None).unwrap().1.to_text();
    for at in 4..text.len() {
        let mut typed = text.as_bytes().to_vec();
        typed[at] = if typed[at] == b'A' { b'B' } else { b'A' };
        assert!(Card::parse_text(std::str::from_utf8(&typed).unwrap()).is_err(), "{at}");
        assert!(Card::parse_text(&text[..at]).is_err(), "{at}");
    }
    assert_eq!(Card::parse_text("hello"), Err(CardError::Text));
}

#[test]
fn a_files_faults_are_named() {
    let file = enrol(Class::P1, None).unwrap().1.to_file();
    let with = |from: &str, to: &str| Card::parse_file(&file.replace(from, to));
    assert_eq!(with("psk", "pks"), Err(CardError::Line(5)));
    assert_eq!(with("class = \"P1\"\n", ""), Err(CardError::Missing("class")));
    assert_eq!(with("strap-07", "strap/07"), Err(CardError::Line(3)));
    assert_eq!(with("enrolment/1", "enrolment/2"), Err(CardError::Line(2)));
    assert_eq!(with("class = \"P1\"", "class = \"P2\""), Err(CardError::Parts));
    assert_eq!(Card::parse_file(&format!("{}psk = \"00\"\n", *file)), Err(CardError::Line(6)));
}

#[test]
fn a_card_shows_as_a_qr_code() {
    for class in CLASSES {
        let card = enrol(class, None).unwrap().1;
        assert!(card.to_svg().unwrap().contains("<svg"));
        let terminal = card.to_terminal().unwrap();
        let widths: Vec<usize> = terminal.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() > 20 && widths.iter().all(|width| *width == widths[0] && *width < 100));
    }
}

#[test]
fn nothing_secret_prints() {
    let (record, card) = enrol(Class::P2, None).unwrap();
    let printed = format!("{record:?} {card:?} {:?}", Kek::new([1; 32]));
    assert!(!printed.contains("secret") && printed.contains("Psk(..)") && printed.contains("PrivateKey(..)"));
}

#[test]
fn passwords_have_a_length_and_a_cost() {
    let id = || DeviceId::parse("hub").unwrap();
    let cheap = PasswordCost { memory_kib: 8, passes: 1 };
    let kek = Kek::new([1; 32]);
    let enrol = |text: &[u8], cost| password(id(), Role::Hub, text, None, cost, &kek, &mut counting(1), Timestamp(0));
    assert_eq!(enrol(b"short", cheap), Err(EnrolError::PasswordLength(5)));
    assert_eq!(enrol(&[b'x'; 257], cheap), Err(EnrolError::PasswordLength(257)));
    assert_eq!(enrol(b"long enough for us", PasswordCost { memory_kib: 1, passes: 1 }), Err(EnrolError::Cost));
    let record = enrol(b"long enough for us", cheap).unwrap();
    let stored = unwrap(&record, &kek).unwrap();
    assert!(verify(&stored, b"long enough for us") && !verify(&stored, b"long enough for uz"));
    assert!(!verify(&stored[..HASH_BYTES - 1], b"long enough for us") && !verify(b"", b""));
    let made = make_password(&mut counting(7)).unwrap();
    assert!(made.len() == 26 && made.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
}

proptest! {
    #[test]
    fn any_text_or_file_is_a_card_or_refused(text in "PS1:[A-Z2-7]{0,200}", file in "[a-z =\"\n#]{0,80}") {
        prop_assert!(Card::parse_text(&text).is_err());
        prop_assert!(Card::parse_file(&file).is_err());
    }
}

#[test]
fn a_bonded_device_reads_back_with_its_code_and_profiles_and_takes_a_new_code() {
    let kek = Kek::new([1; 32]);
    let (id, address) = (DeviceId::parse("strap").unwrap(), BleAddress([1, 2, 3, 4, 5, 6]));
    let make = |pairing, profiles| bonded(id.clone(), address, Bonding { pairing, profiles }, None, &kek, Timestamp(5));
    for pairing in [Pairing::JustWorks, Pairing::Code(None), Pairing::Code(Some(7)), Pairing::Code(Some(999_999))] {
        let bonding = Bonding { pairing, profiles: Profiles::HEART_RATE | Profiles::BATTERY };
        let record = make(pairing, bonding.profiles).unwrap();
        assert_eq!(
            radio_device(&record, &kek).unwrap().unwrap(),
            RadioDevice { id: id.clone(), address, bonding: Some(bonding) }
        );
        let coded = with_code(&record, Some(123_456), &kek);
        match pairing {
            Pairing::JustWorks => assert_eq!(coded, Err(EnrolError::NotBonded)),
            Pairing::Code(_) => {
                let device = radio_device(&coded.unwrap(), &kek).unwrap().unwrap();
                assert_eq!(device.bonding.unwrap().pairing, Pairing::Code(Some(123_456)));
            }
        }
    }
    assert_eq!(make(Pairing::Code(Some(1_000_000)), Profiles::BATTERY), Err(EnrolError::Code));
    assert_eq!(make(Pairing::JustWorks, Profiles::empty()), Err(EnrolError::NoProfiles));
}

#[test]
fn a_code_that_was_told_goes_with_the_bond_and_one_that_is_printed_stays() {
    let kek = Kek::new([1; 32]);
    let enrolled = |pairing| {
        let bonding = Bonding { pairing, profiles: Profiles::HEART_RATE };
        bonded(DeviceId::parse("strap").unwrap(), BleAddress([7; 6]), bonding, None, &kek, Timestamp(5)).unwrap()
    };
    let code = |record: &DeviceRecord| radio_device(record, &kek).unwrap().unwrap().bonding.unwrap().pairing;
    for told in [0, 123_456, 999_999] {
        let shown = with_code(&enrolled(Pairing::Code(None)), Some(told), &kek).unwrap();
        let shown = DeviceRecord { revoked_at: Some(Timestamp(9)), ..shown };
        assert_eq!(code(&shown), Pairing::Code(Some(told)));
        // Told a second time, it is no more than that.
        let again = with_code(&shown, Some(told), &kek).unwrap();
        let fresh = without_told_code(&again, &kek).unwrap().unwrap();
        assert_eq!(
            (code(&fresh), fresh.enrolled_at, fresh.revoked_at),
            (Pairing::Code(None), Timestamp(5), Some(Timestamp(9)))
        );
        assert_eq!(without_told_code(&fresh, &kek), Ok(None));
        let printed = with_code(&enrolled(Pairing::Code(Some(1))), Some(told), &kek).unwrap();
        assert_eq!((code(&printed), without_told_code(&printed, &kek)), (Pairing::Code(Some(told)), Ok(None)));
    }
    let shown = enrolled(Pairing::Code(None));
    assert_eq!(with_code(&shown, Some(1_000_000), &kek), Err(EnrolError::Code));
    assert_eq!(without_told_code(&enrolled(Pairing::JustWorks), &kek), Ok(None));
}

#[test]
fn a_ps1_device_keeps_its_keys_when_it_is_given_an_address() {
    let kek = Kek::new([1; 32]);
    for class in CLASSES {
        let (record, card) = enrol(class, None).unwrap();
        assert_eq!(radio_device(&record, &kek), Ok(None));
        let address = BleAddress([9; 6]);
        let reached = with_address(&with_address(&record, BleAddress([8; 6]), &kek).unwrap(), address, &kek).unwrap();
        assert_eq!(device_keys(&reached, &kek).unwrap().psk, card.psk);
        let device = radio_device(&reached, &kek).unwrap().unwrap();
        assert_eq!((device.address, device.bonding), (address, None));
    }
}
