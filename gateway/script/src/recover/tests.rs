use std::time::{Duration, Instant};

use rhai::Scope;

use super::*;
use crate::compile::compile;
use crate::sandbox::engine;

fn problems(source: &str) -> Vec<String> {
    let mut scope = Scope::new();
    scope.push("value", 1.0_f64).push_constant("limit_cel", 39.5_f64);
    match compile(&engine(&Limits::RULE), &Limits::RULE, "r", source, &scope) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn told(source: &str, expected: &[&str]) {
    assert_eq!(problems(source), expected, "{source}");
}

#[test]
fn every_statement_tells_its_own_error_and_the_rest_is_looked_at_as_usual() {
    told(
        "let a = value > ;\nlet b = abbs(value);\nlet c = (value * 2.0;\na && b > c || valeu > 1",
        &[
            "r:1:17: Unexpected ';'",
            "r:2:9: there is no function `abbs` (did you mean `abs`?)",
            "r:3:21: Expecting ')' for a matching ( in this expression",
            "r:4:15: `valeu` is not a variable here (did you mean `value`?)",
        ],
    );
    told(
        "fn f(x) {\n    let y = x + ;\n    y\n}\nfn g(x) {\n    if x > {\n        x *\n    } else {\n        abbs(x)\n    }\n}\nf(value) > g(value) + ]",
        &[
            "r:2:17: Unexpected ';'",
            "r:6:12: Unexpected '{'",
            "r:8:5: Unexpected '}'",
            "r:9:9: there is no function `abbs` (did you mean `abs`?)",
            "r:12:23: Unexpected ']'",
        ],
    );
}

#[test]
fn code_within_a_text_a_switch_and_a_closure_is_looked_at_by_itself() {
    told(
        "let a = `x ${value +} y`;\nlet b = switch value { 1 => { 2 + }, _ => 3 };\n[1].map(|x| { x * });\nvalue > ;",
        &["r:1:21: Unexpected '}'", "r:2:35: Unexpected '}'", "r:3:19: Unexpected '}'", "r:4:9: Unexpected ';'"],
    );
}

#[test]
fn a_semicolon_that_is_missing_hides_no_statement_behind_it() {
    told(
        "let a = 1\nlet b = a + ;\nlet c = b\nif c > 1 { 2 }",
        &[
            "r:2:1: Expecting ';' to terminate this statement",
            "r:2:13: Unexpected ';'",
            "r:4:1: Expecting ';' to terminate this statement",
        ],
    );
}

#[test]
fn what_is_missing_at_the_end_is_missing_behind_the_last_word() {
    told("value >\n\n// so\n", &["r:1:8: Script is incomplete"]);
    told(
        "if value > 1.0 {\n    true // }\n",
        &["r:2:9: Expecting '}' to terminate this block (see the `{` of line 1, column 16)"],
    );
}

#[test]
fn a_brace_that_is_missing_is_told_once() {
    told(
        "fn f(x) {\n    if x > 1 {\n        x\n}\n\nfn g(x) {\n    x * ;\n}\n\nf(value) > g(value) && value >",
        &[
            "r:6:1: Expecting '}' to terminate the block before this function (see the `{` of line 2, column 14)",
            "r:7:9: Unexpected ';'",
            "r:10:31: Script is incomplete",
        ],
    );
    told(
        "if value > 1.0 {\n    let a = ;\n    abbs(a)\n",
        &[
            "r:2:13: Unexpected ';'",
            "r:3:5: there is no function `abbs` (did you mean `abs`?)",
            "r:3:12: Expecting '}' to terminate this block (see the `{` of line 1, column 16)",
        ],
    );
    told("fn f(x) { x } }\nlet a = 1; }\n}\nlet b = ;", &["r:1:15: Unexpected '}'", "r:4:9: Unexpected ';'"]);
}

#[test]
fn a_text_without_its_quote_ends_with_its_line() {
    told(
        "let a = \"abc;\nlet b = a + ;\nif a == \"x {\n    b * ;\n}\n\"abc",
        &[
            "r:1:9: Open string is not terminated",
            "r:2:13: Unexpected ';'",
            "r:3:9: Open string is not terminated",
            "r:4:9: Unexpected ';'",
            "r:6:1: Open string is not terminated",
        ],
    );
}

#[test]
fn a_text_or_comment_that_swallows_the_rest_is_told_once() {
    told("let a = ;\nlet b = `abc;\nlet c = ;\n}", &["r:1:9: Unexpected ';'", "r:2:9: Open string is not terminated"]);
    told(
        "let a = ;\nlet b = #\"abc\";\nlet c = ;\n}",
        &["r:1:9: Unexpected ';'", "r:2:9: Open string is not terminated"],
    );
    // The first quote is missing its end; what is text and what is code behind it nobody knows.
    told("let a = `abc;\nlet b = `d; e + ;`;\nabbs(b)", &["r:2:10: Expecting ';' to terminate this statement"]);
    told("`${break}", &["r:1:10: Open string is not terminated"]);
    told(
        "fn f(x) { x /* }\nlet a = ;",
        &[
            "r:1:13: this comment is never closed: nothing behind it is read (comments nest, and `/**/` only opens one: every `/*` \
             needs a `*/` of its own)",
        ],
    );
}

#[test]
fn nothing_is_told_that_only_follows_from_another_error() {
    // What is declared in what does not parse is declared.
    told(
        "let a = 5 5;\nconst b = ;\nfn f(x y) { x }\nlett c = 1;\na + b + c + f(value, 1)",
        &[
            "r:1:11: Expecting ';' to terminate this statement",
            "r:2:11: Unexpected ';'",
            "r:3:8: Expecting ',' to separate the parameters of function 'f'",
            "r:4:6: Expecting ';' to terminate this statement",
        ],
    );
    told("import \"x\" as y;\ny::start(1)", &["r:1:1: `import` is not available (a script is one file)"]);
    // A word before the error that resembles nothing may be anything; one that does is misspelt.
    told("elif value > 3 { 1 }", &["r:1:6: Expecting ';' to terminate this statement"]);
    told(
        "let a = valeu + ;\nlet b = abbs(a) + ;",
        &[
            "r:1:9: `valeu` is not a variable here (did you mean `value`?)",
            "r:1:17: Unexpected ';'",
            "r:2:9: there is no function `abbs` (did you mean `abs`?)",
            "r:2:19: Unexpected ';'",
        ],
    );
    // The loop is still one, though its head is broken.
    told(
        "while value > {\n    break;\n}\nfn f() { loop { this.x } break; }",
        &["r:1:15: Unexpected '{'", "r:4:26: Break statement should only be used inside a loop"],
    );
}

#[test]
fn what_does_not_exist_here_hides_nothing_behind_it() {
    told(
        "print(value > );\nlet a = eval(\"1\");\nimport \"x\" as b;\nlet c = a ~ b;\nvar d = 1;\nexit(1) + +;",
        &[
            "r:1:1: `print` is not available (a script answers by its value only)",
            "r:1:15: Unexpected ')'",
            "r:2:9: `eval` is not available (text is never run as code)",
            "r:3:1: `import` is not available (a script is one file)",
            "r:4:11: Unknown operator: '~'",
            "r:5:1: `var` is not available",
            "r:6:1: `exit` is not available (use `return`)",
            "r:6:12: Unexpected ';'",
        ],
    );
    told(
        "let a = |x| x;\na = a.curry(1 + );\nfn eval(x) { x }",
        &[
            "r:2:7: `curry` is not available (pass the value as an argument of its own)",
            "r:2:17: Unexpected ')'",
            "r:3:4: `eval` is not available (text is never run as code)",
        ],
    );
}

#[test]
fn what_a_statement_means_among_the_others_is_told_too() {
    told(
        "const a = 1;\na = 2;\nlet b = ;\na = 3;\nfn f(x) { x }\nfn f(y) { y }\nf(b)",
        &[
            "r:2:1: Cannot assign to constant a",
            "r:3:9: Unexpected ';'",
            "r:4:1: Cannot assign to constant a",
            "r:6:1: Function f with 1 parameter already exists",
        ],
    );
    told(
        "/// What f does\nlet a = ;\n// b\n/// c\n/// d\na",
        &[
            "r:1:1: Doc-comment must be followed immediately by a function definition",
            "r:2:9: Unexpected ';'",
            "r:4:1: Doc-comment must be followed immediately by a function definition",
        ],
    );
}

#[test]
fn columns_count_characters() {
    told(
        "let ä = \"ö\"; /* ü */ let b = ;\nlet c =\u{a0}1;\nlet d = \"é\" + `ß` + ;",
        &["r:1:5: Unexpected 'ä'", "r:1:30: Unexpected ';'", "r:2:8: Unexpected '\u{a0}'", "r:3:21: Unexpected ';'"],
    );
    told("// a\rlet b = ;\r\nlet c = ;", &["r:1:14: Unexpected ';'", "r:2:9: Unexpected ';'"]);
}

#[test]
fn hostile_sources_are_told_of_soon_and_briefly() {
    let many = |text: &str, times: usize| text.repeat(times);
    for (source, most) in [
        (many("{", 10_000), 1),
        (many("}", 10_000), 1),
        (many("(", 10_000), 1),
        (format!("{}{}", many("[", 30_000), many(")", 30_000)), 1),
        (many("${", 10_000), 1),
        (many("#", 60_000), 1),
        (many("`${", 10_000), 1),
        (many("#{a:", 10_000), 1),
        (format!("let a = \"{}", many("b", 60_000)), 1),
        (format!("let a = `{}", many("b;\n", 20_000)), 1),
        (format!("{{ {}*/ }}", many("/*", 30_000)), 1),
        (many("fn f() {\n", 7_000), PROBLEMS_MAX),
        (many("if a {\n", 9_000), 1),
        (many("\"\n", 30_000), PROBLEMS_MAX),
        (many("let a = ;\n", 6_000), PROBLEMS_MAX),
        (many("|a|", 20_000), PROBLEMS_MAX),
        (many("a b;", 15_000), PROBLEMS_MAX),
        (many("if a > {\n} ", 5_000), PROBLEMS_MAX),
        (many("fn f(x) { x + } ", 4_000), PROBLEMS_MAX),
        ((0..4_000).map(|i| format!("let v{i}=w{i}(;")).collect(), PROBLEMS_MAX),
        (format!("{} )", (0..4_000).map(|i| format!("let v{i}=w{i};")).collect::<String>()), PROBLEMS_MAX),
    ] {
        let begin = Instant::now();
        let found = problems(&source);
        let start: String = source.chars().take(20).collect();
        assert!(!found.is_empty() && found.len() <= most, "{start}: {} {:?}", found.len(), found.get(..3));
        assert!(begin.elapsed() < Duration::from_secs(20), "{start}: {:?}", begin.elapsed());
    }
    assert!(problems(&many("{", 4 << 20))[0].contains("at most 65536 are read"));
}

/// The scripts of the library.
fn library() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let rules = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("rule.rhai"));
    let scripts: Vec<String> = rules.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    assert!(scripts.len() > 20);
    scripts
}

