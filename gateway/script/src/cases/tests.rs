use super::*;
use pitchside_model::{Assurance, GapReason, Priority, Reading, Timestamp, Value};

const HEAT: &str = "\
case rising core temperature raises once
  +0s    core_temperature 39.2 Cel ->
  +60s   core_temperature 39.7 Cel -> raise high
  +61s   core_temperature 39.8 Cel ->
case a gap never raises
  +0s    core_temperature 39.2 Cel ->
  +20min core_temperature 39.7 Cel ->
";
const STRAP: &str = "\
case 8-bit heart rate
  00 48 -> heart_rate 72 /min
case truncated payload is refused
  00    -> error short_payload
";

#[test]
fn the_rule_cases_of_the_design_read() {
    let cases = parse_rule_cases("cases.txt", HEAT).unwrap();
    assert_eq!(cases.len(), 2);
    assert_eq!(cases[0].steps.len(), 3);
    assert_eq!(cases[0].steps[1].expected, [Outcome::Raise(Priority::High, None)]);
    assert_eq!(cases[1].steps[1].times, (1_200_000_000, 1_200_000_000, 0));
    assert_eq!(cases[1].line, 5);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let marked = |text: &str| format!("\u{feff}{text}");
    assert_eq!(parse_rule_cases("c", &marked(HEAT)), parse_rule_cases("c", HEAT));
    assert_eq!(parse_plugin_cases("c", &marked(STRAP)), parse_plugin_cases("c", STRAP));
    assert!(parse_rule_cases("c", &marked(&marked(HEAT))).is_err(), "one");
}

#[test]
fn gaps_flags_people_and_repeats_read() {
    let source = "case everything # with a comment\n  +0s..10s/5s @ann/strap-1 heart_rate 190 /min late psk -> clear, raise low \"a, b # c\"\n\
                  +1s @/hub heart_rate gap silent 30s ->\n -5s heart_rate 1 /min ->";
    let steps = parse_rule_cases("c", source).unwrap().remove(0).steps;
    assert_eq!(steps[0].instants().collect::<Vec<_>>(), [0, 5_000_000, 10_000_000]);
    assert_eq!((steps[0].assurance, steps[0].quality), (Assurance::Psk, Quality::LATE));
    assert_eq!(steps[0].expected, [Outcome::Clear, Outcome::Raise(Priority::Low, Some("a, b # c".to_owned()))]);
    assert_eq!(steps[0].athlete.as_ref().map(|a| a.as_str()), Some("ann"));
    assert_eq!((steps[1].athlete.as_ref(), steps[1].device.as_str()), (None, "hub"));
    let Content::Gap(gap) = steps[1].content else { panic!("a gap") };
    assert_eq!((gap.reason, gap.extent), (GapReason::Silent, 30_000_000));
    assert_eq!(steps[2].instants().collect::<Vec<_>>(), [-5_000_000]);
}

#[test]
fn every_bad_line_is_named_with_its_column() {
    let source = "  +0s heart_rate 1 /min ->\ncase one\n  60s heart_rate 1 /min ->\n  +1s heart_rte 1 /min ->\n  +1s heart_rate x /min ->\n\
                  \x20 +1s heart_rate 1 bpm ->\n  +1s heart_rate 1 /min\n  +1s heart_rate 1 /min -> rise high\n  +1s heart_rate gap lost ->\n\
                  \x20 +1s heart_rate 1 /min -> raise urgent\ncase one\ncase \n";
    let found: Vec<String> = parse_rule_cases("c", source).unwrap_err().iter().map(|p| p.to_string()).collect();
    assert_eq!(
        found,
        [
            "c:1:1: a step before the first case (begin with `case NAME`)",
            "c:3:3: `60s` is not a time (write +60s or +0s..5min/1s)",
            "c:4:7: `heart_rte` is not a quantity (did you mean `heart_rate`?)",
            "c:5:18: `x` is not a decimal number",
            "c:6:20: `bpm` is not a UCUM unit the box knows (heart_rate is in /min)",
            "c:7:1: a step needs `->` (input -> what comes out)",
            "c:8:28: `rise` is not an outcome (did you mean `raise`?)",
            "c:9:22: `lost` is no reason for a gap (there are silent, disconnected, contact_lost, dropped, clock_step, ended, invalid)",
            "c:10:28: write `raise low|medium|high`, and a message in quotes if you like",
            "c:11:1: there is a case \"one\" already",
            "c:11:1: the case \"one\" has no steps",
            "c:12:1: a case needs a name",
        ]
    );
    assert!(parse_rule_cases("c", "# nothing").unwrap_err()[0].to_string().contains("there is no case"));
}

