//! The evaluation as a whole: the same entries give the same alerts, whatever happens between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod again;
mod errant;
mod worn;

use std::path::Path;
use std::sync::Arc;

use pitchside_model::*;
use pitchside_rules::snapshot::{LAYOUT, rules_of, without};
use pitchside_rules::{Engine, Fed, RuleSet, RuleSource, SnapshotError};
use proptest::prelude::*;

fn library() -> Arc<RuleSet> {
    Arc::new(RuleSet::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")).unwrap())
}

fn rule(name: &str, more: &str, script: &str) -> RuleSource {
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [\"heart_rate\"]\n{more}"
    );
    RuleSource::parse(name, &manifest, script).unwrap()
}

fn set(rules: impl IntoIterator<Item = RuleSource>) -> Arc<RuleSet> {
    Arc::new(RuleSet::new(rules).unwrap())
}

fn entry(device: &str, seq: u64, readings: Vec<Reading>) -> Entry {
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(seq),
        readings,
    }
}

fn reading(quantity: Quantity, second: i64, value: Value) -> Reading {
    let time = Timestamp::from_seconds(1_767_225_600 + second);
    Reading { quantity, unit: quantity.unit(), device_time: time, gateway_time: time, quality: Quality::empty(), value }
}

fn rate(second: i64, value: i64) -> Entry {
    let value = Value::Number(Decimal::integer(value));
    entry("strap", second as u64, vec![reading(Quantity::HEART_RATE, second, value)])
}

fn raised(fed: &Fed) -> Vec<&Alert> {
    fed.events.iter().filter_map(AlertEvent::raised).collect()
}

