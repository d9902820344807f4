//! Each formula against its vector, or a reference that counts one by one.

use super::*;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn kernel(output: Quantity) -> Kernel {
    let (_, made) = makers(|quantity| quantity == output).next().unwrap();
    (made.fresh)()
}

fn number(input: usize, time: i64, value: f64) -> Given<'static> {
    let content = Content::Number((value * 1e6).round() as i64);
    Given { input, time, quality: Quality::empty(), assurance: Assurance::Noise, content }
}

fn take(kernel: &mut Kernel, given: Given<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    kernel.take(&given, &mut told);
    told
}

/// Beats of these intervals (ms), each at its end.
fn beats(kernel: &mut Kernel, intervals: &[i64]) -> Vec<Told> {
    let mut time = 0;
    let all = intervals.iter().flat_map(|interval| {
        time += interval * 1_000;
        take(kernel, number(0, time, *interval as f64))
    });
    all.collect()
}

fn last(told: &[Told], output: usize) -> Option<String> {
    told.iter().rev().find(|told| told.output == output).map(|told| told.value.to_string())
}

#[test]
fn beats_in_turn_of_800_and_850_vary_by_50_and_25() {
    let intervals: Vec<i64> = (0..500).map(|i| if i % 2 == 0 { 800 } else { 850 }).collect();
    let told = beats(&mut kernel(Quantity::RMSSD), &intervals);
    assert_eq!((last(&told, 0).as_deref(), last(&told, 1).as_deref()), (Some("50.0"), Some("25.0")));
    assert!(told[0].time >= 300 * SECOND, "not before five minutes are whole");
    assert!(told.windows(2).all(|pair| pair[1].time == pair[0].time || pair[1].time - pair[0].time >= 5 * SECOND));
}

#[test]
fn no_difference_is_taken_across_a_beat_that_never_came() {
    // In turn 800 and 850, with every tenth beat lost on the way: what is left of a pair is 0 or 50 apart.
    let intervals = || (0..500i64).map(|i| if i % 2 == 0 { 800 } else { 850 });
    for (flags, differences) in [(Quality::empty(), "50.0"), (Quality::NO_CLOCK, "47.2")] {
        let (mut kernel, mut time, mut told) = (kernel(Quantity::RMSSD), 0, Vec::new());
        for (number_of, interval) in intervals().enumerate() {
            time += interval * 1_000;
            if number_of % 10 != 9 {
                let given = Given { quality: flags, ..number(0, time, interval as f64) };
                told.extend(take(&mut kernel, given));
            }
        }
        assert_eq!(last(&told, 0).as_deref(), Some(differences), "{flags:?}");
    }
}

