//! What `pitchside rules check` says, rule by broken rule. `UPDATE=1 cargo test -p pitchside-rules --test lint` writes
//! `broken/expected.txt` anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_rules::{RuleSet, lint_folder, lint_rule, lint_rule_folder, run_cases};
use pitchside_script::Problem;

#[test]
fn every_problem_of_every_broken_rule_is_told_with_its_place_and_kind() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let told: String = lint_folder(&folder).iter().map(|problem| format!("{problem} [{}]\n", problem.code)).collect();
    let expected = folder.join("expected.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&expected).unwrap_or_default());
}

#[test]
fn whatever_keeps_a_rule_from_loading_is_an_error_of_the_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let told = lint_folder(&folder);
    for problem in RuleSet::load(&folder).unwrap_err() {
        assert!(told.iter().any(|p| p.is_error() && p.file == problem.file), "{problem}");
    }
}

#[test]
fn the_library_is_without_errors_and_without_warnings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let told: Vec<String> = lint_folder(&folder).iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn a_rules_own_folder_is_told_what_its_parent_is_told_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    // That two are called alike only their parent knows.
    let mut all = lint_folder(&folder);
    all.retain(|problem| !problem.message.contains("no two rules have one name"));
    for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        let is_of_it = |problem: &Problem| problem.file.starts_with(&format!("{name}/"));
        let (told, others): (Vec<Problem>, Vec<Problem>) = all.into_iter().partition(is_of_it);
        all = others;
        assert_eq!(lint_rule_folder(&entry.path(), &name), told, "{name}");
    }
    assert_eq!(all, []);
}

#[test]
fn what_keeps_the_versions_of_a_folder_of_rules_is_no_rule_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken/good");
    std::fs::create_dir_all(dir.path().join(".git/objects")).unwrap();
    std::fs::create_dir(dir.path().join("good")).unwrap();
    for file in ["rule.toml", "rule.rhai", "cases.txt", "README.md"] {
        std::fs::copy(good.join(file), dir.path().join("good").join(file)).unwrap();
    }
    assert_eq!(lint_folder(dir.path()), []);
    assert_eq!(RuleSet::load(dir.path()).unwrap().rules().len(), 1);
    let report = run_cases(dir.path());
    assert!(report.problems.is_empty() && !report.cases.is_empty(), "{report}");
}

const HEAD: &str = "version = \"1.0.0\"\nsummary = \"A test.\"\n";
const CASES: &str = "case it raises\n  +0s heart_rate 190 /min -> raise low\n";

/// The errors of a rule called `slip`.
fn errors(manifest: &str, script: &str) -> Vec<String> {
    let manifest = format!("name = \"slip\"\n{HEAD}{manifest}");
    let found = lint_rule("slip", &manifest, script, CASES);
    found.iter().filter(|problem| problem.is_error()).map(ToString::to_string).collect()
}

#[test]
fn a_slip_in_the_manifest_hides_nothing_as_long_as_the_names_are_there() {
    let unknown = "slip/rule.rhai:1:1: `valeu` is not a variable here (did you mean `value`?)";
    let priority = "slip/rule.toml:4:12: `priority` must be \"low\", \"medium\" or \"high\"";
    assert_eq!(errors("priority = \"lo\"\ninputs = [\"power\"]\n", "valeu > power.value"), [priority, unknown]);
    // Which variables there are nobody knows then: `strength` may be one.
    let inputs = "slip/rule.toml:5:10: `inputs` names no quantity `powr`; did you mean `power`?";
    assert_eq!(errors("priority = \"low\"\ninputs = [\"powr\"]\n", "powr.value > strength"), [inputs]);
    assert_eq!(
        errors("priority = \"low\"\ninputs = [\"powr\"]\n", "powr.mean(\"5min\") > 1.0 && above(value, \"x\", 1.0)"),
        [inputs, "slip/rule.rhai:1:41: `above` wants a number with a point, this is a text"],
        "what hangs on no name is told"
    );
}

