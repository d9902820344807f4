use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A counter fed with (revolutions, event, milliseconds since the start).
fn follow(kind: Kind, messages: &[(u32, u16, i64)]) -> Vec<String> {
    let mut counter = Counter::default();
    let mut said = Vec::new();
    for (revolutions, event, ms) in messages {
        let sample = Sample { revolutions: *revolutions, event: *event, torque: None };
        let (turn, after) = counter.advance(sample, kind, START.plus_micros(ms * 1_000));
        counter = after;
        said.push(match turn {
            Turn::Moving(movement) => movement.per_minute().unwrap().to_string(),
            other => format!("{other:?}"),
        });
    }
    said
}

#[test]
fn two_messages_make_a_rate() {
    // The two cases of BikeSpeedCadenceSensor's public tests (Truant): 87.77 and, over both roll-overs, 86.63.
    assert_eq!(follow(CRANK, &[(3, 0x0800, 0), (6, 0x1034, 2_050)]), ["Unknown", "87.77"]);
    assert_eq!(follow(CRANK, &[(0xfffe, 0xfffa, 0), (2, 0x0b0f, 2_770)]), ["Unknown", "86.63"]);
}

#[test]
fn wheels_roll_over_at_32_bits_and_at_either_clock() {
    assert_eq!(follow(CSC_WHEEL, &[(u32::MAX, 65_000, 0), (1, 488, 1_000)]), ["Unknown", "120.00"]);
    assert_eq!(follow(POWER_WHEEL, &[(u32::MAX - 1, 65_000, 0), (2, 1_512, 1_000)]), ["Unknown", "240.00"]);
}

#[test]
fn no_event_is_first_patience_then_standing_still() {
    let messages = [(10, 1_024, 0), (11, 2_048, 1_000), (11, 2_048, 2_000), (11, 2_048, 5_000), (11, 2_048, 6_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "60.00", "Waiting", "Still", "Still"]);
}

#[test]
fn a_restarted_sensor_makes_no_spike() {
    let messages = [(5_000, 1_024, 0), (5_001, 2_048, 1_000), (0, 0, 2_000), (1, 1_024, 3_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "60.00", "Reset", "60.00"]);
    // Here the count rises, but the clock tells of another time than passed.
    let messages = [(3, 1_024, 0), (4, 2_048, 1_000), (9, 30_720, 2_000), (10, 31_744, 3_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "60.00", "Reset", "60.00"]);
    // And here revolutions take no time.
    let messages = [(3, 1_024, 0), (4, 2_048, 1_000), (5, 2_048, 2_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "60.00", "Reset"]);
}

#[test]
fn after_a_long_silence_the_clock_may_have_gone_round() {
    // 65 s later the event time is only 1 s ahead: 66 revolutions in 1 s would be 3,960 /min, 6 of them 360.
    let messages = [(10, 1_024, 0), (11, 2_048, 1_000), (17, 3_072, 66_000), (18, 4_096, 67_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "60.00", "Unknown", "60.00"]);
}

#[test]
fn the_age_of_the_first_message_is_unknown() {
    // The bike stood for a minute before the link came up.
    let messages = [(10, 1_024, 0), (11, 50_000, 1_000), (12, 51_024, 2_000)];
    assert_eq!(follow(CRANK, &messages), ["Unknown", "Unknown", "60.00"]);
}

#[test]
fn a_clock_of_ours_that_is_set_back_starts_anew() {
    assert_eq!(follow(CRANK, &[(1, 0, 10_000), (2, 1_024, 5_000), (3, 2_048, 6_000)]), ["Unknown", "Unknown", "60.00"]);
}

#[test]
fn speed_and_torque_come_of_the_same_movement() {
    let movement = Movement { revolutions: 4, ticks: 1_024, ticks_per_s: 1_024, torque: Some(64) };
    assert_eq!(movement.speed(2_096).unwrap().to_string(), "8.384");
    assert_eq!(movement.torque().unwrap().to_string(), "0.50");
    assert_eq!(Movement { torque: None, ..movement }.torque(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A steady crank, from any count and clock, with late and early messages, is never wrong by more than its clock.
    #[test]
    fn a_steady_crank_reads_steady(
        start in any::<u16>(), clock in any::<u16>(), period in 300u32..4_000,
        delays in prop::collection::vec(0i64..900, 2..40),
    ) {
        let (mut counter, mut at) = (Counter::default(), START);
        for (n, delay_ms) in (0u32..).zip(&delays) {
            let ticks = n * period;
            let sample = Sample {
                revolutions: u32::from(start.wrapping_add(n as u16)),
                event: clock.wrapping_add(ticks as u16),
                torque: None,
            };
            // Late, but never overtaken.
            at = at.max(START.plus_micros(i64::from(ticks) * 1_000_000 / 1_024 + delay_ms * 1_000));
            let (turn, after) = counter.advance(sample, CRANK, at);
            counter = after;
            match turn {
                Turn::Unknown => prop_assert_eq!(n, 0),
                Turn::Moving(movement) => {
                    let exact = f64::from(60 * 1_024u32) / f64::from(period);
                    prop_assert!((movement.per_minute().unwrap().to_f64() - exact).abs() <= 0.005_01);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// Whatever a sensor sends and whenever, no rate is beyond the limit, and none covers more time than passed and the slack.
    #[test]
    fn no_sequence_makes_a_spike(
        messages in prop::collection::vec((any::<u32>(), any::<u16>(), 0i64..100_000), 1..50), kind in 0usize..3,
    ) {
        let kind = [CSC_WHEEL, CRANK, POWER_WHEEL][kind];
        let (mut counter, mut now) = (Counter::default(), START);
        for (revolutions, event, ms) in messages {
            now = now.plus_micros(ms * 1_000);
            let sample = Sample { revolutions: revolutions & kind.mask, event, torque: Some(event) };
            let (turn, after) = counter.advance(sample, kind, now);
            counter = after;
            if let Turn::Moving(movement) = turn {
                prop_assert!(movement.per_minute().unwrap().to_f64() <= f64::from(kind.rate_max));
                prop_assert!(movement.speed(2_100).is_some() && movement.torque().is_some());
            }
        }
    }
}
