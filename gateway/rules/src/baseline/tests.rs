use super::*;
use proptest::prelude::*;

const DAY: i64 = 86_400_000_000;
const WEEK: Form = Form { half_life: 7 * DAY, by_hour: false };

/// Weighted median and spread of all samples, each with its weight as a float, sorted and counted one by one.
fn naive(samples: &[Sample], form: Form) -> Option<(i64, i64)> {
    let part = |time: i64| time.div_euclid(form.half_life / 64);
    let newest = part(samples.last()?.time);
    let weights: Vec<f64> = samples.iter().map(|s| ((part(s.time) - newest) as f64 / 64.0).exp2()).collect();
    let median = |values: Vec<i64>| {
        let mut sorted: Vec<(i64, f64)> = values.into_iter().zip(weights.iter().copied()).collect();
        sorted.sort_by_key(|(value, _)| *value);
        let total: f64 = weights.iter().sum();
        let mut below = 0.0;
        sorted.into_iter().find(|(_, weight)| {
            below += weight;
            2.0 * below >= total * (1.0 - 1e-9)
        })
    };
    let middle = median(samples.iter().map(|s| s.steps).collect())?.0;
    Some((middle, median(samples.iter().map(|s| (s.steps - middle).abs()).collect())?.0))
}

/// A baseline that has learned all of `samples`.
fn taught(form: Form, samples: &[Sample]) -> Baseline {
    let mut baseline = Baseline::new(form);
    samples.iter().for_each(|sample| baseline.learn(*sample));
    // The newest is let in by one more.
    samples.last().into_iter().for_each(|last| baseline.learn(*last));
    baseline
}

/// A heart rate once a minute, level per day, with a rise and fall in the hour.
fn rates(days: &[(i64, i64)]) -> Vec<Sample> {
    let minutes = days.iter().flat_map(|(day, level)| (0..1_440).map(move |minute| (*day, minute, *level)));
    minutes
        .map(|(day, minute, level)| Sample {
            time: day * DAY + minute * 60_000_000,
            steps: (level + (minute % 7) - 3) * 1_000_000,
        })
        .collect()
}

proptest! {
    #[test]
    fn median_and_spread_are_those_of_a_naive_reference(
        readings in prop::collection::vec((1i64..20_000_000_000, 0i64..200), 300..900),
    ) {
        let mut time = 0;
        let samples: Vec<Sample> = readings
            .into_iter()
            .map(|(step, value)| { time += step; Sample { time, steps: value * 1_000_000 } })
            .collect();
        let baseline = taught(WEEK, &samples);
        let known = baseline.sketches[0].known().unwrap();
        let (median, mad) = naive(&samples, WEEK).unwrap();
        // Weights are whole and fade by shifts: where half the weight falls between two values, either may be told.
        let beat = 1_000_000;
        prop_assert!((known.median - median).abs() <= beat, "{} {median}", known.median);
        prop_assert!((known.mad - mad).abs() <= 2 * beat, "{} {mad}", known.mad);
        prop_assert_eq!(known.grain % beat, 0);
    }

    #[test]
    fn many_different_values_are_kept_to_the_width_of_a_bin(values in prop::collection::vec(-5_000_000i64..5_000_000, 2_000..4_000)) {
        let samples: Vec<Sample> =
            values.iter().enumerate().map(|(i, steps)| Sample { time: i as i64 * 60_000_000, steps: *steps }).collect();
        let baseline = taught(WEEK, &samples);
        let sketch = &baseline.sketches[0];
        prop_assert!(sketch.bins() <= BINS_MAX);
        prop_assert!(sketch.width() < 10_000_000 / (BINS_MAX as i64 / 4), "no wider than it must");
        let known = sketch.known().unwrap();
        let (median, mad) = naive(&samples, WEEK).unwrap();
        prop_assert!((known.median - median).abs() <= 2 * sketch.width(), "{} {median}", known.median);
        prop_assert!((known.mad - mad).abs() <= 4 * sketch.width(), "{} {mad}", known.mad);
    }

    #[test]
    fn a_baseline_written_and_read_goes_on_alike(cut in 1usize..2_000, by_hour in any::<bool>()) {
        let form = Form { by_hour, ..WEEK };
        let samples = rates(&[(0, 60), (1, 65), (3, 70)]);
        let cut = cut.min(samples.len());
        let mut whole = Baseline::new(form);
        samples.iter().for_each(|s| whole.learn(*s));
        let mut first = Baseline::new(form);
        samples[..cut].iter().for_each(|s| first.learn(*s));
        let bytes = postcard::to_allocvec(&first).unwrap();
        let mut second: Baseline = postcard::from_bytes(&bytes).unwrap();
        samples[cut..].iter().for_each(|s| second.learn(*s));
        prop_assert_eq!(second, whole);
    }
}

