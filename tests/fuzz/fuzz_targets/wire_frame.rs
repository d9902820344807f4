//! A frame from anybody: header, hello, refusal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = pitchside_wire::Header::parse(bytes);
    let _ = pitchside_wire::Refused::parse(bytes);
    let _ = pitchside_wire::Hello::parse(bytes);
});
