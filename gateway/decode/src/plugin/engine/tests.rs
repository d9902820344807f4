use super::*;

fn run(source: &str, payload: &[u8]) -> Outcome {
    let decoder = Decoder::load("decode.rhai", source, &[("scale".to_owned(), 2.0)], &[]).unwrap();
    decoder.decode(&Ask { payload: payload.to_vec(), ..Ask::default() }).outcome
}

fn number(outcome: Outcome) -> Decimal {
    let Outcome::Readings(list) = outcome else { panic!("{outcome:?}") };
    let RawContent::Number(RawNumber::Decimal(decimal), _) = &list[0].content else { panic!("{list:?}") };
    *decimal
}

#[test]
fn bytes_are_read_by_position_and_order() {
    let read =
        |call: &str, payload: &[u8]| number(run(&format!("[reading(\"power\", payload.{call}, \"W\")]"), payload));
    assert_eq!(read("u8(1)", &[1, 0xfe]).mantissa, 254);
    assert_eq!(read("i8(1)", &[1, 0xfe]).mantissa, -2);
    assert_eq!(read("u16le(0)", &[0x01, 0x02]).mantissa, 0x0201);
    assert_eq!(read("i16be(0)", &[0xff, 0xfe]).mantissa, -2);
    assert_eq!(read("u32be(0)", &[0, 0, 1, 2]).mantissa, 258);
    assert_eq!(read("i32le(0)", &[0xff, 0xff, 0xff, 0xff]).mantissa, -1);
    assert_eq!(read("i64be(0)", &[0xff; 8]).mantissa, -1);
    // IEEE 11073-20601: 0xf170 is 368 tenths; 0xff00016d in 32 bits is 365 tenths.
    assert_eq!(read("sfloat(0)", &[0x70, 0xf1]), Decimal { mantissa: 368, exponent: -1 });
    assert_eq!(read("float32(0)", &[0x6d, 0x01, 0x00, 0xff]), Decimal { mantissa: 365, exponent: -1 });
}

#[test]
fn what_a_payload_lacks_is_a_refusal_not_a_fault() {
    let refused = |source: &str, payload: &[u8]| match run(source, payload) {
        Outcome::Refused(name) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("payload.u8(2)", &[1, 2]), "short_payload");
    assert_eq!(refused("payload.u16le(-1)", &[1, 2]), "short_payload");
    assert_eq!(refused("fn f(p) { p.u32le(0) } f(payload)", &[1, 2]), "short_payload");
    assert_eq!(refused("payload.sfloat(0)", &[0xff, 0x07]), "not_finite");
    assert_eq!(refused("payload.float32(0)", &[0xff, 0xff, 0x7f, 0x00]), "not_finite");
    assert_eq!(refused("json(payload)", b"{"), "bad_json");
    assert_eq!(refused("json(payload)", br#"{"a":1,"a":2}"#), "bad_json");
    assert_eq!(refused("throw \"wrong_model\"", &[]), "wrong_model");
}

#[test]
fn a_script_that_fails_is_a_fault_with_its_place() {
    let fault = |source: &str| match run(source, &[1]) {
        Outcome::Fault(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(fault("let a = [1];\na[7]").contains("line 2"));
    assert!(fault("1 / 0").contains("wrong value"));
    assert!(fault("loop { }").contains("too many operations"));
    assert!(fault("throw \"Not A Name\"").contains("thrown"));
    assert!(fault("let s = \"x\"; loop { s += s; }").contains("too large"));
    assert!(fault("fn f(x) { f(x + 1) } f(0)").contains("too deep"));
}

#[test]
fn what_is_no_list_of_readings_is_said() {
    for (source, kind) in [("7", "i64"), ("#{}", "map"), ("[1]", "a list with a i64 in it"), ("", "()")] {
        assert_eq!(run(source, &[]), Outcome::NotReadings(kind.to_owned()), "{source}");
    }
}

#[test]
fn json_numbers_keep_their_digits() {
    let source = r#"let m = json(payload); [reading("core_temperature", m.t, "Cel").at_ms(m.ts)]"#;
    let outcome = run(source, br#"{"t":37.60,"ts":1767225600123,"x":[null,true,"s",{"y":-2}],"z":1}"#);
    assert_eq!(number(outcome.clone()), Decimal { mantissa: 3_760, exponent: -2 });
    let Outcome::Readings(list) = outcome else { panic!() };
    assert_eq!(list[0].time, RawTime::At(1_767_225_600_123_000));
}

#[test]
fn a_number_that_no_decimal_holds_costs_nothing_but_itself() {
    let finest = ["1.2246467991473532e-16", "1.1920928955078125e-07", "5e-324", "0.1234567890123456789"];
    let largest = ["18446744073709551615", "-9223372036854775809", "1e300", "1e999"];
    for odd in finest.into_iter().chain(largest) {
        let payload = format!(r#"{{"odd":{odd},"list":[{odd}],"heart_rate":77}}"#);
        let source = r#"let m = json(payload); [reading("heart_rate", m.heart_rate, "/min")]"#;
        assert_eq!(number(run(source, payload.as_bytes())), Decimal::integer(77), "{odd}");
    }
    let read = |text: &str| run(r#"[reading("speed", json(payload), "m/s")]"#, text.as_bytes());
    assert_eq!(number(read("1.2246467991473532e-16")), Decimal { mantissa: 122, exponent: -18 });
    let longitude = Decimal { mantissa: -1_234_567_890_123_457, exponent: -18 };
    assert_eq!(number(read("-0.0012345678901234567")), longitude);
    assert_eq!(number(read("5e-324")), Decimal::integer(0));
    for large in largest {
        let Outcome::Readings(list) = read(large) else { panic!("{large}") };
        assert!(matches!(list[0].content, RawContent::Number(RawNumber::TooLarge, _)), "{large}: {list:?}");
        let wave = run(r#"[wave("ecg", 4000000, 0, [1, json(payload)])]"#, large.as_bytes());
        assert_eq!(wave, Outcome::Refused("out_of_range".to_owned()), "{large}");
    }
    let Outcome::Readings(list) = run(r#"[reading("speed", 1.5, "m/s")]"#, &[]) else { panic!() };
    assert!(matches!(list[0].content, RawContent::Number(RawNumber::Float, _)), "{list:?}");
}

#[test]
fn params_are_constants_and_nothing_reaches_out() {
    assert_eq!(
        run("[reading(\"power\", if scale > 1.0 { 2 } else { 1 }, \"W\")]", &[]),
        run("[reading(\"power\", 2, \"W\")]", &[])
    );
    assert!(matches!(run("scale = 3.0; []", &[]), Outcome::Fault(_)));
    for bad in ["eval(\"1\")", "import \"x\" as x;", "print(1)", "sleep(1)", "timestamp()", "nothing(1)", "undefined"] {
        assert!(Decoder::load("decode.rhai", bad, &[], &[]).is_err(), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn sfloats_are_what_ieee_11073_says(mantissa in -2_045i16..=2_045, exponent in -8i8..=7) {
        let bits = (i16::from(exponent) << 12) as u16 | (mantissa as u16 & 0x0fff);
        let decimal = sfloat(bits).unwrap();
        proptest::prop_assert_eq!((decimal.mantissa, decimal.exponent), (i64::from(mantissa), exponent));
    }
}
