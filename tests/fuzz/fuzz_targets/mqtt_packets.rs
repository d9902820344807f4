//! Bytes of an MQTT client, of either version: whatever is cut out of them as a packet is one, and no reader panics on it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(pitchside_collect::mqtt::read_all(bytes), 0);
});
