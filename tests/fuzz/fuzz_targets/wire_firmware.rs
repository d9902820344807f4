#![no_main]

use libfuzzer_sys::fuzz_target;
use pitchside_device_sdk::update::{Keys, manifest};
use pitchside_wire::firmware::{Down, Up};

fuzz_target!(|plain: &[u8]| {
    // What reads at all has no second spelling.
    if let Ok(up) = Up::parse(plain) {
        assert_eq!(up.encode().expect("it was read"), plain);
    }
    if let Ok(down) = Down::parse(plain) {
        assert_eq!(down.encode().expect("it was read"), plain);
    }
    // Nobody's signature: nothing is ever taken.
    let public = [
        0x8a, 0x88, 0xe3, 0xdd, 0x74, 0x09, 0xf1, 0x95, 0xfd, 0x52, 0xdb, 0x2d, 0x3c, 0xba, 0x5d, 0x72, 0xca, 0x67, 0x09,
        0xbf, 0x1d, 0x94, 0x12, 0x1b, 0xf3, 0x74, 0x88, 0x01, 0xb4, 0x0f, 0x6f, 0x5c,
    ];
    let keys = Keys::new(1, &[public]).expect("a key");
    assert!(manifest::read(plain, &keys, "c", "h").is_err());
});
