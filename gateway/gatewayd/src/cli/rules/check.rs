//! `rules list`, `check` and `test`: what lies in a folder of rules, what is wrong with it, and what its cases come to.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pitchside_rules::{RuleSet, RuleSource, lint_folder, lint_rule_folder, read_rule_folder};
use pitchside_script::Problem;
use pitchside_script::cases::Report;
use pitchside_script::manifest::RuleCategory;
use serde::Serialize;

use super::versions::name_of;
use crate::cli::args::ConfigArg;
use crate::cli::library::{failed, refuse};
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome, context};
use crate::plugins::apart::{Apart, Ran};

/// What makes a folder a rule's.
const MANIFEST: &str = "rule.toml";

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
    /// How many of them did not pass.
    failed: usize,
    /// A line for each step that was otherwise, and for whatever kept cases from being run.
    failures: Vec<String>,
}

/// What is looked at.
enum Target {
    /// The rules below a folder.
    All(PathBuf),
    /// The rule whose own folder it is, called as that.
    One(PathBuf, String),
}

/// What is meant: as given, else what the settings say.
fn target(given: Option<&Path>, config: &ConfigArg) -> Result<Target, Failure> {
    let Some(dir) = given else {
        let configured = context::settings(config)?.settings.rules.dir;
        let none = || Failure::Usage("no folder of rules is configured; name one".to_owned());
        return configured.map(Target::All).ok_or_else(none);
    };
    if dir.join(MANIFEST).is_file() {
        return Ok(Target::One(dir.to_owned(), name_of(dir)?));
    }
    // Whoever names a folder means the rules in it: to find none and be content would pass for a check.
    let is_rule = |dir: &PathBuf| [MANIFEST, "rule.rhai"].iter().any(|file| dir.join(file).is_file());
    if dir.is_dir() && !subfolders(dir)?.iter().any(is_rule) {
        return Err(Failure::Usage(format!("there is no rule in {}: no {MANIFEST}", dir.display())));
    }
    Ok(Target::All(dir.to_owned()))
}

impl Target {
    fn lint(&self) -> Vec<Problem> {
        match self {
            Self::All(dir) => lint_folder(dir),
            Self::One(dir, name) => lint_rule_folder(dir, name),
        }
    }

    fn rules(&self) -> Result<Vec<Listed>, Vec<Problem>> {
        let listed = |rule: &RuleSource| Listed {
            name: rule.name().to_string(),
            version: rule.manifest.version.clone(),
            category: rule.manifest.category,
            summary: rule.manifest.summary.clone(),
        };
        let set = match self {
            Self::All(dir) => RuleSet::load(dir)?,
            Self::One(dir, name) => RuleSet::load_rule(dir, name)?,
        };
        Ok(set.rules().iter().map(listed).collect())
    }

    /// The folders of its rules, with their names.
    fn folders(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let named = |folder: PathBuf| {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (folder, name)
        };
        match self {
            Self::All(dir) => Ok(subfolders(dir)?.into_iter().map(named).collect()),
            Self::One(dir, name) => Ok(vec![(dir.clone(), name.clone())]),
        }
    }
}

/// The folders below one, but for those that begin with a dot: no rule lies there.
fn subfolders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let entries = std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir() && !is_hidden(path)).collect();
    folders.sort();
    Ok(folders)
}

fn print(rules: &[Listed], output: &Output) -> Outcome {
    output.table(rules, &["RULE", "VERSION", "CATEGORY", "SUMMARY"], |rule| {
        vec![rule.name.clone(), rule.version.clone(), rule.category.to_string(), rule.summary.clone()]
    })?;
    Ok(())
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// `rules list`.
pub(super) fn list(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    match target(given, config)?.rules() {
        Ok(rules) => print(&rules, output),
        Err(problems) => refuse(&lines(&problems)),
    }
}

/// `rules check`: warnings are told and let pass, errors are not. As JSON, for editors: everything with its place.
pub(super) fn check(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let target = target(given, config)?;
    let mut problems = target.lint();
    let mut rules = Vec::new();
    if !problems.iter().any(Problem::is_error) {
        // Whatever keeps a rule from loading is a problem, though nothing was found wrong with it.
        match target.rules() {
            Ok(found) => rules = found,
            Err(found) => problems.extend(found),
        }
    }
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.iter().cloned().partition(Problem::is_error);
    if output.is_json() {
        output.print(&Checked { schema: "pitchside/check/1", rules, problems }, |_| String::new())?;
        let count = errors.len();
        return if count == 0 { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("{count} problem(s)"))) };
    }
    lines(&warnings).iter().for_each(|warning| output::note(warning));
    if errors.is_empty() { print(&rules, output) } else { refuse(&lines(&errors)) }
}

/// `rules test`. Scripts run in a process of their own, which is ended when it is late.
pub(super) fn test(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let target = target(given, config)?;
    let mut apart = Apart::start()?;
    test_by(&target, output, |folder, name| match read_rule_folder(folder, name) {
        Ok(texts) => apart.of_rule(name, texts),
        Err(problems) => Ok(Ok(Report { problems, ..Report::default() })),
    })
}

