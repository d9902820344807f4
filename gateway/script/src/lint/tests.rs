use super::*;
use crate::limits::Limits;

fn sandbox() -> Sandbox {
    Sandbox::new(Limits::RULE, |engine| {
        engine.register_fn("mean", |_: &mut Input, _: &str| 0.0);
        engine.register_fn("percentile", |_: &mut Input, _: f64, _: &str| 0.0);
        engine.register_fn("percentile", |_: &mut Input, _: i64, _: &str| 0.0);
        engine.register_fn("above", |_: f64, _: f64, _: f64| false);
        engine.register_type_with_name::<Input>("Input");
    })
}

#[derive(Clone)]
struct Input;

fn known() -> Vec<Known> {
    let known = |name: &str, kind: Type, role: Role| Known { name: name.to_owned(), kind, role };
    vec![
        known("value", Type::Any, Role::Variable),
        known("heart_rate", Type::Own("Input".to_owned()), Role::Input),
        known("limit", Type::Float, Role::Param),
        known("count", Type::Integer, Role::State),
    ]
}

#[track_caller]
fn told(source: &str, expected: &[&str]) {
    let found: Vec<String> =
        lint(&SANDBOX, "r", source, &known(), &["mean(span)"]).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{source}");
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

static SANDBOX: std::sync::LazyLock<Sandbox> = std::sync::LazyLock::new(sandbox);

proptest::proptest! {
    #[test]
    fn any_text_is_looked_through(source in "[a-z0-9(){}\\[\\]|,;.\"`$ \n=<]{0,120}") {
        let _ = lint(&SANDBOX, "r", &source, &known(), &["mean(span)"]);
        let _ = unknown_names("r", &source, &known());
    }
}
