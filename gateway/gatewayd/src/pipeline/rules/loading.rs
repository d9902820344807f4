//! What is in force: the rules' folder, and the streams that plugins derive. Both are looked at while the gateway runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use pitchside_model::PluginName;
use pitchside_rules::engine::RuleFault;
use pitchside_rules::{Filter, RuleSet, RuleSource, RulesError, RulesWorker};
use pitchside_script::Problem;
use tokio::time::Instant;

use super::{RETRY_AFTER, RulesTask, record};
use crate::stamp;
use crate::{blocking, rulebook};

impl RulesTask {
    /// A changed folder is loaded, and changed streams; a worker that could not be kept alive is tried again.
    pub(super) async fn look(&mut self) {
        if self.worker.is_none() {
            // Not by waiting here: whoever stops the gateway, drills or brings readings would wait, too.
            if Instant::now() >= self.retry_at {
                self.ensure_worker().await;
            }
            return;
        }
        // Not by waiting: readings would wait, too, and the alerts about them.
        if self.unnamed_until.is_some_and(|said| self.recorder.has_recorded(said)) {
            self.name(true);
        }
        self.look_at_standing().await;
        self.look_at_resets().await;
        self.look_at_erased().await;
        self.finish_publication();
        let stamp = blocking::here(|| stamp::of(&self.folder));
        let before = self.derived.look();
        if self.seen == Some(stamp) && before.is_none() {
            return;
        }
        self.seen = Some(stamp);
        // By the rules of before: what is kept below says up to where in the journal.
        self.hear_what_waits().await;
        let Some(worker) = &mut self.worker else { return };
        let (mut forgiven, other_streams) = (Vec::new(), before.is_some());
        if let Some(before) = before {
            worker.set_streams(self.derived.streams().sources());
            forgiven = self.derived.streams().switched_on_since(&before);
        }
        let mut loaded = match blocking::here(|| RuleSet::read(&self.folder)) {
            Ok(set) => worker.put(set).await,
            Err(problems) => Err(RulesError::Problems(problems)),
        };
        // Rules that are not in order keep no stream from being switched off, corrected or put back.
        if other_streams && let Err(error) = &loaded {
            tracing::error!(%error, "the changed rules were not loaded; the ones before stay in force, with other streams");
            if error.is_from_outside() {
                // Nothing is wrong with them: the next look tries again.
                self.seen = None;
            }
            let in_force = RuleSet::clone(worker.rule_set());
            loaded = worker.put(in_force).await;
        }
        match loaded {
            Ok(events) => {
                for name in forgiven {
                    if let Err(error) = worker.again(&name).await {
                        tracing::warn!(plugin = %name, %error, "a stream's faults could not be forgotten");
                    }
                }
                self.say(events, self.parts.clock.now()).await;
                self.loaded().await;
                // At once, and before they hear anything: an alert of theirs that no snapshot knows would stay raised for ever.
                self.keep().await;
            }
            Err(error) => {
                tracing::error!(%error, "the changed rules were not loaded; the ones before stay in force");
                if error.is_from_outside() {
                    // Nothing is wrong with them: the next look tries again.
                    self.seen = None;
                }
            }
        }
    }

    /// What a publication that was cut off has recorded comes into force.
    fn finish_publication(&mut self) {
        match blocking::here(|| rulebook::finish_what_is_left(&self.parts.store, &self.folder)) {
            Ok(()) => self.unfinished = false,
            // Once, however often it is looked at.
            Err(error) if !std::mem::replace(&mut self.unfinished, true) => {
                tracing::error!(error = format!("{error:#}"), "a publication that was cut off cannot be finished");
            }
            Err(_) => {}
        }
    }

    pub(super) async fn ensure_worker(&mut self) {
        self.finish_publication();
        self.seen = Some(blocking::here(|| stamp::of(&self.folder)));
        self.derived.look();
        let streams = self.derived.streams().sources();
        let spawned = match RulesWorker::spawn_with(&self.program, &self.folder, streams.clone()).await {
            Err(RulesError::Problems(problems)) => self.spawn_sound(problems, streams).await,
            other => other,
        };
        match spawned {
            Ok(worker) => {
                self.worker = Some(worker);
                self.recall().await;
            }
            Err(error) => {
                self.retry_at = Instant::now() + RETRY_AFTER;
                tracing::error!(%error, "no rule is running");
            }
        }
    }

    /// At a start there are no rules of before that could stay in force, and one that is not in order must not keep the others from
    /// running: in its place runs what was in force of it last, or nothing.
    async fn spawn_sound(
        &self,
        mut problems: Vec<Problem>,
        streams: Vec<RuleSource>,
    ) -> Result<RulesWorker, RulesError> {
        let (read, _) = blocking::here(|| RuleSet::read_each(&self.folder)).map_err(RulesError::Problems)?;
        let (mut faulty, mut hopeless) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let named: BTreeSet<String> =
                problems.iter().filter_map(|problem| problem.file.split('/').next()).map(str::to_owned).collect();
            if named.is_subset(&hopeless) {
                return Err(RulesError::Problems(problems));
            }
            problems.iter().for_each(|problem| tracing::error!(%problem, "a rule is not in order; the others run"));
            hopeless.extend(named.intersection(&faulty).cloned());
            faulty.extend(named);
            let sound = read.iter().filter(|rule| !faulty.contains(rule.name().as_str())).cloned();
            let stand_ins = faulty.difference(&hopeless).filter_map(|name| self.last_in_force(name)).inspect(|rule| {
                tracing::warn!(rule = %rule.name(), version = rule.manifest.version, "what was in force of it last runs in its place");
            });
            let set = RuleSet::new(sound.chain(stand_ins)).map_err(RulesError::Problems)?;
            match RulesWorker::spawn_set(&self.program, &self.folder, set, streams.clone()).await {
                Err(RulesError::Problems(found)) => problems = found,
                other => return other,
            }
        }
    }

    fn last_in_force(&self, name: &str) -> Option<RuleSource> {
        match blocking::here(|| rulebook::last_in_force(&self.parts.store, name)) {
            Ok(text) => text.and_then(|text| RuleSource::in_folder(name, &text.manifest, &text.script).ok()),
            Err(error) => {
                tracing::error!(rule = name, error = format!("{error:#}"), "what was in force last cannot be read");
                None
            }
        }
    }

    /// Whoever asks which rules are in force is told of those the worker has: not before all that others said is on the record, or blocks
    /// would say that it were by these. Of a disk that takes nothing that is not waited for, and no rules are named until it is.
    pub(super) async fn in_force(&mut self) {
        let is_recorded = self.recorded().await;
        self.name(is_recorded);
    }

    /// The same, once it is known whether that is on the record.
    fn name(&mut self, is_recorded: bool) {
        // What is said from here on is of those that are in force now.
        self.unnamed_until = (!is_recorded).then(|| self.recorder.said());
        if let Some(worker) = &self.worker {
            (self.parts.on_loaded)(worker.rule_set(), is_recorded);
        }
    }

    /// The rules the worker has are in force from here on.
    pub(super) async fn loaded(&mut self) {
        self.stale = true;
        let Some(worker) = &self.worker else { return };
        let set = worker.rule_set();
        self.feed.filter.store(Arc::new(Some(Filter::new(set))));
        let texts = record::texts(&self.parts.store, &self.folder, set, self.derived.streams());
        self.in_force().await;
        let Some(worker) = &self.worker else { return };
        let set = worker.rule_set();
        record::remember(&self.parts.store, set, texts, self.position());
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
