//! Everything that is wrong with a rule, for `pitchside rules check` and the editor: manifest, script and cases at once,
//! not only what keeps it from loading.

use std::collections::BTreeMap;
use std::path::Path;

use pitchside_model::Quality;
use pitchside_script::cases::{Content, Made, Outcome, RuleCase, parse_derived_cases, parse_rule_cases};
use pitchside_script::lint::{Known, Role, Type, lint, mentions};
use pitchside_script::manifest::{Plain, RuleManifest};
use pitchside_script::problem::{Code, Problem, place};
use pitchside_script::scan::words;

use crate::check::not_to_be_fixed;
use crate::functions::HELPERS;
use crate::input::METHODS;
use crate::library::{RuleSource, folders, read_file};
use crate::names::unknown_properties;
use crate::rule::{Bench, Rule, sandbox, variables};

/// Every problem of every rule below `folder`, and of all together. Errors keep a rule from loading or from doing what it
/// says; warnings should be looked at.
pub fn lint_folder(folder: &Path) -> Vec<Problem> {
    let names = match folders(folder) {
        Ok(names) => names,
        Err(problems) => return problems,
    };
    let bench = sandbox();
    let mut problems = Vec::new();
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for name in names {
        let mut texts = BTreeMap::new();
        for file in ["rule.toml", "rule.rhai", "cases.txt", "README.md"] {
            match read_file(&folder.join(&name).join(file)) {
                Ok(text) => drop(texts.insert(file, text)),
                Err(why) => problems.push(Problem::of(&format!("{name}/{file}"), why).code(Code::File)),
            }
        }
        let text = |file: &str| texts.get(file).map(String::as_str);
        problems.extend(one(&bench, &name, text("rule.toml"), text("rule.rhai"), text("cases.txt")));
        let Some(manifest) = text("rule.toml").and_then(|text| RuleManifest::parse("", text).ok()) else { continue };
        let file = format!("{name}/rule.toml");
        if manifest.name.as_str() != name {
            let text = format!("the rule is called `{}`, its folder `{name}`", manifest.name);
            problems.push(at_word(&file, text_of(&texts), manifest.name.as_str(), text, Code::Name));
        }
        if let Some(other) = named.insert(manifest.name.to_string(), name.clone()) {
            let text = format!("`{other}` is called `{}`, too: no two rules have one name", manifest.name);
            problems.push(at_word(&file, text_of(&texts), manifest.name.as_str(), text, Code::Name));
        }
    }
    problems
}

fn text_of<'a>(texts: &'a BTreeMap<&str, String>) -> &'a str {
    texts.get("rule.toml").map_or("", String::as_str)
}

/// Every problem of a rule given as texts, such as a draft in the web editor.
pub fn lint_rule(name: &str, manifest: &str, script: &str, cases: &str) -> Vec<Problem> {
    one(&sandbox(), name, Some(manifest), Some(script), Some(cases))
}

/// Every problem of a derived stream given as texts.
pub fn lint_stream(name: &str, manifest: &str, script: &str, cases: &str) -> Vec<Problem> {
    let bench = sandbox();
    let mut problems = match RuleSource::parse_stream(name, manifest, script) {
        Ok(source) => of_script(&bench, name, &source, manifest),
        Err(mut found) => {
            found.extend(without_manifest(&bench, &format!("{name}/derive.rhai"), script));
            found
        }
    };
    let file = format!("{name}/cases.txt");
    match parse_derived_cases(&file, cases) {
        Ok(cases) => problems.extend(of_stream_cases(&file, &cases)),
        Err(found) => problems.extend(found.into_iter().map(|p| p.code(Code::Cases))),
    }
    problems
}

/// Without its manifest nobody knows a script's variables; its syntax and its functions are known.
fn without_manifest(bench: &Bench, file: &str, script: &str) -> Vec<Problem> {
    let found = bench.sandbox.compile(file, script, &rhai::Scope::new()).err().unwrap_or_default();
    found.into_iter().filter(|problem| problem.code != Code::UnknownVariable).collect()
}