#[test]
fn beats_that_are_not_normal_are_left_out_and_many_of_them_doubt_the_rest() {
    let some: Vec<i64> = (0..500).map(|i| if i % 25 == 24 { 500 } else { 800 }).collect();
    let told = beats(&mut kernel(Quantity::RMSSD), &some);
    assert_eq!((last(&told, 0).as_deref(), last(&told, 1).as_deref()), (Some("0.0"), Some("0.0")));
    assert!(told.iter().all(|told| told.quality.is_empty()));
    let many: Vec<i64> = (0..500).map(|i| if i % 12 == 11 { 500 } else { 800 }).collect();
    let told = beats(&mut kernel(Quantity::RMSSD), &many);
    assert!(!told.is_empty() && told.iter().all(|told| told.quality == Quality::POOR_CONTACT));
    let most: Vec<i64> = (0..500).map(|i| if i % 4 == 3 { 500 } else { 800 }).collect();
    assert_eq!(beats(&mut kernel(Quantity::RMSSD), &most), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rmssd_and_sdnn_are_those_of_the_last_five_minutes(jitter in prop::collection::vec(-60i64..60, 500..900)) {
        let intervals: Vec<i64> = jitter.iter().map(|jitter| 800 + jitter).collect();
        let mut kernel = kernel(Quantity::RMSSD);
        let mut kept: Vec<(i64, i64)> = Vec::new();
        let mut time = 0;
        for interval in intervals {
            time += interval * 1_000;
            kept.push((time, interval));
            let told = take(&mut kernel, number(0, time, interval as f64));
            let inside: Vec<f64> = kept.iter().filter(|(at, _)| time - at <= 300 * SECOND).map(|(_, i)| *i as f64).collect();
            let Some(rmssd) = told.iter().find(|told| told.output == 0) else { continue };
            let changes: Vec<f64> = inside.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).collect();
            let naive = (changes.iter().sum::<f64>() / changes.len() as f64).sqrt();
            prop_assert!((rmssd.value.to_f64() - naive).abs() <= 0.0501, "{} {naive}", rmssd.value);
            let mean = inside.iter().sum::<f64>() / inside.len() as f64;
            let squares: f64 = inside.iter().map(|i| (i - mean).powi(2)).sum();
            let naive = (squares / (inside.len() - 1) as f64).sqrt();
            prop_assert!((told[1].value.to_f64() - naive).abs() <= 0.0501, "{} {naive}", told[1].value);
        }
    }

    #[test]
    fn a_formula_written_and_read_goes_on_alike(
        steps in prop::collection::vec((1i64..40, 0usize..3, 0i64..250), 1..200), cut in 0usize..200, which in 0usize..6,
    ) {
        let made = &DERIVATIONS[which];
        let mut whole = (made.fresh)();
        let mut cut_once = (made.fresh)();
        let mut time = 0;
        for (at, (step, input, value)) in steps.into_iter().enumerate() {
            time += step * SECOND;
            let given = number(input % made.inputs.len(), time, value as f64);
            if at == cut {
                cut_once = postcard::from_bytes(&postcard::to_allocvec(&cut_once).unwrap()).unwrap();
            }
            prop_assert_eq!(take(&mut whole, given), take(&mut cut_once, given));
        }
        prop_assert_eq!(whole, cut_once);
    }
}

/// An effort of five minutes at 178 /min, then rest with the rates given, one every ten seconds.
fn effort(kernel: &mut Kernel, rest: &[f64]) -> Vec<Told> {
    let mut told = Vec::new();
    for ten in 0..30 {
        told.extend(take(kernel, number(1, ten * 10 * SECOND, 250.0)));
        told.extend(take(kernel, number(0, ten * 10 * SECOND, 178.0)));
    }
    for (at, rate) in rest.iter().enumerate() {
        let time = (300 + at as i64 * 10) * SECOND;
        told.extend(take(kernel, number(1, time, 0.0)));
        told.extend(take(kernel, number(0, time, *rate)));
    }
    told
}

#[test]
fn recovery_is_the_rate_at_the_end_less_the_rate_a_minute_later() {
    let rest = [178.0, 172.0, 168.0, 165.0, 162.0, 160.0, 158.0, 157.0, 156.0];
    let told = effort(&mut kernel(Quantity::HEART_RATE_RECOVERY), &rest);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].time, told[0].value.to_string()), (360 * SECOND, "20.0".to_owned()));
}

#[test]
fn recovery_is_not_told_after_a_gap_or_when_the_effort_goes_on() {
    let mut gapped = kernel(Quantity::HEART_RATE_RECOVERY);
    effort(&mut gapped, &[178.0, 172.0]);
    gapped.gap(0);
    let mut told = Vec::new();
    for at in 2..10 {
        told.extend(take(&mut gapped, number(1, (300 + at * 10) * SECOND, 0.0)));
        told.extend(take(&mut gapped, number(0, (300 + at * 10) * SECOND, 150.0)));
    }
    assert_eq!(told, []);
    let mut goes_on = kernel(Quantity::HEART_RATE_RECOVERY);
    effort(&mut goes_on, &[178.0, 172.0]);
    for at in 2..10 {
        told.extend(take(&mut goes_on, number(1, (300 + at * 10) * SECOND, 240.0)));
        told.extend(take(&mut goes_on, number(0, (300 + at * 10) * SECOND, 150.0)));
    }
    assert_eq!(told, []);
}

