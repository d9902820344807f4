//! Why the rules do not answer.

use pitchside_script::{Problem, WorkerError};

/// Why the rules did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The folder holds something that is no rule; nothing was changed.
    #[error("the rules were not loaded: {}", first(.0))]
    Problems(Vec<Problem>),
    /// The worker cannot be kept alive. The next call tries again.
    #[error("the rules' worker failed: {0}")]
    Worker(#[from] WorkerError),
    /// The worker answers something else than what it was asked.
    #[error("the rules' worker is not understood; parent and worker must be of one version")]
    Misunderstood,
    /// What the worker remembered is lost, as it is larger than a frame or under other rules.
    #[error("what the rules remembered is lost; feed them from the journal")]
    Forgotten,
    /// A drill did not raise its alert.
    #[error("{0}")]
    Drill(String),
}

impl RulesError {
    /// Whether the worker cannot be kept alive for what no rule does: whatever it ran is not to blame.
    pub fn is_from_outside(&self) -> bool {
        matches!(self, Self::Worker(error) if error.is_from_outside())
    }
}

fn first(problems: &[Problem]) -> String {
    let shown = problems.first().map(ToString::to_string).unwrap_or_default();
    if problems.len() > 1 { format!("{shown} (and {} more)", problems.len() - 1) } else { shown }
}