#[test]
fn what_comes_out_is_compared_line_by_line() {
    let cases = parse_rule_cases("c", HEAT).unwrap();
    let raise = || vec![Outcome::Raise(Priority::High, Some("hot".to_owned()))];
    let good = run_rule_cases("heat", "c", &cases, |case| {
        Ok(if case.line == 1 { vec![vec![], raise(), vec![]] } else { vec![vec![]; 2] })
    });
    assert!(good.passed(), "{good}");
    let bad = run_rule_cases("heat", "c", &cases, |case| {
        if case.line == 1 { Ok(vec![raise(), vec![], vec![]]) } else { Err("the rule threw".to_owned()) }
    });
    let shown = bad.to_string();
    assert!(shown.contains("c:2:1: expected nothing, got raise high \"hot\""), "{shown}");
    assert!(shown.contains("c:3:1: expected raise high, got nothing"), "{shown}");
    assert!(shown.ends_with("2 cases, 2 failed"), "{shown}");
}

fn rate(mantissa: i64) -> Reading {
    Reading {
        quantity: Quantity::HEART_RATE,
        unit: Unit::PER_MINUTE,
        device_time: Timestamp(5),
        gateway_time: Timestamp(0),
        quality: Quality::empty(),
        value: Value::Number(Decimal::integer(mantissa)),
    }
}

#[test]
fn the_plugin_cases_of_the_design_run() {
    let cases = parse_plugin_cases("cases.txt", STRAP).unwrap();
    assert_eq!(cases[0].steps[0].payload, [0x00, 0x48]);
    assert_eq!(cases[1].steps[0].expected, Err("short_payload".to_owned()));
    let decode = |case: &PluginCase| {
        let one = |step: &PluginStep| match step.payload.get(1) {
            Some(byte) => Ok(vec![rate(i64::from(*byte))]),
            None => Err("short_payload".to_owned()),
        };
        Ok(case.steps.iter().map(one).collect())
    };
    let report = run_plugin_cases("strap", "cases.txt", &cases, Timestamp(0), decode);
    assert!(report.passed(), "{report}");
    let report = run_plugin_cases("strap", "cases.txt", &cases, Timestamp(0), |_| Ok(vec![Ok(vec![rate(71)])]));
    let shown = report.to_string();
    assert!(shown.contains("cases.txt:2:1: expected heart_rate 72 /min, got +5us heart_rate 71 /min"), "{shown}");
    assert!(shown.contains("cases.txt:4:1: expected error short_payload, got +5us heart_rate 71 /min"), "{shown}");
}

#[test]
fn several_readings_gaps_waves_and_times_are_expected() {
    let source = "case all\n 1048 f2 -> heart_rate 72 /min poor_contact, -812ms rr_interval 812 ms, ecg wave 25, heart_rate gap contact_lost\n -> \n";
    let steps = parse_plugin_cases("c", source).unwrap().remove(0).steps;
    assert_eq!(steps[0].payload, [0x10, 0x48, 0xf2]);
    let list = steps[0].expected.as_ref().unwrap();
    assert_eq!(list.len(), 4);
    assert_eq!(list[0].quality, Quality::POOR_CONTACT);
    assert_eq!(list[1].offset, Some(-812_000));
    assert_eq!((steps[1].payload.len(), &steps[1].expected), (0, &Ok(Vec::new())));
    for (bad, column) in [("0 ->", 1), ("zz ->", 1), ("00 -> error", 7), ("00 -> error a, heart_rate 1 /min", 7)] {
        let problem = parse_plugin_cases("c", &format!("case x\n{bad}")).unwrap_err().remove(0);
        assert_eq!((problem.line, problem.column), (2, column), "{problem}");
    }
}

