//! A stream that is taken out, or switched off: to the rules that heard it, a gap.

use super::*;

/// Heart rates and the felt heat.
fn beside_pulse(script: &str, stream_script: &str) -> Arc<RuleSet> {
    let tested = rule("tested", "\"heat_index\", \"heart_rate\"", "", script);
    set([tested], [stream("felt", AIR, "heat_index", stream_script)])
}

/// The same rules without a stream.
fn alone(with: &RuleSet) -> Arc<RuleSet> {
    set(with.rules().iter().cloned(), [])
}

fn out_and_in(engine: &mut Engine) {
    let with = Arc::clone(engine.rule_set());
    for of in [alone(&with), with] {
        assert_eq!(engine.reload(of).unwrap(), [], "nothing is cleared by that");
    }
}

#[test]
fn what_held_before_a_stream_was_taken_out_need_not_have_held_on() {
    let mut engine = Engine::new(felt("hold = \"10s\"", "value >= 30.0")).unwrap();
    assert!(raised(&engine.feed(&[damp(0, 60), air(1, 30)])).is_empty(), "it does not hold long enough yet");
    out_and_in(&mut engine);
    assert!(raised(&engine.feed(&[damp(12, 60), air(13, 30)])).is_empty(), "the hold began anew");
    assert_eq!(raised(&engine.feed(&[air(24, 30)])).len(), 1);
}

#[test]
fn an_alert_that_is_raised_when_its_stream_ends_stays_raised_as_in_any_gap() {
    let mut engine = Engine::new(felt("clear_after = \"10s\"", "value >= 30.0")).unwrap();
    let fed = engine.feed(&[damp(0, 60), air(1, 30), air(2, 10)]);
    let id = raised(&fed)[0].id;
    assert_eq!(fed.events.len(), 1, "its condition does not hold any more, for no time yet");
    out_and_in(&mut engine);
    assert_eq!(engine.feed(&[damp(12, 60), air(13, 10)]).events, [], "of the time between nothing is known");
    let fed = engine.feed(&[air(24, 10)]);
    assert!(matches!(fed.events.as_slice(), [AlertEvent::Cleared { id: cleared, .. }] if *cleared == id), "{fed:?}");
}

#[test]
fn a_rule_finds_no_value_of_a_stream_that_was_taken_out_or_switched_off() {
    let pulse = |seconds| number("strap", Quantity::HEART_RATE, seconds, 100);
    let hot = "quantity == \"heart_rate\" && heat_index.value != ()";
    let heard = [damp(0, 60), air(1, 30)];
    let with = beside_pulse(hot, FELT);
    let mut engine = Engine::new(Arc::clone(&with)).unwrap();
    assert!(raised(&engine.feed(&heard)).is_empty());
    assert_eq!(raised(&engine.feed(&[pulse(2)])).len(), 1, "as long as the stream runs");
    let mut engine = Engine::new(Arc::clone(&with)).unwrap();
    assert!(raised(&engine.feed(&heard)).is_empty());
    engine.reload(alone(&with)).unwrap();
    assert!(raised(&engine.feed(&[pulse(2)])).is_empty());

    // By its own faults it is off at the eighth.
    let failing = format!("if value > 50.0 {{ [][1] }} else {{ {FELT} }}");
    let mut engine = Engine::new(beside_pulse(hot, &failing)).unwrap();
    assert!(raised(&engine.feed(&heard)).is_empty());
    let faults: Vec<bool> =
        (2..10).flat_map(|second| engine.feed(&[air(second, 60)]).faults).map(|fault| fault.off).collect();
    assert_eq!((faults.len(), faults.last()), (8, Some(&true)));
    assert!(raised(&engine.feed(&[pulse(10)])).is_empty());
}