fn one(bench: &Bench, name: &str, manifest: Option<&str>, script: Option<&str>, cases: Option<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let toml = manifest.unwrap_or_default();
    let parsed = manifest.map(|text| RuleManifest::parse(&format!("{name}/rule.toml"), text));
    let read = match parsed {
        Some(Ok(read)) => Some(read),
        Some(Err(found)) => {
            problems.extend(found);
            None
        }
        None => None,
    };
    match (&read, script) {
        (Some(read), Some(script)) => {
            let source = RuleSource { manifest: read.clone(), script: script.to_owned(), hash: [0; 32], makes: None };
            problems.extend(of_script(bench, name, &source, toml));
        }
        (None, Some(script)) => problems.extend(without_manifest(bench, &format!("{name}/rule.rhai"), script)),
        (_, None) => {}
    }
    let file = format!("{name}/cases.txt");
    match cases.map(|cases| parse_rule_cases(&file, cases)) {
        Some(Ok(cases)) => {
            let wrong = read.iter().flat_map(|read| not_to_be_fixed(&read.params, &file, &cases));
            problems.extend(wrong.map(|p| p.code(Code::Cases)));
            problems.extend(of_cases(&file, &cases));
        }
        Some(Err(found)) => problems.extend(found.into_iter().map(|p| p.code(Code::Cases))),
        None => {}
    }
    problems
}

/// What a script finds, with the kinds that are known.
fn known(source: &RuleSource) -> Vec<Known> {
    let manifest = &source.manifest;
    let known = |name: &str, kind: Type, role: Role| Known { name: name.to_owned(), kind, role };
    let variables = variables(source).iter().map(|(name, _)| {
        let kind = match *name {
            "quantity" => Type::Text,
            "time" | "extent" => Type::Float,
            "raised" => Type::Bool,
            _ => Type::Any,
        };
        known(name, kind, Role::Variable)
    });
    let inputs = manifest.inputs.iter().map(|q| known(q.name(), Type::Own("Input".to_owned()), Role::Input));
    let params = manifest.params.iter().map(|(name, _)| known(name, Type::Float, Role::Param));
    let state = manifest.state.iter().map(|(name, first)| {
        let kind = match first {
            Plain::Nothing => Type::Any,
            Plain::Bool(_) => Type::Bool,
            Plain::Integer(_) => Type::Integer,
            Plain::Float(_) => Type::Float,
            Plain::Text(_) => Type::Text,
        };
        known(name, kind, Role::State)
    });
    variables.chain(inputs).chain(params).chain(state).collect()
}

fn of_script(bench: &Bench, name: &str, source: &RuleSource, toml: &str) -> Vec<Problem> {
    // Problems name the folder, which may be called otherwise than the rule.
    let in_folder =
        |file: &str| file.split_once('/').map_or_else(|| file.to_owned(), |(_, file)| format!("{name}/{file}"));
    let folder = |problem: Problem| Problem { file: in_folder(&problem.file), ..problem };
    let script = source.script.as_str();
    let mut problems: Vec<Problem> =
        Rule::new(bench, source).err().unwrap_or_default().into_iter().map(folder).collect();
    // Loading looks at properties only when the rest compiles.
    let properties = unknown_properties(source, &words(script)).into_iter().map(folder);
    let (file, known) = (in_folder(&source.file()), known(source));
    let manifest_file = in_folder(&source.manifest_file());
    let usages: Vec<&str> = METHODS.iter().chain(HELPERS).map(|(entry, _)| *entry).collect();
    for found in properties.chain(lint(&bench.sandbox, &file, script, &known, &usages)) {
        if !problems.iter().any(|p| (&p.file, p.line, p.column) == (&found.file, found.line, found.column)) {
            problems.push(found);
        }
    }
    problems.sort_by_key(|p| (p.file != manifest_file, p.line, p.column));
    if problems.iter().any(|p| p.is_error() && p.file == file) {
        // What is misspelt is used.
        return problems;
    }
    problems.extend(unused(&manifest_file, &source.manifest, toml, script));
    let changes = known.iter().any(|known| known.role != Role::Param && mentions(script, &known.name));
    if !changes {
        let text = "the answer is always the same: the script looks at no reading";
        problems.push(Problem::at(&file, (1, 1), text).code(Code::ConstantAnswer).warning());
    }
    problems
}

