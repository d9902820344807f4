//! A conversation with several devices through all that the decoders remember: no spike, no number out of a refusal, nothing
//! denied that was not looked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|messages: Vec<(u8, u8, u32, Vec<u8>)>| {
    use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, Quantity, Timestamp, Value};
    let decoders = pitchside_decode::Decoders::new(pitchside_decode::Tolerances::default(), []).wheel(2_096);
    let mut now = Timestamp::from_seconds(1_790_000_000);
    // Of each device: whether it looks for an irregular pulse, and tells walking from running.
    let mut looks = [(false, false); 4];
    for (who, characteristic, micros, bytes) in messages {
        now = now.plus_micros(i64::from(micros));
        let Ok(device) = DeviceId::parse(&format!("fuzz-{}", who & 3)) else { return };
        if who & 4 != 0 {
            decoders.forget(&device);
            looks[usize::from(who & 3)] = (false, false);
        }
        let kind = PayloadKind::Gatt { characteristic: 0x2a00 | u16::from(characteristic) };
        let bit_2 = bytes.first().is_some_and(|first| first & 4 != 0);
        let message = Authentic::vouch(
            device.clone(),
            Assurance::Bonded,
            LinkId(u64::from(who >> 6)),
            Payload { kind, bytes, topic: None },
        );
        let read = decoders.native(&message, now);
        let _ = decoders.facts(&device);
        let Ok(readings) = read else { continue };
        let looks = &mut looks[usize::from(who & 3)];
        match characteristic {
            0x49 => looks.0 = bit_2,
            0x54 => looks.1 = bit_2,
            _ => {}
        }
        for reading in readings {
            match (reading.quantity, &reading.value) {
                (Quantity::WHEEL_RATE, Value::Number(rate)) => assert!(rate.to_f64() <= 3_000.0, "{reading:?}"),
                (Quantity::IRREGULAR_PULSE, Value::Number(found)) => {
                    assert!(looks.0 || found.mantissa != 0, "{reading:?}")
                }
                (Quantity::RUNNING, Value::Number(found)) => assert!(looks.1 || found.mantissa != 0, "{reading:?}"),
                _ => {}
            }
        }
    }
});
