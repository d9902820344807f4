use super::*;

fn declared() -> Vec<(String, Kept)> {
    vec![
        ("seen".to_owned(), Kept::Map),
        ("count".to_owned(), Kept::Plain(Plain::Integer(7))),
        ("last".to_owned(), Kept::List),
    ]
}

fn written(value: &Dynamic) -> Result<Vec<u8>, Unkept> {
    write([("last", &Kept::List, &Dynamic::from_array(vec![value.clone()]))].into_iter())
}

fn nested(depth: usize) -> Dynamic {
    (0..depth).fold(Dynamic::UNIT, |inner, _| Dynamic::from_array(vec![inner]))
}

#[test]
fn what_is_kept_comes_back_as_it_was() {
    let mut map = Map::new();
    map.insert("topic/of a sensor".into(), "hall".into());
    map.insert("value".into(), Dynamic::from(Decimal { mantissa: 2_150, exponent: -2 }));
    map.insert("bytes".into(), Dynamic::from_blob(vec![0, 255]));
    let list = vec![Dynamic::UNIT, true.into(), (-3_i64).into(), 2.5.into(), nested(DEPTH_MAX - 1)];
    let (map, list) = (Dynamic::from_map(map), Dynamic::from_array(list));
    let count = Dynamic::from_int(i64::MIN);
    let fields = declared();
    let values = [&map, &count, &list];
    let bytes = write(fields.iter().zip(values).map(|((name, kept), value)| (name.as_str(), kept, value))).unwrap();
    let read = read(&bytes, &fields);
    assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), values.map(ToString::to_string));
    let again = write(fields.iter().zip(&read).map(|((name, kept), value)| (name.as_str(), kept, value))).unwrap();
    assert_eq!(again, bytes, "the same bytes for the same values");
}

#[test]
fn what_is_too_large_too_deep_or_of_an_odd_kind_is_named() {
    assert_eq!(written(&"x".repeat(KEPT_BYTES_MAX).into()), Err(Unkept::TooLarge));
    assert_eq!(written(&nested(DEPTH_MAX)), Err(Unkept::TooDeep));
    assert_eq!(written(&Dynamic::from_float(f64::NAN)), Err(Unkept::Kind("f64".to_owned())));
    assert_eq!(written(&Dynamic::from_char('x')), Err(Unkept::Kind("char".to_owned())));
    let other = write([("count", &Kept::Plain(Plain::Integer(0)), &Dynamic::from("many".to_owned()))].into_iter());
    assert!(matches!(&other, Err(Unkept::Kind(kind)) if kind.starts_with("count: ")), "{other:?}");
    for (unkept, code) in [
        (Unkept::TooLarge, "state_too_large"),
        (Unkept::TooDeep, "state_too_deep"),
        (Unkept::Kind("Fn".to_owned()), "state_kind"),
    ] {
        assert_eq!(unkept.fault().code(), code);
    }
}

#[test]
fn a_field_of_another_kind_or_none_of_ours_is_at_its_first_value() {
    let old = [
        ("gone", &Kept::Map, &Dynamic::from_map(Map::new())),
        ("seen", &Kept::List, &Dynamic::from_array(vec![1_i64.into()])),
        ("count", &Kept::Plain(Plain::Integer(0)), &Dynamic::from_int(5)),
    ];
    let read = read(&write(old.into_iter()).unwrap(), &declared());
    assert!(read[0].is_map() && read[2].is_array());
    assert_eq!(read[1].as_int(), Ok(5));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_forgotten(bytes in proptest::collection::vec(0u8..12, 0..200)) {
        proptest::prop_assert_eq!(read(&bytes, &declared()).len(), 3);
    }
}
