//! What an authenticated device says: message, receipt, waveform; what parses is written back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = pitchside_wire::Message::parse(bytes.to_vec()) {
        assert_eq!(message.encode().as_deref(), Ok(bytes), "written back as it was");
    }
    let _ = pitchside_wire::Receipt::parse(bytes);
    if let Ok(wave) = pitchside_wire::waveform::Waveform::parse(bytes) {
        let again = wave.encode().expect("what was parsed can be written");
        assert_eq!(pitchside_wire::waveform::Waveform::parse(&again), Ok(wave));
    }
});
