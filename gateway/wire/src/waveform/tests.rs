use super::*;
use alloc::vec;
use proptest::prelude::*;

fn waveform(samples: Vec<i32>) -> Waveform {
    Waveform { quantity: 8, exponent: -1, offset: -512, period_ns: 2_777_778, start_us: 1_700_000_000_000_000, samples }
}

fn samples() -> impl Strategy<Value = Vec<i32>> {
    prop_oneof![
        proptest::collection::vec(any::<i32>(), 1..200),
        proptest::collection::vec(-300i32..300, 1..=SAMPLES_MAX),
        (any::<i32>(), 1usize..300).prop_map(|(value, count)| vec![value; count]),
    ]
}

proptest! {
    #[test]
    fn waveforms_read_back(samples in samples(), quantity: u16, exponent in -18i8..=18, offset: i32, period_ns in 1u64.., start_us: i64) {
        let waveform = Waveform { quantity, exponent, offset, period_ns, start_us, samples };
        prop_assert_eq!(Waveform::parse(&waveform.encode().unwrap()), Ok(waveform));
    }

    #[test]
    fn a_body_cut_or_extended_anywhere_is_refused(samples in samples(), cut: prop::sample::Index, more in 0u8..) {
        let mut body = waveform(samples).encode().unwrap();
        prop_assert!(Waveform::parse(&body[..cut.index(body.len())]).is_err());
        body.push(more);
        prop_assert!(Waveform::parse(&body).is_err());
    }

    #[test]
    fn any_bytes_are_a_waveform_or_refused(head in proptest::collection::vec(any::<u8>(), 0..80), count in 0u16..100) {
        let mut body = head;
        if body.len() > 30 {
            body[3] = 0;
            body[24..26].copy_from_slice(&count.to_le_bytes());
        }
        if let Ok(waveform) = Waveform::parse(&body) {
            prop_assert_eq!(Waveform::parse(&waveform.encode().unwrap()), Ok(waveform));
        }
    }
}

#[test]
fn a_steady_line_takes_a_byte_a_block_and_noise_is_refused_before_it_is_sent() {
    assert_eq!(waveform(vec![77; 129]).encode().unwrap().len(), 30 + 2);
    let noise = (0..4_096).map(|i: i32| if i % 2 == 0 { i32::MAX / 2 } else { i32::MIN / 2 }).collect();
    assert!(matches!(waveform(noise).encode(), Err(WaveformError::TooLong(_))));
}

#[test]
fn bad_fields_are_named() {
    let good = waveform(vec![1, 2, 4]).encode().unwrap();
    let with = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        Waveform::parse(&body)
    };
    assert_eq!(with(2, 19), Err(WaveformError::Exponent(19)));
    assert_eq!(with(3, 1), Err(WaveformError::Reserved));
    assert_eq!(with(24, 0), Err(WaveformError::Samples(0)));
    assert_eq!(with(30, 33), Err(WaveformError::Width(33)));
    // Two differences of three bits leave two bits of the byte unused.
    assert_eq!(with(31, good[31] | 0x80), Err(WaveformError::Reserved));
    let mut still = good.clone();
    still[8..16].fill(0);
    assert_eq!(Waveform::parse(&still), Err(WaveformError::Period));
}