#[test]
fn a_misspelt_function_is_told_with_the_nearest_of_those_that_what_is_before_the_dot_has() {
    let told = |call: &str| errors("priority = \"low\"\ninputs = [\"heart_rate\"]\n", &format!("{call} > 1.0"));
    let men = "slip/rule.rhai:1:12: there is no function `men` (did you mean `mean`?)";
    assert_eq!(told("heart_rate.men(\"1min\")"), [men], "an input has no `len`");
    assert_eq!(told("\"ab\".lenn()"), ["slip/rule.rhai:1:6: there is no function `lenn` (did you mean `len`?)"]);
}

#[test]
fn scripts_that_are_right_are_told_no_error() {
    let manifest = "priority = \"low\"\ninputs = [\"heart_rate\", \"power\"]\ngaps = true\n\
                    [params.limit]\ndefault = 180.0\nmin = 100.0\nmax = 220.0\n\
                    [state]\nn = 0\npeak = 0.0\nword = \"\"\nseen = false\n";
    for script in [
        "n += 1; word = `${word}x`; n >= 3 && word == \"xxx\"",
        "min(\"b\", \"a\") == word || n > 3",
        "min(heart_rate, \"5min\") > 40.0 && typical(heart_rate, \"7d\", \"hour\") != ()",
        "n += 1; if n > 3 && !seen { seen = true; n = 0; } seen",
        "if value > peak { peak = value; word = quantity; } peak > 150.0",
        "peak += 1; peak -= value; peak *= 0.5; peak > limit - 1 && -limit < 0",
        "n = value.to_int(); n += 1.5; n = n.to_int(); n > 3",
        "word += n; word += limit; word + raised == \"x\" || raised + word == \"x\"",
        "if gap == () { value != () && value > limit } else { gap == \"silent\" && extent > 10.0 || raised }",
        "if raised { return false; } `${heart_rate.since_gap} ${heart_rate.gaps(\"10min\")}`",
        "if raised { return value != (); } if quantity != \"power\" { return raised; } `x`",
        "heart_rate.covers(\"5min\")",
        "let far = heart_rate.deviations(\"7d\", \"hour\"); far > 3.0 || heart_rate.typical(\"7d\", \"\") > limit",
        "fn steady(x) { if x.covers(\"30s\") { x } else { #{ value: () } } } steady(heart_rate).value != ()",
        "let hot = value > limit; value = 0.0; time = 0.0; raised = true; hot && raised",
        "let m = #{ limit: 1 }; m.limit - 1 == 0 && [1, 2].some(|other| other == 2)",
        "switch quantity { \"power\" => value > limit, _ => raised }",
        "heart_rate.percentile(0, \"5min\") > 1 || heart_rate.percentile(100, \"5min\") > limit",
        "min(n, 2) + max(peak, limit) > 3 && \"a\" + 'b' + 1 != \"ab1\"",
        "while n < 3 { n += 1; } do { n -= 1; } until n <= 0; n == 0",
        "heart_rate.time_above(to_float(n), \"5min\") > to_float(limit)",
    ] {
        assert_eq!(errors(manifest, script), [""; 0], "{script}");
    }
}