/// Params, inputs and state fields the script does not look at.
fn unused(file: &str, manifest: &RuleManifest, toml: &str, script: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |what: &str, word: &str| {
        let text = format!("the script does not use the {what} `{word}`");
        problems.push(at_word(file, toml, word, text, Code::Unused).warning());
    };
    // These are about whichever input a reading is of.
    let any_input = ["value", "quantity", "gap", "extent"].iter().any(|name| mentions(script, name));
    for quantity in manifest.inputs.iter().filter(|q| !any_input && !mentions(script, q.name())) {
        tell("input", quantity.name());
    }
    for (param, _) in manifest.params.iter().filter(|(param, _)| !mentions(script, param)) {
        tell("param", param);
    }
    for (field, _) in manifest.state.iter().filter(|(field, _)| !mentions(script, field)) {
        tell("state field", field);
    }
    problems
}

/// What the cases leave open: a rule nobody saw raise, stay silent, meet a gap or a reading that is not to be believed.
fn of_cases(file: &str, cases: &[RuleCase]) -> Vec<Problem> {
    let steps = || cases.iter().flat_map(|case| &case.steps);
    let raises = |case: &RuleCase| case.steps.iter().flat_map(|s| &s.expected).any(|o| matches!(o, Outcome::Raise(..)));
    let odd = |quality: Quality| !quality.is_empty();
    let has_gap = steps().any(|step| matches!(step.content, Content::Gap(_)))
        || cases.iter().any(|case| case.name.contains("gap") || case.name.contains("silent"));
    let is_odd = steps().any(|step| {
        let other_unit = matches!(step.content, Content::Number(_, unit) if unit != step.quantity.unit());
        odd(step.quality) || other_unit
    });
    let wanted = [
        (cases.iter().any(raises), "no case raises: nobody has seen this rule fire"),
        (cases.iter().any(|case| !raises(case)), "no case is silent: nobody has seen this rule keep quiet"),
        (has_gap, "no case has a gap"),
        (is_odd, "no case has a malformed reading: one that is implausible, without contact or in another unit"),
    ];
    let missing = wanted.into_iter().filter(|(there, _)| !there);
    missing.map(|(_, text)| Problem::of(file, text).code(Code::Cases).warning()).collect()
}

/// What the cases of a stream leave open: one nobody saw make something, keep quiet, or meet a gap.
fn of_stream_cases(file: &str, cases: &[RuleCase<Made>]) -> Vec<Problem> {
    let steps = || cases.iter().flat_map(|case| &case.steps);
    let makes = |made: &Made| matches!(made, Made::Reading(..));
    let wanted = [
        (steps().any(|step| step.expected.iter().any(makes)), "no case makes a reading"),
        (steps().any(|step| step.expected.is_empty()), "no case makes nothing"),
        (steps().any(|step| matches!(step.content, Content::Gap(_))), "no case has a gap"),
    ];
    let missing = wanted.into_iter().filter(|(there, _)| !there);
    missing.map(|(_, text)| Problem::of(file, text).code(Code::Cases).warning()).collect()
}

/// A problem at the first place a word stands in a text, or of the whole file.
fn at_word(file: &str, text: &str, word: &str, message: String, code: Code) -> Problem {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let whole = |at: &usize| {
        let ends = text[at + word.len()..].chars().next().is_none_or(|c| !is_part(c));
        let begins = text[..*at].chars().next_back().is_none_or(|c| !is_part(c));
        begins && ends
    };
    let found = text.match_indices(word).map(|(at, _)| at).find(whole);
    Problem::at(file, found.map_or((0, 0), |at| place(text, at)), message).code(code)
}
