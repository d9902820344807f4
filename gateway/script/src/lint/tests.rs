use rhai::Dynamic;

use super::*;
use crate::limits::Limits;

fn sandbox() -> Sandbox {
    Sandbox::new(Limits::RULE, |engine| {
        engine.register_fn("mean", |_: &mut Input, _: &str| 0.0);
        engine.register_fn("percentile", |_: &mut Input, _: f64, _: &str| 0.0);
        engine.register_fn("percentile", |_: &mut Input, _: i64, _: &str| 0.0);
        engine.register_fn("above", |_: f64, _: f64, _: f64| false);
        engine.register_fn("count", |_: &mut Input, _: &str| 0_i64);
        engine.register_fn("covers", |_: &mut Input, _: &str| true);
        engine.register_fn("held", |_: &str, _: &str, _: bool| true);
        engine.register_fn("sequence", |_: &str, _: &str, _: bool, _: bool| true);
        engine.register_fn("times", |_: &str, _: &str, _: bool| 0_i64);
        engine.register_fn("typical", |_: &mut Input, _: &str| Dynamic::UNIT);
        engine.register_fn("typical", |_: &mut Input, _: &str, _: &str| Dynamic::UNIT);
        engine.register_get("value", |_: &mut Input| Dynamic::UNIT);
        engine.register_type_with_name::<Input>("Input");
    })
}

#[derive(Clone)]
struct Input;

fn known() -> Vec<Known> {
    let known = |name: &str, kind: Type, role: Role| Known { name: name.to_owned(), kind, role };
    vec![
        known("value", Type::Any, Role::Variable),
        known("quantity", Type::Text, Role::Variable),
        known("raised", Type::Bool, Role::Variable),
        known("heart_rate", Type::Own("Input".to_owned()), Role::Input),
        known("limit", Type::Float, Role::Param),
        known("count", Type::Integer, Role::State),
        known("rate", Type::Float, Role::State),
        known("word", Type::Text, Role::State),
        known("flag", Type::Bool, Role::State),
    ]
}

const USAGES: &[&str] =
    &["mean(span)", "percentile(percent, span)", "typical(half_life)", "typical(half_life, \"hour\")"];

const MEMORY: Memory<'_> = Memory { helpers: &["held", "sequence", "times"], name_bytes_max: 8, names_max: 3 };

const VALUES: &[(&str, &[&str])] = &[("quantity", &["heart_rate", "skin_contact"])];

#[track_caller]
fn told_of(source: &str, answer: Option<Answer<'_>>, expected: &[&str]) {
    let purpose = Purpose { usages: USAGES, answer, values: VALUES, memory: Some(MEMORY) };
    let found: Vec<String> = lint(&SANDBOX, "r", source, &known(), &purpose).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{source}");
}

#[track_caller]
fn told(source: &str, expected: &[&str]) {
    told_of(source, None, expected);
}

#[test]
fn arguments_of_the_wrong_number_or_kind_are_named() {
    told("heart_rate.mean(\"5min\") > limit && above(value, limit, 0.5)", &[]);
    told("heart_rate.mean(\"5min\", 3)", &["r:1:12: `mean` takes 1 argument, not 2 (mean(span))"]);
    told("heart_rate.mean(5)", &["r:1:17: `mean` wants a text, this is a whole number"]);
    told(
        "heart_rate.percentile(\"90\", \"5min\")",
        &["r:1:23: `percentile` wants a whole number or a number with a point, this is a text"],
    );
    told(
        "above(heart_rate, 180, 5.0)",
        &["r:1:7: `above` wants a number with a point, this is an input (write `heart_rate.value`)"],
    );
    told(
        "above(value, -180, 5.0)",
        &["r:1:14: `above` wants a number with a point, this is a whole number (write `-180.0`)"],
    );
    // Of functions that take several kinds, what goes with what stands before it.
    told("min(1, \"2\")", &["r:1:8: `min` wants a whole number or a number with a point, this is a text"]);
    told("min(\"1\", 2)", &["r:1:10: `min` wants a text, this is a whole number"]);
    told("limit.mean(\"5min\")", &["r:1:7: `limit` is a number with a point, which has no `mean`"]);
    told("[1, 2].map(|x, y| x + y).filter(|z| z > 1).len() + \"abc\".len()", &[]);
}

