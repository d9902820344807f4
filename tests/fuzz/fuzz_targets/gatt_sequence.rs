//! A conversation with several devices through all that the decoders remember: no spike, no number out of a refusal.
#![no_main]

libfuzzer_sys::fuzz_target!(|messages: Vec<(u8, u8, u32, Vec<u8>)>| {
    use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, Quantity, Timestamp, Value};
    let decoders = pitchside_decode::Decoders::new(pitchside_decode::Tolerances::default(), []).wheel(2_096);
    let mut now = Timestamp::from_seconds(1_790_000_000);
    for (who, characteristic, micros, bytes) in messages {
        now = now.plus_micros(i64::from(micros));
        let Ok(device) = DeviceId::parse(&format!("fuzz-{}", who & 3)) else { return };
        if who & 4 != 0 {
            decoders.forget(&device);
        }
        let kind = PayloadKind::Gatt { characteristic: 0x2a00 | u16::from(characteristic) };
        let message =
            Authentic::vouch(device.clone(), Assurance::Bonded, LinkId(u64::from(who >> 6)), Payload { kind, bytes, topic: None });
        for reading in decoders.native(&message, now).unwrap_or_default() {
            if let (Quantity::WHEEL_RATE, Value::Number(rate)) = (reading.quantity, &reading.value) {
                assert!(rate.to_f64() <= 3_000.0, "{reading:?}");
            }
        }
        let _ = decoders.facts(&device);
    }
});