#[test]
fn a_payload_may_name_its_topic() {
    let source = "case x\n on hall/state 0048 ->\n on \"changing room/state\" ->\n 00 ->\n";
    let steps = parse_plugin_cases("c", source).unwrap().remove(0).steps;
    let read: Vec<(&str, usize)> = steps.iter().map(|step| (step.topic.as_str(), step.payload.len())).collect();
    assert_eq!(read, [("hall/state", 2), ("changing room/state", 0), ("", 1)]);
    let long = format!("on {} 00 ->", "a".repeat(513));
    for (bad, column) in [("on ->", 1), ("on hall/+ 00 ->", 4), ("on \"\" 00 ->", 4), (long.as_str(), 4)] {
        let problem = parse_plugin_cases("c", &format!("case x\n{bad}")).unwrap_err().remove(0);
        assert_eq!((problem.line, problem.column), (2, column), "{problem}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in "(case [a-z ]{0,5}\n|[ +0-9a-z@./>\"#,-]{0,40}\n){0,12}") {
        let _ = parse_rule_cases("c", &source);
        let _ = parse_plugin_cases("c", &source);
        let _ = parse_derived_cases("c", &source);
        let _ = fixings(&source);
    }
}

#[test]
fn params_are_fixed_for_all_cases_and_for_one() {
    let source =
        "with a 1 with b 2.5\ncase one\n  with a 3\n  +0s heart_rate 1 /min ->\ncase two\n  +0s heart_rate 1 /min ->\n";
    let cases = parse_rule_cases("c", source).unwrap();
    let fixed = |case: &RuleCase| case.fixed.iter().map(|f| (f.param.clone(), f.value)).collect::<Vec<_>>();
    assert_eq!(fixed(&cases[0]), [("a".to_owned(), 3.0), ("b".to_owned(), 2.5)]);
    assert_eq!(fixed(&cases[1]), [("a".to_owned(), 1.0), ("b".to_owned(), 2.5)]);
    for (source, problem) in [
        ("with a", "c:1:7: a number is missing"),
        ("with a 1 and b 2", "c:1:10: `and`: write `with PARAM NUMBER`, and the next the same way"),
        ("with a NaN", "c:1:8: `NaN` is no number"),
        ("with a 1 with a 2", "c:1:15: `a` is fixed twice"),
        ("with a 1 with b", "c:1:16: a number is missing"),
        ("with with a 1", "c:1:5: a param is missing"),
    ] {
        let problems = parse_rule_cases("c", &format!("{source}\ncase x\n  +0s heart_rate 1 /min ->\n")).unwrap_err();
        assert_eq!(problems[0].to_string(), problem);
    }
}

#[test]
fn everything_that_is_wrong_with_what_is_fixed_is_told_at_once_where_it_stands() {
    let source = "with a x with b NaN 3 with # c\ncase x\n  +0s heart_rate 1 bpm ->\n  with ä 1 with é 2.5\n";
    let problems = parse_rule_cases("c", source).unwrap_err();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "c:1:8: `x` is no number",
            "c:1:21: `3`: write `with PARAM NUMBER`, and the next the same way",
            "c:1:27: a param is missing",
            "c:3:20: `bpm` is not a UCUM unit the box knows (heart_rate is in /min)",
            "c:4:3: what is fixed stands before the case's steps",
        ]
    );
    let found = fixings(source);
    let found: Vec<_> = found.iter().map(|f| (f.param.as_str(), f.place, f.value)).collect();
    assert_eq!(
        found,
        [
            ("a", (1, 6), None),
            ("b", (1, 15), None),
            ("ä", (4, 8), Some((1.0, (4, 10)))),
            ("é", (4, 17), Some((2.5, (4, 19))))
        ]
    );
}
