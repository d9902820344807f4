//! Clocks that err, and scripts that take long.

use super::*;

#[test]
fn a_rule_of_few_operations_that_each_take_long_is_told_so_and_its_answers_stand() {
    let script = "let a = []; a.pad(4000, 0); let n = 0; while n < 100 { a.sort(); a.sort(); a.sort(); a.sort(); n += 1; } value > 180.0";
    let mut engine = Engine::new(set([rule("slow", "", script)])).unwrap();
    // No value comes twice: what was answered before is not asked again.
    let mut feed = |second| engine.feed(&[rate(second, if second % 2 == 0 { 200 + second } else { -second })]);
    let fault = (0..10_000).find_map(|second| {
        let mut fed = feed(second);
        assert_eq!(fed.events.len(), 1, "raised and cleared in turn");
        fed.faults.pop()
    });
    let fault = fault.expect("switched off at last").fault;
    assert_eq!(fault.kind, pitchside_script::FaultKind::Time, "{fault}");
    assert!(fault.to_string().contains("more than 1 ms of the processor"), "{fault}");
}

#[test]
fn a_cool_down_ends_with_the_clock_it_was_counted_by() {
    let mut engine = Engine::new(set([rule("high", "cool_down = \"1h\"\n", "value > 180.0")])).unwrap();
    assert_eq!(raised(&engine.feed(&[rate(100_000, 190)])).len(), 1);
    assert_eq!(engine.feed(&[rate(100_001, 100)]).events.len(), 1, "cleared");
    assert_eq!(engine.feed(&[rate(100_002, 190)]), Fed::default(), "it cools down");
    let back: Vec<Entry> = (0..8).map(|i| Entry { seq: Seq(100_003 + i as u64), ..rate(i, 190) }).collect();
    assert_eq!(raised(&engine.feed(&back)).len(), 1);
}

#[test]
fn a_gap_of_a_clock_that_is_ahead_ends_what_was_and_holds_up_nothing() {
    let manifest = "hold = \"10s\"\n";
    let mut engine = Engine::new(set([rule("high", manifest, "heart_rate.value != () && value > 180.0")])).unwrap();
    let gap = |second, quality| {
        let mut entry = rate(second, 0);
        entry.readings[0].value = Value::Gap(Gap { reason: GapReason::Disconnected, extent: 0 });
        entry.readings[0].quality = quality;
        entry
    };
    assert_eq!(engine.feed(&[rate(0, 190)]), Fed::default());
    assert_eq!(engine.feed(&[Entry { seq: Seq(1), ..gap(30_000, Quality::FUTURE) }]), Fed::default());
    assert_eq!(engine.feed(&[rate(12, 190)]), Fed::default(), "the hold begins anew");
    assert_eq!(raised(&engine.feed(&[rate(22, 190)])).len(), 1);
}

#[test]
fn a_clock_that_was_set_back_does_not_blind_a_rule() {
    let mut engine = Engine::new(set([rule("high", "", "value > 180.0")])).unwrap();
    assert_eq!(engine.feed(&[rate(100_000, 100)]), Fed::default());
    let back: Vec<Entry> = (0..8).map(|i| Entry { seq: Seq(100_001 + i as u64), ..rate(i, 190) }).collect();
    assert_eq!(raised(&engine.feed(&back)).len(), 1);
}
