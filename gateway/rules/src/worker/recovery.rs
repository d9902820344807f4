//! What follows a worker's end: another in its place, and what ended it again, entry by entry.
//!
//! Who is to blame is measured, not guessed. Of one entry each rule is noted before it runs, and has a deadline of its own, of processor
//! time: a rule that is late ran for too long itself. One that was noted when the worker died of its limits, the system-call filter or a
//! panic is taken for the reason. A worker that was killed from outside, hardly ran, or said what is no answer names nobody: another is
//! started, each after a longer pause, and after a few the caller is told, who begins again from the journal.

use std::sync::Arc;
use std::time::Duration;

use pitchside_model::RuleName;
use pitchside_script::{Fault, FaultKind, WorkerError};

use super::{DEADLINE, DEADLINE_LOAD, RulesError, RulesWorker, encode};
use crate::engine::{Fed, RuleFault};
use crate::item::Item;
use crate::protocol::{Answer, Request};

/// How many rules one batch may cost before the rules as a whole are given up until the next.
const CULPRITS_MAX: usize = 16;
/// How many workers one batch may cost for which nobody is to blame.
const SETBACKS_MAX: u32 = 5;
/// How long the third of them waits; the second does not, and each that follows waits longer.
const PAUSE: Duration = Duration::from_millis(250);