#[test]
fn heat_is_told_with_fresh_humidity_only_and_carries_all_flags() {
    let mut heat = kernel(Quantity::WBGT);
    assert_eq!(take(&mut heat, number(0, 0, 30.0)), []);
    take(&mut heat, number(1, SECOND, 50.0));
    let told = take(&mut heat, number(0, 2 * SECOND, 30.0));
    assert_eq!(told.iter().map(|t| (t.output, t.value.to_string())).collect::<Vec<_>>(), [(1, "29.3".to_owned())]);
    take(&mut heat, Given { quality: Quality::LATE, ..number(2, 3 * SECOND, 45.0) });
    let told = take(&mut heat, number(0, 4 * SECOND, 30.0));
    assert_eq!((told[0].output, told[0].value.to_string(), told[0].quality), (0, "27.6".to_owned(), Quality::LATE));
    assert_eq!(told[1].quality, Quality::empty());
    assert_eq!(take(&mut heat, number(0, 960 * SECOND, 30.0)).len(), 2, "sixteen minutes");
    assert_eq!(take(&mut heat, number(0, 964 * SECOND, 30.0)), []);
}

/// Times (in minutes), outputs and values.
fn minutes(told: &[Told]) -> Vec<(i64, usize, String)> {
    told.iter().map(|told| (told.time / (60 * SECOND), told.output, told.value.to_string())).collect()
}

#[test]
fn heat_is_told_once_at_the_last_of_the_values_that_carry_one_time_whichever_comes_first() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let mut heat = kernel(Quantity::WBGT);
        for round in 0..4 {
            let value = |input: usize| [30.0, 50.0 + round as f64, 45.0][input];
            let told: Vec<Vec<Told>> = order
                .iter()
                .map(|input| take(&mut heat, number(*input, round * 900 * SECOND, value(*input))))
                .collect();
            let mut fresh = kernel(Quantity::WBGT);
            let alone: Vec<Told> = [1, 2, 0]
                .into_iter()
                .flat_map(|input| take(&mut fresh, number(input, round * 900 * SECOND, value(input))))
                .collect();
            let mut told_in_all: Vec<Told> = told.iter().flatten().cloned().collect();
            told_in_all.sort_by_key(|told| told.output);
            assert_eq!(told_in_all, alone, "{order:?}, round {round}: with its own humidity and globe");
            assert!(!told[2].is_empty(), "{order:?}, round {round}: at the last of them");
        }
    }
}

#[test]
fn humidity_that_is_waited_for_in_vain_delays_a_temperature_and_loses_none() {
    let mut heat = kernel(Quantity::WBGT);
    let minute =
        |heat: &mut Kernel, input, minute: i64, value| minutes(&take(heat, number(input, minute * 60 * SECOND, value)));
    let told = |at: i64| -> (i64, usize, String) { (at, 1, "29.3".to_owned()) };
    assert!(minute(&mut heat, 0, 0, 30.0).is_empty());
    assert_eq!(minute(&mut heat, 1, 0, 50.0), [told(0)]);
    assert!(minute(&mut heat, 0, 4, 30.0).is_empty(), "one of this time may follow");
    assert_eq!(minute(&mut heat, 0, 8, 30.0), [told(4)]);
    assert_eq!(minute(&mut heat, 0, 12, 30.0), [told(8), told(12)], "twice none followed");
    assert_eq!(minute(&mut heat, 0, 16, 30.0), [told(16)]);
    assert!(minute(&mut heat, 0, 17, 30.0).is_empty(), "it is too old");
}

