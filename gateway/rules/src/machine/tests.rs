use super::*;

const TIMING: Timing = Timing { hold: 10, clear_after: 5, cool_down: 20, latch: false };
const ID: AlertId = AlertId([7; 16]);

/// Runs `(time, holds)` and says when alerts were raised and cleared.
fn run(timing: &Timing, events: impl IntoIterator<Item = (i64, bool)>) -> Vec<(i64, &'static str)> {
    let mut phase = Phase::Idle;
    let mut told = Vec::new();
    for (time, holds) in events {
        match phase.step(timing, Timestamp(time), holds) {
            Step::Stay => {}
            Step::Raise => {
                phase = Phase::Raised(ID, None);
                told.push((time, "raise"));
            }
            Step::Clear(_) => told.push((time, "clear")),
        }
    }
    told
}

#[test]
fn an_alert_is_raised_after_the_hold_and_cleared_after_its_own() {
    let events = (0..40).map(|t| (t, (5..20).contains(&t)));
    assert_eq!(run(&TIMING, events), [(15, "raise"), (25, "clear")]);
}

#[test]
fn a_condition_that_flickers_never_holds() {
    assert_eq!(run(&TIMING, (0..100).map(|t| (t, t % 10 != 0))), []);
}

#[test]
fn nothing_is_raised_while_it_cools_down() {
    let at_once = Timing { hold: 0, clear_after: 0, ..TIMING };
    let events = (0..60).map(|t| (t, t % 10 < 5));
    assert_eq!(run(&at_once, events), [(0, "raise"), (5, "clear"), (30, "raise"), (35, "clear")]);
}

#[test]
fn a_latched_alert_stays_until_it_is_reset() {
    let latch = Timing { hold: 0, latch: true, ..TIMING };
    assert_eq!(run(&latch, (0..1_000).map(|t| (t, t == 3))), [(3, "raise")]);
    let mut phase = Phase::Raised(ID, None);
    phase.reset(&latch, Timestamp(10));
    assert_eq!(phase, Phase::Cooling(Timestamp(30)));
}

#[test]
fn a_clock_that_was_set_back_ends_what_would_wait_for_its_old_time() {
    let after = |mut phase: Phase| {
        phase.set_back();
        phase
    };
    assert_eq!(after(Phase::Cooling(Timestamp(1_000))), Phase::Idle);
    assert_eq!(after(Phase::Pending(Timestamp(1_000))), Phase::Idle);
    assert_eq!(after(Phase::Raised(ID, Some(Timestamp(1_000)))), Phase::Raised(ID, None));
}

#[test]
fn a_gap_ends_a_hold_and_clears_nothing() {
    let mut phase = Phase::Idle;
    assert_eq!(phase.step(&TIMING, Timestamp(0), true), Step::Stay);
    phase.gap();
    assert_eq!(phase.step(&TIMING, Timestamp(11), true), Step::Stay);
    assert_eq!(phase.step(&TIMING, Timestamp(21), true), Step::Raise);
    phase = Phase::Raised(ID, None);
    assert_eq!(phase.step(&TIMING, Timestamp(30), false), Step::Stay);
    phase.gap();
    assert_eq!(phase.raised(), Some(ID));
    assert_eq!(phase.step(&TIMING, Timestamp(40), false), Step::Stay, "the five begin again after the gap");
    assert_eq!(phase.step(&TIMING, Timestamp(45), false), Step::Clear(ID));
}

/// Raises and clears without delay, and says when.
fn toggled(
    pulse: &mut Pulse,
    phase: &mut Phase,
    seconds: std::ops::Range<i64>,
    holds: impl Fn(i64) -> bool,
) -> Vec<(i64, &'static str)> {
    let timing = Timing { hold: 0, clear_after: 0, cool_down: 0, latch: false };
    let mut told = Vec::new();
    for second in seconds {
        let now = Timestamp(second * 1_000_000);
        match phase.step(&pulse.steadied(&timing, now), now, holds(second)) {
            Step::Stay => {}
            Step::Raise => {
                *phase = Phase::Raised(ID, None);
                pulse.raise(now);
                told.push((second, "raise"));
            }
            Step::Clear(_) => {
                pulse.clear();
                told.push((second, "clear"));
            }
        }
        if holds(second) {
            pulse.hold(now);
        }
    }
    told
}

#[test]
fn one_that_flaps_for_an_hour_is_raised_ten_times_and_no_more() {
    let (mut pulse, mut phase) = (Pulse::default(), Phase::Idle);
    let told = toggled(&mut pulse, &mut phase, 0..3_600, |second| second % 2 == 0);
    assert_eq!((told.len(), told.last()), (19, Some(&(18, "raise"))));
    assert_eq!(toggled(&mut pulse, &mut phase, 3_600..3_700, |_| false), [(3_659, "clear")]);
    // It was quiet for a minute: it is one like any other again.
    let told = toggled(&mut pulse, &mut phase, 3_700..3_704, |second| second % 2 == 0);
    assert_eq!(told, [(3_700, "raise"), (3_701, "clear"), (3_702, "raise"), (3_703, "clear")]);
}

#[test]
fn ten_raises_count_together_wherever_the_first_of_them_was() {
    let (mut pulse, mut phase) = (Pulse::default(), Phase::Idle);
    // One long before the others: counted with it, the tenth would not be within ten minutes.
    toggled(&mut pulse, &mut phase, 0..10, |second| second == 0);
    let told = toggled(&mut pulse, &mut phase, 590..900, |second| second < 640 && second % 2 == 0);
    assert_eq!(told.iter().filter(|(_, what)| *what == "raise").count(), 10);
    assert_eq!(told.last(), Some(&(699, "clear")));
}

#[test]
fn one_that_is_reset_by_hand_while_it_flaps_flaps_on() {
    let (mut pulse, mut phase) = (Pulse::default(), Phase::Idle);
    toggled(&mut pulse, &mut phase, 0..2_000, |second| second % 2 == 0);
    phase = Phase::Idle;
    assert_eq!(toggled(&mut pulse, &mut phase, 2_000..2_500, |second| second % 2 == 0), [(2_000, "raise")]);
    phase = Phase::Idle;
    let told = toggled(&mut pulse, &mut phase, 2_500..4_000, |second| second == 3_500);
    assert_eq!(told, [(3_500, "raise"), (3_501, "clear")], "quiet since");
}

proptest::proptest! {
    #[test]
    fn raises_and_clears_alternate_whatever_comes(
        events in proptest::collection::vec((0i64..50, proptest::bool::ANY), 0..200),
        hold in 0i64..20, clear_after in 0i64..20, cool_down in 0i64..20,
    ) {
        let timing = Timing { hold, clear_after, cool_down, latch: false };
        let mut time = 0;
        let told = run(&timing, events.into_iter().map(|(step, holds)| { time += step; (time, holds) }));
        for (i, (_, what)) in told.iter().enumerate() {
            proptest::prop_assert_eq!(*what, if i % 2 == 0 { "raise" } else { "clear" });
        }
        for pair in told.windows(2).filter(|pair| pair[0].1 == "clear") {
            proptest::prop_assert!(pair[1].0 - pair[0].0 >= cool_down);
        }
    }
}
