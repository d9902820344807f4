//! Streams that plugins derive, as rules see them: inputs like any other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ends;
mod library;

use std::path::Path;
use std::sync::Arc;

use pitchside_model::*;
use pitchside_rules::replay::{Outcome, Replay};
use pitchside_rules::{Engine, Fed, Filter, RuleSet, RuleSource, RulesWorker, history, lint_stream, run_stream_texts};
use pitchside_script::Program;
use proptest::prelude::*;

const AIR: &str = "\"ambient_temperature\", \"relative_humidity\"";
/// As warm as the air, and a tenth of its humidity more.
const FELT: &str = "if quantity == \"ambient_temperature\" && relative_humidity.value != () {
    value + relative_humidity.value / 10.0
} else { () }";

fn manifest(name: &str, kind: &str) -> String {
    format!("name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\n{kind}")
}

fn stream_manifest(name: &str, inputs: &str, output: &str, more: &str) -> String {
    manifest(name, &format!("kind = \"derived\"\ninputs = [{inputs}]\noutputs = [\"{output}\"]\n{more}"))
}

fn stream(name: &str, inputs: &str, output: &str, script: &str) -> RuleSource {
    RuleSource::parse_stream(name, &stream_manifest(name, inputs, output, ""), script).unwrap()
}

fn rule(name: &str, inputs: &str, more: &str, script: &str) -> RuleSource {
    let manifest = manifest(name, &format!("priority = \"low\"\ninputs = [{inputs}]\n{more}"));
    RuleSource::parse(name, &manifest, script).unwrap()
}

fn set(rules: impl IntoIterator<Item = RuleSource>, streams: impl IntoIterator<Item = RuleSource>) -> Arc<RuleSet> {
    let (set, problems) = RuleSet::new(rules).unwrap().with_streams(streams);
    assert_eq!(problems, []);
    Arc::new(set)
}

/// One rule on the felt heat, from one stream.
fn felt(more: &str, script: &str) -> Arc<RuleSet> {
    set([rule("tested", "\"heat_index\"", more, script)], [stream("felt", AIR, "heat_index", FELT)])
}

fn reading(quantity: Quantity, seconds: i64, value: Value) -> Reading {
    let time = Timestamp::from_seconds(1_767_225_600 + seconds);
    Reading { quantity, unit: quantity.unit(), device_time: time, gateway_time: time, quality: Quality::empty(), value }
}

fn entry(device: &str, reading: Reading) -> Entry {
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: Some(AthleteId::parse("ann").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(u64::from(reading.quantity.code())),
        seq: Seq(u64::try_from(reading.device_time.0 / 1_000).unwrap()),
        readings: vec![reading],
    }
}

fn number(device: &str, quantity: Quantity, seconds: i64, value: i64) -> Entry {
    entry(device, reading(quantity, seconds, Value::Number(Decimal::integer(value))))
}

fn air(seconds: i64, value: i64) -> Entry {
    number("thermometer", Quantity::AMBIENT_TEMPERATURE, seconds, value)
}

fn damp(seconds: i64, value: i64) -> Entry {
    number("hygrometer", Quantity::RELATIVE_HUMIDITY, seconds, value)
}

fn gap(device: &str, quantity: Quantity, seconds: i64) -> Entry {
    entry(device, reading(quantity, seconds, Value::Gap(Gap { reason: GapReason::Silent, extent: 0 })))
}

fn raised(fed: &Fed) -> Vec<&Alert> {
    assert_eq!(fed.faults, []);
    fed.events.iter().filter_map(AlertEvent::raised).collect()
}

/// What a rule that tells everything it is asked about told.
fn told(engine: &mut Engine, entries: &[Entry]) -> Vec<String> {
    let tells = entries.iter().flat_map(|entry| {
        let fed = engine.feed(std::slice::from_ref(entry));
        raised(&fed).iter().map(|alert| alert.message.clone()).collect::<Vec<_>>()
    });
    tells.collect()
}

const TELLS: &str = "if raised { false } else if gap == () { `${value}` } else { `${gap}` }";