#[test]
fn what_was_measured_after_a_gap_says_nothing_of_a_temperature_before_it() {
    let mut heat = kernel(Quantity::WBGT);
    take(&mut heat, number(1, 0, 50.0));
    assert_eq!(take(&mut heat, number(0, 0, 30.0)).len(), 1);
    heat.gap(1);
    assert_eq!(take(&mut heat, number(0, 60 * SECOND, 30.0)), []);
    assert_eq!(take(&mut heat, number(1, 90 * SECOND, 50.0)), []);
    assert_eq!(take(&mut heat, number(0, 120 * SECOND, 30.0)), [], "one of this time may follow");
    let told = take(&mut heat, number(1, 120 * SECOND, 50.0));
    assert_eq!(told.iter().map(|told| told.time).collect::<Vec<_>>(), [120 * SECOND]);
}

/// An hour a day from `from` to `to` at a rate; what was told.
fn train(load: &mut Kernel, from: i64, to: i64, rate: f64, minutes: i64) -> Vec<Told> {
    let mut told = Vec::new();
    for day in from..to {
        for second in 0..=minutes * 12 {
            told.extend(take(load, number(0, day * DAY + 36_000 * SECOND + second * 5 * SECOND, rate)));
        }
    }
    told
}

#[test]
fn an_hour_at_half_of_the_reserve_is_a_load_of_fifty() {
    // 60 min * 0.5 * 0.64 * exp(0.96) = 50.14.
    let told = train(&mut kernel(Quantity::TRAINING_LOAD), 0, 1, 125.0, 60);
    assert_eq!(last(&told, 0).as_deref(), Some("50.1"));
    assert_eq!(told.len(), 61, "once a minute");
    let mut gapped = kernel(Quantity::TRAINING_LOAD);
    take(&mut gapped, number(0, 0, 180.0));
    let told = take(&mut gapped, number(0, 600 * SECOND, 180.0));
    assert_eq!(last(&told, 0).as_deref(), Some("0.0"), "what was not measured is no load");
}

/// Rest and top of the reserve, in /min, after these rates, each for as many seconds, one a second.
fn reserve(rates: &[(f64, i64)]) -> (i64, i64) {
    let mut load = kernel(Quantity::TRAINING_LOAD);
    let mut time = 0;
    for (rate, seconds) in rates {
        for _ in 0..*seconds {
            take(&mut load, number(0, time, *rate));
            time += SECOND;
        }
    }
    let Kernel::Load(state) = load else { panic!() };
    state.reserve()
}

#[test]
fn a_reserve_widens_by_what_stays_beyond_it_for_a_minute() {
    assert_eq!(reserve(&[(205.0, 60), (100.0, 1), (50.0, 60), (100.0, 1)]), (60, 190), "a second less than a minute");
    assert_eq!(
        reserve(&[(205.0, 30), (202.0, 31), (100.0, 1), (50.0, 31), (52.0, 30)]),
        (52, 202),
        "the least far beyond"
    );
    assert_eq!(
        reserve(&[(205.0, 59), (180.0, 1), (205.0, 59), (50.0, 59), (70.0, 1), (50.0, 59)]),
        (60, 190),
        "each anew"
    );
    assert_eq!(reserve(&[(205.0, 61), (210.0, 61), (207.0, 61)]), (60, 210), "as far as it goes");
}

#[test]
fn what_no_heart_does_leaves_the_reserve_as_it_is() {
    assert_eq!(reserve(&[(0.0, 600), (29.0, 600), (231.0, 600), (255.0, 600)]), (60, 190));
    assert_eq!(reserve(&[(40.0, 30), (0.0, 600), (40.0, 31)]), (60, 190), "nor does a minute go on over it");
    assert_eq!(reserve(&[(30.0, 61), (230.0, 61)]), (30, 230));
    // Once every eleven seconds is not one after the other.
    let mut load = kernel(Quantity::TRAINING_LOAD);
    for at in 0..60 {
        take(&mut load, number(0, at * 11 * SECOND, 205.0));
    }
    let Kernel::Load(mut state) = load else { panic!() };
    assert_eq!(state.reserve(), (60, 190));
    // Nor is what lies on both sides of a gap.
    let at = |second: i64| number(0, second * SECOND, 205.0);
    (700..740).for_each(|second| state.take(&at(second), &mut Vec::new()));
    state.gap();
    (740..780).for_each(|second| state.take(&at(second), &mut Vec::new()));
    assert_eq!(state.reserve(), (60, 190));
}

