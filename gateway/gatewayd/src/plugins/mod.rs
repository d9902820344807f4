//! Plugins as packages: signed, weighed before they are let in, and what of them is to run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`signature`] | who vouches for a package |
//! | [`weigh`] | whether it is let in: every refusal has a reason |
//! | [`wanted`] | which plugins are to run, from the library and from packages |
//! | [`apart`] | cases and rehearsals in a process of their own |
//! | [`streams`] | derived streams, for the rules |
//! | [`deaf`] | rules that hear nothing, for no plugin that makes it runs |

pub mod apart;
pub mod deaf;
pub mod signature;
pub mod streams;
pub mod wanted;
pub mod weigh;

use pitchside_decode::plugin::{Folder, FolderError, cases};
use pitchside_script::Problem;
use pitchside_script::cases::{CaseResult, Report};
use pitchside_script::manifest::PluginKind;
use pitchside_script::package::Package;

/// The plugin in a package.
pub fn folder(package: &Package) -> Result<Folder, FolderError> {
    Folder::of_texts(&package.files.manifest, package.files.script.clone(), package.files.cases.clone())
}

/// Runs a plugin's own cases; `Err` if its script or its cases cannot be read.
pub fn run_cases(folder: &Folder) -> Result<Report, Vec<String>> {
    if folder.manifest.kind != PluginKind::Derived {
        return cases::run(folder);
    }
    let name = folder.manifest.name.as_str();
    let report = pitchside_rules::run_stream_texts(name, &folder.manifest_text, &folder.source, &folder.cases);
    let in_folder = |problem: Problem| streams::in_folder(problem, name);
    if report.cases.is_empty() && !report.problems.is_empty() {
        return Err(report.problems.into_iter().map(|problem| in_folder(problem).to_string()).collect());
    }
    let cases = report
        .cases
        .into_iter()
        .map(|case| CaseResult { failures: case.failures.into_iter().map(in_folder).collect(), ..case });
    Ok(Report { cases: cases.collect(), problems: report.problems.into_iter().map(in_folder).collect() })
}

/// What is wrong with script and cases, and what should be looked at, a line each; nothing is run.
pub fn problems(folder: &Folder) -> (Vec<String>, Vec<String>) {
    if folder.manifest.kind != PluginKind::Derived {
        return (folder.problems(), Vec::new());
    }
    let name = folder.manifest.name.as_str();
    let found = pitchside_rules::lint_stream(name, &folder.manifest_text, &folder.source, &folder.cases);
    let (errors, warnings): (Vec<Problem>, Vec<Problem>) = found.into_iter().partition(Problem::is_error);
    let lines = |problems: Vec<Problem>| -> Vec<String> {
        problems.into_iter().map(|problem| streams::in_folder(problem, name).to_string()).collect()
    };
    (lines(errors), lines(warnings))
}

/// What fails of a plugin's own cases, a line each. Runs its script in this process: who asks for it asks [`apart`].
pub fn failures(folder: &Folder) -> Vec<String> {
    let report = match run_cases(folder) {
        Ok(report) => report,
        Err(problems) => return problems,
    };
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    of_cases.chain(report.problems.iter().map(ToString::to_string)).collect()
}