impl RulesWorker {
    /// Feeds the batch over which the worker ended to others, entry by entry, with the rules that end them switched off one by one. What
    /// went well is never fed twice.
    pub(super) async fn recover(&mut self, items: &[Item<'_>], error: WorkerError) -> Result<Fed, RulesError> {
        let (mut all, mut setbacks, mut culprits) = (Fed::default(), 0, 0);
        self.set_back(error, &mut setbacks).await?;
        self.revive(&mut setbacks).await?;
        for item in items {
            let request = |watch| encode(&Request::Feed { watch, items: vec![item.clone()] });
            let watched = request(true)?;
            let fed = loop {
                let error = match self.call_noted(&watched).await {
                    Ok(Answer::Fed(fed)) => break fed,
                    Ok(_) | Err(RulesError::Misunderstood) => return Err(self.misunderstood().await),
                    Err(RulesError::Worker(error)) => error,
                    Err(error) => return Err(error),
                };
                match culprit(&error) {
                    Some(_) if culprits == CULPRITS_MAX => return Err(error.into()),
                    Some((rule, fault)) => {
                        culprits += 1;
                        all.faults.push(RuleFault { rule: rule.clone(), fault: fault.clone(), off: true });
                        self.culprits.push((rule, fault));
                    }
                    None => self.set_back(error, &mut setbacks).await?,
                }
                self.revive(&mut setbacks).await?;
            };
            all.events.extend(fed.events);
            all.faults.extend(fed.faults);
            self.keep_in_tail(request(false)?);
        }
        Ok(all)
    }

    /// Takes what [`RulesWorker::snapshot`] gave, under the same rules and the same build.
    pub async fn resume(&mut self, snapshot: &[u8]) -> Result<(), RulesError> {
        let mut setbacks = 0;
        loop {
            match self.take_up(snapshot).await {
                Err(RulesError::Worker(error)) if error.is_from_outside() => {
                    self.set_back(error, &mut setbacks).await?;
                }
                other => return other,
            }
        }
    }

    async fn take_up(&mut self, snapshot: &[u8]) -> Result<(), RulesError> {
        match self.ask(&Request::Resume(snapshot)).await? {
            Answer::Resumed(true) => self.remember().await,
            Answer::Resumed(false) => Err(RulesError::Forgotten),
            _ => Err(self.misunderstood().await),
        }
    }

    async fn call_noted(&mut self, request: &[u8]) -> Result<Answer, RulesError> {
        let answer = self.worker.call_noted(request, DEADLINE).await?;
        self.understand(&answer).await
    }

    /// A worker is gone for which nobody is to blame, or nobody yet: says so, and waits before the next. An error after so many that
    /// waiting does not help.
    pub(super) async fn set_back(&mut self, error: WorkerError, setbacks: &mut u32) -> Result<(), RulesError> {
        if !matches!(error, WorkerError::Late { .. } | WorkerError::Died { .. } | WorkerError::Down) {
            return Err(error.into());
        }
        *setbacks += 1;
        if *setbacks >= SETBACKS_MAX {
            return Err(error.into());
        }
        tracing::warn!(%error, "the rules' worker is gone; another takes its place and hears the same");
        tokio::time::sleep(PAUSE * (2u32.pow(*setbacks - 1) - 1)).await;
        Ok(())
    }

    /// [`RulesWorker::refill`], again where the worker that is filled is gone for what nobody is to blame for.
    pub(super) async fn revive(&mut self, setbacks: &mut u32) -> Result<(), RulesError> {
        loop {
            match self.refill().await {
                Err(RulesError::Worker(error)) if error.is_from_outside() => self.set_back(error, setbacks).await?,
                other => return other,
            }
        }
    }

    /// A fresh worker that stands where the last one stood before the call that ended it; or none.
    pub(super) async fn refill(&mut self) -> Result<(), RulesError> {
        self.restarts += 1;
        self.worker.restart().await?;
        let filled = self.fill().await;
        if filled.is_err() {
            // Half of what was known is worse than nothing: that is noticed.
            self.worker.stop().await;
        }
        filled
    }

    async fn fill(&mut self) -> Result<(), RulesError> {
        let set = Arc::clone(&self.set);
        self.load(&set).await?;
        if let Some(snapshot) = self.snapshot.take() {
            let request = encode(&Request::Resume(&snapshot));
            self.snapshot = Some(snapshot);
            if !matches!(self.call(&request?, DEADLINE_LOAD).await?, Answer::Resumed(true)) {
                return Err(RulesError::Forgotten);
            }
        }
        for (rule, fault) in self.culprits.clone() {
            self.call(&encode(&Request::SwitchOff(rule, fault))?, DEADLINE).await?;
        }
        let tail = std::mem::take(&mut self.tail);
        let mut outcome = Ok(());
        for request in &tail {
            // What comes of it was told when it was fed first. It ended then, so it does now, and no rule in it is to be caught.
            match self.call(request, DEADLINE_LOAD).await {
                Ok(Answer::Fed(_)) => {}
                Ok(_) => outcome = Err(RulesError::Misunderstood),
                Err(error) => outcome = Err(error),
            }
            if outcome.is_err() {
                break;
            }
        }
        self.tail = tail;
        outcome
    }
}

/// Which rule ended a worker, if one did.
fn culprit(error: &WorkerError) -> Option<(RuleName, Fault)> {
    let (kind, note) = match error {
        WorkerError::Late { note, .. } => (FaultKind::Time, note),
        WorkerError::Died { note, .. } => (FaultKind::Crash, note),
        _ => return None,
    };
    let rule = RuleName::parse(note.as_deref().filter(|_| !error.is_from_outside())?).ok()?;
    Some((rule, Fault::new(kind, error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::deadline_of;
    use super::*;

    fn late(starved: bool, note: Option<&str>) -> WorkerError {
        WorkerError::Late { deadline: DEADLINE, starved, note: note.map(str::to_owned) }
    }

    fn died(from_outside: bool, note: Option<&str>) -> WorkerError {
        WorkerError::Died { reason: "it was killed".to_owned(), from_outside, note: note.map(str::to_owned) }
    }

    #[test]
    fn a_deadline_grows_with_what_is_asked_for_and_has_a_bound() {
        assert_eq!(deadline_of(0), DEADLINE);
        assert_eq!(deadline_of(176), DEADLINE + Duration::from_millis(176));
        assert_eq!(deadline_of(usize::MAX), DEADLINE_LOAD);
    }

    #[test]
    fn only_what_a_rule_can_do_names_the_one_that_ran() {
        let named = |error: &WorkerError| culprit(error).map(|(rule, fault)| (rule.to_string(), fault.kind));
        let hot = Some("hot");
        assert_eq!(named(&late(false, hot)), Some(("hot".to_owned(), FaultKind::Time)));
        assert_eq!(named(&died(false, hot)), Some(("hot".to_owned(), FaultKind::Crash)));
        let nobody = [late(true, hot), died(true, hot), late(false, None), died(false, None), WorkerError::Down];
        for error in nobody {
            assert_eq!(named(&error), None, "{error}");
        }
    }
}
