//! Which rules run in the shadow: the folder, and the streams that plugins derive. Both are looked at while the gateway runs.
//!
//! A rule that is switched on begins with what comes from then on, whatever an earlier run of it knew; those that stay on keep what they
//! know. What was switched while the gateway was down is taken up as it is while it runs: first run those of before, as far as they stay.
//! When a rule was switched on its files tell, which are others each time; where they were copied to, as in a restore, it begins anew.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use pitchside_rules::{RuleSet, RulesError, RulesWorker};
use pitchside_script::Problem;
use pitchside_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::kept::{Kept, still_open};
use super::{OPEN_MAX, RETRY_AFTER, SNAPSHOT, Shadows, step};
use crate::blocking;
use crate::stamp::{self, Stamp};

impl Shadows {
    /// Takes up a changed folder, and changed streams; what could not be loaded is tried again.
    pub(super) async fn look(&mut self, stop: &CancellationToken) {
        // Before it is read: of a rule that is put in between, this is out of date, and the next look takes it for what it is.
        let mut on = blocking::here(|| stamp::each(&self.folder));
        let is_due = self.retry_at.is_some_and(|at| at <= self.clock.uptime());
        let is_same = self.seen.as_ref() == Some(&on);
        if is_same && !is_due && (self.worker.is_none() || self.derived.look().is_none()) {
            return;
        }
        (self.seen, self.retry_at) = (Some(on.clone()), None);
        let set = match blocking::here(|| read(&self.folder)) {
            Ok(set) => set,
            Err(problems) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                return tracing::error!(first, "the rules in the shadow cannot be read; those before go on");
            }
        };
        let names: HashSet<&str> = set.rules().iter().map(|rule| rule.name().as_str()).collect();
        on.retain(|name, _| names.contains(name.as_str()));
        if let Err(error) = self.change(&set, on, stop).await {
            // What is wrong with a text stays so until it changes.
            if !matches!(error.downcast_ref(), Some(RulesError::Problems(_))) {
                self.retry_at = Some(self.clock.uptime() + RETRY_AFTER);
            }
            let error = format!("{error:#}");
            tracing::error!(error, "the rules in the shadow were not loaded");
        }
    }

    /// Puts these in the place of those that run.
    async fn change(
        &mut self,
        set: &RuleSet,
        on: BTreeMap<String, Stamp>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if self.worker.is_none() && !on.is_empty() {
            self.recall(&on).await?;
        }
        if !self.on.is_empty() && on.iter().any(|(name, since)| self.on.get(name) != Some(since)) {
            // What does not run ends nothing: those before go on.
            self.derived.look();
            let streams = self.derived.streams().sources();
            RulesWorker::spawn_set(&self.program, &self.folder, set.clone(), streams).await?.stop().await;
        }
        self.end_all_but(&on).await?;
        if on.is_empty() {
            self.forget_all().await;
            return Ok(());
        }
        let is_any_new = on.keys().any(|name| !self.on.contains_key(name));
        if is_any_new && !self.hear_to_the_end(stop).await? {
            return Ok(());
        }
        self.derived.look();
        let streams = self.derived.streams().sources();
        let events = match &mut self.worker {
            Some(worker) => {
                worker.set_streams(streams);
                worker.put(set.clone()).await?
            }
            None => {
                let spawned = RulesWorker::spawn_set(&self.program, &self.folder, set.clone(), streams).await?;
                self.worker = Some(spawned);
                Vec::new()
            }
        };
        self.on = on;
        tracing::info!(rules = set.rules().len(), "rules in the shadow loaded");
        self.log(events).await;
        // At once: cut off before that, a rule that was switched on would begin with what comes after the next start.
        self.keep().await;
        Ok(())
    }

    /// Brings back what ran when the gateway ended, if any of it is on yet.
    async fn recall(&mut self, on: &BTreeMap<String, Stamp>) -> anyhow::Result<()> {
        let store = self.store.clone();
        let read = move || {
            let end = store.journal_end()?.0;
            let log = or_nothing(store.shadow_log(None, OPEN_MAX as u32));
            Ok::<_, StoreError>((end, or_nothing(store.secret(SNAPSHOT)), log))
        };
        let (end, kept, log) = tokio::task::spawn_blocking(read).await??;
        self.said = log.iter().map(|row| step(&row.event)).collect();
        self.said_up_to = end;
        self.open = still_open(log);
        self.on.clear();
        let Some((kept, snapshot)) = kept.as_ref().and_then(|kept| Kept::read(kept)) else { return Ok(()) };
        if !kept.on.iter().any(|(name, since)| on.get(name) == Some(since)) {
            return Ok(());
        }
        let streams = kept.set.streams().to_vec();
        let mut worker = match RulesWorker::spawn_set(&self.program, &self.folder, kept.set, streams).await {
            Ok(worker) => worker,
            Err(RulesError::Problems(_)) => {
                tracing::warn!("the rules of before do not run any more; those in the shadow begin anew");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match worker.resume(snapshot).await {
            Ok(()) => (self.worker, self.heard, self.on) = (Some(worker), kept.heard, kept.on),
            Err(error) => {
                tracing::info!(%error, "the rules in the shadow begin anew");
                worker.stop().await;
            }
        }
        Ok(())
    }

    /// Ends those that were switched off, or off and on again, with what they had raised. Without any that stay there is no worker.
    async fn end_all_but(&mut self, on: &BTreeMap<String, Stamp>) -> anyhow::Result<()> {
        let stays = |name: &str| self.on.contains_key(name) && self.on.get(name) == on.get(name);
        if let Some(worker) = &mut self.worker
            && !self.on.keys().all(|name| stays(name))
        {
            let staying = worker.rule_set().rules().iter().filter(|rule| stays(rule.name().as_str())).cloned();
            let staying = RuleSet::new(staying).map_err(RulesError::Problems)?;
            let is_last = staying.rules().is_empty();
            let mut ended = worker.put(staying).await;
            if is_last {
                worker.stop().await;
                self.worker = None;
                tracing::info!("nothing of before runs in the shadow any more");
                // It is gone, whether it could still say what it had raised or not.
                ended = ended.or_else(|error| {
                    tracing::warn!(%error, "what the rules in the shadow had raised was not ended");
                    Ok(Vec::new())
                });
            }
            let events = ended?;
            self.on.retain(|name, since| on.get(name) == Some(&*since));
            self.log(events).await;
        }
        self.open.retain(|_, rule| self.on.contains_key(rule.as_str()));
        Ok(())
    }

    /// What is in the journal by now is for those that run already. False if they did not come to its end.
    async fn hear_to_the_end(&mut self, stop: &CancellationToken) -> anyhow::Result<bool> {
        let store = self.store.clone();
        let (end, _) = tokio::task::spawn_blocking(move || store.journal_end()).await??;
        if self.worker.is_some() {
            while self.heard < end && !stop.is_cancelled() && self.hear().await? {}
            if self.worker.is_none() || stop.is_cancelled() {
                return Ok(false);
            }
        }
        // Rows that the journal has given up are missed.
        self.heard = self.heard.max(end);
        self.said.clear();
        Ok(true)
    }

    /// Nothing stays of what the shadows knew.
    pub(super) async fn forget_all(&mut self) {
        let store = self.store.clone();
        let forget = move || if store.meta(SNAPSHOT)?.is_some() { store.set_secret(SNAPSHOT, &[]) } else { Ok(()) };
        match tokio::task::spawn_blocking(forget).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what the shadows knew could not be taken away"),
            Err(error) => tracing::error!(%error, "what the shadows knew could not be taken away"),
        }
    }
}

