//! A plugin's texts as a stream, and which streams go with a set of rules.

use std::collections::BTreeSet;

use pitchside_model::{Assurance, Priority, Quantity, RuleName};
use pitchside_script::Problem;
use pitchside_script::manifest::{PluginKind, PluginManifest, RuleCategory, RuleManifest, RuleScope};

use crate::derive::makers;
use crate::id::hash_parts;
use crate::library::{RuleSet, RuleSource};
use crate::rule::{Rule, sandbox};

/// The most streams of one set.
pub const STREAMS_MAX: usize = 64;

impl RuleSource {
    /// Reads a derived stream from `plugin.toml` and `derive.rhai`.
    pub fn parse_stream(folder: &str, manifest: &str, script: &str) -> Result<Self, Vec<Problem>> {
        // As a rule's, so that its texts are kept and found as a rule's are; that it is none, its name in the set says.
        let hash = hash_parts("pitchside rule v1", [manifest.as_bytes(), script.as_bytes()]);
        let file = format!("{folder}/plugin.toml");
        let plugin = PluginManifest::parse(&file, manifest)?;
        let problem = |text: String| vec![Problem::of(&file, text)];
        let (PluginKind::Derived, Some(derived), Some(makes)) =
            (plugin.kind, plugin.derived, plugin.outputs.first().copied())
        else {
            return Err(problem(format!("the plugin is no derived stream: its kind is {}", plugin.kind)));
        };
        if let Some(why) = may_not_be_made(makes) {
            return Err(problem(why));
        }
        let name = RuleName::parse(plugin.name.as_str()).map_err(|error| problem(error.to_string()))?;
        let manifest = RuleManifest {
            name,
            version: plugin.version,
            summary: plugin.summary,
            inputs: derived.inputs,
            params: plugin.params,
            state: derived.state,
            accept: derived.accept,
            gap_after: derived.gap_after,
            // What follows is about alerts, of which a stream raises none.
            priority: Priority::Low,
            category: RuleCategory::Physiological,
            scope: RuleScope::Athlete,
            assurance: Assurance::Wired,
            gaps: false,
            hold: 0,
            clear_after: 0,
            cool_down: 0,
            latch: false,
            escalate: None,
        };
        Ok(Self { manifest, script: script.to_owned(), hash, makes: Some(makes) })
    }
}

/// Why no script may make a quantity, if so.
fn may_not_be_made(quantity: Quantity) -> Option<String> {
    if quantity.is_gateways_own() {
        return Some(format!("outputs: {quantity} is the gateway's own record"));
    }
    let native = makers(|made| made == quantity).next();
    native.map(|(_, made)| {
        format!("outputs: {quantity} is derived by the box itself ({}): name another quantity", made.formula.join(", "))
    })
}

impl RuleSet {
    /// The set with those streams that some rule of it wants, and why others that it wants are left out. What is left out does
    /// not depend on the order: a stream that is called as a rule; of two that make one quantity the one with the later name;
    /// one that is made of what another stream makes.
    pub fn with_streams(mut self, streams: impl IntoIterator<Item = RuleSource>) -> (Self, Vec<Problem>) {
        let mut candidates: Vec<RuleSource> = streams.into_iter().filter(|stream| stream.makes.is_some()).collect();
        candidates.sort_by(|a, b| a.name().cmp(b.name()));
        let rules = &self.rules;
        let is_wanted = |stream: &RuleSource| {
            stream.makes.is_some_and(|made| rules.iter().any(|rule| rule.manifest.inputs.contains(&made)))
        };
        let mut problems = Vec::new();
        let mut refuse = |stream: &RuleSource, why: String| {
            // Of what nobody wants nobody needs to hear.
            let told = is_wanted(stream)
                .then(|| Problem::of(&stream.manifest_file(), format!("the stream is left out: {why}")));
            problems.extend(told);
            false
        };
        let mut made = BTreeSet::new();
        candidates.retain(|stream| {
            let Some(makes) = stream.makes else { return false };
            if rules.iter().any(|rule| rule.name() == stream.name()) {
                return refuse(stream, "a rule has its name".to_owned());
            }
            made.insert(makes.code()) || refuse(stream, format!("another plugin makes {makes}"))
        });
        let all = candidates.clone();
        candidates.retain(|stream| {
            let other = all.iter().find(|other| other.makes.is_some_and(|made| stream.manifest.inputs.contains(&made)));
            other.is_none_or(|other| {
                refuse(stream, format!("its input is made by {}, a stream of a plugin", other.name()))
            })
        });
        candidates.retain(|stream| is_wanted(stream));
        for stream in candidates.iter().skip(STREAMS_MAX) {
            refuse(stream, format!("at most {STREAMS_MAX} streams run"));
        }
        candidates.truncate(STREAMS_MAX);
        self.streams = candidates;
        (self, problems)
    }

    /// As [`RuleSet::with_streams`], without those that do not compile: what a worker makes of it.
    pub fn with_working_streams(self, streams: impl IntoIterator<Item = RuleSource>) -> (Self, Vec<Problem>) {
        let (bench, mut streams) = (sandbox(), streams.into_iter().collect::<Vec<_>>());
        let mut faults = Vec::new();
        loop {
            let (set, problems) = self.clone().with_streams(streams.clone());
            let faulty: Vec<Problem> =
                set.streams.iter().filter_map(|stream| Rule::new(&bench, stream).err()).flatten().collect();
            if !leave_out(&mut streams, &faulty) {
                return (set, faults.into_iter().chain(problems).collect());
            }
            faults.extend(faulty);
        }
    }
}

/// Takes out the streams that problems are about; whether there was one.
pub(crate) fn leave_out(streams: &mut Vec<RuleSource>, problems: &[Problem]) -> bool {
    let (before, files) = (streams.len(), |stream: &RuleSource| [stream.file(), stream.manifest_file()]);
    streams.retain(|stream| !problems.iter().any(|problem| files(stream).contains(&problem.file)));
    streams.len() < before
}
