//! What is in force: the rules' folder, and the streams that plugins derive. Both are looked at while the gateway runs.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pitchside_model::PluginName;
use pitchside_rules::engine::RuleFault;
use pitchside_rules::{Filter, RuleSet, RulesError, RulesWorker};

use super::{RETRY_AFTER, RulesTask, record};
use crate::blocking;

impl RulesTask {
    /// A changed folder is loaded, and changed streams; a worker that could not be kept alive is tried again.
    pub(super) async fn look(&mut self) {
        if self.worker.is_none() {
            tokio::time::sleep(RETRY_AFTER).await;
            return self.ensure_worker().await;
        }
        self.look_at_standing().await;
        self.look_at_resets().await;
        let newest = newest_change(&self.folder);
        let before = self.derived.look();
        if newest == self.seen && before.is_none() {
            return;
        }
        self.seen = newest;
        let Some(worker) = &mut self.worker else { return };
        let mut forgiven = Vec::new();
        if let Some(before) = before {
            worker.set_streams(self.derived.streams().sources());
            forgiven = self.derived.streams().switched_on_since(&before);
        }
        let loaded = match blocking::here(|| RuleSet::read(&self.folder)) {
            Ok(set) => worker.put(set).await,
            Err(problems) => Err(RulesError::Problems(problems)),
        };
        match loaded {
            Ok(events) => {
                for name in forgiven {
                    if let Err(error) = worker.again(&name).await {
                        tracing::warn!(plugin = %name, %error, "a stream's faults could not be forgotten");
                    }
                }
                let now = self.parts.clock.now();
                self.recorder.raise(events, now).await;
                self.loaded();
            }
            Err(error) => tracing::error!(%error, "the changed rules were not loaded; the ones before stay in force"),
        }
    }

    pub(super) async fn ensure_worker(&mut self) {
        self.seen = newest_change(&self.folder);
        self.derived.look();
        let streams = self.derived.streams().sources();
        match RulesWorker::spawn_with(&self.program, &self.folder, streams).await {
            Ok(worker) => {
                self.worker = Some(worker);
                self.loaded();
                self.recall().await;
                self.replay().await;
            }
            Err(error) => tracing::error!(%error, "no rule is running"),
        }
    }

    fn loaded(&mut self) {
        self.stale = true;
        let Some(worker) = &self.worker else { return };
        let set = worker.rule_set();
        self.feed.filter.store(Arc::new(Some(Filter::new(set))));
        (self.parts.on_loaded)(set);
        record::remember(&self.parts.store, &self.folder, set, self.derived.streams(), self.position());
        tracing::info!(rules = set.rules().len(), streams = set.streams().len(), "rules loaded");
        for problem in worker.left_out() {
            tracing::error!(%problem, "a stream that rules want does not run");
            let name = problem.file.split('/').next().unwrap_or_default();
            self.note_trouble(name, format!("it does not run: {problem}"));
        }
    }

    /// A fault of a stream is one of its plugin.
    pub(super) fn note_stream(&self, fault: &RuleFault) {
        if self.derived.streams().enabled.iter().any(|stream| *stream.source.name() == fault.rule) {
            let off = if fault.off { "; it is switched off: pitchside rules again" } else { "" };
            self.note_trouble(fault.rule.as_str(), format!("{}{off}", fault.fault));
        }
    }

    fn note_trouble(&self, name: &str, text: String) {
        let Ok(name) = PluginName::parse(name) else { return };
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        if let Err(error) = blocking::here(|| store.note_plugin_trouble(&name, &[text], now)) {
            tracing::warn!(plugin = %name, %error, "a plugin's troubles could not be written down");
        }
    }
}

/// The latest change of anything below the folder; none if it can't be read.
pub(in crate::pipeline) fn newest_change(folder: &Path) -> Option<SystemTime> {
    blocking::here(|| {
        let mut newest = std::fs::metadata(folder).ok()?.modified().ok()?;
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
            newest = newest.max(changed(&entry.path())?);
            for file in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                newest = newest.max(changed(&file.path())?);
            }
        }
        Some(newest)
    })
}
