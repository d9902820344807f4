use proptest::prelude::*;

use super::*;

fn size(values: &[i64]) -> usize {
    let mut out = Vec::new();
    put(&mut out, values).unwrap();
    let mut input = Reader::new(&out);
    assert_eq!(read(&mut input, values.len()).unwrap(), values);
    assert!(input.rest().is_empty());
    out.len()
}

#[test]
fn constant_and_progressing_columns_cost_a_few_bytes() {
    assert_eq!(size(&[7; 10_000]), 2);
    assert_eq!(size(&(0..10_000).collect::<Vec<_>>()), 3);
    assert!(size(&(0..3_600).map(|s| s * 1_000_000).collect::<Vec<_>>()) <= 8);
    assert!(size(&[i64::MIN, i64::MAX, i64::MIN]) <= 14);
}

#[test]
fn a_clock_with_jitter_costs_its_jitter() {
    // One reading a second, up to 15 ms late, in microseconds but whole milliseconds.
    let times: Vec<i64> = (0..60).map(|s| s * 1_000_000 + (s * 7 % 16) * 1_000).collect();
    assert!(size(&times) <= 50, "{}", size(&times));
}

#[test]
fn a_column_that_lies_is_refused() {
    let mut out = Vec::new();
    put(&mut out, &(0..500).map(|i: i64| if i % 50 == 7 { 90_000 + i } else { i * i % 3 }).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(out[0], PCO);
    for count in [1, 499, 501, 60_000] {
        assert!(read(&mut Reader::new(&out), count).is_err(), "{count}");
    }
    for cut in 0..out.len() {
        assert!(read(&mut Reader::new(&out[..cut]), 500).is_err());
    }
    assert!(read(&mut Reader::new(&[0x03, 0]), 1).is_err());
    assert!(read(&mut Reader::new(&[0x00, 0]), 0).is_err());
}

proptest! {
    #[test]
    fn any_column_reads_back(values in prop::collection::vec(any::<i64>(), 1..400)) {
        size(&values);
    }

    #[test]
    fn a_walk_reads_back(steps in prop::collection::vec(-9i64..9, 1..600), factor in 1i64..100_000) {
        size(&walk(5, steps.into_iter().map(|step| step * factor)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..2_000) {
        if let Ok(values) = read(&mut Reader::new(&bytes), count) {
            prop_assert_eq!(values.len(), count);
        }
    }

    #[test]
    fn corrupt_pco_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1usize..2_000) {
        let _ = expand(&bytes, count);
        let mut versioned = vec![4, 1];
        versioned.extend_from_slice(&bytes);
        let _ = expand(&versioned, count);
    }
}
