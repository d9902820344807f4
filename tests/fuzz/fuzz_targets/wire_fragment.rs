#![no_main]
//! Values of the GATT characteristic `up`, each led by its length here: no frame is empty or longer than a frame can be, and
//! whatever frame comes out goes in again.

use libfuzzer_sys::fuzz_target;
use pitchside_wire::FRAME_BYTES_MAX;
use pitchside_wire::fragment::{Joiner, Splitter};

fuzz_target!(|data: &[u8]| {
    let (mut joiner, mut rest) = (Joiner::default(), data);
    while let Some((length, tail)) = rest.split_first() {
        let (value, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        let (Some(frame), _) = joiner.push(value) else { continue };
        assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
        let (mut again, mut back) = (Joiner::default(), None);
        Splitter::default().split(&frame, usize::from(*length), |value| back = again.push(value).0);
        assert_eq!(back.as_deref(), Some(&frame[..]));
    }
});
