use super::*;
use proptest::prelude::*;
use std::vec;

fn values(splitter: &mut Splitter, frame: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    splitter.split(frame, max, |value| values.push(value.to_vec()));
    values
}

fn join(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut joiner = Joiner::default();
    values.iter().filter_map(|value| joiner.push(value).0).collect()
}

#[test]
fn the_drawing_in_the_readme_is_true() {
    let mut splitter = Splitter::default();
    let frame: Vec<u8> = (0..40).collect();
    let first = values(&mut splitter, &frame, 20);
    assert_eq!(first.iter().map(|value| value[0]).collect::<Vec<_>>(), [0x80, 0x01, 0x42]);
    assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 3]);
    assert_eq!(values(&mut splitter, b"ready", 20), [b"\xC3ready".to_vec()]);
}

#[test]
fn a_dropped_piece_loses_its_frame_and_no_other() {
    let mut splitter = Splitter::default();
    let (one, two) = (vec![1; 100], vec![2; 100]);
    for missing in 0..6 {
        let mut all = values(&mut splitter, &one, 20);
        all.remove(missing);
        all.extend(values(&mut splitter, &two, 20));
        assert_eq!(join(&all), std::slice::from_ref(&two), "without piece {missing}");
    }
}

#[test]
fn losses_are_named() {
    let mut joiner = Joiner::default();
    assert_eq!(joiner.push(&[]), (None, Err(FragmentError::Empty)));
    assert_eq!(joiner.push(&[0xC0]), (None, Err(FragmentError::Empty)));
    assert_eq!(joiner.push(&[0x05, 1]), (None, Err(FragmentError::Missing)));
    assert_eq!(joiner.push(&[0x80, 1]), (None, Ok(())));
    assert_eq!(joiner.push(&[0xC7, 9]), (Some(vec![9]), Err(FragmentError::Cut)));
    let mut fault = Ok(());
    for number in 0..=u16::MAX {
        let first = if number == 0 { 0x80 } else { 0 };
        let mut value = vec![first | (number & 0x3F) as u8];
        value.resize(VALUE_BYTES_MAX, 7);
        fault = joiner.push(&value).1;
        if fault.is_err() {
            break;
        }
    }
    assert_eq!(fault, Err(FragmentError::Oversized));
}

proptest! {
    #[test]
    fn frames_come_through_whatever_the_mtu(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2_000), 1..8),
        max in 0usize..600,
    ) {
        let mut splitter = Splitter::default();
        let all: Vec<Vec<u8>> = frames.iter().flat_map(|frame| values(&mut splitter, frame, max)).collect();
        prop_assert!(all.iter().all(|value| value.len() <= max.clamp(VALUE_BYTES_MIN, VALUE_BYTES_MAX)));
        prop_assert_eq!(join(&all), frames);
    }

    #[test]
    fn with_fewer_than_64_pieces_dropped_in_a_row_no_frame_is_made_up(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..12),
        kept in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut splitter = Splitter::default();
        let all: Vec<Vec<u8>> = frames.iter().flat_map(|frame| values(&mut splitter, frame, 20)).collect();
        let mut run = 0;
        let left: Vec<Vec<u8>> = all
            .into_iter()
            .zip(kept.iter().cycle())
            .filter(|(_, kept)| {
                run = if **kept || run == 63 { 0 } else { run + 1 };
                run == 0
            })
            .map(|(value, _)| value)
            .collect();
        for frame in join(&left) {
            prop_assert!(frames.contains(&frame));
        }
    }

    #[test]
    fn no_values_make_it_hold_more_than_a_frame(all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..60)) {
        let mut joiner = Joiner::default();
        for value in &all {
            if let (Some(frame), _) = joiner.push(value) {
                prop_assert!(!frame.is_empty() && frame.len() <= FRAME_BYTES_MAX);
            }
        }
    }
}