/// Entries of a few devices: values that wander over the limits, gaps, repeats, readings out of order.
fn arb_entries() -> impl Strategy<Value = Vec<Entry>> {
    let point = (0usize..4, 0i64..25, 0i64..130, 0u8..40, 0u64..20);
    prop::collection::vec(point, 1..250).prop_map(|points| {
        let mut time = 0;
        let mut sent: Vec<Entry> = Vec::new();
        for (number, (device, step, level, odd, back)) in points.into_iter().enumerate() {
            time += step;
            if odd == 0 && !sent.is_empty() {
                let again = sent[back as usize % sent.len()].clone();
                sent.push(again);
                continue;
            }
            let second = if odd == 1 { time - back as i64 } else { time };
            let (quantity, value) = match device {
                0 | 1 => (Quantity::HEART_RATE, Decimal::integer(100 + level)),
                2 => (Quantity::CORE_TEMPERATURE, Decimal { mantissa: 3_800 + level * 2, exponent: -2 }),
                _ => (Quantity::POWER, Decimal::integer(level * 3)),
            };
            let value = match odd {
                2 => Value::Gap(Gap { reason: GapReason::Silent, extent: 20_000_000 }),
                3 => Value::Gap(Gap { reason: GapReason::ClockStep, extent: 0 }),
                _ => Value::Number(value),
            };
            let name = ["strap", "watch", "pill", "meter"][device];
            sent.push(entry(name, number as u64, vec![reading(quantity, second, value)]));
        }
        sent
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_into_batches_gives_the_same_alerts(entries in arb_entries(), cuts in prop::collection::vec(0usize..250, 0..10)) {
        let set = library();
        let whole = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
        prop_assert_eq!(&whole.faults, &[]);
        let mut engine = Engine::new(set).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c < entries.len()).collect();
        cuts.sort_unstable();
        cuts.push(entries.len());
        let (mut events, mut from) = (Vec::new(), 0);
        for cut in cuts {
            events.extend(engine.feed(&entries[from..cut]).events);
            from = cut;
        }
        prop_assert_eq!(events, whole.events);
    }

    #[test]
    fn a_snapshot_anywhere_changes_nothing(entries in arb_entries(), cut in 0usize..250) {
        let set = library();
        let whole = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
        let cut = cut.min(entries.len());
        let mut first = Engine::new(Arc::clone(&set)).unwrap();
        let mut events = first.feed(&entries[..cut]).events;
        let snapshot = first.snapshot();
        let mut second = Engine::new(set).unwrap();
        second.resume(&snapshot).unwrap();
        prop_assert_eq!(second.snapshot(), snapshot);
        events.extend(second.feed(&entries[cut..]).events);
        prop_assert_eq!(events, whole.events);
    }

    #[test]
    fn an_answer_that_is_known_is_the_one_the_script_would_give(entries in arb_entries()) {
        for script in [
            "above(value, 150.0, 10.0)",
            "if raised { value != () && value > 120.0 } else if above(value, 160.0, 0.0) { `Assess ${value}` } else { false }",
            "gap == \"silent\" && extent > 10.0 || raised && gap != ()",
            "heart_rate.value != () && heart_rate.value > 140.0 && gap == ()",
            "quantity == \"core_temperature\" && heart_rate.value != () && heart_rate.value > 120.0 && value > 38.5",
            "if value > 220.0 { 7 } else { value > 150.0 }",
            // By another name: what is looked at decides, not what is written.
            "fn steady(x) { if x.covers(\"30s\") { x } else { #{ value: () } } } let v = steady(heart_rate).value; v != () && v > 120.0",
            "let h = heart_rate; let v = ()?.value; v == () && h.age < 1.0 && h.since_gap > 60.0",
            "let h = #{ value: heart_rate }.value; let m = h.mean(\"1min\"); m != () && m > 140.0",
        ] {
            let run = |script: &str| {
                let more = "gaps = true\ngap_after = \"20s\"\n";
                let mut rule = rule("asked", more, script);
                rule.manifest.inputs.push(Quantity::CORE_TEMPERATURE);
                let mut engine = Engine::new(set([rule])).unwrap();
                let fed = engine.feed(&entries);
                let faults: Vec<bool> = fed.faults.iter().map(|fault| fault.off).collect();
                (fed.events, faults, engine.status()[0].evaluations)
            };
            // Who looks at the time is asked anew each time.
            prop_assert_eq!(run(script), run(&format!("if time < 0.0 {{ return false; }}\n{script}")), "{}", script);
        }
    }

    #[test]
    fn entries_fed_twice_count_once(entries in arb_entries()) {
        let set = library();
        let once = Engine::new(Arc::clone(&set)).unwrap().feed(&entries);
        let mut engine = Engine::new(set).unwrap();
        let mut events = engine.feed(&entries).events;
        events.extend(engine.feed(&entries).events);
        prop_assert_eq!(events, once.events);
    }

    #[test]
    fn every_alert_cleared_was_raised_before_and_no_id_comes_twice(entries in arb_entries()) {
        let fed = Engine::new(library()).unwrap().feed(&entries);
        let mut open = std::collections::BTreeSet::new();
        let mut known = std::collections::BTreeSet::new();
        for event in fed.events {
            match event {
                AlertEvent::Raised(alert) => {
                    prop_assert!(known.insert(alert.id), "{}", alert.id);
                    open.insert(alert.id);
                }
                AlertEvent::Cleared { id, .. } => prop_assert!(open.remove(&id)),
            }
        }
    }
}

#[test]
fn the_alert_names_athlete_device_value_and_time() {
    let mut engine =
        Engine::new(set([rule("high", "", "if value > 180.0 { `Rate ${value.to_int()}.` } else { false }")])).unwrap();
    let fed = engine.feed(&[rate(0, 120), rate(1, 190), rate(2, 191)]);
    let [alert] = raised(&fed)[..] else { panic!("{fed:?}") };
    assert_eq!((alert.rule.as_str(), alert.rule_version.as_str()), ("high", "1.0.0"));
    assert_eq!(alert.athlete.as_ref().map(|a| a.as_str()), Some("ann"));
    assert_eq!((alert.device.as_str(), alert.quantity, alert.unit), ("strap", Quantity::HEART_RATE, Unit::PER_MINUTE));
    assert_eq!((alert.value, alert.priority), (Some(Decimal::integer(190)), Priority::Low));
    assert_eq!(alert.event_time, Timestamp::from_seconds(1_767_225_601));
    assert_eq!(alert.message, "Rate 190.");
}

#[test]
fn state_fields_survive_and_belong_to_one_athlete() {
    let script = "n += 1; seen = `${seen}x`; n >= 3 && seen == \"xxx\"";
    let mut engine = Engine::new(set([rule("third", "[state]\nn = 0\nseen = \"\"\n", script)])).unwrap();
    let other = |second: i64| Entry {
        athlete: Some(AthleteId::parse("bea").unwrap()),
        device: DeviceId::parse("b").unwrap(),
        ..rate(second, 100)
    };
    let fed = engine.feed(&[rate(0, 1), other(0), rate(1, 1), other(1), rate(2, 1)]);
    assert_eq!(raised(&fed).len(), 1, "{fed:?}");
}

#[test]
fn assurance_too_weak_is_not_heard() {
    let strict = rule("strict", "assurance = \"psk\"\n", "true");
    let mut engine = Engine::new(set([strict])).unwrap();
    let weak = Entry { assurance: Assurance::Password, ..rate(0, 100) };
    assert_eq!(engine.feed(&[weak]), Fed::default());
    assert_eq!(raised(&engine.feed(&[rate(1, 100)])).len(), 1);
}

#[test]
fn a_failing_rule_is_named_with_its_line_switched_off_and_harms_no_other() {
    let bad = rule("bad", "", "// first line\nif value > 0.0 {\n  throw \"no\";\n}\nfalse");
    let mut engine = Engine::new(set([bad, rule("good", "", "value > 105.0")])).unwrap();
    let fed = engine.feed(&(0..20).map(|i| rate(i, 100 + i)).collect::<Vec<_>>());
    assert_eq!(fed.faults.len(), 8);
    assert_eq!(fed.faults[0].fault.to_string(), "thrown by the script: no at line 3, column 3: throw \"no\";");
    assert!(fed.faults.iter().all(|f| f.rule.as_str() == "bad" && f.off == (f == &fed.faults[7])));
    assert_eq!(raised(&fed).len(), 1);
    let status = engine.status();
    assert!(status[0].off && !status[1].off);
    assert_eq!(status[1].evaluations, 20);
}

#[test]
fn answers_that_are_none_are_faults() {
    for (script, told) in [
        ("42", "not i64"),
        ("if value < 0.0 { true }", "does every `if` have an `else`?"),
        ("n = \"x\"; true", "state field `n`"),
        ("heart_rate.mean(`${5}min`) > 1.0", "not a span written in the script"),
        ("value.nothing > 1", "nothing"),
        ("heart_rate.percentile(101, \"5min\") > 1.0", "takes a percent from 0 to 100, not 101.0"),
        ("heart_rate.percentile(-0.5, \"5min\") > 1.0", "takes a percent from 0 to 100, not -0.5"),
        ("limit + 1", "not f64"),
    ] {
        let manifest = "[params.limit]\ndefault = 1.0\nmin = 0.0\nmax = 2.0\n[state]\nn = 0\n";
        let mut engine = Engine::new(set([rule("odd", manifest, script)])).unwrap();
        let fed = engine.feed(&[rate(0, 100)]);
        assert!(fed.faults.first().is_some_and(|f| f.fault.to_string().contains(told)), "{script}: {fed:?}");
    }
}

#[test]
fn a_function_called_by_a_pointer_answers_as_by_its_name_or_not_at_all() {
    let says = |asked: &str| {
        let script = format!("let told = {asked}; if value > 150.0 {{ `${{told}}` }} else {{ false }}");
        let fed = Engine::new(set([rule("x", "", &script)])).unwrap().feed(&[rate(0, 100), rate(1, 130), rate(2, 160)]);
        match (raised(&fed)[..].first(), fed.faults.first()) {
            (Some(alert), None) => Ok(alert.message.clone()),
            (_, fault) => Err(fault.unwrap().fault.to_string()),
        }
    };
    for (by_name, by_pointer, told) in [
        ("heart_rate.stddev(\"1min\")", "Fn(\"stddev\").call(heart_rate, \"1min\")", "30.0"),
        ("heart_rate.min(\"1min\")", "Fn(\"min\").call(heart_rate, \"1min\")", "100.0"),
        ("heart_rate.max(\"1min\")", "Fn(\"max\").call(heart_rate, \"1min\")", "160.0"),
        ("heart_rate.percentile(50, \"1min\")", "Fn(\"percentile\").call(heart_rate, 50, \"1min\")", "130.0"),
    ] {
        assert_eq!((says(by_name).as_deref(), says(by_pointer).as_deref()), (Ok(told), Ok(told)), "{by_pointer}");
    }
    // A name that is put together while the script runs is known to nobody before.
    for (name, more) in [("\"std\" + \"dev\"", ""), ("\"m\" + \"ax\"", ""), ("\"per\" + \"centile\"", "50, ")] {
        let why = says(&format!("Fn({name}).call(heart_rate, {more}\"1min\")")).unwrap_err();
        assert!(why.contains("must be written in the script as it is called"), "{why}");
    }
}

#[test]
fn a_script_cannot_change_what_the_next_call_sees() {
    let manifest = "[params.limit]\ndefault = 150.0\nmin = 0.0\nmax = 200.0\n";
    for script in ["limit = 0.0; true", "heart_rate = 5; true"] {
        let mut engine = Engine::new(set([rule("x", manifest, script)])).unwrap();
        let fed = engine.feed(&[rate(0, 100)]);
        assert!(fed.faults[0].fault.message.contains("constant") && fed.events.is_empty(), "{script}: {fed:?}");
    }
    let script = "let hot = value > limit; value = 0.0; time = 0.0; raised = true; hot";
    let mut engine = Engine::new(set([rule("x", manifest, script)])).unwrap();
    let fed = engine.feed(&[rate(0, 100), rate(1, 160), rate(2, 100), rate(3, 170)]);
    assert_eq!(fed.events.len(), 3, "{fed:?}");
}

#[test]
fn problems_of_all_rules_are_told_and_nothing_changes() {
    let mut engine = Engine::new(set([rule("good", "", "value > 105.0")])).unwrap();
    let clash = "[params.value]\ndefault = 1.0\nmin = 0.0\nmax = 2.0\n";
    let problems = engine.reload(set([rule("a", "", "valu > 1.0"), rule("b", clash, "slop(value)")])).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "a/rule.rhai:1:1: `valu` is not a variable here (did you mean `value`?)",
            "b/rule.toml: `value` is a variable already (choose another name)",
            "b/rule.rhai:1:1: there is no function `slop` (did you mean `slope`?)",
        ]
    );
    assert_eq!(raised(&engine.feed(&[rate(0, 110)])).len(), 1);
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let counter = rule("counter", "[state]\nn = 0\n", "n += 1; n >= 4");
    let mut engine = Engine::new(set([counter.clone(), rule("high", "", "value > 180.0")])).unwrap();
    let fed = engine.feed(&[rate(0, 190), rate(1, 190)]);
    let id = raised(&fed)[0].id;
    // `high` changes while its alert is raised, a third rule comes.
    let events = engine
        .reload(set([counter.clone(), rule("high", "", "value > 185.0"), rule("new", "", "value > 150.0")]))
        .unwrap();
    assert_eq!(events, []);
    let fed = engine.feed(&[rate(2, 190)]);
    assert_eq!(raised(&fed).iter().map(|a| a.rule.as_str()).collect::<Vec<_>>(), ["new"], "no second alert of `high`");
    // The fourth reading for the counter; the new version clears the old alert.
    let fed = engine.feed(&[rate(3, 160)]);
    assert_eq!(fed.events[1], AlertEvent::Cleared { id, event_time: Timestamp::from_seconds(1_767_225_603) });
    assert_eq!(raised(&fed).iter().map(|a| a.rule.as_str()).collect::<Vec<_>>(), ["counter"]);
    // A rule that goes leaves no alert behind.
    let gone = engine.reload(set([counter])).unwrap();
    assert!(matches!(gone[..], [AlertEvent::Cleared { .. }]), "{gone:?}");
}