fn test_by(target: &Target, output: &Output, mut run: impl FnMut(&Path, &str) -> Ran) -> Outcome {
    let mut tested = Vec::new();
    for (folder, name) in target.folders()? {
        tested.push(match run(&folder, &name)? {
            Ok(report) => of_report(name, &report),
            Err(failures) => Tested { name, cases: 0, failed: 0, failures },
        });
    }
    output.table(&tested, &["NAME", "CASES", "FAILED"], |t| {
        vec![t.name.clone(), t.cases.to_string(), failed(t.cases, t.failed, &t.failures)]
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
    Tested { name, cases: report.cases.len(), failed: report.failed(), failures }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CONFIG: ConfigArg = ConfigArg { file: None };

    /// A rule on heart rate, in a folder of its own below `rules`.
    fn write(rules: &Path, name: &str, script: &str) -> PathBuf {
        let folder = rules.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [\"heart_rate\"]\n"
        );
        let cases = "case fast raises\n  +0s heart_rate 190 /min -> raise low\n";
        let texts = [
            ("rule.toml", manifest.as_str()),
            ("rule.rhai", script),
            ("cases.txt", cases),
            ("README.md", "# A test\n"),
        ];
        texts.iter().for_each(|(file, text)| std::fs::write(folder.join(file), text).unwrap());
        folder
    }

    /// `rules test` without a process: that of a test is not the gateway.
    fn test_here(given: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
        let target = target(given, config)?;
        test_by(&target, output, |folder, name| Ok(Ok(pitchside_rules::run_rule_folder(folder, name))))
    }

    /// What became of `rules check`, `test` and `list`, as text and as JSON: 0, 1 or 2.
    fn codes(dir: &Path) -> [[u8; 2]; 3] {
        let code = |outcome: Outcome| match outcome {
            Ok(()) => 0,
            Err(Failure::Failed(_)) => 1,
            Err(Failure::Usage(_)) => 2,
            Err(Failure::Tampered(_)) => 3,
        };
        let both = |run: fn(Option<&Path>, &ConfigArg, &Output) -> Outcome| {
            [false, true].map(|json| code(run(Some(dir), &NO_CONFIG, &Output::new(json))))
        };
        [both(check), both(test_here), both(list)]
    }

    #[test]
    fn a_rules_own_folder_is_looked_at_as_its_parent_is() {
        let dir = tempfile::tempdir().unwrap();
        let good = write(dir.path(), "good", "value > 180.0");
        assert_eq!((codes(&good), codes(dir.path())), ([[0; 2]; 3], [[0; 2]; 3]));
        let bad = write(dir.path(), "bad", "valeu > 180.0");
        assert_eq!((codes(&bad), codes(dir.path())), ([[1; 2]; 3], [[1; 2]; 3]));
        assert_eq!(codes(&good), [[0; 2]; 3], "its neighbour is not looked at");
        let slow = write(dir.path(), "slow", "value > 200.0");
        assert_eq!(codes(&slow), [[0; 2], [1; 2], [0; 2]], "its case fails");
        // It is called as its folder is, however that is given.
        let other = dir.path().join("other");
        std::fs::rename(&good, &other).unwrap();
        assert_eq!(codes(&other.join(".")), [[1; 2]; 3]);
    }

    #[test]
    fn a_folder_without_a_rule_is_a_question_put_wrongly() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(codes(dir.path()), [[2; 2]; 3]);
        std::fs::create_dir(dir.path().join("notes")).unwrap();
        assert_eq!(codes(dir.path()), [[2; 2]; 3]);
        assert_eq!(codes(&dir.path().join("nowhere")), [[1; 2]; 3]);
        // Half a rule is one that is broken.
        write(dir.path(), "half", "value > 180.0");
        std::fs::remove_dir(dir.path().join("notes")).unwrap();
        std::fs::remove_file(dir.path().join("half/rule.toml")).unwrap();
        assert_eq!(codes(dir.path()), [[1; 2]; 3]);
    }

    #[test]
    fn what_keeps_the_versions_of_a_folder_is_no_rule_in_it() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "good", "value > 180.0");
        std::fs::create_dir_all(dir.path().join(".git/objects")).unwrap();
        assert_eq!(codes(dir.path()), [[0; 2]; 3]);
        std::fs::remove_dir_all(dir.path().join("good")).unwrap();
        assert_eq!(codes(dir.path()), [[2; 2]; 3]);
    }

    #[test]
    fn a_name_of_the_gateways_own_is_refused_in_either_form() {
        let dir = tempfile::tempdir().unwrap();
        let rule = write(dir.path(), "alert-path", "value > 180.0");
        assert_eq!((codes(&rule), codes(dir.path())), ([[1; 2]; 3], [[1; 2]; 3]));
    }
}
