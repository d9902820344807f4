//! What came of running cases.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, shortened};

/// One case and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The folder it belongs to, e.g. `heat-illness`.
    pub of: String,
    /// Its name.
    pub name: String,
    /// What differed; empty if it passed.
    pub failures: Vec<Problem>,
}

impl CaseResult {
    pub(super) fn new(of: &str, name: &str, failures: Vec<Problem>) -> Self {
        Self { of: of.to_owned(), name: shortened(name), failures }
    }
}

/// All cases of a run, and what kept others from running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The cases, in the order of the files.
    pub cases: Vec<CaseResult>,
    /// Scripts, manifests and cases that could not be read.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether every case ran and passed.
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && self.cases.iter().all(|case| case.failures.is_empty())
    }

    /// How many cases did not pass, each with however many lines.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.failures.is_empty()).count()
    }

    /// Adds what another run found.
    pub fn extend(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.problems.extend(other.problems);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            let mark = if case.failures.is_empty() { "ok  " } else { "FAIL" };
            writeln!(f, "{mark} {}: {}", case.of, case.name)?;
            case.failures.iter().try_for_each(|problem| writeln!(f, "       {problem}"))?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "FAIL {problem}"))?;
        let failed = self.cases.iter().filter(|case| !case.failures.is_empty()).count();
        write!(f, "{} cases, {failed} failed", self.cases.len())?;
        match self.problems.len() {
            0 => Ok(()),
            n => write!(f, ", {n} problems"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_told_by_a_short_name() {
        let case = CaseResult::new("heat", &"x".repeat(64_000), Vec::new());
        assert_eq!((case.of.as_str(), case.name), ("heat", format!("{}…", "x".repeat(64))));
    }
}