/// Whether each told place is in the source, at most one behind the end of its line.
fn lies_within(source: &str, recovered: &Recovered) -> bool {
    let lines: Vec<usize> = source.split('\n').map(|line| line.chars().count()).collect();
    recovered.flaws.iter().all(|flaw| {
        let (line, column) = flaw.place;
        line >= 1 && column >= 1 && lines.get(line - 1).is_some_and(|length| column <= length + 1)
    })
}

#[test]
fn two_errors_in_two_statements_of_a_real_rule_are_both_told() {
    // Each breaks one statement, wherever that is.
    let breaks =
        ["let broken = ;\n", "if value > ) {\n}\n", "value = (1;\n", "let broken = \"abc;\n", "print(value;\n"];
    for script in library() {
        let cut = cut(&script);
        let tree = tree(&cut);
        let starts = tree.statements.iter().map(|s| cut.tokens[s.tokens.start].span.start);
        // Those that begin a line: what stands behind them there stays whole.
        let starts: Vec<usize> =
            starts.filter(|at| script[..*at].rsplit('\n').next().unwrap().trim().is_empty()).collect();
        for (i, first) in starts.iter().enumerate() {
            for second in starts.iter().filter(|second| *second > first) {
                let (one, other) = (breaks[i % breaks.len()], breaks[(i + second) % breaks.len()]);
                let broken =
                    format!("{}{one}{}{other}{}", &script[..*first], &script[*first..*second], &script[*second..]);
                let found = recover(&Limits::RULE, &broken).unwrap();
                let mut lines: Vec<usize> = found.flaws.iter().map(|flaw| flaw.place.0).collect();
                lines.dedup();
                let line = |at: usize| broken[..at].matches('\n').count() + 1;
                let expected = [line(*first), line(*second + one.len())];
                assert_eq!(lines, expected, "{broken}\n{:?}", found.flaws);
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_told_of_within_their_bounds(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let source = String::from_utf8_lossy(&bytes);
        if let Some(found) = recover(&Limits::RULE, &source) {
            proptest::prop_assert!(!found.flaws.is_empty() && lies_within(&source, &found));
        }
    }

    #[test]
    fn any_words_are_told_of_within_their_bounds(
        source in "(let |const |fn |if |else |for |in |loop|break|switch |a |b|1|\\.|,|;|=|=>|\\+|\\||\\(|\\)|\\[|\\]|\\{|\\}|#\\{|\"|'|`|\\$\\{|//|/\\*|\\*/|#\"|\\\\|\r|\n|ä| ){0,60}"
    ) {
        let parses = parser(&Limits::RULE).compile(&source).is_ok();
        let found = recover(&Limits::RULE, &source);
        proptest::prop_assert_eq!(found.is_none(), parses);
        if let Some(found) = found {
            proptest::prop_assert!(!found.flaws.is_empty() && lies_within(&source, &found), "{:?}", found.flaws);
            let same = |text: &str| text.chars().count() == source.chars().count();
            proptest::prop_assert!(same(&found.sound) && same(&found.seen));
        }
    }

    #[test]
    fn a_changed_rule_is_told_of_within_its_bounds(
        which in 0_usize..20, changes in proptest::collection::vec((0_usize..700, 0_usize..4, "[ -~]{0,3}"), 1..4)
    ) {
        let script = library().swap_remove(which);
        let mut changed: Vec<char> = script.chars().collect();
        for (at, gone, by) in changes {
            let at = at.min(changed.len());
            let end = (at + gone).min(changed.len());
            changed.splice(at..end, by.chars());
        }
        let source: String = changed.into_iter().collect();
        match recover(&Limits::RULE, &source) {
            Some(found) => proptest::prop_assert!(!found.flaws.is_empty() && lies_within(&source, &found)),
            None => proptest::prop_assert!(parser(&Limits::RULE).compile(&source).is_ok()),
        }
    }

    #[test]
    fn a_statement_mended_takes_no_other_problem_with_it(which in 0_usize..20, at in 0_usize..700, other in 0_usize..700) {
        let script = library().swap_remove(which);
        let starts: Vec<usize> = script.match_indices('\n').map(|(at, _)| at + 1).collect();
        let (at, other) = (starts[at % starts.len()], starts[other % starts.len()]);
        // A word too much at one line's beginning; and at another's.
        let insert = |text: &str, at: usize| format!("{}+ ) {}", &text[..at], &text[at..]);
        let (first, last) = (at.min(other), at.max(other));
        let both = insert(&insert(&script, last), first);
        let lines = |text: &str| -> Vec<usize> {
            recover(&Limits::RULE, text).map(|found| found.flaws.iter().map(|flaw| flaw.place.0).collect()).unwrap_or_default()
        };
        let (with_both, with_last) = (lines(&both), lines(&insert(&script, last)));
        let first_line = script[..first].matches('\n').count() + 1;
        for line in with_both.iter().filter(|line| **line > first_line) {
            proptest::prop_assert!(with_last.contains(line), "line {} of\n{}", line, both);
        }
    }
}
