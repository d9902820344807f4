use super::*;
use alloc::vec;
use proptest::prelude::*;

fn decode(decoder: &mut Decoder, line: &[u8]) -> Vec<Result<Vec<u8>, CobsError>> {
    let mut out = Vec::new();
    decoder.push(line, |item| out.push(item.map(<[u8]>::to_vec)));
    out
}

/// Bytes in which zeros and long runs without them are both common.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        (1u8.., 250usize..520).prop_map(|(byte, count)| vec![byte; count]),
        (1usize..5).prop_map(|count| vec![0; count]),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn frames_survive_the_line_in_pieces_of_any_size(frames in proptest::collection::vec(frame(), 1..5), step in 1usize..600) {
        let mut line = Vec::new();
        for frame in &frames {
            let from = line.len();
            encode(frame, &mut line);
            prop_assert!(line.len() - from <= frame.len() + frame.len() / 254 + 2);
            prop_assert!(line[from..line.len() - 1].iter().all(|byte| *byte != 0));
        }
        let mut decoder = Decoder::default();
        let got: Vec<_> = line.chunks(step).flat_map(|piece| decode(&mut decoder, piece)).collect();
        prop_assert_eq!(got, frames.into_iter().map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn after_any_garbage_the_frame_behind_the_next_zero_arrives(garbage in proptest::collection::vec(any::<u8>(), 0..2_000), frame in frame()) {
        let mut decoder = Decoder::default();
        decode(&mut decoder, &garbage);
        decode(&mut decoder, &[0]);
        let mut line = Vec::new();
        encode(&frame, &mut line);
        prop_assert_eq!(decode(&mut decoder, &line), vec![Ok(frame)]);
    }
}

#[test]
fn the_known_encodings() {
    let long: Vec<u8> = (1..=254).collect();
    for (frame, expected) in [
        (vec![0], vec![1, 1, 0]),
        (vec![0, 0], vec![1, 1, 1, 0]),
        (vec![0x11, 0x22, 0, 0x33], vec![3, 0x11, 0x22, 2, 0x33, 0]),
        (vec![0x11, 0, 0, 0], vec![2, 0x11, 1, 1, 1, 0]),
        (long.clone(), [&[0xFF], &long[..], &[0]].concat()),
        ([&[0], &long[..]].concat(), [&[1, 0xFF], &long[..], &[0]].concat()),
        ([&long[..], &[0]].concat(), [&[0xFF], &long[..], &[1, 1, 0]].concat()),
    ] {
        let mut line = Vec::new();
        encode(&frame, &mut line);
        assert_eq!(line, expected);
    }
}

#[test]
fn zeros_between_frames_mean_nothing() {
    let mut line = vec![0, 0];
    encode(&[7], &mut line);
    line.extend([0, 0, 0]);
    assert_eq!(decode(&mut Decoder::default(), &line), [Ok(vec![7])]);
}

#[test]
fn a_lost_byte_is_noticed_and_an_endless_frame_is_cut_off_once() {
    assert_eq!(decode(&mut Decoder::default(), &[5, 1, 2, 0]), [Err(CobsError::Cut)]);
    let mut decoder = Decoder::new(10);
    assert_eq!(decode(&mut decoder, &[9; 4_000]), [Err(CobsError::Oversized)]);
    assert_eq!(decode(&mut decoder, &[0, 2, 7, 0]), [Ok(vec![7])]);
    let mut line = Vec::new();
    encode(&[1; 10], &mut line);
    encode(&[1; 11], &mut line);
    assert_eq!(decode(&mut decoder, &line), [Ok(vec![1; 10]), Err(CobsError::Oversized)]);
}