#[test]
fn it_is_silent_until_it_knows_enough() {
    let samples = rates(&[(0, 60), (1, 60)]);
    let mut baseline = Baseline::new(WEEK);
    let first = samples.iter().position(|sample| {
        baseline.learn(*sample);
        baseline.usual(sample.time).is_some()
    });
    // Sixty-fourths of seven days are 157.5 min: four of them, each fading, and the reading after.
    let first = first.map(|at| samples[at].time / 60_000_000);
    assert!(first.is_some_and(|minute| (630..800).contains(&minute)), "{first:?}");
    let usual = baseline.usual(2 * DAY).unwrap();
    assert_eq!(usual.typical, 60.0);
    assert!((usual.spread - 2.0 * 1.4826).abs() < 0.001, "{usual:?}");
    // After half a year nothing of it counts any more.
    assert_eq!(baseline.usual(180 * DAY), None);
}

#[test]
fn an_hour_of_alert_moves_it_by_no_more_than_its_weight() {
    let mut samples = rates(&[(0, 60), (1, 60), (2, 60), (3, 60)]);
    let before = taught(WEEK, &samples).usual(4 * DAY).unwrap();
    samples.extend((0..60).map(|minute| Sample { time: 4 * DAY + minute * 60_000_000, steps: 190_000_000 }));
    let after = taught(WEEK, &samples).usual(4 * DAY + 3_600_000_000).unwrap();
    // One hour in ninety-seven: the median may move by one beat, a mean would have by three.
    assert!((after.typical - before.typical).abs() <= 1.0, "{after:?}");
    assert!((after.spread - before.spread).abs() <= 1.5, "{after:?}");
    // What lasts becomes usual: after a half-life at another level half of the weight is there.
    samples.extend(rates(&(5..14).map(|day| (day, 90)).collect::<Vec<_>>()));
    assert!((taught(WEEK, &samples).usual(14 * DAY).unwrap().typical - 90.0).abs() <= 3.0);
}

#[test]
fn the_reading_asked_about_is_not_in_it() {
    let mut samples = rates(&[(0, 60)]);
    samples.push(Sample { time: DAY, steps: 190_000_000 });
    let mut with = Baseline::new(WEEK);
    samples.iter().for_each(|s| with.learn(*s));
    let without = taught(WEEK, &samples[..samples.len() - 1]);
    assert_eq!(with.sketches, without.sketches, "one reading moves no median: look at all of them");
}

#[test]
fn a_rate_that_stood_still_has_a_spread_of_half_its_step() {
    let still = |steps: i64| {
        let samples: Vec<Sample> = (0..2_000).map(|m| Sample { time: m * 60_000_000, steps }).collect();
        taught(WEEK, &samples).usual(2_000 * 60_000_000).unwrap()
    };
    assert!((still(60_000_000).spread - 0.5 * 1.4826).abs() < 1e-4);
    assert!((still(37_120_000).spread - 0.005 * 1.4826).abs() < 1e-6);
}

#[test]
fn by_hour_of_day_night_and_day_have_their_own() {
    let form = Form { by_hour: true, ..WEEK };
    let samples: Vec<Sample> = (0..20 * 1_440)
        .map(|minute| {
            let night = (minute / 60) % 24 < 6;
            Sample {
                time: minute * 60_000_000,
                steps: if night { 48_000_000 } else { 75_000_000 } + minute % 3 * 1_000_000,
            }
        })
        .collect();
    let baseline = taught(form, &samples);
    let at = |hour: i64| baseline.usual(20 * DAY + hour * 3_600_000_000).unwrap().typical;
    assert_eq!((at(3), at(12), at(23)), (49.0, 76.0, 76.0));
    assert_eq!(taught(WEEK, &samples).usual(20 * DAY).unwrap().typical, 76.0);
}

#[test]
fn a_clock_set_back_ages_nothing() {
    let mut samples = rates(&[(100, 60), (101, 60)]);
    let before = taught(WEEK, &samples).usual(102 * DAY);
    samples.extend(rates(&[(1, 60)]));
    let after = taught(WEEK, &samples);
    assert_eq!(after.part, WEEK.part(102 * DAY - 60_000_000));
    assert_eq!(after.usual(2 * DAY).map(|u| u.typical), before.map(|u| u.typical));
}

#[test]
fn half_lives_have_bounds() {
    let form = |half_life, by_hour| Form { half_life, by_hour };
    assert!(form(HALF_LIFE_MIN - 1, false).problem().is_some());
    assert!(form(HALF_LIFE_MAX + 1, false).problem().is_some());
    assert!(form(DAY, true).problem().is_some());
    assert!(form(DAY, false).problem().is_none() && form(3 * DAY, true).problem().is_none());
}