#[test]
fn a_latched_alert_is_reset_by_hand() {
    let mut engine = Engine::new(set([rule("latch", "latch = true\n", "value > 180.0")])).unwrap();
    let id = raised(&engine.feed(&[rate(0, 190), rate(1, 100), rate(2, 100)]))[0].id;
    assert_eq!(engine.reset(id, Timestamp(5)), Some(AlertEvent::Cleared { id, event_time: Timestamp(5) }));
    assert_eq!(engine.reset(id, Timestamp(5)), None);
    assert_eq!(raised(&engine.feed(&[rate(3, 190)])).len(), 1);
}

#[test]
fn subjects_are_bounded_and_a_raised_alert_is_the_last_to_go() {
    let mut engine = Engine::new(set([rule("high", "", "value > 180.0")])).unwrap();
    let of = |n: usize, value| Entry {
        athlete: Some(AthleteId::parse(&format!("a{n}")).unwrap()),
        device: DeviceId::parse(&format!("d{n}")).unwrap(),
        ..rate(0, value)
    };
    assert_eq!(raised(&engine.feed(&[of(0, 190)])).len(), 1);
    for n in 1..5_000 {
        engine.feed(&[of(n, 100)]);
    }
    let later = Entry { seq: Seq(1), readings: rate(1, 190).readings, ..of(0, 0) };
    assert_eq!(engine.feed(&[later]), Fed::default(), "still raised, so not raised again");
}