#[test]
fn spans_stand_in_the_source() {
    told("heart_rate.mean(\"5 min\")", &["r:1:17: \"5 min\" is no span of time (did you mean \"5min\"?)"]);
    told("heart_rate.mean(\"5m\")", &["r:1:17: \"5m\" is no span of time (did you mean \"5min\"?)"]);
    told("heart_rate.mean(\"2d\")", &["r:1:17: \"2d\" is no span of at most a day"]);
    told(
        "heart_rate.mean(\"soon\")",
        &["r:1:17: \"soon\" is no span of time (a whole number and ms, s, min, h or d, e.g. \"90s\")"],
    );
    told(
        "heart_rate.mean(`${5}min`)",
        &["r:1:17: a span is read before the script runs and cannot be put together (write it out, e.g. \"5min\")"],
    );
}

#[test]
fn percents_and_words_are_those_that_are_taken() {
    told("heart_rate.percentile(0, \"5min\") > heart_rate.percentile(100.0, \"5min\")", &[]);
    told("heart_rate.percentile(101, \"5min\")", &["r:1:23: `percentile` takes a percent from 0 to 100, not 101"]);
    told(
        "heart_rate.percentile(9_50.5, \"5min\")",
        &["r:1:23: `percentile` takes a percent from 0 to 100, not 9_50.5"],
    );
    told("heart_rate.percentile(-1, \"5min\")", &["r:1:23: `percentile` takes a percent from 0 to 100, not -1"]);
    told("heart_rate.percentile(101 - count, \"5min\") > heart_rate.percentile(limit, \"5min\")", &[]);
    told("fn percentile(percent, span) { percent } percentile(101, \"5min\")", &[]);
    told("heart_rate.typical(\"7d\", \"hour\") > heart_rate.typical(\"7d\", \"\")", &[]);
    told(
        "heart_rate.typical(\"7d\", \"day\")",
        &["r:1:26: `typical` takes \"hour\" here, not \"day\" (write \"hour\", or leave it out)"],
    );
}

#[test]
fn what_is_written_out_is_looked_at_in_a_call_without_the_dot_too() {
    told(
        "typical(heart_rate, \"7d\") > typical(heart_rate, \"7d\", \"hour\") && mean(heart_rate, \"5min\") > 1.0",
        &[],
    );
    told("min(\"b\", \"a\").len() > 1", &[]);
    told("mean(heart_rate, \"5 min\") > 1.0", &["r:1:18: \"5 min\" is no span of time (did you mean \"5min\"?)"]);
    told(
        "typical(heart_rate, \"7d\", \"day\") > 1.0",
        &["r:1:27: `typical` takes \"hour\" here, not \"day\" (write \"hour\", or leave it out)"],
    );
}

#[test]
fn operands_that_no_operator_takes_are_named() {
    told("raised + 1 > 2", &["r:1:1: there is no `+` of true or false and a whole number"]);
    told("quantity - 5 > 1", &["r:1:1: there is no `-` of a text and a whole number"]);
    told("5 - quantity > 1", &["r:1:5: there is no `-` of a whole number and a text"]);
    told("value > 1 && 2 * raised > 1", &["r:1:18: there is no `*` of a whole number and true or false"]);
    told("value * raised > 1", &["r:1:9: there is no `*` of true or false"]);
    told("limit && raised", &["r:1:1: `&&` wants true or false, this is a number with a point"]);
    told("raised || value > 1 && quantity", &["r:1:24: `&&` wants true or false, this is a text"]);
    told("!limit", &["r:1:2: `!` wants true or false, this is a number with a point"]);
    told("heart_rate[\"value\"]", &["r:1:1: `heart_rate` is an input, not a map or a list (write `heart_rate.value`)"]);
}

