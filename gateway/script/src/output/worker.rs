//! An output's process, from both sides: postcard over the frames of [`crate::worker`]. Alerts are rare, so it is asked one event
//! at a time, and started again when it died of the one before. A machine that is busy, or out of something, is no fault of a script.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::engine::{Outcome, Output};
use super::event::Event;
use crate::manifest::Constant;
use crate::{Limits, Program, ServeError, Worker, WorkerError, WorkerLimits};

/// Beyond what a call may take.
const SLACK: Duration = Duration::from_secs(1);
/// What compiling a script may take: on a box that is busy with its start, longer than any call.
const LOAD: Duration = Duration::from_secs(10);
/// How often a process must die of one event, or be late with it, for that to be a fault of the script; and how often it may be killed from
/// outside meanwhile, before the event waits.
const DEATHS_MAX: u32 = 3;
/// The least time between two starts of the process.
const RESTART_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Load { source: String, params: Vec<(String, Constant)> },
    Tell(Box<Event>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Loaded(Result<(), Vec<String>>),
    Told(Outcome),
    NotUnderstood,
}

/// Answers the parent until it closes the socket. The whole body of the worker command.
pub fn worker_main() -> Result<(), ServeError> {
    let mut loaded: Option<Output> = None;
    crate::serve(&mut |question| {
        let answer = match postcard::from_bytes(question) {
            Ok(Question::Load { source, params }) => {
                Answer::Loaded(Output::load("output.rhai", &source, &params).map(|output| loaded = Some(output)))
            }
            Ok(Question::Tell(event)) => match &loaded {
                Some(output) => Answer::Told(output.tell(&event)),
                None => Answer::NotUnderstood,
            },
            Err(_) => Answer::NotUnderstood,
        };
        // Answers are plain data; should one not serialise, an empty frame is not understood by the parent either.
        postcard::to_allocvec(&answer).unwrap_or_default()
    })
}

/// Why an output did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its process.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Its script does not compile.
    #[error("{}", .0.join("\n"))]
    Script(Vec<String>),
}

/// The parent's end.
#[derive(Debug)]
pub struct OutputProcess {
    worker: Worker,
    load: Vec<u8>,
    started: Instant,
}

impl OutputProcess {
    /// Starts the process and loads the script. `program` calls [`worker_main`].
    pub async fn start(source: &str, params: Vec<(String, Constant)>, program: &Program) -> Result<Self, StartError> {
        let limits = WorkerLimits { memory_bytes: 64 << 20, frame_bytes: 4 << 20, ..WorkerLimits::default() };
        let question = Question::Load { source: source.to_owned(), params };
        let load = postcard::to_allocvec(&question).map_err(|_| WorkerError::Down)?;
        let mut process = Self { worker: Worker::spawn(program, limits).await?, load, started: Instant::now() };
        match process.load().await? {
            Ok(()) => Ok(process),
            Err(problems) => Err(StartError::Script(problems)),
        }
    }

    async fn load(&mut self) -> Result<Result<(), Vec<String>>, WorkerError> {
        let answer = self.worker.call(&self.load, LOAD).await?;
        match postcard::from_bytes(&answer) {
            Ok(Answer::Loaded(loaded)) => Ok(loaded),
            _ => Err(WorkerError::Down),
        }
    }

    /// What the script makes of one event. What kills its process three times in turn is a fault of the script; an error says that
    /// there is no process to ask, or that none stays alive whatever it runs, which may be otherwise later.
    pub async fn tell(&mut self, event: &Event) -> Result<Outcome, WorkerError> {
        let question = Question::Tell(Box::new(event.clone()));
        let question = postcard::to_allocvec(&question).map_err(|_| WorkerError::Down)?;
        let (mut deaths, mut setbacks) = (0, 0);
        loop {
            self.ensure_up().await?;
            let answer = self.worker.call(&question, Limits::DECODER.wall + SLACK).await;
            let error = match answer.map(|answer| postcard::from_bytes(&answer)) {
                Ok(Ok(Answer::Told(outcome))) => return Ok(outcome),
                Ok(_) => WorkerError::Down,
                Err(error) => error,
            };
            self.worker.stop().await;
            let is_from_outside = error.is_from_outside();
            let ends = if is_from_outside { &mut setbacks } else { &mut deaths };
            *ends += 1;
            if *ends == DEATHS_MAX {
                return if is_from_outside { Err(error) } else { Ok(Outcome::Fault(error.to_string())) };
            }
            if is_from_outside {
                tracing::warn!(%error, "an output's process is gone; another takes its place and is told the same");
            }
        }
    }

    async fn ensure_up(&mut self) -> Result<(), WorkerError> {
        if self.worker.is_up() {
            return Ok(());
        }
        tokio::time::sleep_until(self.started + RESTART_AFTER).await;
        self.started = Instant::now();
        self.worker.restart().await?;
        // It compiled before.
        let loaded = self.load().await;
        if !matches!(loaded, Ok(Ok(()))) {
            self.worker.stop().await;
        }
        loaded?.map_err(|_| WorkerError::Down)
    }

    /// Ends the process.
    pub async fn stop(&mut self) {
        self.worker.stop().await;
    }
}
