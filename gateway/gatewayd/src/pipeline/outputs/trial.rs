//! A request tried again for as long as that may help, and given up.

use std::time::Duration;

use pitchside_model::Timestamp;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_script::output::Request;
use tokio::time::Instant;

use super::OutputTask;
use super::carry::CarryError;

/// The first pause before a request is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long one that the other end takes for wrong is tried: what comes after it waits.
const UNWANTED_AFTER_US: i64 = 10 * 60 * 1_000_000;
/// How long after its step was recorded a request is tried, in microseconds.
const GIVE_UP_AFTER_US: i64 = 24 * 3_600 * MICROS_PER_SECOND;

/// For how long something is tried.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trial {
    /// A day.
    Alert,
    /// Until then.
    Drill(Instant),
}

impl OutputTask {
    /// Carries a request out, and tries again for as long as that may help. Why it was given up, otherwise.
    pub(super) async fn carry(
        &self,
        request: &Request,
        key: &str,
        since: Timestamp,
        trial: Trial,
    ) -> Result<(), String> {
        let mut pause = RETRY_MIN;
        let mut said = false;
        let moot_after_us = request.moot_after_s().map(|seconds| i64::from(seconds) * MICROS_PER_SECOND);
        let limit_us = moot_after_us.unwrap_or(GIVE_UP_AFTER_US);
        let age_us = || self.parts.clock.now().micros_since(since);
        if moot_after_us.is_some() && age_us() > limit_us {
            let why = format!("{} {key} comes too late to be worth it, and is left out", request.target());
            self.trouble(why.clone());
            return Err(why);
        }
        loop {
            let done = match self.given() {
                Ok(given) => self.parts.carrier.carry(request, key, &given).await,
                Err(error) => Err(CarryError::Later(error.to_string())),
            };
            let (why, unwanted) = match done {
                Ok(()) => {
                    if said {
                        self.trouble(format!("{} {key} went out after all", request.target()));
                    }
                    return Ok(());
                }
                Err(CarryError::Never(why)) => {
                    tracing::error!(plugin = %self.name, key, "what an output asks for is refused");
                    self.trouble(format!("{} {key} is refused: {why}", request.target()));
                    return Err(format!("{} is refused: {why}", request.target()));
                }
                Err(CarryError::Later(why)) => (why, false),
                Err(CarryError::Unwanted(why)) => (why, true),
            };
            let (over, span) = match trial {
                Trial::Alert => {
                    (age_us() > limit_us.min(if unwanted { UNWANTED_AFTER_US } else { i64::MAX }), "its time")
                }
                Trial::Drill(until) => (Instant::now() + pause > until, "the time of a drill"),
            };
            if over {
                tracing::error!(plugin = %self.name, key, "what an output asks for could not be done within {span} and is given up");
                self.trouble(format!("{} {key} is given up after {span}: {why}", request.target()));
                return Err(format!("{}: {why}", request.target()));
            }
            if !said && matches!(trial, Trial::Alert) {
                said = true;
                tracing::warn!(plugin = %self.name, key, "what an output asks for does not succeed yet; it is tried again");
                self.trouble(format!("{} {key} does not go out yet, and is tried on: {why}", request.target()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}