/// What was read, or nothing: shadows run, whatever became of what they knew.
fn or_nothing<T: Default>(read: Result<T, StoreError>) -> T {
    read.inspect_err(
        |error| tracing::error!(%error, "what the shadows knew or said cannot be read; they go on without"),
    )
    .unwrap_or_default()
}

/// The rules below the folder. One that nobody made yet is an empty one: no version was ever published to be watched.
fn read(folder: &Path) -> Result<RuleSet, Vec<Problem>> {
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(RuleSet::default()),
        _ => RuleSet::read(folder),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use pitchside_config::{Gateway, Settings};
    use pitchside_script::Program;
    use pitchside_store::{RootKey, Store};

    use super::super::SHADOW_FOLDER;
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_worker_that_does_not_start_is_tried_again_though_the_folder_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let rule = dir.path().join(SHADOW_FOLDER).join("hot");
        std::fs::create_dir_all(&rule).unwrap();
        let manifest = "name = \"hot\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n";
        for (file, text) in [("rule.toml", manifest), ("rule.rhai", "false"), ("cases.txt", ""), ("README.md", "")] {
            std::fs::write(rule.join(file), text).unwrap();
        }
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let gateway = Gateway { data_dir: dir.path().to_owned(), ..Gateway::default() };
        let settings = Settings { gateway, ..Settings::default() };
        let millis = Arc::new(AtomicI64::new(1_000));
        let program = Program { exe: dir.path().join("nothing"), args: Vec::new() };
        let mut shadows = Shadows::new(&settings, program, &store, &Clock::Manual(Arc::clone(&millis)));
        let stop = CancellationToken::new();
        let again = |seconds| Some(Duration::from_secs(seconds));
        shadows.look(&stop).await;
        assert_eq!(shadows.retry_at, again(6));
        millis.store(5_999, Ordering::Release);
        shadows.look(&stop).await;
        assert_eq!(shadows.retry_at, again(6), "not at every look");
        millis.store(6_000, Ordering::Release);
        shadows.look(&stop).await;
        assert_eq!(shadows.retry_at, again(11));
        // What is wrong with a text is said once.
        std::fs::write(rule.join("rule.toml"), "name").unwrap();
        shadows.look(&stop).await;
        assert_eq!(shadows.retry_at, None);
    }

    #[test]
    fn a_box_on_which_nothing_was_ever_watched_has_no_shadows_and_nothing_to_complain_of() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(SHADOW_FOLDER);
        assert_eq!(read(&folder).unwrap(), RuleSet::default());
        // What is there and cannot be read is told.
        std::fs::write(&folder, "").unwrap();
        assert!(read(&folder).is_err());
    }
}
