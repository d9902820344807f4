//! `rules list`, `check` and `test`: what lies in a folder of rules, what is wrong with it, and what its cases come to.

use std::path::{Path, PathBuf};

use pitchside_rules::{RuleSet, lint_folder};
use pitchside_script::Problem;
use pitchside_script::cases::Report;
use pitchside_script::manifest::RuleCategory;
use serde::Serialize;

use crate::cli::args::ConfigArg;
use crate::cli::library::refuse;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome, context};

/// A rule of a folder.
#[derive(Serialize)]
struct Listed {
    name: String,
    version: String,
    category: RuleCategory,
    summary: String,
}

/// What a check of a folder found.
#[derive(Serialize)]
struct Checked {
    schema: &'static str,
    /// None if there is an error.
    rules: Vec<Listed>,
    problems: Vec<Problem>,
}

/// What a rule's cases came to.
#[derive(Serialize)]
struct Tested {
    name: String,
    cases: usize,
    failures: Vec<String>,
}

fn folder(given: Option<&Path>, config: &ConfigArg) -> Result<PathBuf, Failure> {
    if let Some(dir) = given {
        return Ok(dir.to_owned());
    }
    let configured = context::settings(config)?.settings.rules.dir;
    configured.ok_or_else(|| Failure::Usage("no folder of rules is configured; name one".to_owned()))
}

fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn listed(dir: &Path) -> Result<Vec<Listed>, Vec<Problem>> {
    let listed = |rule: &pitchside_rules::RuleSource| Listed {
        name: rule.name().to_string(),
        version: rule.manifest.version.clone(),
        category: rule.manifest.category,
        summary: rule.manifest.summary.clone(),
    };
    Ok(RuleSet::load(dir)?.rules().iter().map(listed).collect())
}

/// `rules list`.
pub(super) fn list(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let rules = match listed(&folder(given, config)?) {
        Ok(rules) => rules,
        Err(problems) => return refuse(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    output.table(&rules, &["RULE", "VERSION", "CATEGORY", "SUMMARY"], |rule| {
        vec![rule.name.clone(), rule.version.clone(), rule.category.to_string(), rule.summary.clone()]
    })?;
    Ok(())
}

/// `rules check`: warnings are told and let pass, errors are not. As JSON, for editors: everything with its place.
pub(super) fn check(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let dir = folder(given, config)?;
    let problems = lint_folder(&dir);
    if output.is_json() {
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        let rules = if errors == 0 { listed(&dir).unwrap_or_default() } else { Vec::new() };
        output.print(&Checked { schema: "pitchside/check/1", rules, problems }, |_| String::new())?;
        return if errors == 0 { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("{errors} problem(s)"))) };
    }
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.is_error());
    for warning in &warnings {
        output::note(&warning.to_string());
    }
    if !errors.is_empty() {
        return refuse(&errors.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    list(Some(&dir), config, output)
}

/// `rules test`.
pub(super) fn test(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let mut tested = Vec::new();
    for folder in subfolders(&folder(given, config)?)? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let report = pitchside_rules::run_rule_folder(&folder, &name);
        tested.push(of_report(name, &report));
    }
    output.table(&tested, &["NAME", "CASES", "FAILED"], |t| {
        vec![t.name.clone(), t.cases.to_string(), t.failures.len().to_string()]
    })?;
    let failures: Vec<String> =
        tested.iter().flat_map(|t| t.failures.iter().map(move |failure| format!("{}: {failure}", t.name))).collect();
    if failures.is_empty() { Ok(()) } else { refuse(&failures) }
}

fn of_report(name: String, report: &Report) -> Tested {
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    let failures = of_cases.chain(report.problems.iter().map(ToString::to_string)).collect();
    Tested { name, cases: report.cases.len(), failures }
}
