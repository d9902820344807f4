//! One value of any GATT characteristic, from a device: two octets name it, the rest is the value.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u16, &[u8])| {
    use pitchside_decode::gatt::{Context, State, decode};
    use pitchside_model::{LinkId, Timestamp};
    let (characteristic, bytes) = input;
    let context = Context {
        now: Timestamp::from_seconds(1_790_000_000),
        tolerances: pitchside_decode::Tolerances::default(),
        link: LinkId(1),
        zone: &pitchside_decode::gatt::clock::Utc,
        wheel_mm: Some(2_096),
    };
    // The assigned numbers of all profiles lie here; the folding lets few inputs go to waste.
    for characteristic in [characteristic, 0x2a00 | (characteristic & 0xff)] {
        let mut state = State::default();
        let before = state;
        if decode(&mut state, characteristic, bytes, &context).is_err() {
            assert_eq!(state, before, "what is refused changes nothing");
        }
    }
});
