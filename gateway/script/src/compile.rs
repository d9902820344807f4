//! Source to AST, with every problem reported: not only the first, and not only what Rhai finds before running.

use std::collections::BTreeSet;

use rhai::{AST, Dynamic, Engine, ParseErrorType, Scope};

use crate::fault::{line_column, one_line};
use crate::limits::Limits;
use crate::lint::{Known, unknown_names, unknown_names_seen};
use crate::problem::{Code, PROBLEMS_MAX, Problem};
use crate::recover::{Doubt, Recovered, recover};
use crate::sandbox::{FORBIDDEN, Sandbox};
use crate::scan::{Word, WordKind, words, words_and_open_comment};

/// Names Rhai itself answers to a call.
pub(crate) const BUILT_IN_CALLS: &[&str] = &["type_of", "Fn", "call", "is_def_var", "is_def_fn"];
/// Words before `(` that are no calls.
pub(crate) const KEYWORDS: &[&str] = &[
    "if", "else", "while", "until", "loop", "do", "for", "in", "return", "throw", "switch", "fn", "let", "const",
    "try", "catch", "private", "this", "global", "true", "false", "as", "break", "continue",
];

/// A script that compiled, and the words in it.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What Rhai runs.
    pub ast: AST,
    /// What stands in the source.
    pub words: Vec<Word>,
}

impl Sandbox {
    /// As [`compile`], for this sandbox; quicker where there are many scripts.
    pub fn compile(&self, file: &str, source: &str, scope: &Scope<'_>) -> Result<Compiled, Vec<Problem>> {
        compile_knowing(self.engine(), self.limits(), self.function_names(), file, source, scope)
    }
}

/// Compiles `source`. `scope` holds every variable the script will find; constants in it are folded in.
pub fn compile(
    engine: &Engine,
    limits: &Limits,
    file: &str,
    source: &str,
    scope: &Scope<'_>,
) -> Result<Compiled, Vec<Problem>> {
    compile_knowing(engine, limits, &function_names(engine), file, source, scope)
}

fn compile_knowing(
    engine: &Engine,
    limits: &Limits,
    functions: &BTreeSet<String>,
    file: &str,
    source: &str,
    scope: &Scope<'_>,
) -> Result<Compiled, Vec<Problem>> {
    if source.len() > limits.source_bytes {
        let text = format!("the script has {} bytes; at most {} are read", source.len(), limits.source_bytes);
        return Err(vec![Problem::of(file, text)]);
    }
    // Some editors lead a text with a mark of its byte order: nobody sees it, and it is no part of the script.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let (words, open_comment) = words_and_open_comment(source);
    let mut problems = unknown_calls(functions, file, (&words, &words), None);
    problems.extend(open_comment.map(|place| unclosed(file, place)));
    let mut scope = scope.clone();
    let known: Vec<String> = scope.iter_raw().map(|(name, ..)| name.to_owned()).collect();
    let ast = loop {
        let error = match engine.compile_with_scope(&scope, source) {
            Ok(ast) => break Some(ast),
            Err(error) => error,
        };
        let place = line_column(error.position());
        let mut more = None;
        let problem = match error.err_type() {
            ParseErrorType::VariableUndefined(name) => {
                more = Some(name.clone());
                Problem::at(file, place, format!("`{name}` is not a variable here"))
                    .code(Code::UnknownVariable)
                    .suggest(name, known.iter().map(String::as_str))
            }
            other => {
                if let Some(recovered) = recover(limits, source) {
                    let open_comment = open_comment.map(|place| (source, place));
                    return Err(unparsed(functions, file, &words, &known, &recovered, open_comment));
                }
                Problem::at(file, place, one_line(&other.to_string())).code(Code::Syntax)
            }
        };
        // The call check already named it.
        if !problems.iter().any(|p| (p.line, p.column) == (problem.line, problem.column)) {
            problems.push(problem);
        }
        match more {
            // Pretend it exists, to find the next one.
            Some(name) if problems.len() < PROBLEMS_MAX && !scope.contains(&name) => {
                scope.push_dynamic(name, Dynamic::UNIT);
            }
            _ => break None,
        }
    };
    if ast.is_none() {
        // What stands behind a syntax error, or in a function, Rhai did not come to.
        let known: Vec<Known> = known.iter().map(|name| Known::named(name)).collect();
        let told = |found: &Problem| problems.iter().any(|p| (p.line, p.column) == (found.line, found.column));
        let more: Vec<Problem> = unknown_names(file, source, &known).into_iter().filter(|p| !told(p)).collect();
        problems.extend(more);
    }
    problems.sort_by_key(|p| (p.line, p.column));
    problems.truncate(PROBLEMS_MAX);
    match ast {
        Some(ast) if problems.is_empty() => Ok(Compiled { ast, words }),
        _ => Err(problems),
    }
}

