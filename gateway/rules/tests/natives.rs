//! What the native side keeps for scripts: windows of several inputs, gaps, baselines, moments, budgets. Each against real
//! scripts in a real engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use pitchside_model::*;
use pitchside_rules::{Engine, Fed, RuleSet, RuleSource};
use pitchside_script::FaultKind;
use proptest::prelude::*;

fn rule(name: &str, inputs: &str, more: &str, script: &str) -> RuleSource {
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [{inputs}]\n{more}"
    );
    RuleSource::parse(name, &manifest, script).unwrap()
}

fn engine(inputs: &str, more: &str, script: &str) -> Engine {
    Engine::new(Arc::new(RuleSet::new([rule("tested", inputs, more, script)]).unwrap())).unwrap()
}

fn entry(device: &str, second: i64, quantity: Quantity, value: Value) -> Entry {
    let time = Timestamp::from_seconds(1_767_225_600 + second);
    let reading = Reading {
        quantity,
        unit: quantity.unit(),
        device_time: time,
        gateway_time: time,
        quality: Quality::empty(),
        value,
    };
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(second as u64),
        readings: vec![reading],
    }
}

fn rate(second: i64, value: i64) -> Entry {
    entry("strap", second, Quantity::HEART_RATE, Value::Number(Decimal::integer(value)))
}

fn gap(second: i64) -> Entry {
    entry("strap", second, Quantity::HEART_RATE, Value::Gap(Gap { reason: GapReason::ContactLost, extent: 0 }))
}

/// The messages of the alerts raised: by them a script says what it saw.
fn said(fed: &Fed) -> Vec<&str> {
    assert_eq!(fed.faults, []);
    fed.events.iter().filter_map(AlertEvent::raised).map(|alert| alert.message.as_str()).collect()
}

const HEART: &str = "\"heart_rate\"";

#[test]
fn a_rule_of_several_inputs_sees_the_window_of_each() {
    let script = "if quantity != \"power\" || raised { return raised; }
        `${heart_rate.count(\"30s\")} ${heart_rate.mean(\"30s\")} ${power.count(\"30s\")} ${power.max(\"30s\")}`";
    let mut engine = engine("\"heart_rate\", \"power\"", "", script);
    let mut entries: Vec<Entry> = (0..40).map(|s| rate(s, 100 + s)).collect();
    // Another device of the same athlete; it comes last, so that the script looks at both.
    entries.push(entry("meter", 40, Quantity::POWER, Value::Number(Decimal::integer(250))));
    assert_eq!(said(&engine.feed(&entries)), ["30 124.5 1 250.0"]);
}