#[test]
fn a_rule_names_what_a_plugin_makes_like_any_other_input() {
    let mut engine = Engine::new(felt("", "value >= 40.0 && heat_index.count(\"1min\") > 1")).unwrap();
    assert!(raised(&engine.feed(&[damp(0, 60), air(1, 30), damp(2, 65)])).is_empty(), "36 Cel, and a humidity alone");
    let fed = engine.feed(&[air(3, 35)]);
    let alert = raised(&fed)[0];
    assert_eq!((alert.quantity, alert.unit), (Quantity::HEAT_INDEX, Unit::CELSIUS));
    assert_eq!((alert.value, alert.device.as_str()), (Some(Decimal::parse("41.5").unwrap()), "thermometer"));
    assert_eq!(alert.event_time, Timestamp::from_seconds(1_767_225_603));
}

#[test]
fn only_what_some_rule_wants_is_made_and_counts_in_the_hash() {
    let (cold, hot) = (rule("cold", "\"core_temperature\"", "", "false"), rule("hot", "\"heat_index\"", "", "false"));
    let felt = stream("felt", AIR, "heat_index", FELT);
    let plain = RuleSet::new([cold.clone()]).unwrap();
    let same = set([cold.clone()], [felt.clone()]);
    assert_eq!((same.streams().len(), same.hash()), (0, plain.hash()), "as if there were no plugins");
    assert!(!Filter::new(&same).wants(Quantity::AMBIENT_TEMPERATURE));
    let with = set([cold.clone(), hot.clone()], [felt.clone()]);
    assert!(Filter::new(&with).wants(Quantity::RELATIVE_HUMIDITY));
    assert_ne!(with.hash(), RuleSet::new([cold.clone(), hot.clone()]).unwrap().hash());
    let list: Vec<(String, [u8; 32])> = with.all().map(|source| (source.listed_as(), source.hash)).collect();
    assert_eq!(list.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["cold", "hot", "derived/felt"]);
    assert_eq!(history::set_hash(list.iter().map(|(name, hash)| (name.as_str(), hash))), with.hash());
    let other = set([cold, hot], [stream("felt", AIR, "heat_index", "()")]);
    assert_ne!(with.hash(), other.hash(), "another version of the stream");
}

#[test]
fn what_may_not_be_made_is_refused_with_a_reason() {
    let refused = |inputs: &str, output: &str| {
        let manifest = stream_manifest("bad", inputs, output, "");
        RuleSource::parse_stream("bad", &manifest, "()").unwrap_err()[0].to_string()
    };
    assert!(refused(AIR, "wbgt").contains("wbgt is derived by the box itself (wbgt-iso7243-stull-2, wbgt-abm-2)"));
    assert!(refused("\"heat_index\"", "heat_index").contains("`inputs` names `heat_index`, which the stream makes"));
    assert!(refused(AIR, "heat_indx").contains("did you mean `heat_index`?"));
    let of = |stream: RuleSource| {
        RuleSet::new([rule("hot", "\"heat_index\", \"dew_point\"", "", "false")])
            .unwrap()
            .with_streams([stream, stream_of("felt", "heat_index")])
    };
    fn stream_of(name: &str, output: &str) -> RuleSource {
        stream(name, AIR, output, FELT)
    }
    for (stream, why) in [
        (stream_of("hot", "dew_point"), "hot/plugin.toml: the stream is left out: a rule has its name"),
        (stream_of("zest", "heat_index"), "zest/plugin.toml: the stream is left out: another plugin makes heat_index"),
        (
            stream("second", "\"heat_index\"", "dew_point", "value"),
            "second/plugin.toml: the stream is left out: its input is made by felt, a stream of a plugin",
        ),
    ] {
        let (set, problems) = of(stream);
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [why]);
        assert_eq!(set.streams().iter().map(|s| s.name().as_str()).collect::<Vec<_>>(), ["felt"]);
    }
}