#[test]
fn operands_that_may_be_right_are_left_to_the_cases() {
    for right in [
        "quantity + 5 + raised == \"x\" + limit",
        "`${limit + 1}` + raised + 'x'",
        "-limit * 2 + count ** 2.0 - limit / 3 % 2 > value",
        "value + raised == \"true\" || raised + value == \"true\"",
        "quantity - 'x' == quantity - \"y\"",
        "quantity == 5 || quantity > 'x' || raised != limit",
        "!heart_rate.covers(\"5min\") && !raised",
        "limit > 1 && raised || count < 3 && !(limit < 2)",
        "[1, 2].all(|other| other && other) || #{limit: 1, raised: 2}.limit - 1 > 2",
        "fn f(raised, quantity) { raised - quantity } f(2, 1) > 0",
        "let a = #{raised: 3}; a.raised - 1 > 2 && 1 - a.raised > 3",
        "let f = || limit; f.call() > 1",
        "let a = if raised { count - 1 } else { -1 }; a > 0",
        "let a = switch quantity { \"heart_rate\" | \"skin_contact\" => limit - 1, _ => 0 }; a > 1",
        // What the script changes may be anything.
        "raised = 7; raised - 1 > 2",
        "count = value; above(count, limit, 0.5); count = 0; count > 1",
        "fn f() { this = 5; } quantity.f(); quantity - 5 > 1",
        "flag = value; if flag { 1 } else { 2 }",
    ] {
        told(right, &[]);
    }
}

#[test]
fn conditions_are_true_or_false() {
    told("if limit { 1 } else { 2 }", &["r:1:4: `if` wants true or false, this is a number with a point"]);
    told(
        "if raised { 1 } else if count { 3 } else { 2 }",
        &["r:1:25: `if` wants true or false, this is a whole number"],
    );
    told("while quantity { break; }", &["r:1:7: `while` wants true or false, this is a text"]);
    told("do { count += 1; } until count; true", &["r:1:26: `until` wants true or false, this is a whole number"]);
    told("if heart_rate { 1 } else { 2 }", &["r:1:4: `if` wants true or false, this is an input"]);
    told("if raised { 1 } else { 2 } if value { 1 } else { 2 }", &[]);
}

#[test]
fn what_a_field_is_counted_up_by_leaves_it_what_it_is() {
    told("count += 1; rate += 1; rate *= 2.5; word += 5; word -= \"x\"; true", &[]);
    told("count += 1.5; true", &["r:1:10: `count` stays a whole number, this is a number with a point"]);
    told("count -= -1.5; true", &["r:1:10: `count` stays a whole number, this is a number with a point"]);
    told("rate += \"x\"; true", &["r:1:9: `rate` stays a number with a point, this is a text"]);
    told("flag += 1; true", &["r:1:9: `flag` stays true or false, this is a whole number"]);
    told("word -= 1; true", &["r:1:9: `word` stays a text, this is a whole number"]);
    told("count += 1.5; count = count.to_int(); true", &[]);
    told("count += value; true", &[]);
    told("limit += 1.0; true", &["r:1:1: `limit` cannot be changed (keep what changes in a state field)"]);
}

/// As a rule's.
const VERDICT: Answer<'_> = Answer {
    kinds: &[Type::Bool, Type::Text],
    told: "a rule answers true, false or a message",
    of_inputs: &["value", "mean", "count", "covers", "typical"],
    numbers: &["value"],
};