/// Its clock was set back to `day`.
fn set_back(load: &mut Kernel, day: i64) {
    let (_, made) = makers(|quantity| quantity == Quantity::TRAINING_LOAD).next().unwrap();
    load.set_back(made, day * DAY);
    load.gap(0);
}

#[test]
fn a_clock_that_was_ahead_leaves_the_days_as_they_would_have_been() {
    // Ten minutes of a day that is none, before anything else was known, then while four weeks are.
    for ahead in [1, 40, 399, 3_000] {
        let mut load = kernel(Quantity::TRAINING_LOAD);
        train(&mut load, ahead, ahead + 1, 120.0, 10);
        set_back(&mut load, 0);
        let mut straight = kernel(Quantity::TRAINING_LOAD);
        for day in 0..30 {
            let told = train(&mut load, day, day + 1, 125.0, 20);
            assert_eq!(told, train(&mut straight, day, day + 1, 125.0, 20), "{ahead} days ahead, day {day}");
        }
    }
    for ahead in [1, 40, 399] {
        let mut straight = kernel(Quantity::TRAINING_LOAD);
        (0..30).for_each(|day| drop(train(&mut straight, day, day + 1, 125.0 + day as f64, 20)));
        let mut load = straight.clone();
        train(&mut load, 30 + ahead, 31 + ahead, 120.0, 10);
        set_back(&mut load, 30);
        let told = train(&mut load, 30, 31, 140.0, 20);
        assert_eq!(told, train(&mut straight, 30, 31, 140.0, 20), "{ahead} days ahead");
        assert!(last(&told, 1).is_some() && last(&told, 2).is_some());
    }
}

#[test]
fn a_clock_that_stands_at_1970_says_nothing_against_the_days() {
    let mut load = kernel(Quantity::TRAINING_LOAD);
    train(&mut load, 20_000, 20_028, 125.0, 20);
    set_back(&mut load, 0);
    train(&mut load, 0, 1, 125.0, 5);
    set_back(&mut load, 20_028);
    let told = train(&mut load, 20_028, 20_029, 125.0, 20);
    assert!(last(&told, 1).is_some(), "four weeks are still known");
}

#[test]
fn another_device_tells_what_day_it_is_and_one_that_is_late_does_not() {
    let mut load = kernel(Quantity::TRAINING_LOAD);
    train(&mut load, 40, 41, 125.0, 60);
    load.gap(0);
    let late = |second: i64| Given { quality: Quality::LATE, ..number(0, second * SECOND, 125.0) };
    let told: Vec<Told> = (0..=60).flat_map(|second| take(&mut load, late(second))).collect();
    assert_eq!(last(&told, 0).as_deref(), Some("51.0"), "it counts for the open day");
    let mut own = load.clone();
    set_back(&mut own, 0);
    let told: Vec<Told> = (0..=60).flat_map(|second| take(&mut own, late(second))).collect();
    assert_eq!(last(&told, 0).as_deref(), Some("0.8"), "it was its own clock: the day begins");
    load.gap(0);
    let told = train(&mut load, 0, 1, 125.0, 60);
    assert_eq!(last(&told, 0).as_deref(), Some("50.1"), "the day begins");
}

