use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Writes the layout straight from its drawing, bit by bit.
fn write(quantity: u16, start: i64, wave: &Wave) -> Vec<u8> {
    let mut out = quantity.to_le_bytes().to_vec();
    out.extend([wave.exponent as u8, 0]);
    out.extend(wave.offset.to_le_bytes());
    out.extend(wave.period_ns.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend((wave.samples.len() as u16).to_le_bytes());
    out.extend(wave.samples[0].to_le_bytes());
    let zigzag: Vec<u32> =
        wave.samples.windows(2).map(|w| w[1].wrapping_sub(w[0])).map(|d| ((d << 1) ^ (d >> 31)) as u32).collect();
    for block in zigzag.chunks(64) {
        let width = block.iter().map(|z| 32 - z.leading_zeros()).max().unwrap_or(0);
        out.push(width as u8);
        let bits: Vec<bool> = block.iter().flat_map(|z| (0..width).map(move |i| z >> i & 1 == 1)).collect();
        out.extend(bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |b, (i, on)| b | u8::from(*on) << i)));
    }
    out
}

fn wave(samples: Vec<i32>) -> Wave {
    Wave { period_ns: 2_777_778, exponent: 0, offset: 0, samples }
}

#[test]
fn a_second_of_ecg_is_one_reading_at_the_time_of_its_first_sample() {
    let samples: Vec<i32> = (0..360).map(|i| (i * 37) % 211 - 100).collect();
    let bytes = write(Quantity::ECG.code(), NOW.0 - 1_000_000, &wave(samples.clone()));
    let reading = reading(&bytes, NOW, Tolerances::default()).unwrap();
    assert_eq!((reading.quantity, reading.unit.ucum()), (Quantity::ECG, "uV"));
    assert_eq!(reading.device_time, NOW.plus_micros(-1_000_000));
    assert_eq!(reading.quality, Quality::empty());
    assert_eq!(reading.value, Value::Wave(Box::new(wave(samples))));
}

#[test]
fn without_a_clock_the_last_sample_is_now() {
    let reading = reading(&write(Quantity::ECG.code(), 0, &wave(vec![1; 361])), NOW, Tolerances::default()).unwrap();
    assert_eq!(reading.device_time, NOW.plus_micros(-1_000_000));
    assert_eq!(reading.quality, Quality::NO_CLOCK);
}

#[test]
fn one_sample_out_of_range_marks_the_wave() {
    let mut samples = vec![0; 100];
    samples[70] = 2_000_000;
    let bytes = write(Quantity::ECG.code(), NOW.0, &wave(samples));
    assert_eq!(reading(&bytes, NOW, Tolerances::default()).unwrap().quality, Quality::IMPLAUSIBLE);
}

#[test]
fn what_only_the_gateway_records_is_refused() {
    for (quantity, sentence) in [
        (Quantity::CLOCK_OFFSET, "waveform frame: clock_offset is the gateway's own record: no device may send it"),
        (Quantity::HEALTH, "waveform frame: health is the gateway's own record: no device may send it"),
    ] {
        let bytes = write(quantity.code(), NOW.0, &wave(vec![1, 2]));
        let error = reading(&bytes, NOW, Tolerances::default()).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), ("gateways_own", sentence));
    }
}

#[test]
fn every_malformed_frame_is_refused_by_name() {
    let good = write(Quantity::ECG.code(), NOW.0, &wave(vec![5, 6, 8]));
    let code = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        reading(&bytes, NOW, Tolerances::default()).map_or_else(|e| e.code().to_owned(), |r| format!("{r:?}"))
    };
    assert_eq!(code(&|b| b.clear()), "short_payload");
    assert_eq!(code(&|b| b.truncate(31)), "short_payload");
    assert_eq!(code(&|b| b.push(0)), "trailing_bytes");
    assert_eq!(code(&|b| b[0] = 0xff), "unknown_quantity");
    assert_eq!(code(&|b| b[2] = 19), "out_of_range");
    assert_eq!(code(&|b| b[3] = 1), "unused_bits");
    assert_eq!(code(&|b| b[8..16].fill(0)), "period");
    assert_eq!(code(&|b| b[23] = 0x10), "time_too_far");
    assert_eq!(code(&|b| b[15] = 0x10), "time_too_far");
    assert_eq!(code(&|b| b[24] = 0), "empty");
    assert_eq!(code(&|b| b[25] = 0x40), "too_many");
    assert_eq!(code(&|b| b[30] = 33), "bad_width");
    assert_eq!(code(&|b| *b.last_mut().unwrap() |= 0x80), "unused_bits");
}

proptest! {
    #[test]
    fn what_the_drawing_says_is_read(
        samples in prop_oneof![
            prop::collection::vec(any::<i32>(), 1..300),
            prop::collection::vec(-500i32..500, 1..300),
            prop::collection::vec(Just(7), 1..300),
        ],
        exponent in -18i8..=18, offset in any::<i32>(), period_ns in 1u64.., start in 1i64..,
    ) {
        let wave = Wave { period_ns, exponent, offset, samples };
        let frame = parse(&write(Quantity::ECG.code(), start, &wave)).unwrap();
        prop_assert_eq!(frame, Frame { quantity: Quantity::ECG, start: Some(Timestamp(start)), wave });
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..60, with in any::<u8>()) {
        let _ = reading(&bytes, NOW, Tolerances::default());
        let mut bent = write(Quantity::ECG.code(), NOW.0, &wave((0..90).map(|i| i * i).collect()));
        let n = bent.len();
        bent[at % n] = with;
        let _ = reading(&bent, NOW, Tolerances::default());
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused(cut in 0usize..1_000) {
        let whole = write(Quantity::ECG.code(), NOW.0, &wave((0..200).map(|i| i * i % 97).collect()));
        prop_assert!(parse(&whole[..cut % whole.len()]).is_err());
    }
}