#[test]
fn an_answer_that_is_none_is_named() {
    let told = |source: &str, expected: &[&str]| {
        let expected: Vec<String> = expected
            .iter()
            .map(|found| {
                let (place, kind) = found.split_once(' ').unwrap();
                format!("r:{place}: {}, this is {kind}", VERDICT.told)
            })
            .collect();
        told_of(source, Some(VERDICT), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    };
    told("limit", &["1:1 a number with a point"]);
    told("let a = value > 1; a == true; limit;", &["1:31 a number with a point"]);
    told("heart_rate.value", &["1:1 a number or ()"]);
    told("value", &["1:1 a number or ()"]);
    told("()", &["1:1 ()"]);
    told("heart_rate.typical(\"7d\")", &["1:1 a number or ()"]);
    told("heart_rate.mean(\"5min\")", &["1:1 a number with a point"]);
    told("heart_rate.count(\"5min\")", &["1:1 a whole number"]);
    told("heart_rate", &["1:1 an input"]);
    told("-1", &["1:1 a whole number"]);
    told("[raised]", &["1:1 a list"]);
    told("#{ raised: raised }", &["1:1 a map"]);
    told(
        "if raised { return limit; } if value > 1 { 3 } else if value > 2 { heart_rate.value } else { \"x\" }",
        &["1:20 a number with a point", "1:44 a whole number", "1:68 a number or ()"],
    );
    told("if raised { return; } true", &["1:13 ()"]);
    told("raised; let n = 5; n += 2;", &["1:20 ()"]);
    told("for i in 0..3 { count += i; }", &["1:1 ()"]);
    told("if raised { } else { value > 1 }", &["1:11 ()"]);
    for right in [
        "raised",
        "true",
        "quantity",
        "`${limit}`",
        "heart_rate.covers(\"5min\")",
        "heart_rate.covers(\"5min\");",
        "value = raised; value",
        "limit > 1",
        "if raised { true } else { `x ${limit}` }",
        "if value > 1 { let a = limit; a > 2 } else { raised }",
        "(if raised { limit } else { 1 }) > value",
        "switch quantity { \"heart_rate\" => true, _ => false }",
        "fn f(x) { return 3; } [1].all(|x| { return true; }) && f(1) > 2",
        "heart_rate.mean(\"5min\") > limit",
        "loop { return raised }",
        "while true { if value > 1 { return raised; } }",
        "switch raised { true => value > 1, false => { value > 2 } }",
        "while value > 1 { return raised; } true",
        "for i in 0..3 { count += i; } !raised",
        "if raised { true } else { let a = limit; a > 2 }",
    ] {
        told(right, &[]);
    }
    let number = Answer { kinds: &[Type::Float, Type::Integer, Type::Nothing], told: "a number", ..VERDICT };
    told_of("if raised { return; } heart_rate.value", Some(number), &[]);
    told_of("quantity", Some(number), &["r:1:1: a number, this is a text"]);
    // What is last in what parses need not be what is last.
    told_of("limit;\nlet a = value + ;", Some(VERDICT), &[]);
}

#[test]
fn a_script_that_need_not_come_to_an_answer_is_told() {
    let told = |at: &str| {
        let why = "this is () where the condition does not hold (an `if` that is last needs an `else`)";
        format!("r:{at}: warning: {}, {why}", VERDICT.told)
    };
    told_of("if value > 1 { true }", Some(VERDICT), &[&told("1:1")]);
    told_of("let a = 1; if value > a { true } else if value > 2 { false };", Some(VERDICT), &[&told("1:12")]);
    told_of("if raised { if value > 1 { false } } else { true }", Some(VERDICT), &[&told("1:13")]);
    let declared = format!("r:1:1: {}, this is ()", VERDICT.told);
    let unused = "r:1:5: warning: the variable `hot` is not used";
    told_of("let hot = value > 1;", Some(VERDICT), &[&declared, unused]);
    let after_a_return = format!("r:1:28: warning: {}, this is ()", VERDICT.told);
    told_of("if raised { return true; } count = 5;", Some(VERDICT), &[&after_a_return]);
    let number = Answer { kinds: &[Type::Float, Type::Integer, Type::Nothing], ..VERDICT };
    told_of("if raised { limit }", Some(number), &[]);
}

#[test]
fn a_last_switch_or_loop_that_need_not_come_to_an_answer_is_told() {
    let told = |source: &str, at: &str, why: &str| {
        told_of(source, Some(VERDICT), &[&format!("r:{at}: warning: {}, this is () {why}", VERDICT.told)]);
    };
    let switch = "where no case fits (a `switch` that is last needs a case `_`)";
    told("switch quantity { \"heart_rate\" => true }", "1:1", switch);
    told("switch raised { true => value > 1, false if value > 2 => true };", "1:1", switch);
    told("if raised { switch quantity { \"heart_rate\" => value > 1 } } else { true }", "1:13", switch);
    let loops = "where the loop comes to its end (what is answered then stands behind it)";
    told("while value > 1 { return raised; }", "1:1", loops);
    told("for i in 0..3 { if value > i { return true; } }", "1:1", loops);
    let number = Answer { kinds: &[Type::Float, Type::Integer, Type::Nothing], ..VERDICT };
    told_of("switch quantity { \"heart_rate\" => limit }", Some(number), &[]);
}

#[test]
fn a_state_field_that_is_sure_to_be_set_to_another_kind_is_named() {
    let told = |source: &str, expected: &[&str]| told_of(source, Some(VERDICT), expected);
    let whole = "r:1:9: `count` stays a whole number, this is";
    told("count = (); true", &[&format!("{whole} ()")]);
    told("count = value; true", &[&format!("{whole} a number with a point or ()")]);
    told("count = heart_rate.value; true", &[&format!("{whole} a number with a point or ()")]);
    told("count = heart_rate.mean(\"5min\"); true", &[&format!("{whole} a number with a point")]);
    told("count = [1]; true", &[&format!("{whole} a list")]);
    told(
        "if raised { flag = value } true",
        &["r:1:20: `flag` stays true or false, this is a number with a point or ()"],
    );
    told("rate = (); true", &["r:1:8: `rate` stays a number with a point, this is ()"]);
    told(
        "rate = heart_rate.count(\"5min\"); true",
        &["r:1:8: `rate` stays a number with a point, this is a whole number"],
    );
    for right in [
        // It need not be () here.
        "rate = value; true",
        "rate = heart_rate.typical(\"7d\"); true",
        "count = heart_rate.count(\"5min\"); true",
        "flag = heart_rate.covers(\"5min\"); true",
        "count = value.to_int(); true",
        "count = value ?? 0; true",
        "word = `${value}`; true",
        // What it is once more set to counts.
        "count = value; count = count.to_int(); true",
        "count = (); if raised { count = 1; } else { count = 2; } true",
        "value = 3; count = value; true",
    ] {
        told(right, &[]);
    }
}

#[test]
fn what_inputs_say_and_functions_return_has_a_kind() {
    let told = |source: &str, expected: &[&str]| told_of(source, Some(VERDICT), expected);
    told("!heart_rate.value", &["r:1:2: `!` wants true or false, this is a number or ()"]);
    told("raised || value", &["r:1:11: `||` wants true or false, this is a number or ()"]);
    told("heart_rate.count(\"5min\") && raised", &["r:1:1: `&&` wants true or false, this is a whole number"]);
    told("if heart_rate.value { true } else { false }", &["r:1:4: `if` wants true or false, this is a number or ()"]);
    told("heart_rate.covers(\"5min\") + 1 > 2", &["r:1:1: there is no `+` of true or false and a whole number"]);
    told(
        "above(heart_rate.covers(\"5min\"), limit, 0.5)",
        &["r:1:7: `above` wants a number with a point, this is true or false"],
    );
    told(
        "above(value, heart_rate.count(\"5min\"), 0.5)",
        &["r:1:14: `above` wants a number with a point, this is a whole number (put `.to_float()` behind it)"],
    );
    for right in [
        "above(heart_rate.value, heart_rate.mean(\"5min\"), 0.5)",
        "above(value, limit, 0.5) && heart_rate.covers(\"5min\") && !above(value, limit, 0.5)",
        "if above(value, limit, 0.5) { raised } else { heart_rate.covers(\"5min\") }",
        "heart_rate.value - 1 > 2 && value * 2 > limit && heart_rate.value + \"x\" != word",
        "abs(value) > 1 && min(heart_rate.value, 3) > 1 && abs(heart_rate.count(\"5min\")) > 1",
        "fn above(a, b, c) { a } above(value, 1, 2) && raised",
        "let heart_rate = #{ value: true }; heart_rate.value && raised",
    ] {
        let hides = "hides an input";
        let purpose = Purpose { usages: USAGES, answer: Some(VERDICT), values: VALUES, memory: Some(MEMORY) };
        let mut found = lint(&SANDBOX, "r", right, &known(), &purpose);
        found.retain(|problem| !problem.message.contains(hides));
        assert_eq!(found, [], "{right}");
    }
}

#[test]
fn comparisons_that_never_hold_are_a_warning() {
    let told = |source: &str, expected: &[&str]| told_of(source, Some(VERDICT), expected);
    told("heart_rate.covers(\"5min\") > 3", &["r:1:1: warning: `>` of true or false and a whole number never holds"]);
    told("raised && quantity >= limit", &["r:1:11: warning: `>=` of a text and a number with a point never holds"]);
    told(
        "quantity == \"hart_rate\" || raised",
        &["r:1:13: warning: `quantity` is never \"hart_rate\" (did you mean `heart_rate`?)"],
    );
    told(
        "\"power\" != quantity",
        &["r:1:1: warning: `quantity` is never \"power\" (it is one of heart_rate, skin_contact)"],
    );
    told(
        "switch quantity { \"heart_rate\" | \"skin_contct\" => true, _ => false }",
        &["r:1:34: warning: `quantity` is never \"skin_contct\" (did you mean `skin_contact`?)"],
    );
    told("quantity == \"skin_contact\" && value > 0.5 || word == \"power\"", &[]);
    told("quantity = \"x\"; quantity == \"y\"", &[]);
    told("fn f(quantity) { quantity == \"y\" } f(quantity)", &[]);
    told("switch word { \"power\" => quantity == \"heart_rate\", _ => \"x\" == word }", &[]);
}

#[test]
fn own_functions_are_held_to_their_arguments() {
    told("fn f(a, b) { a + b } f(1, 2) > f(value, 3)", &[]);
    told("fn f(a, b) { a + b } f(1)", &["r:1:22: `f` takes 2 arguments, not 1"]);
}

#[test]
fn inputs_are_no_numbers_and_what_keeps_its_kind_keeps_it() {
    told("heart_rate > 180", &["r:1:1: `heart_rate` is an input, not a number (write `heart_rate.value`)"]);
    told("180 < heart_rate", &["r:1:7: `heart_rate` is an input, not a number (write `heart_rate.value`)"]);
    told("180 < heart_rate.mean(\"5min\")", &[]);
    told("count = \"x\"; true", &["r:1:9: `count` stays a whole number, this is a text"]);
    told("count = -3; count = count + 1; true", &[]);
    told("limit = 3.0; true", &["r:1:1: `limit` cannot be changed (keep what changes in a state field)"]);
}

#[test]
fn what_never_runs_and_what_nobody_uses_is_a_warning() {
    told("return true; value > 1", &["r:1:14: warning: this never runs: `return` comes before it"]);
    told("if value > 1 { return true; } false", &[]);
    told("if false { 1 } else { 2 }", &["r:1:1: warning: `if false` never holds"]);
    told("let x = 1; true", &["r:1:5: warning: the variable `x` is not used"]);
    told("let x = 1; `${x}`", &[]);
    told("fn f() { 1 } true", &["r:1:4: warning: the function `f` is not used"]);
    told("fn f() { 1 } Fn(\"f\").call()", &[]);
    told(
        "let value = 3; value",
        &["r:1:5: warning: `value` hides a variable of the box (choose another name, or leave out `let`)"],
    );
}

#[test]
fn functions_see_their_arguments_and_params_only() {
    let help = "(a function sees its arguments and params only: pass it)";
    told("[1.0].filter(|x| x > limit).len() == value", &[]);
    told(
        "[1.0].filter(|x| x > value && x < limit).len() == value",
        &[&format!("r:1:22: `value` is not a variable within a function {help}")],
    );
    told(
        "fn f() { heart_rate.value } f() > value || f() < 1",
        &[&format!("r:1:10: `heart_rate` is not a variable within a function {help}")],
    );
    told("fn f(value) { value } f(value)", &[]);
}

#[test]
fn names_behind_a_syntax_error_are_found() {
    let found: Vec<String> = unknown_names("r", "let a = valeu + ;\nlimt > a.b && #{key: cont}.key", &known())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "r:1:9: `valeu` is not a variable here (did you mean `value`?)",
            "r:2:1: `limt` is not a variable here (did you mean `limit`?)",
            "r:2:22: `cont` is not a variable here (did you mean `count`?)",
        ]
    );
    assert_eq!(
        unknown_names("r", "for (x, i) in [1] { x + i } fn f(a) { a } try { } catch (e) { e } [1].map(|q| q)", &[]),
        []
    );
}

