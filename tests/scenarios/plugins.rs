//! Decoders that misbehave: the device hears why, the payload is kept, the others go on.

use pitchside_tests::{Clinic, Told};
use pitchside_wire::{Content, Reason};

use crate::goes_on;

const GOOD: &str = "[reading(\"heart_rate\", payload.u8(1), \"/min\")]";

#[tokio::test]
async fn decoders_that_return_nonsense_loop_throw_or_grow_harm_nobody_else() {
    let hostile = [
        ("nonsense", "[reading(\"heart_rate\", 72, \"Cel\")]", Reason::DECODER_FAILED),
        ("no-reading", "42", Reason::DECODER_FAILED),
        ("undeclared", "[reading(\"power\", 72, \"W\")]", Reason::DECODER_FAILED),
        ("loops", "loop {}", Reason::DECODER_FAILED),
        ("grows", "let s = \"x\"; loop { s += s; }", Reason::DECODER_FAILED),
        ("throws", "throw \"bad_day\"", Reason::MALFORMED),
        ("short", "[reading(\"heart_rate\", payload.u8(99), \"/min\")]", Reason::MALFORMED),
    ];
    let mut clinic = Clinic::new().strap("s7").athlete("ada").plugin("good", GOOD).strap("fine").decoder("good");
    for (name, script, _) in hostile {
        clinic = clinic.plugin(name, script).strap(name).decoder(name);
    }
    let clinic = clinic.strap("lonely").decoder("not-installed").start().await;
    let (mut s7, mut fine) = (clinic.sensor("s7").await, clinic.sensor("fine").await);
    for (name, _, expected) in hostile {
        let mut sensor = clinic.sensor(name).await;
        // More often than it takes to switch a plugin off.
        for _ in 0..12 {
            let (reason, text) = sensor.is_refused(Content::Vendor, [0, 72]).await;
            assert_eq!(reason, expected, "{name}: {text}");
        }
        assert_eq!(fine.says(Content::Vendor, [0, 99]).await, Told::Stored, "beside {name}");
        goes_on(&clinic, &mut s7).await;
    }
    let (reason, text) = clinic.sensor("lonely").await.is_refused(Content::Vendor, [0, 72]).await;
    assert_eq!(reason, Reason::NO_DECODER, "{text}");
    assert_eq!(clinic.values("fine"), vec!["heart_rate 99"; hostile.len()]);
}
