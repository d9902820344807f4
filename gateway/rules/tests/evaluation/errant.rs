//! Clocks that err, and scripts that take long.

use super::*;

#[test]
fn a_rule_of_few_operations_that_each_take_long_is_told_so_and_its_answers_stand() {
    let script = "let a = []; a.pad(4000, 0); let n = 0; while n < 100 { a.sort(); a.sort(); a.sort(); a.sort(); n += 1; } value > 180.0";
    let mut engine = Engine::new(set([rule("slow", "", script)])).unwrap();
    // No value comes twice: what was answered before is not asked again. A minute apart nothing flaps.
    let mut feed = |turn: i64| engine.feed(&[rate(60 * turn, if turn % 2 == 0 { 200 + turn } else { -turn })]);
    let fault = (0..10_000).find_map(|turn| {
        let mut fed = feed(turn);
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

#[test]
fn an_alert_that_flaps_stays_raised_until_it_was_quiet_for_a_minute() {
    let mut engine = Engine::new(set([rule("high", "", "value > 180.0")])).unwrap();
    let events: usize =
        (0..1_500).map(|second| engine.feed(&[rate(second, 170 + 20 * (second % 2))]).events.len()).sum();
    assert_eq!(events, 19, "raised ten times, cleared nine times");
    let quiet = (1_500..1_600).find(|second| !engine.feed(&[rate(*second, 100)]).events.is_empty());
    assert_eq!(quiet, Some(1_560), "a minute after it held last");
    assert_eq!(raised(&engine.feed(&[rate(1_700, 190)])).len(), 1);
    assert_eq!(engine.feed(&[rate(1_701, 100)]).events.len(), 1, "steady again");
}

#[test]
fn a_second_sensor_whose_clock_is_behind_does_not_blind_a_rule() {
    for script in ["value > 180.0", "heart_rate.mean(\"1min\") > 180.0"] {
        let mut engine = Engine::new(set([rule("high", "hold = \"10s\"\n", script)])).unwrap();
        let of = |name: &str, entry: Entry| Entry { device: name.parse().unwrap(), ..entry };
        (0..100).for_each(|second| drop(engine.feed(&[of("a", rate(10_000 + second, 100))])));
        let mut gap = rate(10_100, 0);
        gap.readings[0].value = Value::Gap(Gap { reason: GapReason::Disconnected, extent: 0 });
        engine.feed(&[of("a", gap)]);
        let told: usize = (0..60).map(|second| raised(&engine.feed(&[of("b", rate(6_400 + second, 200))])).len()).sum();
        assert_eq!(told, 1, "{script}");
    }
}

#[test]
fn another_sensor_whose_clock_ran_ahead_and_was_put_right_leaves_no_window_short() {
    let script = "let n = heart_rate.count(\"1min\"); value > 140.0 && heart_rate.covers(\"1min\") && n == 61";
    let engine = || {
        let mut rule = rule("whole", "", script);
        rule.manifest.inputs.push(Quantity::CORE_TEMPERATURE);
        Engine::new(set([rule])).unwrap()
    };
    let pill = |seq, second, value| entry("pill", seq, vec![reading(Quantity::CORE_TEMPERATURE, second, value)]);
    let step = Value::Gap(Gap { reason: GapReason::ClockStep, extent: 0 });
    for is_resumed in [false, true] {
        let mut engine_now = engine();
        engine_now.feed(&(0..=50).map(|second| rate(second, 100)).collect::<Vec<_>>());
        engine_now.feed(&[pill(1, 110, Value::Number(Decimal::integer(37)))]);
        let fed = engine_now.feed(&(51..=60).map(|second| rate(second, 150)).collect::<Vec<_>>());
        assert_eq!(fed, Fed::default(), "a minute is one that ends at the subject's time");
        if is_resumed {
            let snapshot = engine_now.snapshot();
            engine_now = engine();
            engine_now.resume(&snapshot).unwrap();
        }
        engine_now.feed(&[pill(2, 60, step.clone())]);
        assert_eq!(raised(&engine_now.feed(&[rate(61, 150)])).len(), 1, "resumed: {is_resumed}");
    }
}

#[test]
fn a_gap_that_is_told_late_is_counted_with_those_before_it() {
    let script = "let gaps = heart_rate.gaps(\"1min\"); if value > 140.0 { `${gaps} gaps` } else { false }";
    let mut engine = Engine::new(set([rule("gaps", "gaps = true\n", script)])).unwrap();
    let gap = |second| {
        let mut entry = rate(second, 0);
        entry.readings[0].value = Value::Gap(Gap { reason: GapReason::Silent, extent: 0 });
        entry
    };
    // The last is of long ago, and known only now.
    let fed =
        engine.feed(&[rate(90, 100), gap(100), rate(110, 100), gap(130), rate(140, 100), gap(10), rate(151, 150)]);
    assert_eq!(fed.faults, []);
    assert_eq!(raised(&fed)[0].message, "3 gaps");
}

#[test]
fn a_rule_that_asks_for_more_spans_than_anybody_needs_is_refused() {
    let asks =
        |count: i64| (1..=count).map(|s| format!("heart_rate.max(\"{s}s\") > 900.0")).collect::<Vec<_>>().join(" || ");
    assert!(Engine::new(set([rule("wide", "", &asks(16))])).is_ok());
    let problems = Engine::new(set([rule("wide", "", &asks(17))])).unwrap_err();
    assert!(problems[0].to_string().contains("17 different spans of time; at most 16"), "{problems:?}");
}

#[test]
fn whichever_rule_keeps_most_is_switched_off_before_all_keep_too_much() {
    let spans = (0..16)
        .map(|i| format!("heart_rate.percentile(50.0, \"{}h\") > 900.0", 8 + i))
        .collect::<Vec<_>>()
        .join(" || ");
    let mut engine =
        Engine::new(set([rule("hoard", "", &spans), rule("honest", "", "heart_rate.mean(\"1h\") > 180.0")])).unwrap();
    let fault = (0..8_000).find_map(|second| {
        let squad = (0..40).map(|n| Entry {
            device: format!("s{n}").parse().unwrap(),
            athlete: None,
            ..rate(second, second % 200)
        });
        engine.feed(&squad.collect::<Vec<_>>()).faults.pop()
    });
    let fault = fault.expect("there is a limit");
    assert_eq!((fault.rule.as_str(), fault.off), ("hoard", true), "{fault:?}");
    assert!(fault.fault.to_string().contains("MB of readings"), "{fault:?}");
    let status = engine.status();
    assert_eq!(status.iter().map(|rule| rule.off).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn what_a_state_field_does_not_hold_is_told_as_what_it_is() {
    for (script, told) in [
        ("word = \"x\"; word.pad(300, 'x'); true", "`word` was set to a text of 300 bytes, and it holds 256 at most"),
        ("peak = 0.0 / 0.0; true", "`peak` was set to NaN, and it holds finite numbers only"),
        ("peak = value > 1.0; true", "`peak` was set to a bool it cannot hold; it keeps the kind of its first value"),
    ] {
        let manifest = "[state]\nword = \"\"\npeak = 0.0\n";
        let mut engine = Engine::new(set([rule("keeps", manifest, script)])).unwrap();
        let fault = engine.feed(&[rate(0, 190)]).faults.pop().unwrap().fault;
        assert!(fault.to_string().contains(told), "{fault}");
    }
}

#[test]
fn an_answer_that_says_nothing_raises_with_the_summary() {
    let message = |script: &str| {
        let mut engine = Engine::new(set([rule("high", "", script)])).unwrap();
        let fed = engine.feed(&[rate(0, 190)]);
        raised(&fed).first().map(|alert| alert.message.clone()).unwrap()
    };
    let summary = message("value > 180.0");
    assert!(!summary.is_empty());
    for script in ["if value > 180.0 { \"\" } else { false }", "if value > 180.0 { \" \\n \" } else { false }"] {
        assert_eq!(message(script), summary, "{script}");
    }
}