#[test]
fn what_parses_is_looked_at_though_the_rest_does_not() {
    told(
        "let a = b + ;\ncount = \"x\";\nlet b = 1;\nlet c = 1;\nheart_rate.mean(5)",
        &[
            "r:2:9: `count` stays a whole number, this is a text",
            "r:4:5: warning: the variable `c` is not used",
            "r:5:17: `mean` wants a text, this is a whole number",
        ],
    );
    told("let limit = ;\nlimit = 3.0;\nfn mean(x y) { x }\nmean(1, 2, 3)", &[]);
}

#[test]
fn a_name_is_remembered_by_one_helper_of_the_box_and_has_the_length_it_may_have() {
    let other =
        "is the name of a `held` already (line 1): whichever is asked second fails (give each a name of its own)";
    told("held(\"a\", \"5min\", raised) && times(\"a\", \"1h\", flag) > 1", &[&format!("r:1:36: \"a\" {other}")]);
    told(
        "let x = held(\"a\", \"5min\", raised);\nx || \"a\".times(\"1h\", flag) > 1",
        &[&format!("r:2:6: \"a\" {other}")],
    );
    told("fn times(a, b, c) { a } held(\"a\", \"5min\", raised) && times(\"a\", 2, 3) == \"a\"", &[]);
    let name = "a name to remember by has 1 to 8 bytes, this has";
    told(
        "held(\"\", \"5min\", raised)",
        &[&format!("r:1:6: {name} 0: the call fails (name what is remembered, e.g. \"hard\")")],
    );
    told("held(\"12345678\", \"5min\", raised) || held(\"1\\u00e934\", \"5min\", raised)", &[]);
    told("held(\"123456é8\", \"5min\", raised)", &[&format!("r:1:6: {name} 9: the call fails (write a shorter one)")]);
    let many = ["a", "b", "c", "d"].map(|name| format!("held(\"{name}\", \"5min\", raised)")).join(" && ");
    told(
        &many,
        &[
            "r:1:93: \"d\" is a name too many: a script remembers by 3 at most, and one more fails (ask for less, or write another rule)",
        ],
    );
    told("let name = \"a\"; held(name + \"b\", \"5min\", raised) && times(\"a\" + name, \"1h\", flag) > 1", &[]);
}

