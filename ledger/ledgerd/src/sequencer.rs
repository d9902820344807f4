//! Batches: what arrives within a moment shares one group of fsyncs.

use std::sync::Arc;
use std::time::Duration;

use ledger_block::ingest::{Code, Refusal};
use ledger_log::{BATCH_MAX, Log, Outcome, Published, Submission};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clock;

/// Leaves waiting for the next batch; whoever comes later waits for room.
const WAITING_MAX: usize = 1_024;
/// How often an idle ledger looks whether there is something to publish: a publication that failed, or what an operator's
/// command has entered beside it.
const LOOK: Duration = Duration::from_secs(1);

struct Job {
    submission: Submission,
    answer: oneshot::Sender<Outcome>,
}

/// Hands leaves to the running batch.
#[derive(Clone)]
pub struct Sequencer {
    jobs: mpsc::Sender<Job>,
    published: watch::Receiver<Arc<Published>>,
}

impl Sequencer {
    /// Starts batching. The task ends when the last handle is dropped, with everything sequenced that was handed in.
    pub fn start(log: Arc<Log>, gather: Duration) -> (Self, JoinHandle<()>) {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let (shown, published) = watch::channel(log.published());
        let task = tokio::spawn(run(log, gather, waiting, shown));
        (Self { jobs, published }, task)
    }

    /// Enters one leaf; waits for its batch.
    pub async fn submit(&self, submission: Submission) -> Outcome {
        let stopping = || Refusal::because(Code::Busy, "the ledger is stopping");
        let (answer, outcome) = oneshot::channel();
        self.jobs.send(Job { submission, answer }).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }

    /// The published checkpoint, and every newer one.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }
}

async fn run(log: Arc<Log>, gather: Duration, mut waiting: mpsc::Receiver<Job>, shown: watch::Sender<Arc<Published>>) {
    loop {
        let first = match timeout_at(Instant::now() + LOOK, waiting.recv()).await {
            Ok(Some(job)) => job,
            Ok(None) => break,
            Err(_) => {
                publish(&log, &shown).await;
                continue;
            }
        };
        let mut batch = vec![first];
        let end = Instant::now() + gather;
        while batch.len() < BATCH_MAX {
            match timeout_at(end, waiting.recv()).await {
                Ok(Some(job)) => batch.push(job),
                Ok(None) | Err(_) => break,
            }
        }
        sequence(&log, batch).await;
        publish(&log, &shown).await;
    }
}

async fn sequence(log: &Arc<Log>, batch: Vec<Job>) {
    let (submissions, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.submission, job.answer)).unzip();
    let worker = Arc::clone(log);
    let done = tokio::task::spawn_blocking(move || worker.sequence(&submissions, clock::now())).await;
    match done {
        Ok(Ok(outcomes)) => {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                let _connection_gone = answer.send(outcome);
            }
        }
        Ok(Err(error)) => refuse_all(answers, &error.to_string()),
        Err(error) => refuse_all(answers, &error.to_string()),
    }
}

fn refuse_all(answers: Vec<oneshot::Sender<Outcome>>, why: &str) {
    tracing::error!(leaves = answers.len(), why, "a batch was not sequenced");
    for answer in answers {
        // The detail stays here: a full disk is the operator's to know.
        let _connection_gone = answer.send(Err(Refusal::plain(Code::Storage)));
    }
}

/// Publishes what is signed; what fails is tried again at the next look.
async fn publish(log: &Arc<Log>, shown: &watch::Sender<Arc<Published>>) {
    let worker = Arc::clone(log);
    match tokio::task::spawn_blocking(move || worker.publish()).await {
        Ok(Ok(published)) => {
            shown.send_if_modified(|now| {
                let newer = published.size > now.size;
                if newer {
                    *now = published;
                }
                newer
            });
        }
        Ok(Err(error)) => tracing::error!(%error, "the checkpoint was not published; trying again"),
        Err(error) => tracing::error!(%error, "publishing stopped; trying again"),
    }
}
