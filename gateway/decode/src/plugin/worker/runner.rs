//! The task that owns a plugin's process, and finds out which payload ended it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::PluginName;
use pitchside_script::{Limits, Worker, WorkerError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::message::{Answer, Ask, Decoded, Request};
use super::{Health, LOAD, PluginLimits, call};

/// What a call may take beyond what its payloads may.
const SLACK: Duration = Duration::from_secs(1);
/// How often a payload is asked about, by itself, whose process is gone for what no script does.
const TRIES: u32 = 3;

/// A payload, and who waits for what the script makes of it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) reply: oneshot::Sender<Result<Decoded, Failed>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: String,
    /// The process is gone for what no script does.
    pub(super) from_outside: bool,
}

impl Failed {
    fn unknown() -> Self {
        Self { reason: "its process answered something else than it was asked".to_owned(), from_outside: false }
    }
}

impl From<WorkerError> for Failed {
    fn from(error: WorkerError) -> Self {
        Self { reason: error.to_string(), from_outside: error.is_from_outside() }
    }
}

/// The task that owns the process.
pub(super) struct Runner {
    pub(super) name: PluginName,
    pub(super) load: Request,
    pub(super) worker: Worker,
    pub(super) limits: PluginLimits,
    pub(super) health: Arc<Mutex<Health>>,
    pub(super) started: Instant,
}

impl Runner {
    /// Answers what is asked, until nobody asks any more.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(self.limits.batch);
        while queue.recv_many(&mut batch, self.limits.batch.max(1)).await > 0 {
            self.decode(std::mem::take(&mut batch)).await;
        }
        self.worker.stop().await;
    }

    /// Answers every job of a batch.
    async fn decode(&mut self, jobs: Vec<Job>) {
        let (asked, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.ask, job.reply)).unzip();
        let outcomes = match self.ask(asked.clone()).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(failed) if asked.len() == 1 && !failed.from_outside => vec![Err(failed)],
            // One of them killed it, or it is late because of one: find out which.
            Err(failed) => {
                self.tell_from_outside(&failed);
                let mut outcomes = Vec::with_capacity(asked.len());
                for one in asked {
                    outcomes.push(self.ask_alone(one).await);
                }
                outcomes
            }
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Whoever asked may have gone; its frame is then not settled, and comes again.
            let _ = reply.send(outcome);
        }
    }

    /// Asks about one payload; again where its process is gone for what no script does.
    async fn ask_alone(&mut self, one: Ask) -> Result<Decoded, Failed> {
        let mut tries = 1;
        loop {
            match self.ask(vec![one.clone()]).await {
                Err(failed) if failed.from_outside && tries < TRIES => {
                    self.tell_from_outside(&failed);
                    tries += 1;
                }
                Err(failed) => return Err(failed),
                Ok(mut decoded) => return decoded.pop().ok_or_else(Failed::unknown),
            }
        }
    }

    /// A machine that ends processes leaves a trace of it.
    fn tell_from_outside(&self, failed: &Failed) {
        if failed.from_outside {
            let why = failed.reason.as_str();
            tracing::warn!(plugin = %self.name, why, "a plugin's process is gone; another takes its place and is asked the same");
        }
    }

    async fn ask(&mut self, asked: Vec<Ask>) -> Result<Vec<Decoded>, Failed> {
        if !self.worker.is_up() {
            self.restart().await?;
        }
        let count = asked.len();
        let deadline = Limits::DECODER.wall * u32::try_from(count).unwrap_or(u32::MAX) + SLACK;
        match call(&mut self.worker, &Request::Decode(asked), deadline).await {
            Ok(Answer::Decoded(outcomes)) if outcomes.len() == count => Ok(outcomes),
            Ok(_) => {
                self.worker.stop().await;
                Err(Failed::unknown())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn restart(&mut self) -> Result<(), Failed> {
        tokio::time::sleep_until(self.started + self.limits.restart_after).await;
        self.started = Instant::now();
        self.health.lock().restarts += 1;
        let outcome = match self.worker.restart().await {
            Ok(()) => call(&mut self.worker, &self.load, LOAD).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Answer::Loaded(Ok(()))) => {
                self.health.lock().process = self.worker.id();
                Ok(())
            }
            Ok(_) => {
                // A process that did not take the script up is not asked about payloads.
                self.worker.stop().await;
                Err(Failed::unknown())
            }
            Err(error) => {
                tracing::warn!(plugin = %self.name, %error, "plugin process did not start again");
                Err(error.into())
            }
        }
    }
}
