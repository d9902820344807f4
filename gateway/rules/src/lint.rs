//! Everything that is wrong with a rule, for `pitchside rules check` and the editor: manifest, script and cases at once,
//! not only what keeps it from loading.

use std::collections::BTreeMap;
use std::path::Path;

use pitchside_model::{Assurance, GapReason, Priority, Quality, Quantity, RuleName};
use pitchside_script::cases::{Content, Made, Outcome, RuleCase, parse_derived_cases, parse_rule_cases};
use pitchside_script::lint::{Answer, Known, Memory, Purpose, Role, Type, lint, mentions, suggest_of_receivers};
use pitchside_script::manifest::{Declared, Plain, RuleCategory, RuleManifest, RuleScope};
use pitchside_script::problem::{Code, Problem, place};
use pitchside_script::scan::words;

use crate::check::read_cases;
use crate::drill::RESERVED;
use crate::functions::{HELPERS, HELPERS_BY_NAME};
use crate::input::{METHODS, PROPERTIES};
use crate::library::{FILES, RuleSource, folders, read_file};
use crate::moments::{NAME_BYTES_MAX, NAMES_MAX};
use crate::names::{clashes, unknown_properties};
use crate::rule::{Bench, Rule, sandbox, variables};

/// The kinds of what the script of a rule answers, and that of a stream.
const OF_RULES: &[Type] = &[Type::Bool, Type::Text];
const OF_STREAMS: &[Type] = &[Type::Float, Type::Integer, Type::Nothing];

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
        let (texts, found) = of_folder(&bench, &folder.join(&name), &name);
        problems.extend(found);
        let toml = texts.get(FILES[0]).map_or("", String::as_str);
        let Ok(manifest) = RuleManifest::parse("", toml) else { continue };
        if let Some(other) = named.insert(manifest.name.to_string(), name.clone()) {
            let text = format!("`{other}` is called `{}`, too: no two rules have one name", manifest.name);
            problems.push(at_word(&format!("{name}/{}", FILES[0]), toml, manifest.name.as_str(), text, Code::Name));
        }
    }
    problems
}

/// Every problem of the rule whose own folder this is.
pub fn lint_rule_folder(folder: &Path, name: &str) -> Vec<Problem> {
    of_folder(&sandbox(), folder, name).1
}

/// The texts of a rule's folder that can be read, and what is wrong with it.
fn of_folder(bench: &Bench, folder: &Path, name: &str) -> (BTreeMap<&'static str, String>, Vec<Problem>) {
    let (mut texts, mut problems) = (BTreeMap::new(), Vec::new());
    for file in FILES {
        match read_file(&folder.join(file)) {
            Ok(text) => drop(texts.insert(file, text)),
            Err(why) => problems.push(Problem::of(&format!("{name}/{file}"), why).code(Code::File)),
        }
    }
    let [manifest, script, cases, _] = FILES.map(|file| texts.get(file).map(String::as_str));
    problems.extend(one(bench, name, manifest, script, cases));
    problems.extend(of_name(name, manifest.unwrap_or_default()));
    (texts, problems)
}

/// What is wrong with the name of a rule in a folder of this name.
fn of_name(name: &str, toml: &str) -> Vec<Problem> {
    let file = format!("{name}/{}", FILES[0]);
    let mut problems = Vec::new();
    if RESERVED.contains(&name) {
        let text = format!("`{name}` is the name of a rule of the gateway's own");
        problems.push(at_word(&file, toml, name, text, Code::Name).help("give it another name"));
    }
    if let Ok(manifest) = RuleManifest::parse("", toml)
        && manifest.name.as_str() != name
    {
        let text = format!("the rule is called `{}`, its folder `{name}`", manifest.name);
        problems.push(at_word(&file, toml, manifest.name.as_str(), text, Code::Name));
    }
    problems
}

/// Every problem of a rule given as texts, such as a draft in the web editor.
pub fn lint_rule(name: &str, manifest: &str, script: &str, cases: &str) -> Vec<Problem> {
    let mut problems = one(&sandbox(), name, Some(manifest), Some(script), Some(cases));
    problems.extend(of_name(name, manifest));
    problems
}

/// Every problem of a derived stream given as texts.
pub fn lint_stream(name: &str, manifest: &str, script: &str, cases: &str) -> Vec<Problem> {
    let bench = sandbox();
    let mut params = None;
    let mut problems = match RuleSource::parse_stream(name, manifest, script) {
        Ok(source) => {
            let found = of_script(&bench, name, &source, manifest);
            params = Some(source.manifest.params);
            found
        }
        Err(mut found) => {
            found.extend(without_manifest(&bench, name, manifest, script, Quantity::all().next()));
            found
        }
    };
    let file = format!("{name}/cases.txt");
    let (cases, wrong) = read_cases(parse_derived_cases, params.as_deref(), &file, cases);
    problems.extend(wrong.into_iter().map(|p| p.code(Code::Cases)));
    problems.extend(cases.map(|cases| of_stream_cases(&file, &cases)).unwrap_or_default());
    problems
}

/// The problems of a script whose manifest is not in order. As long as it tells the names of the script's variables, that hides
/// nothing; else nobody knows them.
fn without_manifest(bench: &Bench, name: &str, toml: &str, script: &str, makes: Option<Quantity>) -> Vec<Problem> {
    let declared = Declared::read(toml);
    let whole = declared.whole;
    let Some(manifest) = stand_in(declared) else { return Vec::new() };
    let source = RuleSource { manifest, script: script.to_owned(), hash: [0; 32], makes };
    let mut problems = of_script(bench, name, &source, toml);
    if !whole {
        // An input that nobody could read may be the variable, and what the script looks at.
        let hangs_on_names = [Code::UnknownVariable, Code::Unused, Code::ConstantAnswer];
        let of_names = |problem: &Problem| problem.code == Code::Value && !problem.is_error();
        problems.retain(|problem| !hangs_on_names.contains(&problem.code) && !of_names(problem));
    }
    problems
}