#[test]
fn a_gap_of_an_input_is_a_gap_of_the_stream_whichever_device_has_it() {
    let mut engine = Engine::new(felt("gaps = true", "gap != ()")).unwrap();
    assert!(raised(&engine.feed(&[damp(0, 60), air(1, 30)])).is_empty());
    let fed = engine.feed(&[gap("hygrometer", Quantity::RELATIVE_HUMIDITY, 2)]);
    assert_eq!((raised(&fed).len(), raised(&fed)[0].device.as_str()), (1, "thermometer"));
    let mut engine = Engine::new(felt("gaps = true", TELLS)).unwrap();
    let first = [damp(0, 60), air(1, 30)];
    assert_eq!(told(&mut engine, &first), ["36.0"]);
    let fed = engine.feed(&[gap("thermometer", Quantity::AMBIENT_TEMPERATURE, 2), damp(3, 60)]);
    assert!(fed.events.len() <= 1 && fed.faults.is_empty(), "without its first input nothing is made: {fed:?}");
}

#[test]
fn assurance_and_flags_are_the_weakest_of_what_it_is_made_of() {
    let weak = |entry: Entry| Entry { assurance: Assurance::Password, ..entry };
    let strict = || Engine::new(felt("assurance = \"psk\"", "true")).unwrap();
    assert_eq!(raised(&strict().feed(&[damp(0, 60), air(1, 30)])).len(), 1);
    assert_eq!(raised(&strict().feed(&[weak(damp(0, 60)), air(1, 30)])).len(), 0);
    assert_eq!(raised(&strict().feed(&[weak(damp(0, 60)), damp(200, 60), air(201, 30)])).len(), 1, "after a gap");
    let late = |mut entry: Entry| {
        entry.readings[0].quality = Quality::LATE;
        entry
    };
    let prompt = || Engine::new(felt("accept = []", "true")).unwrap();
    assert_eq!(raised(&prompt().feed(&[late(damp(0, 60)), air(1, 30)])).len(), 0, "late is passed on");
    assert_eq!(
        raised(&prompt().feed(&[late(damp(0, 60)), damp(1, 60), air(2, 30)])).len(),
        1,
        "what was late is no part"
    );
    let doubtful = |mut entry: Entry| {
        entry.readings[0].quality = Quality::POOR_CONTACT;
        entry
    };
    assert_eq!(raised(&prompt().feed(&[doubtful(damp(0, 60)), air(1, 30)])).len(), 0, "not used at all");
}

#[test]
fn a_sensors_own_reading_counts_as_that_of_another_device() {
    let own = |seconds, value| number("station", Quantity::HEAT_INDEX, seconds, value);
    let tells = felt("clear_after = \"0s\"", "if raised { false } else { `${value}` }");
    let mut engine = Engine::new(Arc::clone(&tells)).unwrap();
    let heard = [damp(0, 60), air(1, 30), own(2, 50), own(3, 51), air(4, 31)];
    assert_eq!(
        told(&mut engine, &heard),
        ["36.0"],
        "the stream was heard first; it is cleared by its own next reading"
    );
    let mut engine = Engine::new(tells).unwrap();
    let heard = [own(0, 50), damp(1, 60), air(2, 30), air(3, 31)];
    assert_eq!(told(&mut engine, &heard), ["50.0"], "the station was");
}

#[test]
fn an_answer_that_is_no_plausible_number_is_a_fault() {
    for (script, why) in [
        ("1000.0", "1000 Cel is no heat_index: -60 to 100 is"),
        ("0.0 / 0.0", "is no heat_index"),
        ("`warm`", "a derived stream answers a number or (), not"),
        ("if value > 0.0 { 1.0 / (value - value) } else { 1.0 }", "inf Cel is no heat_index"),
    ] {
        let of = set([rule("hot", "\"heat_index\"", "", "true")], [stream("felt", AIR, "heat_index", script)]);
        let fed = Engine::new(of).unwrap().feed(&[air(0, 30)]);
        assert_eq!((fed.events.len(), fed.faults.len()), (0, 1), "{script}");
        let (name, text) = (fed.faults[0].rule.as_str(), fed.faults[0].fault.to_string());
        assert!(name == "felt" && text.contains(why), "{script}: {text}");
    }
}

