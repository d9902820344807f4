//! What the rules hear from the journal: after a start, after the worker's end, and what found no room in the queue. What was done by
//! hand meanwhile is done again at its place.

use std::time::Duration;

use pitchside_model::{Entry, Timestamp};
use pitchside_store::RowId;

use super::RulesTask;

/// Bytes of journal read at a time for a replay.
const REPLAY_BITE: usize = 1 << 20;
/// How often what the rules know is kept during a replay: a box that is cut off again and again while starting must get on.
const REMEMBER_IN_REPLAY_EVERY: Duration = Duration::from_secs(1);

/// What became of a stretch of the journal.
enum Bite {
    /// Heard, up to this row; there may be more.
    Heard(RowId),
    /// There was nothing more.
    End,
    /// It could not be read, or the rules died over it.
    Failed,
}

impl RulesTask {
    /// Everything in the journal that was not heard, oldest first; if it is not known what was, within the horizon.
    pub(super) async fn replay(&mut self, is_known: bool) {
        // What was offered before this is in the journal once the barrier returns.
        if self.parts.store.journal_barrier().await.is_err() {
            return;
        }
        let horizon = self.parts.clock.now().plus_micros(-self.parts.horizon_us);
        let from = if is_known { Timestamp(i64::MIN) } else { horizon };
        let mut first = true;
        while let Bite::Heard(_) = self.bite(from, self.heard).await {
            let due = self.parts.clock.uptime().saturating_sub(self.kept_at) >= REMEMBER_IN_REPLAY_EVERY;
            if std::mem::take(&mut first) || due {
                // What waits in the queue is newer than what is still to be read, and must be heard after it.
                self.keep().await;
            }
            if self.parts.stop.is_cancelled() {
                self.keep().await;
                // Not heard to its end: what comes after must not count it as heard.
                return self.give_up();
            }
        }
    }

    /// Feeds what is still queued, which is older, then a bite of the journal; true if there may be more to read.
    pub(super) async fn catch_up(&mut self) -> bool {
        self.drain().await;
        let Some(after) = self.feed.take_after() else {
            self.feed.caught_up();
            return false;
        };
        match self.bite(Timestamp(i64::MIN), after).await {
            Bite::Heard(last) => {
                self.feed.read_after(last);
                true
            }
            Bite::End => {
                self.feed.caught_up();
                false
            }
            Bite::Failed => false,
        }
    }

    /// Feeds the rows after `after`, up to a bite. What can't be read now is read later.
    async fn bite(&mut self, from: Timestamp, after: RowId) -> Bite {
        let store = self.parts.store.clone();
        let replayed = match tokio::task::spawn_blocking(move || store.replay(from, after, REPLAY_BITE)).await {
            Ok(Ok(replayed)) => replayed,
            Ok(Err(error)) => {
                tracing::error!(%error, "the rules can't read the journal; they try again");
                self.feed.read_after(after);
                return Bite::Failed;
            }
            Err(error) => {
                tracing::error!(%error, "the rules can't read the journal; they try again");
                self.feed.read_after(after);
                return Bite::Failed;
            }
        };
        for row in replayed.unreadable {
            self.parts.metrics.refused("damaged_row");
            tracing::error!(row = row.0, "a journal row does not open; the rules go on without its readings");
        }
        let Some(last) = replayed.last else {
            self.do_again_up_to(None).await;
            return Bite::End;
        };
        let entries: Vec<Entry> = replayed.rows.into_iter().flat_map(|row| row.entries).collect();
        self.feed_again(&entries).await;
        if self.worker.is_none() {
            return Bite::Failed;
        }
        self.heard = self.heard.max(last);
        Bite::Heard(last)
    }

    /// Entries of the journal, with what was reset, and which rules came into force, between them.
    async fn feed_again(&mut self, entries: &[Entry]) {
        let arrived = |entry: &Entry| entry.readings.iter().map(|reading| reading.gateway_time).min();
        let mut rest = entries;
        while let Some(position) = self.next_done() {
            let is_before = |entry: &Entry| arrived(entry).is_none_or(|arrived| arrived < position);
            let Some(here) = rest.iter().position(|entry| !is_before(entry)) else { break };
            let (before, after) = rest.split_at(here);
            self.feed(before, false).await;
            self.do_again_up_to(Some(position)).await;
            rest = after;
        }
        self.feed(rest, false).await;
    }
}
