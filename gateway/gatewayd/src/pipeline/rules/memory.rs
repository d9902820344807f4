//! What the rules know, kept over the end of the gateway: a snapshot, the rules it was taken under, and up to where they had heard the
//! journal. If other rules are to be in force at the next start, those of before take it up first and hear the journal to its end, as
//! they would have without that end; then the others come into force as in any reload. Without a snapshot the journal is heard again by the
//! rules of each time.

use std::sync::atomic::Ordering;

use pitchside_rules::RuleSet;
use pitchside_rules::snapshot::rules_of;
use pitchside_store::RowId;

use super::super::erased::forget;
use super::{RulesTask, record};
use crate::blocking;

/// Under which name it is kept.
pub const SNAPSHOT: &str = "rules-snapshot";

impl RulesTask {
    /// Keeps what the rules know, and up to where they have heard the journal, so that the next start goes on from here:
    /// an alert that was raised before the journal's horizon and still holds is not raised again.
    pub(super) async fn remember(&mut self) {
        self.hear_what_waits().await;
        self.keep().await;
    }

    /// The same without what waits to be heard; whether it is kept.
    pub(super) async fn keep(&mut self) -> bool {
        // What the rules know as said must be recorded first: they will not say it again.
        // Nor is it kept under rules of before, on the way to those of now: the next start would not know the way on.
        if self.worker.is_none() || !self.earlier.is_empty() || !self.recorded().await {
            return false;
        }
        let Some(worker) = &mut self.worker else { return false };
        let snapshot = match worker.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "what the rules know could not be read");
                return false;
            }
        };
        let (store, heard) = (self.parts.store.clone(), self.heard);
        let mut kept = heard.0.to_be_bytes().to_vec();
        kept.extend_from_slice(&snapshot);
        match tokio::task::spawn_blocking(move || store.set_secret(SNAPSHOT, &kept)).await {
            Ok(Ok(())) => {
                self.kept_at = self.parts.clock.uptime();
                self.parts.kept_up_to.store(heard.0, Ordering::Release);
                return true;
            }
            Ok(Err(error)) => tracing::warn!(%error, "what the rules know could not be kept"),
            Err(error) => tracing::warn!(%error, "what the rules know could not be kept"),
        }
        false
    }

    /// Brings a fresh worker to where the last one was: it takes up what was kept, and hears the journal from there on. What is lost is
    /// rebuilt from the journal as far as that reaches, by the rules that were in force then.
    pub(super) async fn recall(&mut self) {
        self.heard = RowId(0);
        self.earlier.clear();
        self.recall_resets().await;
        let kept = self.kept().await;
        let before = kept.as_ref().and_then(|(_, snapshot)| self.rules_before(snapshot));
        let mut changed = match before {
            Some(before) => self.go_back_to(before).await,
            None => None,
        };
        let mut is_known = false;
        if let (Some(worker), Some((heard, snapshot))) = (&mut self.worker, kept) {
            match worker.resume(&snapshot).await {
                Ok(()) => {
                    (self.heard, is_known) = (heard, true);
                    self.parts.kept_up_to.store(heard.0, Ordering::Release);
                }
                Err(error) => tracing::info!(%error, "the rules begin from the journal"),
            }
        }
        if !is_known {
            changed = self.begin_with_earlier(changed).await;
        }
        if changed.is_none() {
            self.loaded().await;
        }
        self.replay(is_known).await;
        if !self.earlier.is_empty() {
            // The journal was not heard to its end: rules of before must hear nothing new, those of now nothing older than they are.
            return self.give_up();
        }
        if let Some(changed) = changed {
            self.go_on_to(changed).await;
        } else if !is_known {
            // Before they hear what is new: an alert of theirs that no snapshot knows would stay raised for ever if the box were cut off now
            // and had other rules then.
            self.remember().await;
        }
    }

    /// Of athletes who were erased the rules know nothing from now on: neither those that run, nor what is kept of them. Alerts of theirs
    /// that stand are over with it, and nobody is told.
    pub(super) async fn look_at_erased(&mut self) {
        let erased = self.erased.due(&self.parts.store, self.parts.clock.uptime());
        if erased.is_empty() {
            return;
        }
        // What they are to hear of them first.
        self.hear_what_waits().await;
        let Some(worker) = &mut self.worker else { return };
        // What was kept meanwhile may know them, whether those that run do or not.
        if !forget(worker, &erased).await || !self.keep().await {
            return;
        }
        self.erased.settle(&self.parts.store, &erased, self.parts.clock.uptime());
    }

    /// What was kept, and up to which row of the journal it reaches.
    async fn kept(&self) -> Option<(RowId, Vec<u8>)> {
        let store = self.parts.store.clone();
        let kept = match tokio::task::spawn_blocking(move || store.secret(SNAPSHOT)).await {
            Ok(Ok(kept)) => kept?,
            Ok(Err(error)) => {
                tracing::error!(%error, "what the rules knew cannot be read");
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "what the rules knew cannot be read");
                return None;
            }
        };
        let (heard, snapshot) = kept.split_first_chunk()?;
        Some((RowId(i64::from_be_bytes(*heard)), snapshot.to_vec()))
    }

    /// The rules that a snapshot was taken under, if the worker has others.
    fn rules_before(&self, snapshot: &[u8]) -> Option<RuleSet> {
        let hash = rules_of(snapshot)?;
        if self.worker.as_ref()?.hash() == hash {
            return None;
        }
        match blocking::here(|| record::in_force(&self.parts.store, &hash)) {
            Ok(Some(before)) => {
                tracing::info!("the rules were changed meanwhile: what those before them knew is handed on");
                Some(before)
            }
            Ok(None) => {
                tracing::warn!("what the rules knew is of rules that are not known here any more");
                None
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the rules of before cannot be read: what they knew is lost");
                None
            }
        }
    }

    /// Puts the rules of before in the place of those a fresh worker has; gives these back. None if they do not run any more.
    async fn go_back_to(&mut self, before: RuleSet) -> Option<RuleSet> {
        let worker = self.worker.as_mut()?;
        let changed = RuleSet::clone(worker.rule_set());
        worker.set_streams(before.streams().to_vec());
        match worker.put(before).await {
            // Rules that have heard nothing have nothing to clear.
            Ok(_) => {
                self.in_force().await;
                Some(changed)
            }
            Err(error) => {
                tracing::error!(%error, "the rules of before do not run any more: what they knew is lost");
                worker.set_streams(self.derived.streams().sources());
                None
            }
        }
    }

    /// Puts the changed rules in force, now that those before them have heard all there was.
    async fn go_on_to(&mut self, changed: RuleSet) {
        let streams = self.derived.streams().sources();
        // Without a worker the next look starts another, from what is kept.
        let Some(worker) = &mut self.worker else { return };
        worker.set_streams(streams);
        match worker.put(changed).await {
            Ok(events) => self.say(events, self.parts.clock.now()).await,
            Err(error) => {
                tracing::error!(%error, "the changed rules were not loaded; the ones before stay in force, and it is tried again");
                self.seen = None;
            }
        }
        self.loaded().await;
        self.keep().await;
    }

    /// Feeds what is queued. What is in the journal by now was offered before it got there: unless the rules are behind,
    /// they have then heard all of it.
    pub(super) async fn hear_what_waits(&mut self) {
        let store = self.parts.store.clone();
        let end = tokio::task::spawn_blocking(move || store.journal_end()).await;
        self.drain().await;
        if let Ok(Ok((end, _))) = end
            && self.worker.is_some()
            && !self.feed.is_behind()
        {
            self.heard = self.heard.max(end);
        }
    }
}
