//! What the rules say, on its way: out at once, and onto the disk behind that, in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pitchside_model::{AlertEvent, Timestamp};
use pitchside_store::AlertStep;
use tokio::sync::{mpsc, watch};

use super::{Alerts, Came, Sent};

/// Steps that may be on their way to the disk before the rules wait.
const RECORDING_MAX: usize = 64;
/// How often what did not go out is tried again.
const RESEND_EVERY: Duration = Duration::from_secs(2);

enum Step {
    Raised(Vec<AlertEvent>, Sent, Timestamp),
    Replayed(Vec<AlertEvent>, Timestamp),
    Recorded(Vec<AlertStep>),
}

/// How far the disk is.
#[derive(Debug, Clone, Copy, Default)]
struct Settled {
    /// So many steps are done with.
    steps: u64,
    /// One of them could not be recorded and never will be.
    lost: bool,
}

/// Sends alerts out at once and records them behind, in order: none waits for the commit of the one before it.
pub struct Recorder {
    alerts: Alerts,
    steps: mpsc::Sender<Step>,
    /// Steps that were put into the queue.
    sent: AtomicU64,
    settled: watch::Receiver<Settled>,
}

impl Recorder {
    /// Starts the task that records; it ends when the recorder is dropped and everything is recorded.
    ///
    /// `owing`: what was recorded before may not have gone out.
    pub fn start(alerts: Alerts, mut owing: bool) -> Self {
        let (steps, mut queue) = mpsc::channel(RECORDING_MAX);
        let (settle, settled) = watch::channel(Settled::default());
        let behind = alerts.clone();
        tokio::spawn(async move {
            let mut again = tokio::time::interval(RESEND_EVERY);
            again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let step = tokio::select! {
                    step = queue.recv() => step,
                    _ = again.tick(), if owing => {
                        owing = !behind.resend().await;
                        continue;
                    }
                };
                let came = match step {
                    Some(Step::Raised(events, sent, now)) => behind.raised(events, &sent, now).await,
                    Some(Step::Replayed(events, now)) => behind.replayed(events, now).await,
                    Some(Step::Recorded(steps)) => Came { recorded: true, sent: behind.send_steps(&steps).await },
                    None => return,
                };
                owing |= !came.sent;
                settle.send_modify(|settled| {
                    settled.steps += 1;
                    settled.lost |= !came.recorded;
                });
            }
        });
        Self { alerts, steps, sent: AtomicU64::new(0), settled }
    }

    /// What the rules said just now: out first, then onto the disk. Waits only while the disk is far behind.
    pub async fn raise(&self, events: Vec<AlertEvent>, now: Timestamp) {
        self.alerts.count(events.iter());
        let deeds = events.iter().map(|event| {
            self.alerts.events.publish(&self.alerts.told((event, None)));
            (event, None)
        });
        let sent = self.alerts.deliver(deeds, false);
        self.send(Step::Raised(events, sent, now)).await;
    }

    /// What the rules said of readings already in the journal: it goes out once it is recorded.
    pub async fn replayed(&self, events: Vec<AlertEvent>, now: Timestamp) {
        self.send(Step::Replayed(events, now)).await;
    }

    /// What is on the disk already, and goes out.
    pub async fn recorded(&self, steps: Vec<AlertStep>) {
        self.send(Step::Recorded(steps)).await;
    }

    /// Returns once everything said before is on the disk, and what was to go out after that is out. False if something of it was lost: it
    /// is said again only by rules that begin from before it.
    pub async fn done(&self) -> bool {
        let (sent, mut settled) = (self.sent.load(Ordering::Relaxed), self.settled.clone());
        let reached = settled.wait_for(|settled| settled.lost || settled.steps >= sent).await;
        reached.is_ok_and(|settled| !settled.lost)
    }

    /// How many times something was said so far.
    pub fn said(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether all that was said by the time something had been said so often is on the disk.
    pub fn has_recorded(&self, said: u64) -> bool {
        let settled = *self.settled.borrow();
        !settled.lost && settled.steps >= said
    }

    /// How many steps are done with so far.
    pub fn settled(&self) -> u64 {
        self.settled.borrow().steps
    }

    async fn send(&self, step: Step) {
        let is_gone = self.steps.send(step).await.is_err();
        // Only now: whoever waits for room may be given up.
        self.sent.fetch_add(1, Ordering::Relaxed);
        if is_gone {
            tracing::error!("alerts are no longer recorded; restart the gateway");
        }
    }
}
