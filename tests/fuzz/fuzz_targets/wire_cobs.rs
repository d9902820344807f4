//! A serial line full of anything: bounded, and a whole frame after a zero byte always comes through.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = pitchside_wire::cobs::Decoder::new(256);
    decoder.push(bytes, |_| {});
    let mut line = vec![0];
    pitchside_wire::cobs::encode(b"whole frame", &mut line);
    let mut found = false;
    decoder.push(&line, |frame| found |= frame == Ok(b"whole frame".as_slice()));
    assert!(found);
});