#[test]
fn two_conditions_under_one_name_are_told_unless_one_is_said_outright_or_only_one_is_asked() {
    let two = |column: usize, helper: &str| {
        format!(
            "r:1:{column}: warning: `{helper}` remembers something else by \"a\" already (line 1): what either is asked \
             counts for both (give each a name of its own)"
        )
    };
    told("held(\"a\", \"5min\", raised) || held(\"a\", \"1min\", flag)", &[&two(35, "held")]);
    told("sequence(\"a\", \"5min\", raised, flag) || sequence(\"a\", \"1min\", raised, flag)", &[&two(49, "sequence")]);
    told(
        "let x = if raised { held(\"a\", \"5min\", raised) } else { flag }; x || held(\"a\", \"1min\", flag)",
        &[&two(74, "held")],
    );
    for right in [
        "held(\"a\", \"5min\", raised) && !held(\"a\", \"1min\", raised,)",
        "let n = times(\"a\", \"5min\", raised); times(\"a\", \"5min\", false); n > 3",
        "if raised { held(\"a\", \"5min\", raised) } else if flag { flag } else { held(\"a\", \"1min\", flag) }",
        "switch quantity { \"heart_rate\" => held(\"a\", \"5min\", raised), _ => held(\"a\", \"1min\", flag) }",
    ] {
        told(right, &[]);
    }
}

