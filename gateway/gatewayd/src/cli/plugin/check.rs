//! `plugin check` and `test`: what lies in folders, what is wrong with it, and what its cases come to. Scripts are
//! compiled in this process and run in one of their own, which is ended when it is late; nothing is asked of a network.

use std::path::{Path, PathBuf};

use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::cases::Report;
use serde::Serialize;

use crate::cli::args::ConfigArg;
use crate::cli::library::{Item, failed, print_items, refuse};
use crate::cli::output::{Output, note};
use crate::cli::{Failure, Outcome, context};
use crate::plugins::apart::Apart;

/// What its cases came to.
#[derive(Serialize)]
struct Tested {
    name: String,
    cases: usize,
    /// How many of them did not pass.
    failed: usize,
    /// A line for each payload that was otherwise, and for whatever kept cases from being run.
    failures: Vec<String>,
    /// Every case, in the order of the file.
    ran: Vec<Ran>,
}

/// What one case came to.
#[derive(Serialize)]
struct Ran {
    case: String,
    passed: bool,
}

/// The folders that are meant: one plugin's, or every plugin's below.
fn folders(which: Option<&Path>, config: &ConfigArg) -> Result<Vec<PathBuf>, Failure> {
    let library = || {
        let dir = context::settings(config)?.settings.plugins.dir;
        dir.ok_or_else(|| Failure::Usage("no folder of plugins is configured; name one".to_owned()))
    };
    let dir = match which {
        None => library()?,
        Some(dir) if dir.is_dir() => dir.to_owned(),
        // No folder: the name of one in the settings' library.
        Some(name) => {
            let text = name.to_string_lossy();
            if PluginName::parse(&text).is_err() {
                return Err(Failure::Usage(format!("there is no folder {text}")));
            }
            let dir = library()?.join(name);
            if !dir.is_dir() {
                return Err(Failure::Usage(format!("there is no folder {text}, and no {}", dir.display())));
            }
            dir
        }
    };
    let is_plugin = |dir: &Path| {
        ["plugin.toml", "decode.rhai", "output.rhai", "derive.rhai"].iter().any(|file| dir.join(file).is_file())
    };
    if is_plugin(&dir) {
        // `.` has no name of its own, and a plugin is called as its folder.
        return Ok(vec![std::path::absolute(&dir).and_then(|dir| dir.canonicalize())?]);
    }
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&dir)?.filter_map(Result::ok).map(|entry| entry.path()).filter(|p| is_plugin(p)).collect();
    folders.sort();
    if folders.is_empty() {
        return Err(Failure::Usage(format!("there is no plugin in {}: no plugin.toml", dir.display())));
    }
    Ok(folders)
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Everything that is wrong with a plugin's files, a line each, led by its name.
pub(super) fn problems(folder: &Path) -> Result<Folder, Vec<String>> {
    let named = |problem: &str| problem.lines().map(|line| format!("{}/{line}", name(folder))).collect::<Vec<_>>();
    let read = Folder::read(folder).map_err(|error| named(&error.to_string()))?;
    let (errors, warnings) = crate::plugins::problems(&read);
    warnings.iter().flat_map(|warning| named(warning)).for_each(|warning| note(&warning));
    let mut found: Vec<String> = errors.iter().flat_map(|problem| named(problem)).collect();
    if !folder.join("README.md").is_file() {
        found.extend(named("README.md: is missing: say what the payload holds, and where that is written"));
    }
    if found.is_empty() { Ok(read) } else { Err(found) }
}

/// `plugin check`.
pub(super) fn check(which: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let (mut items, mut found) = (Vec::new(), Vec::new());
    for folder in folders(which, config)? {
        match problems(&folder) {
            Ok(folder) => items.push(Item {
                name: folder.manifest.name.to_string(),
                version: folder.manifest.version.clone(),
                summary: folder.manifest.summary.clone(),
            }),
            Err(problems) => found.extend(problems),
        }
    }
    if !found.is_empty() {
        return refuse(&found);
    }
    print_items(&items, "PLUGIN", output)
}

/// `plugin test`.
pub(super) fn test(which: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let (mut all, folders) = (Vec::new(), folders(which, config)?);
    let mut apart = Apart::start()?;
    for path in folders {
        let ran = match Folder::read(&path) {
            Ok(folder) => apart.report(&folder)?,
            Err(error) => Err(vec![error.to_string()]),
        };
        all.push(match ran {
            Ok(report) => tested(name(&path), &report),
            Err(failures) => Tested { name: name(&path), cases: 0, failed: 0, failures, ran: Vec::new() },
        });
    }
    output.table(&all, &["NAME", "CASES", "FAILED"], |t| {
        vec![t.name.clone(), t.cases.to_string(), failed(t.cases, t.failed, &t.failures)]
    })?;
    let failures: Vec<String> =
        all.iter().flat_map(|t| t.failures.iter().map(move |failure| format!("{}: {failure}", t.name))).collect();
    if failures.is_empty() { Ok(()) } else { refuse(&failures) }
}

fn tested(name: String, report: &Report) -> Tested {
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    let failures = of_cases.chain(report.problems.iter().map(ToString::to_string)).collect();
    let ran =
        |case: &pitchside_script::cases::CaseResult| Ran { case: case.name.clone(), passed: case.failures.is_empty() };
    let ran = report.cases.iter().map(ran).collect();
    Tested { name, cases: report.cases.len(), failed: report.failed(), failures, ran }
}
