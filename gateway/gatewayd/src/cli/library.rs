//! `pitchside rules`: what is there, what is wrong with it, and its cases.

use std::path::{Path, PathBuf};

use pitchside_rules::RuleSet;
use pitchside_script::cases::Report;
use serde::Serialize;

use super::args::{ConfigArg, FolderCommand};
use super::output::{self, Output};
use super::{Failure, Outcome, context};

/// One rule.
#[derive(Serialize)]
struct Item {
    name: String,
    version: String,
    summary: String,
}

/// What its cases came to.
#[derive(Serialize)]
struct Tested {
    name: String,
    cases: usize,
    failures: Vec<String>,
}

fn folder(
    given: Option<&PathBuf>,
    config: &ConfigArg,
    of: impl Fn(&pitchside_config::Settings) -> Option<PathBuf>,
) -> Result<PathBuf, Failure> {
    if let Some(dir) = given {
        return Ok(dir.clone());
    }
    of(&context::settings(config)?.settings)
        .ok_or_else(|| Failure::Usage("no folder is configured; name one".to_owned()))
}

fn refuse(problems: &[String]) -> Outcome {
    for problem in problems {
        output::note(problem);
    }
    Err(Failure::Failed(anyhow::anyhow!("{} problem(s)", problems.len())))
}

fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// `pitchside rules`.
pub fn rules(command: &FolderCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let of = |settings: &pitchside_config::Settings| settings.rules.dir.clone();
    match command {
        FolderCommand::List { dir } | FolderCommand::Check { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let set = match RuleSet::load(&dir) {
                Ok(set) => set,
                Err(problems) => return refuse(&problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
            };
            let items: Vec<Item> = set
                .rules()
                .iter()
                .map(|rule| Item {
                    name: rule.name().to_string(),
                    version: rule.manifest.version.clone(),
                    summary: rule.manifest.summary.clone(),
                })
                .collect();
            print_items(&items, "RULE", output)
        }
        FolderCommand::Test { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let tested: Vec<Tested> = subfolders(&dir)?
                .iter()
                .map(|folder| {
                    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    let report = pitchside_rules::run_rule_folder(folder, &name);
                    tested(name, &report)
                })
                .collect();
            print_tested(&tested, output)
        }
    }
}

fn tested(name: String, report: &Report) -> Tested {
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    let failures = of_cases.chain(report.problems.iter().map(ToString::to_string)).collect();
    Tested { name, cases: report.cases.len(), failures }
}

fn print_items(items: &[Item], title: &str, output: &Output) -> Outcome {
    output.table(items, &[title, "VERSION", "SUMMARY"], |item| {
        vec![item.name.clone(), item.version.clone(), item.summary.clone()]
    })?;
    Ok(())
}

fn print_tested(tested: &[Tested], output: &Output) -> Outcome {
    output.table(tested, &["NAME", "CASES", "FAILED"], |t| {
        vec![t.name.clone(), t.cases.to_string(), t.failures.len().to_string()]
    })?;
    let failures: Vec<String> =
        tested.iter().flat_map(|t| t.failures.iter().map(move |failure| format!("{}: {failure}", t.name))).collect();
    if failures.is_empty() { Ok(()) } else { refuse(&failures) }
}
