use super::*;
use proptest::prelude::*;

const SPANS: [i64; 2] = [5_000_000, 60_000_000];
const ALL: Wanted = Wanted { extremes: true, order: true, squares: true };

/// The samples of a window, picked one by one.
fn inside(samples: &[Sample], span: i64, now: i64) -> Vec<Sample> {
    samples.iter().copied().filter(|s| now - s.time <= span).collect()
}

fn near(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * b.abs().max(1.0),
        (a, b) => a == b,
    }
}

fn slope(samples: &[Sample]) -> Option<f64> {
    let n = samples.len() as f64;
    let t0 = samples.first()?.time;
    let minutes = |s: &Sample| (s.time - t0) as f64 / 60e6;
    let (mt, mv) = (samples.iter().map(minutes).sum::<f64>() / n, samples.iter().map(|s| s.value()).sum::<f64>() / n);
    let spread: f64 = samples.iter().map(|s| (minutes(s) - mt).powi(2)).sum();
    let together: f64 = samples.iter().map(|s| (minutes(s) - mt) * (s.value() - mv)).sum();
    (samples.len() >= 2).then(|| together / spread)
}

fn arb_samples() -> impl Strategy<Value = Vec<Sample>> {
    prop::collection::vec((1i64..20_000_000, -300_000_000i64..300_000_000), 1..200).prop_map(|steps| {
        let mut time = 1_700_000_000_000_000;
        steps
            .into_iter()
            .map(|(step, steps)| {
                time += step;
                Sample { time, steps }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_window_agrees_with_counting_by_hand(samples in arb_samples(), later in 0i64..70_000_000, limit in -300i32..300) {
        let mut series = Series::new(&SPANS, ALL);
        let limit = f64::from(limit);
        for (i, sample) in samples.iter().enumerate() {
            prop_assert!(series.push(*sample));
            let now = sample.time + if i % 3 == 0 && i + 1 == samples.len() { later } else { 0 };
            for (at, span) in SPANS.into_iter().enumerate() {
                let kept = inside(&samples[..=i], span, now);
                let values: Vec<f64> = kept.iter().map(|s| s.value()).collect();
                let (window, run) = series.window(at, now).unwrap();
                prop_assert_eq!(window.count(), kept.len() as u64);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                prop_assert!(near(window.mean(), (!values.is_empty()).then_some(mean)));
                prop_assert_eq!(window.min(run).unwrap(), values.iter().copied().reduce(f64::min));
                prop_assert_eq!(window.max(run).unwrap(), values.iter().copied().reduce(f64::max));
                prop_assert!(near(window.slope(), slope(&kept)), "{:?} {:?}", window.slope(), slope(&kept));
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                prop_assert_eq!(window.percentile(50.0).unwrap(), sorted.get(sorted.len().div_ceil(2).wrapping_sub(1)).copied());
                let above: i64 = kept.windows(2).filter(|p| p[0].value() >= limit).map(|p| p[1].time - p[0].time).sum();
                prop_assert_eq!(window.time_beyond(run, limit, true), above as f64 / 1e6);
                let below: i64 = kept.windows(2).filter(|p| p[0].value() <= limit).map(|p| p[1].time - p[0].time).sum();
                prop_assert_eq!(window.time_beyond(run, limit, false), below as f64 / 1e6);
                let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
                let stddev = (values.len() >= 2).then(|| (squares / (values.len() - 1) as f64).sqrt());
                prop_assert!(near(window.stddev().unwrap(), stddev), "{:?} {stddev:?}", window.stddev());
                for percent in [0.0, 2.5, 37.0, 95.0, 100.0] {
                    let rank = ((percent * values.len() as f64 / 100.0).ceil() as usize).max(1);
                    let mut sorted = values.clone();
                    sorted.sort_by(f64::total_cmp);
                    prop_assert_eq!(window.percentile(percent).unwrap(), sorted.get(rank - 1).copied());
                }
                let ago = samples[..=i].iter().rev().find(|s| now - s.time >= span).map(|s| s.value());
                prop_assert_eq!(window.ago(run, now), ago);
            }
        }
    }

    #[test]
    fn a_series_refilled_from_what_it_kept_is_the_same(samples in arb_samples()) {
        let mut series = Series::new(&SPANS, ALL);
        samples.iter().for_each(|s| { series.push(*s); });
        let mut again = Series::new(&SPANS, ALL);
        again.refill(series.began(), series.kept());
        let now = samples.last().unwrap().time;
        prop_assert_eq!(series.began(), again.began());
        for at in 0..SPANS.len() {
            let was = series.window(at, now).map(|(w, run)| (w.count(), w.mean(), w.slope(), w.max(run), w.ago(run, now)));
            let is = again.window(at, now).map(|(w, run)| (w.count(), w.mean(), w.slope(), w.max(run), w.ago(run, now)));
            prop_assert_eq!(was, is);
        }
    }
}

proptest! {
    #[test]
    fn a_time_that_was_driven_ahead_and_set_back_leaves_no_trace(
        samples in arb_samples(), ahead in prop::collection::vec(0i64..200_000_000, 1..5), limit in -300i32..300,
    ) {
        let (mut driven, mut plain) = (Series::new(&SPANS, ALL), Series::new(&SPANS, ALL));
        let limit = f64::from(limit);
        for (i, sample) in samples.iter().enumerate() {
            prop_assert!(driven.push(*sample) && plain.push(*sample));
            let (at, now) = (i % SPANS.len(), sample.time + ahead[i % ahead.len()]);
            let (window, run) = driven.window(at, now).unwrap();
            window.time_beyond(run, limit, true);
        }
        driven.rewind();
        prop_assert_eq!(driven.kept().collect::<Vec<_>>(), plain.kept().collect::<Vec<_>>());
        let now = samples.last().unwrap().time;
        for at in 0..SPANS.len() {
            let told = |series: &mut Series| {
                let (window, run) = series.window(at, now).unwrap();
                let line = (window.count(), window.mean(), window.slope(), window.rate(run), window.stddev());
                let ends = (window.min(run), window.max(run), window.percentile(37.0), window.ago(run, now));
                (line, ends, window.time_beyond(run, limit, true))
            };
            prop_assert_eq!(told(&mut driven), told(&mut plain));
        }
    }
}

#[test]
fn what_nobody_is_known_to_ask_for_is_not_told_as_if_it_had_been_counted() {
    let mut series = Series::new(&SPANS, Wanted::default());
    (0..10).for_each(|i| assert!(series.push(Sample { time: i, steps: i })));
    let (window, run) = series.window(0, 10).unwrap();
    let told = [window.min(run), window.max(run), window.stddev(), window.percentile(50.0)];
    assert_eq!(told, [Err(crate::window::NotKept); 4]);
}

#[test]
fn a_percentile_is_the_nearest_rank_to_the_last_bit() {
    let mut series = Series::new(&[60_000_000], ALL);
    (1..=100).for_each(|i| assert!(series.push(Sample { time: i, steps: i * 1_000_000 })));
    let (window, _) = series.window(0, 100).unwrap();
    for percent in 1..=100 {
        let percent = f64::from(percent);
        assert_eq!(window.percentile(percent), Ok(Some(percent)));
    }
}

#[test]
fn a_stream_too_fast_shortens_its_span_and_says_so() {
    let mut series = Series::new(&[3_600_000_000], ALL);
    let whole = (0..20_000).filter(|i| series.push(Sample { time: *i * 1_000, steps: *i })).count();
    assert_eq!(whole, SAMPLES_MAX);
    let (window, run) = series.window(0, 20_000_000).unwrap();
    assert_eq!(window.count(), SAMPLES_MAX as u64);
    assert_eq!(window.min(run), Ok(Some((20_000 - SAMPLES_MAX as i64) as f64 / 1e6)));
    assert!(series.kept().count() <= SAMPLES_MAX);
}

#[test]
fn values_windows_cannot_hold_are_refused() {
    assert_eq!(steps(Decimal::parse("37.60").unwrap()), Some(37_600_000));
    assert_eq!(steps(Decimal::parse("0.12345678").unwrap()), Some(123_457));
    assert_eq!(steps(Decimal::parse("-1e10").unwrap()), Some(-STEPS_MAX));
    for large in ["1e11", "99999999999", "9e18", "-9000000000000000000"] {
        assert_eq!(steps(Decimal::parse(large).unwrap()), None, "{large}");
    }
}

#[test]
fn extreme_values_and_times_overflow_nothing() {
    let mut series = Series::new(&[86_400_000_000], ALL);
    for i in 0..10_000i64 {
        let steps = if i % 2 == 0 { STEPS_MAX } else { -STEPS_MAX };
        series.push(Sample { time: i64::MIN / 2 + i * 1_000_000_000, steps });
    }
    series.push(Sample { time: i64::MAX, steps: 0 });
    let (window, _) = series.window(0, i64::MIN / 2 + 9_999_000_000_000).unwrap();
    assert!(window.stddev().unwrap().is_none_or(|stddev| stddev >= 0.0));
    let (window, _) = series.window(0, i64::MAX).unwrap();
    assert_eq!((window.count(), window.mean(), window.slope()), (1, Some(0.0), None));
}
