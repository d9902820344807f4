//! Plugins as packages: signed, weighed before they are let in, and what of them is to run.
//!
//! | module | holds |
//! | --- | --- |
//! | [`signature`] | who vouches for a package |
//! | [`weigh`] | whether it is let in: every refusal has a reason |
//! | [`wanted`] | which plugins are to run, from the library and from packages |

pub mod signature;
pub mod wanted;
pub mod weigh;

use pitchside_decode::plugin::{Folder, FolderError, cases};
use pitchside_script::package::Package;

/// The plugin in a package.
pub fn folder(package: &Package) -> Result<Folder, FolderError> {
    Folder::of_texts(&package.files.manifest, package.files.script.clone(), package.files.cases.clone())
}

/// What fails of a plugin's own cases, a line each.
pub fn failures(folder: &Folder) -> Vec<String> {
    let report = match cases::run(folder) {
        Ok(report) => report,
        Err(problems) => return problems,
    };
    let of_cases = report
        .cases
        .iter()
        .flat_map(|case| case.failures.iter().map(move |problem| format!("{}: {problem}", case.name)));
    of_cases.chain(report.problems.iter().map(ToString::to_string)).collect()
}
