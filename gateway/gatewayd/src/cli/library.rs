//! `pitchside plugin`, and what it shares with `pitchside rules`: what is there, what is wrong with it, and its cases.

use std::path::{Path, PathBuf};

use pitchside_decode::plugin::Folder;
use pitchside_decode::plugin::cases::run as run_plugin_cases;
use pitchside_script::cases::Report;
use serde::Serialize;

use super::args::{ConfigArg, FolderCommand};
use super::output::{self, Output};
use super::{Failure, Outcome, context};

/// One rule or plugin.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) summary: String,
}

/// What its cases came to.
#[derive(Serialize)]
pub(super) struct Tested {
    name: String,
    cases: usize,
    failures: Vec<String>,
}

pub(super) fn folder(
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

pub(super) fn refuse(problems: &[String]) -> Outcome {
    for problem in problems {
        output::note(problem);
    }
    Err(Failure::Failed(anyhow::anyhow!("{} problem(s)", problems.len())))
}

pub(super) fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

/// `pitchside plugin`.
pub fn plugins(command: &FolderCommand, config: &ConfigArg, output: &Output) -> Outcome {
    let of = |settings: &pitchside_config::Settings| settings.plugins.dir.clone();
    match command {
        FolderCommand::List { dir } | FolderCommand::Check { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let (mut items, mut problems) = (Vec::new(), Vec::new());
            for read in Folder::read_all(&dir)? {
                match read {
                    Ok(folder) => items.push(Item {
                        name: folder.manifest.name.to_string(),
                        version: folder.manifest.version.clone(),
                        summary: folder.manifest.summary.clone(),
                    }),
                    Err(error) => problems.push(error.to_string()),
                }
            }
            if !problems.is_empty() {
                return refuse(&problems);
            }
            print_items(&items, "PLUGIN", output)
        }
        FolderCommand::Test { dir } => {
            let dir = folder(dir.as_ref(), config, of)?;
            let mut tested = Vec::new();
            for path in subfolders(&dir)? {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let folder = Folder::read(&path)?;
                tested.push(match run_plugin_cases(&folder) {
                    Ok(report) => self::tested(name, &report),
                    Err(problems) => Tested { name, cases: 0, failures: problems },
                });
            }
            print_tested(&tested, output)
        }
    }
}

pub(super) fn tested(name: String, report: &Report) -> Tested {
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    let failures = of_cases.chain(report.problems.iter().map(ToString::to_string)).collect();
    Tested { name, cases: report.cases.len(), failures }
}

pub(super) fn print_items(items: &[Item], title: &str, output: &Output) -> Outcome {
    output.table(items, &[title, "VERSION", "SUMMARY"], |item| {
        vec![item.name.clone(), item.version.clone(), item.summary.clone()]
    })?;
    Ok(())
}

pub(super) fn print_tested(tested: &[Tested], output: &Output) -> Outcome {
    output.table(tested, &["NAME", "CASES", "FAILED"], |t| {
        vec![t.name.clone(), t.cases.to_string(), t.failures.len().to_string()]
    })?;
    let failures: Vec<String> =
        tested.iter().flat_map(|t| t.failures.iter().map(move |failure| format!("{}: {failure}", t.name))).collect();
    if failures.is_empty() { Ok(()) } else { refuse(&failures) }
}