/// What is wrong with a script that does not parse.
fn unparsed(
    functions: &BTreeSet<String>,
    file: &str,
    all: &[Word],
    known: &[String],
    recovered: &Recovered,
    open_comment: Option<(&str, (usize, usize))>,
) -> Vec<Problem> {
    let only_follows = |place| open_comment.is_some_and(|(source, comment)| follows(source, place, comment));
    let flaws = recovered.flaws.iter().filter(|flaw| !only_follows(flaw.place)).map(|flaw| {
        // Whatever Rhai says of a word that does not exist here: it does not exist.
        let word = all.iter().find(|word| (word.line, word.column) == flaw.place && word.kind != WordKind::Text);
        let absent = word.filter(|word| FORBIDDEN.iter().any(|(known, _)| *known == word.text));
        let problem = match (absent, &flaw.error) {
            (Some(word), _) => forbidden(file, flaw.place, &word.text),
            (None, ParseErrorType::Reserved(word)) => forbidden(file, flaw.place, word),
            (None, other) => Problem::at(file, flaw.place, one_line(&other.to_string())).code(Code::Syntax),
        };
        if flaw.help.is_some() { problem.help_some(flaw.help.clone()) } else { problem }
    });
    let known: Vec<Known> = known.iter().map(|name| Known::named(name)).collect();
    let mut problems: Vec<Problem> = flaws.collect();
    problems.extend(open_comment.map(|(_, place)| unclosed(file, place)));
    problems.extend(unknown_calls(functions, file, (&words(&recovered.seen), all), Some(recovered)));
    problems.extend(unknown_names_seen(file, recovered, &known));
    problems.sort_by_key(|p| (p.line, p.column));
    problems.dedup_by_key(|p| (p.line, p.column));
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// A comment that swallows the rest of the script.
fn unclosed(file: &str, place: (usize, usize)) -> Problem {
    Problem::at(file, place, "this comment is never closed: nothing behind it is read")
        .code(Code::Syntax)
        .help("comments nest, and `/**/` only opens one: every `/*` needs a `*/` of its own")
}

/// Whether an error only comes of the end that an open comment makes of a script: it stands behind all that is read, or in the comment.
fn follows(source: &str, error: (usize, usize), comment: (usize, usize)) -> bool {
    let mut place = (1, 0);
    source.chars().all(|c| {
        place = if c == '\n' { (place.0 + 1, 0) } else { (place.0, place.1 + 1) };
        place < error || place >= comment || c.is_whitespace()
    })
}

fn forbidden(file: &str, place: (usize, usize), name: &str) -> Problem {
    let problem = Problem::at(file, place, format!("`{name}` is not available")).code(Code::Unavailable);
    match FORBIDDEN.iter().find(|(word, _)| *word == name) {
        Some((_, why)) => problem.help(*why),
        None => problem,
    }
}

/// Calls of functions that are neither registered nor defined in the script: among some of its words, or among all of them.
fn unknown_calls(
    functions: &BTreeSet<String>,
    file: &str,
    (words, all): (&[Word], &[Word]),
    recovered: Option<&Recovered>,
) -> Vec<Problem> {
    let mut own: BTreeSet<&str> = BUILT_IN_CALLS.iter().copied().collect();
    for pair in all.windows(2) {
        match &pair[0].text {
            text if text == "fn" => own.insert(&pair[1].text),
            // A variable may hold a function pointer.
            text if matches!(text.as_str(), "let" | "const") => own.insert(&pair[1].text),
            _ => false,
        };
    }
    words
        .iter()
        .filter(|word| matches!(word.kind, WordKind::Call | WordKind::Method))
        .filter(|word| !functions.contains(&word.text) && !own.contains(word.text.as_str()))
        .filter(|word| !KEYWORDS.contains(&word.text.as_str()))
        .map(|word| (word, recovered.map_or(Doubt::None, |found| found.doubt(&word.text, (word.line, word.column)))))
        .filter(|(_, doubt)| *doubt != Doubt::Certain)
        .take(PROBLEMS_MAX)
        .filter_map(|(word, doubt)| {
            if FORBIDDEN.iter().any(|(name, _)| *name == word.text) {
                return Some(forbidden(file, (word.line, word.column), &word.text));
            }
            let problem = Problem::at(file, (word.line, word.column), format!("there is no function `{}`", word.text))
                .code(Code::UnknownFunction)
                .suggest(&word.text, functions.iter().map(String::as_str).chain(own.iter().copied()));
            (doubt == Doubt::None || problem.help.is_some()).then_some(problem)
        })
        .collect()
}

/// Every function a script can call on this engine.
pub fn function_names(engine: &Engine) -> BTreeSet<String> {
    engine
        .gen_fn_signatures(true)
        .iter()
        .filter_map(|signature| signature.split('(').next())
        .map(|name| name.rsplit("::").next().unwrap_or(name).trim().to_owned())
        .filter(|name| name.chars().next().is_some_and(char::is_alphabetic) && !name.contains(['$', ' ']))
        .filter(|name| !FORBIDDEN.iter().any(|(word, _)| word == name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::engine;

    fn problems(source: &str) -> Vec<String> {
        let mut scope = Scope::new();
        scope.push("value", 1.0_f64).push_constant("limit_cel", 39.5_f64);
        match compile(&engine(&Limits::RULE), &Limits::RULE, "r.rhai", source, &scope) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn all_undefined_variables_and_functions_are_named_at_once() {
        assert_eq!(
            problems("let a = valeu > limit_cell;\nlet b = abbs(a);\nb.lenn() + nothing_like_it"),
            [
                "r.rhai:1:9: `valeu` is not a variable here (did you mean `value`?)",
                "r.rhai:1:17: `limit_cell` is not a variable here (did you mean `limit_cel`?)",
                "r.rhai:2:9: there is no function `abbs` (did you mean `abs`?)",
                "r.rhai:3:3: there is no function `lenn` (did you mean `len`?)",
                "r.rhai:3:12: `nothing_like_it` is not a variable here",
            ]
        );
    }

    #[test]
    fn what_reaches_out_does_not_compile() {
        for source in [
            "eval(\"1\")",
            "import \"x\" as x;",
            "sleep(1)",
            "print(1)",
            "debug(1)",
            "timestamp()",
            "exit()",
            "parse_json(\"1\")",
            "get_fn_metadata_list()",
            "[1].sleep()",
        ] {
            let found = problems(source);
            assert!(!found.is_empty(), "{source}");
            assert!(found[0].contains("not available") || found[0].contains("no function"), "{source}: {found:?}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let found = problems("let x = ;");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("r.rhai:1:9: "), "{found:?}");
        assert!(problems(&"x".repeat(70_000))[0].contains("at most 65536"));
    }

    #[test]
    fn a_comment_that_swallows_the_rest_of_a_script_is_told() {
        let open = |place: &str| {
            format!(
                "r.rhai:{place}: this comment is never closed: nothing behind it is read \
                 (comments nest, and `/**/` only opens one: every `/*` needs a `*/` of its own)"
            )
        };
        assert_eq!(problems("value > 100.0 /* was 160 until the cup\n  && value < 220.0"), [open("1:15")]);
        assert_eq!(problems("value > limit_cel /* a /* b */"), [open("1:19")]);
        assert_eq!(problems("value > limit_cel /**/ && nobody > 1"), [open("1:19")]);
        assert_eq!(problems("/* a */ value > limit_cel /* /* b */ */ // /*"), [""; 0]);
        // What the comment took is not missed, what is wrong before it is told.
        assert_eq!(problems("value > /* limit_cel"), [open("1:9")]);
        assert_eq!(
            problems("let a = ;\nvaleu > 1 /* b"),
            [
                "r.rhai:1:9: Unexpected ';'",
                "r.rhai:2:1: `valeu` is not a variable here (did you mean `value`?)",
                open("2:11").as_str(),
            ]
        );
    }

    #[test]
    fn a_mark_of_the_byte_order_is_no_part_of_a_script() {
        assert_eq!(problems("\u{feff}value > limit_cel"), [""; 0]);
        assert_eq!(problems("\u{feff}let x = ;"), problems("let x = ;"));
        assert!(!problems("value > limit_cel\u{feff}").is_empty(), "at the beginning only");
    }

    #[test]
    fn constants_are_seen_within_functions_and_closures() {
        let engine = engine(&Limits::RULE);
        let mut scope = Scope::new();
        scope.push("value", 1.0_f64).push_constant("limit_cel", 39.5_f64);
        let source = "fn f(x) { x > limit_cel } [1.0, 40.0].filter(|x| x > limit_cel).len() == 1 && f(41.0)";
        let compiled = compile(&engine, &Limits::RULE, "r.rhai", source, &scope).unwrap();
        assert!(engine.eval_ast_with_scope::<bool>(&mut scope, &compiled.ast).unwrap());
    }

    #[test]
    fn closures_script_functions_and_methods_compile() {
        assert_eq!(problems("fn f(x) { x * 2.0 } let g = |y| y + 1; [1, 2].map(g); f(value) > limit_cel"), [""; 0]);
    }
}