/// What an engine remembers of a fixed morning, hashed: whoever lays memory out anew names another layout (`snapshot.rs`) and another
/// version of the engine (`replay.rs`), and puts the new hash here.
#[test]
fn memory_is_laid_out_as_its_name_says() {
    let scripts = [
        ("window", "", "heart_rate.mean(\"1min\") > 250.0 && heart_rate.percentile(50, \"30s\") > 0.0"),
        ("usual", "", "heart_rate.deviations(\"7d\") > 3.0"),
        ("helper", "", "held(\"high\", \"10s\", value > 150.0) || times(\"often\", \"1min\", value > 150.0) > 3"),
        ("order", "", "sequence(\"both\", \"1min\", value > 180.0, value < 110.0)"),
        (
            "memory",
            "[state]\nhighest = 0.0\nword = \"\"\n",
            "if value > highest { highest = value; word = quantity; } highest > 150.0",
        ),
        ("held", "hold = \"5s\"\nclear_after = \"30s\"\n", "value > 120.0"),
    ];
    let derived = |name: &str, input: &str| {
        let manifest = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [\"{input}\"]\n"
        );
        RuleSource::parse(name, &manifest, "value > 1.0").unwrap()
    };
    let stream = "name = \"double\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"derived\"\ninputs = [\"heart_rate\"]\noutputs = [\"heat_index\"]\n";
    let stream = RuleSource::parse_stream("double", stream, "value / 10.0").unwrap();
    let rules = || {
        let plain = scripts.map(|(name, more, script)| rule(name, more, script));
        let made = [derived("load", "training_load"), derived("made", "heat_index")];
        let (rules, problems) = RuleSet::new(plain.into_iter().chain(made)).unwrap().with_streams([stream.clone()]);
        assert_eq!(problems, []);
        Arc::new(rules)
    };
    let mut engine = Engine::new(rules()).unwrap();
    let morning = (0..200).map(|n| rate(n * 3, 100 + n * 7 % 110));
    let gap = reading(Quantity::HEART_RATE, 700, Value::Gap(Gap { reason: GapReason::Silent, extent: 9 }));
    let entries: Vec<Entry> = morning.chain([entry("strap", 1_000, vec![gap]), rate(800, 190)]).collect();
    let fed = engine.feed(&entries);
    assert!(fed.faults.is_empty() && !fed.events.is_empty(), "{:?}", fed.faults);
    let snapshot = engine.snapshot();
    assert!(snapshot.starts_with(LAYOUT));
    assert_eq!(rules_of(&snapshot), Some(rules().hash()));
    assert_eq!(
        (LAYOUT, &blake3::hash(&snapshot).to_hex()[..16]),
        (&b"pitchside-rules-memory/7\n"[..], "e91cc4f662ff2f3c")
    );
    let mut another = snapshot.clone();
    another[LAYOUT.len() - 2] += 1;
    assert_eq!(rules_of(&another), None);
    assert_eq!(Engine::new(rules()).unwrap().resume(&another), Err(SnapshotError::Unreadable));
}