#[test]
fn windows_tell_spread_and_time_below() {
    let script = "time >= 1767225609.0 && heart_rate.stddev(\"1min\") > 3.02 && heart_rate.stddev(\"1min\") < 3.03
        && heart_rate.time_below(104, \"1min\") == 5.0 && heart_rate.time_above(104.0, \"1min\") == 5.0
        && heart_rate.percentile(90, \"1min\") == 108.0";
    let fed = engine(HEART, "", script).feed(&(0..10).map(|s| rate(s, 100 + s)).collect::<Vec<_>>());
    assert_eq!(said(&fed), ["A test."]);
}

#[test]
fn gaps_can_be_asked_about() {
    let script = "if raised { return false; } `${heart_rate.since_gap} ${heart_rate.gaps(\"10min\")} ${heart_rate.gaps(\"1min\")}`";
    let mut engine = engine(HEART, "gaps = true\ngap_after = \"30s\"", script);
    let mut told = |entries: &[Entry]| said(&engine.feed(entries)).last().map(|text| (*text).to_owned());
    assert_eq!(told(&[rate(0, 60)]), Some("0.0 0 0".to_owned()));
    assert_eq!(told(&[rate(1, 60), rate(20, 60)]), Some("20.0 0 0".to_owned()));
    assert_eq!(told(&[gap(25), gap(26)]), Some("0.0 1 1".to_owned()), "two records, one gap");
    assert_eq!(told(&[rate(39, 60), rate(40, 60)]), Some("1.0 1 1".to_owned()));
    // A hole longer than `gap_after` is one, known when it is over.
    assert_eq!(told(&[rate(119, 60), rate(120, 60)]), Some("1.0 2 1".to_owned()));
}

/// A rate once a minute for some days.
fn days(from: i64, to: i64, level: i64) -> Vec<Entry> {
    (from * 1_440..to * 1_440).map(|minute| rate(minute * 60, level + minute % 5 - 2)).collect()
}

#[test]
fn three_deviations_from_ones_own() {
    let script = "heart_rate.deviations(\"7d\") > 3.0";
    let mut engine = engine(HEART, "", script);
    assert_eq!(said(&engine.feed(&days(0, 1, 55))).len(), 0);
    assert_eq!(said(&engine.feed(&[rate(86_400, 66)])).len(), 1);
    let script =
        "`${heart_rate.typical(\"7d\")}/${heart_rate.spread(\"7d\") > 1.48}/${heart_rate.typical(\"7d\", \"hour\")}`";
    let mut engine = self::engine(HEART, "", script);
    let fed = engine.feed(&days(0, 2, 55));
    assert_eq!(said(&fed), ["/false/"], "raised once, before anything is known");
}

#[test]
fn a_baseline_survives_gaps_a_snapshot_and_a_new_version_of_its_rule() {
    let script = "heart_rate.deviations(\"7d\") > 3.0";
    let mut first = engine(HEART, "", script);
    first.feed(&days(0, 1, 55));
    first.feed(&[gap(86_400)]);
    let mut second = engine(HEART, "", script);
    second.resume(&first.snapshot()).unwrap();
    assert_eq!(second.snapshot(), first.snapshot());
    let changed = rule("tested", HEART, "", "heart_rate.deviations(\"7d\") > 4.0");
    second.reload(Arc::new(RuleSet::new([changed]).unwrap())).unwrap();
    for engine in [&mut first, &mut second] {
        assert_eq!(said(&engine.feed(&[rate(90_000, 66)])).len(), 1);
    }
    let other = rule("tested", HEART, "assurance = \"noise\"", "heart_rate.deviations(\"7d\") > 3.0");
    second.reload(Arc::new(RuleSet::new([other]).unwrap())).unwrap();
    let fed = second.feed(&[rate(90_060, 66), rate(90_120, 66)]);
    assert_eq!(said(&fed).len(), 0, "a rule that hears less begins anew");
}

#[test]
fn helpers_by_name_count_event_time() {
    let script = "if raised { return false; }
        let fast = value > 180.0;
        let held = held(\"fast\", \"5s\", fast);
        let times = times(\"sprints\", \"1min\", fast);
        let then = sequence(\"fast then slow\", \"3s\", fast, value < 100.0);
        if held { `held` } else if times >= 3 { `thrice` } else if then { `then` } else { false }";
    let told = |values: &[i64]| {
        let entries: Vec<Entry> = values.iter().enumerate().map(|(s, v)| rate(s as i64, *v)).collect();
        let mut engine = engine(HEART, "", script);
        said(&engine.feed(&entries)).first().map(|text| (*text).to_owned())
    };
    assert_eq!(told(&[190, 190, 190, 190, 190, 190]).as_deref(), Some("held"));
    assert_eq!(told(&[190, 190, 190, 190, 190, 150, 190, 150]).as_deref(), None);
    assert_eq!(told(&[190, 150, 190, 150, 190]).as_deref(), Some("thrice"));
    assert_eq!(told(&[190, 150, 150, 90]).as_deref(), Some("then"));
    assert_eq!(told(&[190, 150, 150, 150, 90]).as_deref(), None);
}

#[test]
fn a_helper_called_behind_its_name_never_writes_into_another_subject() {
    let hidden = "let helper = Fn(\"he\" + \"ld\"); helper.call(\"fast\", \"5s\", value > 180.0)";
    let fed = engine(HEART, "", hidden).feed(&[rate(0, 190)]);
    assert!(fed.faults[0].fault.to_string().contains("by its name"), "{:?}", fed.faults);
    let open = "let helper = Fn(\"held\"); helper.call(\"fast\", \"1ms\", value > 180.0)";
    assert_eq!(said(&engine(HEART, "", open).feed(&[rate(0, 190), rate(1, 190)])).len(), 1);
}

#[test]
fn what_cannot_be_a_baseline_is_told_before_the_first_reading() {
    for (script, told) in [
        ("heart_rate.typical(\"7 days\") > 1.0", "is no half-life"),
        ("let span = \"7d\"; heart_rate.typical(span) > 1.0", "as a text in the call"),
        ("let span = \"7d\"; typical(heart_rate, span) > 1.0", "as a text in the call"),
        ("heart_rate.typical(\"1s\") > 1.0", "at least"),
        ("heart_rate.typical(\"1d\", \"hour\") > 1.0", "by hour of day"),
        (
            "heart_rate.typical(\"1d\") + heart_rate.typical(\"2d\") + heart_rate.typical(\"3d\") + heart_rate.typical(\"4d\")
             + heart_rate.typical(\"5d\") > 1.0",
            "at most 4",
        ),
    ] {
        let problems = Engine::new(Arc::new(RuleSet::new([rule("tested", HEART, "", script)]).unwrap())).unwrap_err();
        assert!(problems[0].to_string().contains(told), "{}", problems[0]);
    }
}

#[test]
fn a_baseline_is_asked_for_with_and_without_the_dot() {
    for script in [
        "typical(heart_rate, \"12h\") == heart_rate.typical(\"12h\")",
        "spread(heart_rate, \"7d\", \"hour\") == ()",
        "deviations(heart_rate, \"7d\") != ()",
        "fn typical(input, half_life) { input.value } typical(heart_rate, 7) > 200.0",
    ] {
        let fed = engine(HEART, "", script).feed(&[rate(0, 150), rate(1, 151)]);
        assert_eq!(fed.faults, vec![], "{script}");
    }
}

#[test]
fn a_rule_that_costs_more_than_its_share_is_switched_off_and_can_be_put_back() {
    // About 9,000 operations a reading: none is over the limit, together they are.
    let heavy = rule("heavy", HEART, "", "let n = 0;\nfor i in 0..3000 { n += i; }\nn < 0");
    let light = rule("light", HEART, "", "value > 180.0");
    let mut engine = Engine::new(Arc::new(RuleSet::new([heavy, light]).unwrap())).unwrap();
    let entries: Vec<Entry> = (0..2_000).map(|s| rate(s, if s % 200 < 100 { 150 } else { 190 })).collect();
    let fed = engine.feed(&entries);
    assert_eq!(fed.events.len(), 19, "the light one answers every time");
    assert_eq!(fed.faults.len(), 8);
    // On a busy machine the clock may be first now and then.
    assert!(fed.faults[7].off && fed.faults.iter().any(|f| f.fault.kind == FaultKind::Operations), "{:?}", fed.faults);
    let status = |engine: &Engine| engine.status().into_iter().next().unwrap();
    let heavy = status(&engine);
    assert!(heavy.off && heavy.evaluations < 1_800, "{heavy:?}");
    assert_eq!(heavy.last_fault.as_ref().map(|fault| fault.line), Some(2));
    assert_eq!(heavy.last_fault.as_ref().map(|fault| fault.text.as_str()), Some("for i in 0..3000 { n += i; }"));
    let name = RuleName::parse("heavy").unwrap();
    assert!(engine.again(&name));
    assert!(!engine.again(&name), "it is not off any more");
    let fed = engine.feed(&[rate(3_000, 100)]);
    assert_eq!((fed.faults.len(), status(&engine).off), (0, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn natives_answer_alike_for_any_cut_and_after_a_snapshot_anywhere(
        steps in prop::collection::vec((1i64..2_000, 40i64..200, 0u8..20), 1..300), cut in 0usize..300,
    ) {
        let script = "let far = heart_rate.deviations(\"10min\");
            let hot = held(\"a\", \"5min\", value > 120.0) || times(\"b\", \"1h\", value > 150.0) > 3;
            let then = sequence(\"c\", \"30min\", value > 180.0, value < 60.0);
            let shaky = heart_rate.stddev(\"1h\") > 40.0 && heart_rate.gaps(\"6h\") > 2;
            let first = then || shaky || hot;
            if first || far > 2.0 { `${far} ${hot} ${then} ${heart_rate.since_gap} ${heart_rate.percentile(10, \"1h\")}` } else { false }";
        let mut time = 0;
        let entries: Vec<Entry> = steps.into_iter().map(|(step, value, odd)| {
            time += step;
            if odd == 0 { gap(time) } else { rate(time, value) }
        }).collect();
        let more = "gap_after = \"20min\"";
        let whole = engine(HEART, more, script).feed(&entries);
        let cut = cut.min(entries.len());
        let mut first = engine(HEART, more, script);
        let mut events = first.feed(&entries[..cut]).events;
        let snapshot = first.snapshot();
        let mut second = engine(HEART, more, script);
        second.resume(&snapshot).unwrap();
        prop_assert_eq!(second.snapshot(), snapshot);
        for entry in &entries[cut..] {
            events.extend(second.feed(std::slice::from_ref(entry)).events);
        }
        prop_assert_eq!(events, whole.events);
        prop_assert_eq!(whole.faults, vec![]);
    }
}