#[test]
fn twice_the_load_in_the_last_week_is_a_ratio_of_one_point_six() {
    let mut load = kernel(Quantity::WORKLOAD_RATIO);
    let told = train(&mut load, 0, 27, 125.0, 20);
    assert_eq!(last(&told, 1), None, "not before the 28th day");
    let even = train(&mut load.clone(), 27, 28, 125.0, 20);
    assert_eq!((last(&even, 1).as_deref(), last(&even, 2).as_deref()), (Some("1.00"), Some("1.00")));
    let mut load = kernel(Quantity::WORKLOAD_RATIO);
    train(&mut load, 0, 21, 125.0, 20);
    let told = train(&mut load, 21, 28, 125.0, 40);
    // Rolling: 2 / ((21 + 14) / 28). Exponential: day by day.
    let ewma = |days: f64| {
        (0..28).fold(None, |sum, day| {
            let load = if day < 21 { 1.0 } else { 2.0 };
            Some(sum.map_or(load, |sum: f64| load * 2.0 / (days + 1.0) + sum * (1.0 - 2.0 / (days + 1.0))))
        })
    };
    let naive = format!("{:.2}", ewma(7.0).unwrap() / ewma(28.0).unwrap());
    assert_eq!((last(&told, 1).as_deref(), last(&told, 2)), (Some("1.60"), Some(naive)));
    // Two weeks of rest: the acute load is gone.
    let rested = train(&mut load, 41, 42, 60.0, 5);
    assert_eq!(last(&rested, 1).as_deref(), Some("0.00"));
}

#[test]
fn few_days_with_readings_tell_no_ratio() {
    let mut load = kernel(Quantity::WORKLOAD_RATIO);
    let mut told = Vec::new();
    for week in 0..6 {
        told.extend(train(&mut load, week * 7, week * 7 + 1, 125.0, 5));
    }
    assert_eq!((last(&told, 1), last(&told, 2)), (None, None));
}

fn wave(period_ns: u64, samples: Vec<i32>) -> Wave {
    Wave { period_ns, exponent: -1, offset: 0, samples }
}

fn waved<'a>(input: usize, time: i64, wave: &'a Wave) -> Given<'a> {
    Given { content: Content::Wave(wave), ..number(input, time, 0.0) }
}

#[test]
fn the_median_frequency_does_not_depend_on_how_the_signal_is_cut() {
    let at = |i: i64| ((std::f64::consts::TAU * 85.0 * i as f64 / 1_000.0).sin() * 9_000.0) as i32;
    let cut = |size: i64| -> Vec<Told> {
        let mut emg = kernel(Quantity::EMG_MEDIAN_FREQUENCY);
        let waves = (0..3_000 / size).flat_map(|n| {
            let wave = wave(1_000_000, (n * size..(n + 1) * size).map(at).collect());
            take(&mut emg, waved(0, n * size * 1_000, &wave))
        });
        waves.collect()
    };
    let whole = cut(1_500);
    assert_eq!(whole.len(), 3);
    assert_eq!((whole[0].time, whole[0].value.to_string()), (999_000, "85.0".to_owned()));
    assert_eq!((cut(100), cut(250)), (whole.clone(), whole));
}

#[test]
fn a_hole_in_the_signal_begins_the_second_anew_and_slow_signals_are_not_judged() {
    let mut emg = kernel(Quantity::EMG_MEDIAN_FREQUENCY);
    let half = wave(1_000_000, (0..600).map(|i| i % 7).collect());
    assert_eq!(take(&mut emg, waved(0, 0, &half)), []);
    assert_eq!(take(&mut emg, waved(0, 700_000, &half)), []);
    assert_eq!(take(&mut emg, waved(0, 1_300_000, &half)).len(), 1);
    let slow = wave(4_000_000, (0..600).map(|i| i % 7).collect());
    assert_eq!(take(&mut emg, waved(0, 5_000_000, &slow)), []);
}