#[test]
fn what_it_declares_as_state_lives_from_call_to_call_and_params_are_constants() {
    let more = "[params.step]\ndefault = 2.0\nmin = 1.0\nmax = 3.0\n[state]\nn = 0.0\n";
    let manifest = stream_manifest("count", "\"heart_rate\"", "heat_index", more);
    let count = RuleSource::parse_stream("count", &manifest, "n += step; n").unwrap();
    let mut engine = Engine::new(set([rule("hot", "\"heat_index\"", "", "value == 6.0")], [count])).unwrap();
    let beat = |seconds| number("strap", Quantity::HEART_RATE, seconds, 100);
    assert!(raised(&engine.feed(&[beat(0), beat(1)])).is_empty());
    assert_eq!(raised(&engine.feed(&[beat(2)])).len(), 1);
}

#[test]
fn a_stream_may_be_made_of_what_the_box_derives() {
    let of = stream("twice", "\"wbgt_simplified\"", "heat_index", "value");
    let mut engine = Engine::new(set([rule("hot", "\"heat_index\"", "", "value > 30.0")], [of])).unwrap();
    assert_eq!(
        raised(&engine.feed(&[damp(0, 60), number("hygrometer", Quantity::AMBIENT_TEMPERATURE, 1, 35)])).len(),
        1
    );
}

#[test]
fn a_replay_of_an_alert_on_a_stream_is_identical_and_knows_the_state_before() {
    let of = felt("", "value >= 40.0");
    let entries = [damp(0, 60), air(1, 30), air(2, 35)];
    let fed = Engine::new(Arc::clone(&of)).unwrap().feed(&entries);
    let alert = raised(&fed)[0].clone();
    let mut replay = Replay::new(Arc::clone(&of), alert.clone()).unwrap();
    assert!(replay.feed(&entries));
    assert_eq!(replay.outcome(), Outcome::Identical);
    let before = replay.state_before().unwrap().to_vec();
    use pitchside_rules::replay::{Follows, follows};
    assert_eq!(follows(&of, &alert, &entries, None).unwrap(), Follows::FromReadings);
    assert_eq!(follows(&of, &alert, &entries[2..], None).unwrap(), Follows::No);
    assert_eq!(follows(&of, &alert, &entries[2..], Some(&before)).unwrap(), Follows::FromState);
    let other = set([of.rules()[0].clone()], [stream("felt", AIR, "heat_index", "value")]);
    assert_eq!(follows(&other, &alert, &entries, Some(&before)).unwrap(), Follows::No, "another version of the stream");
}

