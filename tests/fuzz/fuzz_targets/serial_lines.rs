//! A serial line of a wired device, in lines or packets: the same comes out however it is cut, nothing is too long, and each line
//! that is lost is told once.
#![no_main]

use pitchside_collect::serial::packets::Mark;
use pitchside_collect::serial::{LINE_BYTES_MAX, PacketForm, Speaks, split_all};
use pitchside_model::DeviceId;

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let Ok(device) = DeviceId::parse("fuzz") else { return };
    // What a fuzzer writes is short: many times over, some of it is too long for a line.
    let long = bytes.repeat(1 + 2 * LINE_BYTES_MAX / bytes.len().max(1));
    let form = PacketForm {
        length: 5,
        begins: vec![Mark { value: 0xa0, mask: 0xff }],
        ends: vec![Mark { value: 0xc0, mask: 0xf0 }],
        together: 3,
    };
    let lines = Speaks::Lines { device: device.clone() };
    let packets = Speaks::Packets { device, form };
    for (speaks, unit_bytes_max) in [(lines, LINE_BYTES_MAX), (packets, 15)] {
        for stream in [bytes, &long] {
            let (found, lost) = split_all(&speaks, [stream]);
            assert!(found.iter().all(|(unit, _)| unit.len() <= unit_bytes_max));
            if matches!(speaks, Speaks::Lines { .. }) {
                assert_eq!(found.iter().map(|(_, told)| told).sum::<u64>(), lost);
            }
            assert_eq!(split_all(&speaks, stream.chunks(1 + usize::from(piece))), (found, lost));
        }
    }
});
