use ciborium::value::Value;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Everything {
    unsigned: u64,
    signed: i64,
    bytes: Vec<u8>,
    text: String,
}

impl Deterministic for Everything {
    fn write(&self, out: &mut Writer) {
        out.map(5).uint(1).uint(self.unsigned).uint(2).int(self.signed).uint(3).bytes(&self.bytes);
        out.uint(4).text(&self.text).uint(1_000).array(2).tag(18).null().uint(0);
    }
    fn read(input: &mut Decoder<'_>) -> Result<Self, Error> {
        map(input)?;
        key(input, 1)?;
        let unsigned = input.u64()?;
        key(input, 2)?;
        let signed = input.i64()?;
        key(input, 3)?;
        let bytes = input.bytes()?.to_vec();
        key(input, 4)?;
        let text = input.str()?.to_owned();
        key(input, 1_000)?;
        array_of(input, 2)?;
        input.tag()?;
        input.null()?;
        key(input, 0)?;
        Ok(Self { unsigned, signed, bytes, text })
    }
}

#[test]
fn a_second_spelling_is_refused() {
    let item = Everything { unsigned: 5, signed: -1, bytes: vec![], text: String::new() };
    let good = item.to_cbor();
    assert_eq!(exact::<Everything>(&good), Ok(item));
    // 5 written in two bytes instead of one.
    let mut wide = good.clone();
    wide.splice(2..3, [0x18, 0x05]);
    assert_eq!(exact::<Everything>(&wide), Err(CborError::NotDeterministic));
    let mut long = good.clone();
    long.push(0);
    assert_eq!(exact::<Everything>(&long), Err(CborError::Trailing(1)));
    for cut in 0..good.len() {
        assert!(exact::<Everything>(&good[..cut]).is_err());
    }
}

proptest! {
    #[test]
    fn somebody_elses_cbor_agrees(unsigned: u64, signed: i64, bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
        let item = Everything { unsigned, signed, bytes: bytes.clone(), text: text.clone() };
        let ours = item.to_cbor();
        let theirs = Value::Map(vec![
            (Value::from(1), Value::from(unsigned)),
            (Value::from(2), Value::from(signed)),
            (Value::from(3), Value::Bytes(bytes)),
            (Value::from(4), Value::Text(text)),
            (Value::from(1000), Value::Array(vec![Value::Tag(18, Box::new(Value::Null)), Value::from(0)])),
        ]);
        let mut encoded = Vec::new();
        ciborium::into_writer(&theirs, &mut encoded).unwrap();
        prop_assert_eq!(&ours, &encoded);
        prop_assert_eq!(exact::<Everything>(&ours), Ok(item));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(item) = exact::<Everything>(&bytes) {
            prop_assert_eq!(item.to_cbor(), bytes);
        }
    }
}
