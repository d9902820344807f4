//! Handing a batch on: the rules hear of it now, the senders when it is durable.

use std::sync::Arc;

use bytes::Bytes;
use pitchside_collect::{Link, Outbound, Settled};
use pitchside_model::Value;
use pitchside_seal::closing::weight;
use pitchside_store::Claim;

use super::{Front, IN_FLIGHT_MAX};
use crate::pipeline::batch::{Answer, Batch};

impl Front {
    /// Hands the batch on: the rules hear of it now, the senders when it is durable.
    pub(super) async fn commit(self: &Arc<Self>, link: &Link, batch: Batch) {
        let mut noticed = Vec::new();
        {
            let mut streams = self.streams.lock();
            for entry in &batch.entries {
                noticed.extend(streams.observe(entry));
            }
        }
        let (mut readings, mut samples) = (0, 0);
        for entry in &batch.entries {
            self.board.observe(entry);
            readings += entry.readings.len() as u64;
            for reading in &entry.readings {
                if let Value::Wave(wave) = &reading.value {
                    samples += wave.samples.len() as u64;
                }
            }
        }
        let heard = self.rules.offer(&batch.entries);
        let Batch { mut entries, answers } = batch;
        entries.extend(noticed.into_iter().map(|noticed| self.own_entry(noticed)));
        let weight = entries.iter().map(weight).sum();
        let permits = u32::try_from(answers.len()).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX);
        // The semaphore is never closed.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(permits).await else { return };
        // In the order of the link: a replay must find what the rules heard in the order they heard it.
        let entered = if entries.is_empty() { None } else { Some(self.store.journal_enter(entries).await) };
        let (front, link) = (Arc::clone(self), link.clone());
        self.tasks.spawn(async move {
            let stored = match entered {
                None => front.store.journal_barrier().await.map(|()| None),
                Some(Ok(entered)) => entered.durable().await.map(Some),
                Some(Err(error)) => Err(error),
            };
            match stored {
                Ok(row) => {
                    if let Some(row) = row {
                        front.rules.stored(heard, row);
                        front.sealing.note_entries(weight, front.clock.now());
                    }
                    front.metrics.readings.inc_by(readings);
                    front.metrics.samples.inc_by(samples);
                    let (stored, lost): (Vec<_>, Vec<_>) =
                        answers.into_iter().partition(|answer| front.is_durable(answer));
                    front.answer(&link, stored);
                    if !lost.is_empty() {
                        front.unavailable(&link, &lost);
                    }
                }
                Err(error) => {
                    front.rules.not_stored(heard);
                    front.metrics.refused("not_stored");
                    tracing::warn!(link = link.id.0, %error, "nothing of a batch was stored or acknowledged");
                    front.unavailable(&link, &answers);
                }
            }
            drop(room);
        });
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

    fn unavailable(&self, link: &Link, answers: &[Answer]) {
        let settled = answers.iter().map(|answer| (answer.ticket, Settled::Unavailable)).collect();
        let _ = link.send(Outbound::Settled(settled));
    }

    fn answer(&self, link: &Link, answers: Vec<Answer>) {
        let now = self.clock.now();
        let (receipts, settled) = Batch::settle(answers);
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