/// A half sine of 10 ms on one axis, at 1 kHz, of `peak` m/s2, beginning `at` ms; gravity on another.
fn blow(impact: &mut Kernel, time: i64, at: i64, peak: f64) -> Vec<Told> {
    let sine = |i: i64| {
        let phase = (i - at) as f64 / 10.0;
        if (0.0..=1.0).contains(&phase) { (std::f64::consts::PI * phase).sin() * peak * 10.0 } else { 0.0 }
    };
    let axes = [
        wave(1_000_000, (0..100).map(|i| sine(i).round() as i32).collect()),
        wave(1_000_000, vec![0; 100]),
        wave(1_000_000, vec![98; 100]),
    ];
    axes.iter().enumerate().flat_map(|(input, axis)| take(impact, waved(input, time, axis))).collect()
}

#[test]
fn an_impact_is_told_by_its_peak_and_a_step_is_none() {
    let mut impact = kernel(Quantity::IMPACT_PEAK);
    assert_eq!(blow(&mut impact, 0, 20, 60.0), [], "below 10 g");
    let told = blow(&mut impact, SECOND, 20, 300.0);
    // The root of 300^2 + 9.8^2.
    assert_eq!(
        told.iter().map(|t| (t.time, t.value.to_string())).collect::<Vec<_>>(),
        [(1_099_000, "300.2".to_owned())]
    );
    // One that is cut by the end of the waveform is told again if it goes on higher.
    let told: Vec<Told> = [(2 * SECOND, 98), (2 * SECOND + 100_000, -2)]
        .into_iter()
        .flat_map(|(time, at)| blow(&mut impact, time, at, 400.0))
        .collect();
    assert_eq!(told.iter().map(|t| t.value.to_string()).collect::<Vec<_>>(), ["124.0", "400.1"]);
    assert_eq!(told[1].time - told[0].time, 1, "by which it is known for the same");
}

/// Waveforms of one axis that is at rest but for these samples; times and peaks that are told.
fn knocks(impact: &mut Kernel, time: i64, period_ns: u64, length: usize, peaks: &[(usize, i32)]) -> Vec<(i64, String)> {
    let mut axes = [(); 3].map(|()| wave(period_ns, vec![0; length]));
    peaks.iter().for_each(|(at, peak)| axes[0].samples[*at] = peak * 10);
    let told = axes.iter().enumerate().flat_map(|(input, axis)| take(impact, waved(input, time, axis)));
    told.map(|told| (told.time, told.value.to_string())).collect()
}

#[test]
fn an_impact_that_begins_with_the_last_sample_is_told_at_another_time_than_the_one_before_it() {
    let mut impact = kernel(Quantity::IMPACT_PEAK);
    let told = knocks(&mut impact, SECOND, 1_000_000, 100, &[(10, 300), (99, 350)]);
    assert_eq!(told, [(1_030_000, "300.0".to_owned()), (1_099_000, "350.0".to_owned())]);
    assert_eq!(knocks(&mut impact, SECOND + 100_000, 1_000_000, 100, &[(0, 340)]), [], "it goes on, and no higher");
}

#[test]
fn impacts_of_one_waveform_are_never_told_so_close_that_they_pass_for_one() {
    let mut impact = kernel(Quantity::IMPACT_PEAK);
    let mut told = Vec::new();
    // At 4 kHz. The second begins with the first sample after the waveform of the one before, and is not the last of its own.
    for (time, peaks) in [(0, vec![(20, 300)]), (50_000, vec![(0, 310), (199, 330)]), (100_000, vec![(190, 340)])] {
        told.extend(knocks(&mut impact, time, 250_000, 200, &peaks));
    }
    assert_eq!(told.iter().map(|(time, _)| *time).collect::<Vec<_>>(), [49_750, 70_000, 99_750, 149_750]);
}

#[test]
fn axes_that_do_not_belong_together_are_no_impact() {
    let mut impact = kernel(Quantity::IMPACT_PEAK);
    for (input, time) in [(0, 0), (1, 0), (2, 10)] {
        assert_eq!(take(&mut impact, number(input, time, 400.0)), []);
    }
    assert_eq!(take(&mut impact, number(0, 10, 400.0)), []);
    assert_eq!(take(&mut impact, number(1, 10, 0.0)).len(), 1);
}
