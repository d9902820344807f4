//! Handing a batch on: the rules hear of it now, the senders when it is durable, each link in the order it spoke
//! (MQTT 3.1.1 and 5.0, 4.6).

use std::sync::Arc;

use bytes::Bytes;
use pitchside_collect::{Link, Outbound, Settled};
use pitchside_model::{Entry, Value};
use pitchside_seal::closing::weight;
use pitchside_store::{Claim, Entered, RowId, StoreError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Front, IN_FLIGHT_MAX};
use crate::pipeline::batch::{Answer, Batch, Due, settle, settle_none_stored};
use crate::pipeline::rules::Heard;

/// Reads of one link that may wait for the disk.
const READS_MAX: usize = 256;

/// What waits for the disk before its sender hears of it.
pub(super) struct Pending {
    entered: Option<Result<Entered, StoreError>>,
    /// An answer rests on what others entered before.
    barrier: bool,
    heard: Heard,
    weight: usize,
    readings: u64,
    samples: u64,
    answers: Vec<Due>,
    _room: OwnedSemaphorePermit,
}

/// The way to the task that answers one link.
pub(super) type Answering = mpsc::Sender<Pending>;

impl Front {
    /// Starts the task that answers a link, in the order it spoke; it ends when the last sender is dropped and everything
    /// is answered.
    pub(super) fn answering(self: &Arc<Self>, link: Link) -> Answering {
        let (sender, mut queue) = mpsc::channel(READS_MAX);
        let front = Arc::clone(self);
        self.tasks.spawn(async move {
            while let Some(pending) = queue.recv().await {
                front.finish(&link, pending).await;
            }
        });
        sender
    }

    /// Hands the batch on: the rules hear of it now, the senders when it is durable.
    pub(super) async fn commit(self: &Arc<Self>, answering: &Answering, batch: Batch) {
        let (mut noticed, mut handed) = (Vec::new(), Vec::new());
        {
            let (uptime, now) = (self.clock.uptime(), self.clock.now());
            let mut streams = self.streams.lock();
            for (at, entry) in batch.entries.iter().enumerate() {
                handed.extend(streams.worn_in(entry, uptime, now).into_iter().map(|gap| (at, gap)));
                noticed.extend(streams.observe(entry, uptime));
            }
            for device in &batch.ended {
                noticed.extend(streams.ended(device, uptime, now));
            }
        }
        let handed: Vec<(usize, Entry)> = handed.into_iter().map(|(at, gap)| (at, self.own_entry(gap))).collect();
        handed.iter().for_each(|(_, entry)| self.board.observe(entry));
        let (mut readings, mut samples) = (0, 0);
        for entry in &batch.entries {
            self.board.observe(entry);
            if let Some(firmware) = &self.firmware {
                firmware.observe(entry);
            }
            readings += entry.readings.len() as u64;
            for reading in &entry.readings {
                if let Value::Wave(wave) = &reading.value {
                    samples += wave.samples.len() as u64;
                }
            }
        }
        let barrier = batch.waits_for_others();
        let Batch { mut entries, answers, .. } = batch;
        // Each before the entry that showed it; the last first, so that the other places stay what they are.
        for (at, entry) in handed.into_iter().rev() {
            entries.insert(at, entry);
        }
        for noticed in noticed {
            let shown = matches!(noticed.reading.value, Value::Gap(_));
            let entry = self.own_entry(noticed);
            if shown {
                self.board.observe(&entry);
            }
            entries.push(entry);
        }
        let heard = self.rules.offer(&entries);
        let weight = entries.iter().map(weight).sum();
        let permits = u32::try_from(answers.len()).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX);
        // The semaphore is never closed.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(permits).await else { return };
        // In the order of the link: a replay must find what the rules heard in the order they heard it.
        let entered = if entries.is_empty() { None } else { Some(self.store.journal_enter(entries).await) };
        let pending = Pending { entered, barrier, heard, weight, readings, samples, answers, _room: room };
        if answering.send(pending).await.is_err() {
            tracing::error!("a link's answers have nowhere to go; its sender will send again");
        }
    }

    async fn finish(&self, link: &Link, pending: Pending) {
        let Pending { entered, barrier, heard, weight, readings, samples, answers, _room } = pending;
        match self.durable(entered, barrier).await {
            Ok(row) => {
                if let Some(row) = row {
                    self.rules.stored(heard, row);
                    self.sealing.note_entries(weight, self.clock.now());
                }
                self.metrics.readings.inc_by(readings);
                self.metrics.samples.inc_by(samples);
                let answers = answers.into_iter().map(|due| match due {
                    Due::Stored(answer) if !self.is_durable(&answer) => Due::Known(answer.ticket, Settled::Unavailable),
                    due => due,
                });
                self.answer(link, answers.collect());
            }
            Err(error) => {
                self.rules.not_stored(heard);
                self.metrics.refused("not_stored");
                tracing::warn!(link = link.id.0, %error, "what a batch was to store is neither stored nor acknowledged");
                let _ = link.send(Outbound::Settled(settle_none_stored(answers)));
            }
        }
    }

    async fn durable(
        &self,
        entered: Option<Result<Entered, StoreError>>,
        barrier: bool,
    ) -> Result<Option<RowId>, StoreError> {
        match entered {
            Some(entered) => entered?.durable().await.map(Some),
            None if barrier => self.store.journal_barrier().await.map(|()| None),
            None => Ok(None),
        }
    }

    /// All earlier appends are settled now, so a pending copy is either durable or was never stored.
    fn is_durable(&self, answer: &Answer) -> bool {
        if !answer.pending {
            return true;
        }
        match self.store.claim(&answer.device, answer.epoch, answer.seq) {
            Claim::Duplicate => true,
            Claim::New | Claim::Skipped(_) => {
                self.store.release(&answer.device, answer.epoch, answer.seq);
                false
            }
            Claim::Pending | Claim::TooOld => false,
        }
    }

    fn answer(&self, link: &Link, answers: Vec<Due>) {
        let now = self.clock.now();
        let (receipts, settled) = settle(answers);
        for (session, receipt) in receipts {
            match self.auth.receipt(session, &receipt, now) {
                Ok(frames) => {
                    for frame in frames {
                        let _ = link.send(Outbound::Frame(Bytes::from(frame)));
                    }
                }
                // The session ended meanwhile: the device asks again under the next one and is answered then.
                Err(error) => tracing::debug!(link = link.id.0, %error, "no session for a receipt"),
            }
        }
        let _ = link.send(Outbound::Settled(settled));
    }
}