/// A manifest with these names; all else is as if it said nothing.
fn stand_in(declared: Declared) -> Option<RuleManifest> {
    Some(RuleManifest {
        name: RuleName::parse("rule").ok()?,
        version: String::new(),
        summary: String::new(),
        priority: Priority::Low,
        category: RuleCategory::Physiological,
        inputs: declared.inputs,
        params: declared.params,
        state: declared.state,
        scope: RuleScope::Athlete,
        assurance: Assurance::Wired,
        accept: Quality::empty(),
        gaps: false,
        gap_after: i64::MAX,
        hold: 0,
        clear_after: 0,
        cool_down: 0,
        latch: false,
        escalate: None,
    })
}

fn one(bench: &Bench, name: &str, manifest: Option<&str>, script: Option<&str>, cases: Option<&str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let toml = manifest.unwrap_or_default();
    let (mut params, mut gap_after) = (None, None);
    match (manifest.map(|text| RuleManifest::parse(&format!("{name}/{}", FILES[0]), text)), script) {
        (Some(Ok(manifest)), Some(script)) => {
            (params, gap_after) = (Some(manifest.params.clone()), Some(manifest.gap_after));
            let source = RuleSource { manifest, script: script.to_owned(), hash: [0; 32], makes: None };
            problems.extend(of_script(bench, name, &source, toml));
        }
        (read, script) => {
            problems.extend(read.and_then(Result::err).unwrap_or_default());
            problems.extend(script.map(|script| without_manifest(bench, name, toml, script, None)).unwrap_or_default());
        }
    }
    let file = format!("{name}/cases.txt");
    if let Some(cases) = cases {
        let (cases, wrong) = read_cases(parse_rule_cases, params.as_deref(), &file, cases);
        problems.extend(wrong.into_iter().map(|p| p.code(Code::Cases)));
        problems.extend(cases.map(|cases| of_cases(&file, &cases, gap_after)).unwrap_or_default());
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
    let declared = Declared::read(toml);
    // Loading does not know where in the manifest a name stands.
    let (mut loading, known) = (Rule::new(bench, source).err().unwrap_or_default(), known(source));
    suggest_of_receivers(&bench.sandbox, script, &known, &mut loading);
    let loading = loading.into_iter().filter(|p| p.code != Code::Name);
    let named = clashes(source, |name| declared.place(name));
    let mut problems: Vec<Problem> = loading.chain(named).map(folder).collect();
    // Loading looks at properties only when the rest compiles.
    let properties = unknown_properties(source, &words(script)).into_iter().map(folder);
    let file = in_folder(&source.file());
    let manifest_file = in_folder(&source.manifest_file());
    let usages: Vec<&str> = METHODS.iter().chain(HELPERS).map(|(entry, _)| *entry).collect();
    let of_inputs: Vec<&str> = PROPERTIES.iter().chain(METHODS).map(|(entry, _)| bare(entry)).collect();
    let (kinds, told) = match source.makes {
        None => (OF_RULES, "a rule answers true, false or a message"),
        Some(_) => (OF_STREAMS, "a derived stream answers a number or ()"),
    };
    let quantities: Vec<&str> = source.manifest.inputs.iter().map(|quantity| quantity.name()).collect();
    let reasons = GapReason::ALL.map(GapReason::name);
    let purpose = Purpose {
        usages: &usages,
        answer: Some(Answer { kinds, told, of_inputs: &of_inputs, numbers: &["value"] }),
        values: &[("quantity", quantities.as_slice()), ("gap", reasons.as_slice())],
        memory: Some(Memory { helpers: &HELPERS_BY_NAME, name_bytes_max: NAME_BYTES_MAX, names_max: NAMES_MAX }),
    };
    for found in properties.chain(lint(&bench.sandbox, &file, script, &known, &purpose)) {
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

/// The name of what a table writes with its parameters.
fn bare(entry: &str) -> &str {
    entry.split('(').next().unwrap_or(entry)
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

/// Whether the readings of one stream stand further apart than this (microseconds): a gap, told or not.
fn has_hole(case: &RuleCase, gap_after: i64) -> bool {
    let mut newest = BTreeMap::new();
    case.steps.iter().any(|step| {
        let stream = (step.device.as_str(), step.quantity.code());
        step.instants().any(|at| newest.insert(stream, at).is_some_and(|before: i64| at - before > gap_after))
    })
}

/// What the cases leave open: a rule nobody saw raise, stay silent, meet a gap or a reading that is not to be believed. What a hole is
/// nobody knows of a manifest that is not in order.
fn of_cases(file: &str, cases: &[RuleCase], gap_after: Option<i64>) -> Vec<Problem> {
    let steps = || cases.iter().flat_map(|case| &case.steps);
    let raises = |case: &RuleCase| case.steps.iter().flat_map(|s| &s.expected).any(|o| matches!(o, Outcome::Raise(..)));
    let odd = |quality: Quality| !quality.is_empty();
    let has_gap = steps().any(|step| matches!(step.content, Content::Gap(_)))
        || cases.iter().any(|case| gap_after.is_none_or(|gap_after| has_hole(case, gap_after)));
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