#[test]
fn a_script_that_is_told_to_fail_at_its_first_reading_does_and_one_that_is_not_does_not() {
    use pitchside_model::*;
    let time = Timestamp::from_seconds(1_767_225_600);
    let (quantity, quality) = (Quantity::HEART_RATE, Quality::empty());
    let value = Value::Number(Decimal::integer(190));
    let entry = Entry {
        device: "strap".parse().unwrap(),
        athlete: None,
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(1),
        readings: vec![Reading {
            quantity,
            unit: quantity.unit(),
            device_time: time,
            gateway_time: time,
            quality,
            value,
        }],
    };
    let manifest = "name = \"x\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [\"heart_rate\"]\n\
                    [state]\nn = 0\nrate = 0.0\n";
    let names = |count: usize| -> String {
        let calls = (0..count).map(|n| format!("held(\"{n}\", \"5min\", value > rate);"));
        calls.chain(["n == rate".to_owned()]).collect()
    };
    for (script, fails) in [
        ("", true),
        ("// Nothing yet.\n", true),
        (";", true),
        ("fn fast(x) { x > 180.0 }", true),
        ("n = (); n == rate", true),
        ("n = value; n == rate", true),
        ("rate = (); n == rate", true),
        ("n = heart_rate.value; n == rate", true),
        ("rate = heart_rate.count(\"1min\"); n == rate", true),
        ("held(\"a\", \"0s\", value > rate + n)", true),
        ("held(\"a\", \"5min\", heart_rate.value) || n == rate", true),
        ("held(\"a\", \"5min\", value > rate) || times(\"a\", \"5min\", value > rate) > n", true),
        ("held(\"a\", \"5min\", value > rate) || held(\"a\", \"1min\", value > rate + n)", false),
        ("held(\"\", \"5min\", value > rate + n)", true),
        ("held(\"0123456789abcdef0123456789abcdef0\", \"5min\", value > rate + n)", true),
        ("held(\"0123456789abcdef0123456789abcdef\", \"5min\", value > rate + n)", false),
        (names(17).as_str(), true),
        (names(16).as_str(), false),
        ("let fast = value > 100.0; times(\"a\", \"1h\", fast) && n == rate", true),
        ("!heart_rate.value && n == rate", true),
        ("held(\"a\", \"5min\", heart_rate.covers(\"5min\")) && n == rate", false),
        ("heart_rate.covers(\"5min\") > 3 || n == rate", false),
        ("rate = value; n == rate", false),
        ("n = value.to_int(); n == rate", false),
        ("n = value; n = n.to_int(); n == rate", false),
        ("held(\"a\", \"1ms\", value > rate + n)", false),
    ] {
        let problems = lint_rule("x", manifest, script, "");
        let is_told = problems.iter().any(|problem| problem.is_error() && problem.file == "x/rule.rhai");
        assert_eq!(is_told, fails, "{script}: {problems:?}");
        let set = RuleSet::new([pitchside_rules::RuleSource::parse("x", manifest, script).unwrap()]).unwrap();
        let fed = pitchside_rules::Engine::new(set.into()).unwrap().feed(std::slice::from_ref(&entry));
        assert_eq!(!fed.faults.is_empty(), fails, "{script}: {:?}", fed.faults);
    }
}

/// The warnings about one file of a rule called `slip`.
fn warnings(manifest: &str, script: &str, cases: &str, file: &str) -> Vec<String> {
    let manifest = format!("name = \"slip\"\n{HEAD}{manifest}");
    let found = lint_rule("slip", &manifest, script, cases);
    found.iter().filter(|p| !p.is_error() && p.file.ends_with(file)).map(ToString::to_string).collect()
}

#[test]
fn a_reason_or_quantity_that_there_is_not_is_told() {
    let script = "gap == \"contact-lost\" || quantity == \"heart_rte\" && value > 1.0";
    assert_eq!(
        warnings("priority = \"low\"\ninputs = [\"heart_rate\"]\ngaps = true\n", script, CASES, "rule.rhai"),
        [
            "slip/rule.rhai:1:8: warning: `gap` is never \"contact-lost\" (did you mean `contact_lost`?)",
            "slip/rule.rhai:1:38: warning: `quantity` is never \"heart_rte\" (did you mean `heart_rate`?)",
        ]
    );
    // Which inputs there are nobody knows here.
    let unread = warnings("priority = \"low\"\ninputs = [\"heart_rte\"]\n", "quantity == \"x\"", CASES, "rule.rhai");
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn a_case_has_a_gap_if_it_has_one_whatever_it_is_called() {
    let missing = |cases: &str| {
        let manifest = "priority = \"low\"\ninputs = [\"heart_rate\"]\ngap_after = \"2min\"\n";
        let told = warnings(manifest, "value > 180.0", cases, "cases.txt");
        told.iter().any(|told| told.ends_with("no case has a gap"))
    };
    assert!(missing("case an easy run is silent, with no gap\n  +0s..4min/2min heart_rate 90 /min ->\n"));
    assert!(!missing("case an easy run\n  +0s heart_rate 90 /min ->\n  +1s heart_rate gap silent 10s ->\n"));
    assert!(!missing("case an easy run\n  +0s heart_rate 90 /min ->\n  +20min heart_rate 90 /min ->\n"), "a hole");
}
