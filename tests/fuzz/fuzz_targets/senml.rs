//! SenML in both spellings and a waveform, from a device.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use pitchside_model::{Assurance, Authentic, DeviceId, LinkId, Payload, PayloadKind, Timestamp};
    let decoders = pitchside_decode::Decoders::new(pitchside_decode::Tolerances::default(), []);
    let Ok(device) = DeviceId::parse("fuzz") else { return };
    for kind in [PayloadKind::SenmlCbor, PayloadKind::SenmlJson, PayloadKind::Waveform] {
        let payload = Payload { kind, bytes: bytes.to_vec(), topic: None };
        let message = Authentic::vouch(device.clone(), Assurance::Psk, LinkId(1), payload);
        let _ = decoders.native(&message, Timestamp::from_seconds(1_790_000_000));
    }
});