fn write_rule(folder: &Path, name: &str, inputs: &str, script: &str) {
    let dir = folder.join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let manifest = manifest(name, &format!("priority = \"high\"\ninputs = [{inputs}]\n"));
    for (file, text) in
        [("rule.toml", manifest.as_str()), ("rule.rhai", script), ("cases.txt", ""), ("README.md", "# A test\n")]
    {
        std::fs::write(dir.join(file), text).unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_loops_is_switched_off_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write_rule(folder.path(), "hot", "\"heat_index\"", "value > 40.0");
    write_rule(folder.path(), "damp", "\"dew_point\"", "true");
    let program = Program { exe: env!("CARGO_BIN_EXE_rules-worker").into(), args: Vec::new() };
    let good = stream("felt", AIR, "heat_index", FELT);
    let loops = stream("loops", AIR, "dew_point", "loop {}");
    let mut rules = RulesWorker::spawn_with(&program, folder.path(), vec![loops, good.clone()]).await.unwrap();
    assert_eq!((rules.rule_set().streams().len(), rules.left_out().len()), (2, 0));
    let mut faults = Vec::new();
    for second in 0..10 {
        let fed =
            rules.feed(&[damp(2 * second, 60), air(2 * second + 1, if second == 9 { 36 } else { 20 })]).await.unwrap();
        faults.extend(fed.faults);
        let hot = fed.events.iter().filter(|e| matches!(e, AlertEvent::Raised(a) if a.rule.as_str() == "hot")).count();
        assert_eq!((fed.events.len(), hot), if second == 9 { (1, 1) } else { (0, 0) }, "{:?}", fed.events);
    }
    assert_eq!((faults.len(), faults.last().map(|f| (f.rule.as_str(), f.off))), (8, Some(("loops", true))));
    let off = |status: Vec<pitchside_rules::RuleStatus>| -> Vec<(String, bool, bool)> {
        status.into_iter().map(|row| (row.rule.to_string(), row.stream, row.off)).collect()
    };
    let all = |loops_off: bool| {
        let row = |name: &str, stream, off| (name.to_owned(), stream, off);
        vec![
            row("damp", false, false),
            row("hot", false, false),
            row("felt", true, false),
            row("loops", true, loops_off),
        ]
    };
    assert_eq!(off(rules.status().await.unwrap()), all(true));
    assert!(rules.again(&RuleName::parse("loops").unwrap()).await.unwrap());
    assert_eq!(off(rules.status().await.unwrap()), all(false));

    // One that does not compile is left out, with the reason; a rule is not kept from running.
    let broken = stream("broken", AIR, "dew_point", "valeu");
    rules.set_streams(vec![broken.clone(), good.clone()]);
    rules.reload().await.unwrap();
    assert_eq!(rules.rule_set().streams().len(), 1);
    assert!(rules.left_out()[0].to_string().contains("broken/derive.rhai:1:1: `valeu` is not a variable here"));
    let here = RuleSet::read(folder.path()).unwrap().with_working_streams([broken, good]);
    assert_eq!(
        (&here.0, here.1.as_slice()),
        (&**rules.rule_set(), rules.left_out()),
        "outside of a worker it is the same"
    );
    let fed = rules.feed(&[damp(100, 60), air(101, 20), air(102, 36)]).await.unwrap();
    assert_eq!(fed.faults, [], "{fed:?}");
    rules.set_streams(Vec::new());
    rules.reload().await.unwrap();
    assert_eq!(rules.rule_set().hash(), RuleSet::read(folder.path()).unwrap().hash(), "no plugins, no trace of them");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn streams_are_alike_for_any_cut_and_after_a_snapshot_anywhere(
        steps in prop::collection::vec((1i64..200, 0usize..3, 0i64..60, 0u8..30), 1..400), cut in 0usize..400,
    ) {
        let kinds = [Quantity::AMBIENT_TEMPERATURE, Quantity::RELATIVE_HUMIDITY, Quantity::HEART_RATE];
        let more = "[state]\nn = 0.0\n";
        let script = "n = if n > 20.0 { 0.0 } else { n + 1.0 }; let m = heart_rate.mean(\"5min\"); if m == () { () } else { m / 10.0 + n }";
        let counted = RuleSource::parse_stream("counted", &stream_manifest("counted", "\"heart_rate\", \"relative_humidity\"", "dew_point", more), script).unwrap();
        let of = || set(
            [rule("tells", "\"heat_index\", \"dew_point\"", "gaps = true", "if raised { false } else { `${quantity} ${value} ${time} ${heat_index.mean(\"5min\")}` }")],
            [stream("felt", AIR, "heat_index", FELT), counted.clone()],
        );
        let mut time = 0;
        let entries: Vec<Entry> = steps.into_iter().map(|(step, kind, value, odd)| {
            time += step;
            let value = match odd {
                0 => Value::Gap(Gap { reason: GapReason::Silent, extent: 0 }),
                1 => Value::Gap(Gap { reason: GapReason::ClockStep, extent: 0 }),
                _ => Value::Number(Decimal::integer(value)),
            };
            let mut made = entry(if odd == 2 { "other" } else { "strap" }, reading(kinds[kind], time, value));
            made.readings[0].quality = if odd == 3 { Quality::LATE } else { Quality::empty() };
            made.assurance = if odd == 4 { Assurance::Wired } else { Assurance::Noise };
            made
        }).collect();
        let whole = Engine::new(of()).unwrap().feed(&entries);
        prop_assert!(whole.faults.is_empty(), "{:?}", whole.faults);
        let cut = cut.min(entries.len());
        let mut first = Engine::new(of()).unwrap();
        let mut events = first.feed(&entries[..cut]).events;
        let snapshot = first.snapshot();
        let mut second = Engine::new(of()).unwrap();
        second.resume(&snapshot).unwrap();
        prop_assert_eq!(second.snapshot(), snapshot);
        for entry in &entries[cut..] {
            events.extend(second.feed(std::slice::from_ref(entry)).events);
        }
        prop_assert_eq!(&events, &whole.events);
        // Fed twice, nothing counts twice.
        prop_assert!(second.feed(&entries[cut..]).events.is_empty());
    }
}