static SANDBOX: std::sync::LazyLock<Sandbox> = std::sync::LazyLock::new(sandbox);

proptest::proptest! {
    #[test]
    fn any_text_is_looked_through(source in "[a-z0-9(){}\\[\\]|,;.\"`$ \n=<]{0,120}") {
        let _ = lint(&SANDBOX, "r", &source, &known(), &Purpose { usages: USAGES, answer: Some(VERDICT), values: VALUES, memory: Some(MEMORY) });
        let _ = unknown_names("r", &source, &known());
    }
}

#[test]
fn what_has_the_name_of_a_param_or_input_is_told_where_that_would_take_its_place() {
    let message = "has the name of a param or input, which would stand in its place (choose another name)";
    for (source, column, name) in [
        ("fn over(x, limit) { x > limit } over(value, 41.0)", 12, "limit"),
        ("fn high(heart_rate) { heart_rate > 145.0 } high(heart_rate.value)", 9, "heart_rate"),
        ("[value].filter(|limit| limit > 40.0).len() > 0", 17, "limit"),
        ("for limit in [1.0] { if value > limit { return true } } false", 5, "limit"),
        ("try { value > 1.0 } catch (limit) { limit == \"x\" }", 28, "limit"),
    ] {
        told(source, &[&format!("r:1:{column}: `{name}` {message}")]);
    }
}
