//! The front's end of the way to the rules: a bounded queue, and when that is full, the journal.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pitchside_model::{Alert, Entry, Reading, Timestamp, Value, Wave};
use pitchside_rules::Filter;
use pitchside_store::RowId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Batches that may wait for the rules.
const QUEUE_MAX: usize = 1_024;
/// Readings that may wait for the rules, in all batches together.
const READINGS_MAX: usize = 16_384;

/// What waits for the rules, and its share of the room.
pub(super) struct Offer {
    pub(super) entries: Vec<Entry>,
    /// A drill that comes the way of readings, behind those before it.
    pub(super) drill: Option<Drill>,
    _room: Option<OwnedSemaphorePermit>,
}

/// A synthetic reading of that time, and whom to tell what the rules made of it.
pub(super) struct Drill {
    pub(super) at: Timestamp,
    pub(super) answer: oneshot::Sender<Result<Alert, String>>,
}

/// How far the front is ahead of the rules.
#[derive(Default)]
struct Lag {
    /// Something found no room: until the rules have caught up, everything goes by the journal, in its order.
    behind: bool,
    /// Offers that found no room and are not in the journal yet.
    pending: usize,
    /// The journal holds something from after this row that the rules have not heard.
    after: Option<RowId>,
}

/// Whether the rules heard of entries at once, or will read them in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// They are in the queue, or no rule wants them.
    Now,
    /// There was no room: say what became of them with [`RulesFeed::stored`] or [`RulesFeed::not_stored`].
    Later,
}

/// The front's end.
#[derive(Clone)]
pub struct RulesFeed {
    queue: mpsc::Sender<Offer>,
    room: Arc<Semaphore>,
    pub(super) filter: Arc<ArcSwap<Option<Filter>>>,
    lag: Arc<Mutex<Lag>>,
    /// There are rules.
    expected: bool,
    pub(super) wake: Arc<Notify>,
}

impl RulesFeed {
    /// Whether a worker runs with rules loaded.
    pub fn is_alive(&self) -> bool {
        self.filter.load().is_some()
    }

    /// Hands over what of these entries a rule wants. Never waits.
    pub fn offer(&self, entries: &[Entry]) -> Heard {
        let filter = self.filter.load();
        let Some(filter) = filter.as_ref() else {
            // Rules that are not loaded yet, or start anew, read the journal.
            return if self.expected && !entries.is_empty() { self.later(&mut self.lag.lock()) } else { Heard::Now };
        };
        let wanted: Vec<Entry> = entries.iter().filter_map(|entry| narrowed(filter, entry)).collect();
        if wanted.is_empty() {
            return Heard::Now;
        }
        let readings: usize = wanted.iter().map(room).sum();
        let permits = u32::try_from(readings.min(READINGS_MAX)).unwrap_or(u32::MAX);
        let mut lag = self.lag.lock();
        if !lag.behind
            && let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits)
            && self.queue.try_send(Offer { entries: wanted, drill: None, _room: Some(room) }).is_ok()
        {
            return Heard::Now;
        }
        if !lag.behind {
            tracing::warn!("the rules are behind; they catch up from the journal");
        }
        self.later(&mut lag)
    }

    /// Sends a drill the way of readings, at `at`: what the rules make of it. None if their queue is full.
    pub fn drill(&self, at: Timestamp) -> Option<oneshot::Receiver<Result<Alert, String>>> {
        let (answer, told) = oneshot::channel();
        let offer = Offer { entries: Vec::new(), drill: Some(Drill { at, answer }), _room: None };
        self.queue.try_send(offer).ok().map(|()| told)
    }

    fn later(&self, lag: &mut Lag) -> Heard {
        lag.behind = true;
        lag.pending += 1;
        Heard::Later
    }

    /// The offered entries are in this row.
    pub fn stored(&self, heard: Heard, row: RowId) {
        if heard == Heard::Later {
            let mut lag = self.lag.lock();
            lag.pending -= 1;
            let before = RowId(row.0.saturating_sub(1));
            lag.after = Some(lag.after.map_or(before, |after| after.min(before)));
            self.wake.notify_one();
        }
    }

    /// The offered entries are lost: their senders will send them again.
    pub fn not_stored(&self, heard: Heard) {
        if heard == Heard::Later {
            self.lag.lock().pending -= 1;
            self.wake.notify_one();
        }
    }

    /// Ends the lag if there is nothing left to read and nothing on its way.
    pub(super) fn caught_up(&self) {
        let mut lag = self.lag.lock();
        if lag.pending == 0 && lag.after.is_none() {
            lag.behind = false;
        }
    }

    /// From where the journal must be read; it is then the caller's to read.
    pub(super) fn take_after(&self) -> Option<RowId> {
        self.lag.lock().after.take()
    }

    /// The journal must be read from here on, too.
    pub(super) fn read_after(&self, row: RowId) {
        let mut lag = self.lag.lock();
        lag.behind = true;
        lag.after = Some(lag.after.map_or(row, |other| other.min(row)));
    }

    /// Whether what the rules hear comes from the journal, for they were too slow.
    pub fn is_behind(&self) -> bool {
        self.lag.lock().behind
    }
}

/// Samples of a waveform that take as much room as one reading.
const SAMPLES_A_READING: usize = 64;

/// How many readings an entry takes the room of.
fn room(entry: &Entry) -> usize {
    let samples = entry.readings.iter().map(|reading| match &reading.value {
        Value::Wave(wave) => wave.samples.len() / SAMPLES_A_READING,
        Value::Number(_) | Value::Gap(_) => 0,
    });
    entry.readings.len() + samples.sum::<usize>()
}

/// The entry with only the readings a rule wants; none if there are none. Rules learn that a waveform came, not its samples;
/// those that something is derived from keep theirs.
fn narrowed(filter: &Filter, entry: &Entry) -> Option<Entry> {
    let wanted = entry.readings.iter().filter(|reading| filter.wants(reading.quantity));
    let readings: Vec<Reading> = wanted
        .map(|reading| match &reading.value {
            Value::Wave(wave) if !filter.wants_samples(reading.quantity) => {
                let bare = Wave { samples: Vec::new(), ..**wave };
                Reading { value: Value::Wave(Box::new(bare)), ..*reading }
            }
            Value::Wave(_) | Value::Number(_) | Value::Gap(_) => reading.clone(),
        })
        .collect();
    (!readings.is_empty()).then(|| Entry {
        device: entry.device.clone(),
        athlete: entry.athlete.clone(),
        assurance: entry.assurance,
        epoch: entry.epoch,
        seq: entry.seq,
        readings,
    })
}

/// The queue between front and rules.
pub struct RulesQueue(pub(super) mpsc::Receiver<Offer>);

/// Makes the feed and the queue it fills. `expected`: there are rules, though they may not be loaded yet.
pub fn channel(expected: bool) -> (RulesFeed, RulesQueue) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let feed = RulesFeed {
        queue: sender,
        room: Arc::new(Semaphore::new(READINGS_MAX)),
        filter: Arc::default(),
        lag: Arc::default(),
        expected,
        wake: Arc::default(),
    };
    (feed, RulesQueue(receiver))
}

#[cfg(test)]
mod tests;
