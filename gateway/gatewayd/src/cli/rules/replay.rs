//! `rules replay`: one alert again, from sealed readings, under the rule that was in force.

mod attempt;
mod said;

use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Context as _;
use ledger_block::segment::Subject as Segments;
use ledger_block::{Header, Incarnation, SignedHeader};
use pitchside_model::{Alert, AlertId, DeviceId, Entry, Epoch, Quantity, Seq, Timestamp};
use pitchside_rules::library::STREAM_PREFIX;
use pitchside_rules::replay::{ENGINE_VERSION, Outcome as Came, Replay};
use pitchside_rules::{RuleSet, RuleSource, history};
use pitchside_script::manifest::RuleScope;
use pitchside_seal::{Filter, History, KeyRing, Whose};
use pitchside_store::{RuleChange, RuleText, Tables};

use crate::adapters::athletes::load_ring;
use crate::archive::{not_found, sealed_alert};
use crate::cli::context::Context;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::past::{self, Walked};
use crate::rulebook::{self, in_words, up_to_block};

use attempt::{Attempt, attempts, beginning, remembers_from};
use said::{said, words};

/// A rule as it was in force from a time on.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// By the gateway's clock.
    pub from: Timestamp,
    /// The set that was in force.
    pub set_hash: [u8; 32],
    /// The set's rules with their hashes.
    pub rules: Vec<(String, [u8; 32])>,
    /// The rule's texts; none if it was in no set then.
    pub text: Option<RuleText>,
    /// The texts of the streams of plugins that it named as inputs.
    pub streams: Vec<RuleText>,
    /// What evaluated it.
    pub engine: String,
    /// Sets of which it was a part after that one, as it was: other rules changed.
    later: Vec<Listed>,
}

/// A set that came into force.
#[derive(Debug, Clone)]
struct Listed {
    from: Timestamp,
    set_hash: [u8; 32],
    rules: Vec<(String, [u8; 32])>,
}

impl Stretch {
    /// With the set that was in force as this arrived.
    fn as_of(&self, arrived: Timestamp) -> Self {
        let mut stretch = Self { later: Vec::new(), ..self.clone() };
        if let Some(set) = self.later.iter().rfind(|set| set.from <= arrived) {
            (stretch.set_hash, stretch.rules) = (set.set_hash, set.rules.clone());
        }
        stretch
    }
}

/// What the replay came to, with all it was made from.
pub struct Replayed {
    /// The alert as it was sealed.
    pub sealed: Alert,
    /// The rule that raised it, in the set that was in force then.
    pub stretch: Stretch,
    /// What came of it.
    pub outcome: Came,
    /// The rule's state before the message that fired.
    pub before: Option<Vec<u8>>,
    /// Readings heard.
    pub readings: u64,
    /// Blocks looked at.
    pub walked: Walked,
    /// The incarnation of the oldest blocks heard.
    pub from: Incarnation,
    /// The message that raised it again.
    pub fired: Option<Fired>,
    /// That state is without what the rule had learnt of readings of another athlete, who wore the device before.
    pub left_out: bool,
    /// The set that its block names.
    pub sealed_under: [u8; 32],
}

/// A message.
#[derive(Debug, Clone)]
pub struct Fired {
    /// Whose.
    pub device: DeviceId,
    /// Its number.
    pub number: (Epoch, Seq),
    /// The device time of its last reading.
    pub up_to: Timestamp,
}

/// The texts of a list of what was in force.
fn text_of(tables: &Tables, hash: &[u8; 32]) -> anyhow::Result<RuleText> {
    tables.rule_text(hash)?.context("the texts of a rule that was in force are missing")
}

/// The streams of a list that a rule names as inputs.
fn streams_of(tables: &Tables, rule: &RuleText, rules: &[(String, [u8; 32])]) -> anyhow::Result<Vec<RuleText>> {
    let Ok(rule) = RuleSource::parse(&rule.name, &rule.manifest, &rule.script) else { return Ok(Vec::new()) };
    let mut streams = Vec::new();
    for (_, hash) in rules.iter().filter(|(name, _)| name.starts_with(STREAM_PREFIX)) {
        let text = text_of(tables, hash)?;
        let makes = stream(&text).ok().and_then(|stream| stream.makes);
        if makes.is_some_and(|makes| rule.manifest.inputs.contains(&makes)) {
            streams.push(text);
        }
    }
    Ok(streams)
}

fn stream(text: &RuleText) -> Result<RuleSource, Vec<pitchside_script::Problem>> {
    let name = text.name.strip_prefix(STREAM_PREFIX).unwrap_or(&text.name);
    RuleSource::parse_stream(name, &text.manifest, &text.script)
}

/// The stretches of a rule until an alert in this block was `raised`: only changes of that rule, and of the streams it names, begin a new one.
/// What evaluates them is that of then: an update may have come before the block was sealed.
fn stretches(tables: &Tables, rule: &str, block: &Header, raised: Timestamp) -> anyhow::Result<Vec<Stretch>> {
    let mut changes = up_to_block(tables.rule_changes()?, &block.rules, block.sealed_at);
    changes.retain(|change| change.at <= raised);
    let engine = changes.last().map(|last| last.engine.clone()).unwrap_or_default();
    let mut found: Vec<Stretch> = Vec::new();
    for RuleChange { at, set_hash, rules, .. } in changes {
        let hash = rules.iter().find(|(name, _)| name == rule).map(|(_, hash)| *hash);
        let text = hash.map(|hash| text_of(tables, &hash)).transpose()?;
        let streams = text.as_ref().map(|text| streams_of(tables, text, &rules)).transpose()?.unwrap_or_default();
        let hashes = |text: &Option<RuleText>, streams: &[RuleText]| -> Vec<[u8; 32]> {
            text.iter().chain(streams).map(|text| text.rule_hash).collect()
        };
        let same = |last: &Stretch| hashes(&last.text, &last.streams) == hashes(&text, &streams);
        match found.last_mut() {
            Some(last) if same(last) => last.later.push(Listed { from: at, set_hash, rules }),
            _ => found.push(Stretch {
                from: at,
                set_hash,
                rules,
                text,
                streams,
                engine: engine.clone(),
                later: Vec::new(),
            }),
        }
    }
    Ok(found)
}

/// The rule of a stretch with the streams it names, and nothing else; an empty set if it was in none.
pub fn alone(stretch: &Stretch) -> Result<Arc<RuleSet>, Failure> {
    let Some(text) = &stretch.text else { return Ok(Arc::default()) };
    for text in std::iter::once(text).chain(&stretch.streams) {
        if !rulebook::is_whole(text) {
            return Err(Failure::Tampered(format!(
                "the texts of {} that are kept are not those that were in force",
                text.name
            )));
        }
    }
    let unread = |problems: Vec<pitchside_script::Problem>| in_words("the rule of that time cannot be read", &problems);
    let rule = RuleSource::parse(&text.name, &text.manifest, &text.script).map_err(unread)?;
    let streams = stretch.streams.iter().map(stream).collect::<Result<Vec<_>, _>>().map_err(unread)?;
    let (set, _) = RuleSet::new([rule]).map_err(unread)?.with_streams(streams);
    Ok(Arc::new(set))
}

/// How many versions that bear the alert's label are tried, the latest first.
const TRIED_MAX: usize = 8;

/// The rules of a stretch, each with its hash, checked against the hash of the whole set.
pub fn set_of(tables: &Tables, stretch: &Stretch) -> Result<Vec<(String, [u8; 32])>, Failure> {
    let mut rules = Vec::new();
    for (name, text_hash) in &stretch.rules {
        let text = text_of(tables, text_hash)?;
        if !rulebook::is_whole(&text) {
            return Err(Failure::Tampered(format!(
                "the texts of {name} that are kept are not those that were in force"
            )));
        }
        rules.push((name.clone(), text.rule_hash));
    }
    if history::set_hash(rules.iter().map(|(name, hash)| (name.as_str(), hash))) != stretch.set_hash {
        return Err(Failure::Tampered("the list of the rules that were in force was changed".to_owned()));
    }
    Ok(rules)
}

/// Runs the replay.
pub fn run(id: AlertId, context: &Context, step: &mut dyn FnMut(u64, u64)) -> Result<Replayed, Failure> {
    let ring = load_ring(&context.tables, &context.identity)?;
    let Some((alert, header)) = sealed_alert(context, &ring, id)? else {
        return Err(Failure::Failed(not_found(&context.tables, &id.to_string())?));
    };
    let sealed_at = header.header().sealed_at;
    let raised = context.tables.alert(id)?.map_or(sealed_at, |row| row.recorded_at);
    let stretches = stretches(&context.tables, alert.rule.as_str(), header.header(), raised)?;
    let scope_if_named = |stretch: &Stretch| {
        let rule = stretch.text.as_ref().and_then(|t| RuleSource::parse(&t.name, &t.manifest, &t.script).ok());
        rule.filter(|rule| rule.manifest.version == alert.rule_version).map(|rule| rule.manifest.scope)
    };
    // A later version may have come before the alert was on the record, under the same label.
    let named = (0..stretches.len()).rev().filter_map(|at| Some((at, scope_if_named(&stretches[at])?)));
    let named: Vec<(usize, RuleScope)> = named.take(TRIED_MAX).collect();
    let restored = remembers_from(context.tables.chain_start()?, header.header().incarnation);
    let (mut first, mut bad) = (None, None);
    for attempt in attempts(&named, restored) {
        set_of(&context.tables, &stretches[attempt.at])?;
        let replayed = match try_stretch(&alert, &header, &stretches, attempt, &ring, context, step) {
            // One that raises the alert ends there, and meets no bad block after it.
            Err(Failure::Tampered(why)) => {
                bad.get_or_insert(why);
                continue;
            }
            replayed => replayed?,
        };
        if replayed.outcome == Came::Identical {
            set_of(&context.tables, &replayed.stretch)?;
            return Ok(replayed);
        }
        first.get_or_insert(replayed);
    }
    if let Some(why) = bad {
        return Err(Failure::Tampered(why));
    }
    first.ok_or_else(|| {
        Failure::Failed(anyhow::anyhow!(
            "it is not known here which {} {} was in force: the box remembers {} version(s) of it",
            alert.rule,
            alert.rule_version,
            stretches.len()
        ))
    })
}

/// Replays under the rule of one stretch.
fn try_stretch(
    alert: &Alert,
    header: &SignedHeader,
    stretches: &[Stretch],
    Attempt { at, of_all, from }: Attempt,
    ring: &KeyRing,
    context: &Context,
    step: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, Failure> {
    let set = alone(&stretches[at])?;
    let rule = &set.rules().first().context("a set of one rule")?.manifest;
    let (scope, is_derived) = (rule.scope, rule.inputs.iter().any(|input| set.derives(*input)));
    let mut now = beginning(stretches, at, rule.cool_down);
    let heard = &stretches[now..];
    let sets = heard.iter().map(|stretch| Ok((stretch.from, alone(stretch)?))).collect::<Result<Vec<_>, Failure>>()?;
    let mut inputs: Vec<Quantity> =
        sets.iter().flat_map(|(_, set)| pitchside_rules::Filter::new(set).quantities()).collect();
    inputs.sort_unstable_by_key(|quantity| quantity.code());
    inputs.dedup();
    let by_athlete = scope == RuleScope::Athlete && alert.athlete.is_some();
    // What is derived is made of everything its athlete wears.
    let wears = |entry: &Entry| is_derived && alert.athlete.is_some() && entry.athlete == alert.athlete;
    let filter = Filter {
        whose: (scope == RuleScope::Athlete && !of_all).then(|| Whose::of(alert.athlete.as_ref())),
        subjects: inputs.into_iter().map(Segments::Readings).collect(),
    };
    let mut sets = sets.into_iter();
    let (since, begin) = sets.next().context("a stretch")?;
    let mut replay = Replay::new(begin, alert.clone()).map_err(|p| in_words("the rule of that time", &p))?;
    let mut next = sets.next();
    let mut resets = context.tables.done_resets()?.into_iter().peekable();
    let (mut readings, mut passed_over, mut fired, mut in_force) = (0, 0, None, None);
    let mut history = History::new(ring, &filter);
    let walked = past::walk(context, since, step, &mut |block| {
        if block.header.header().incarnation < from {
            passed_over += 1;
            return Ok(ControlFlow::Continue(()));
        }
        let mut entries = history.read(block.header, block.payload).map_err(|error| block.bad(&error))?;
        if !by_athlete {
            entries.retain(|entry| entry.device == alert.device || wears(entry));
        }
        for entry in &entries {
            let arrived = entry.readings.iter().map(|reading| reading.gateway_time).min();
            while let Some((at, id)) = resets.next_if(|(at, _)| arrived.is_some_and(|arrived| arrived >= *at)) {
                replay.reset(id, at);
            }
            while let Some((_, set)) = next.take_if(|(from, _)| arrived.is_some_and(|arrived| arrived >= *from)) {
                replay.reload(set).map_err(|problems| in_words("the rule of that time", &problems))?;
                (next, now) = (sets.next(), now + 1);
            }
            readings += entry.readings.len() as u64;
            if replay.feed(std::slice::from_ref(entry)) {
                let up_to = entry.readings.iter().map(|reading| reading.device_time).max();
                let (device, number) = (entry.device.clone(), (entry.epoch, entry.seq));
                fired = up_to.map(|up_to| Fired { device, number, up_to });
                in_force = arrived.map(|arrived| stretches[now].as_of(arrived));
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Replayed {
        sealed: alert.clone(),
        stretch: in_force.unwrap_or_else(|| stretches[at].as_of(Timestamp(i64::MAX))),
        outcome: replay.outcome(),
        before: replay.state_before().map(<[u8]>::to_vec),
        left_out: replay.leaves_out(),
        readings,
        walked: Walked { opened: walked.opened.saturating_sub(passed_over), ..walked },
        from,
        fired,
        sealed_under: header.header().rules,
    })
}

/// `rules replay`.
pub fn replay(id: AlertId, context: &Context, output: &Output) -> Outcome {
    let bar = super::backtest::bar();
    let replayed = run(id, context, &mut |done, total| super::backtest::advance(&bar, done, total));
    bar.finish_and_clear();
    let replayed = replayed?;
    output.print(&said(id, &replayed)?, words)?;
    if replayed.walked.elsewhere > 0 {
        crate::cli::output::note(&format!(
            "{} block(s) of that time are only in the ledger any more: the rule did not hear them",
            replayed.walked.elsewhere
        ));
    }
    if let Some(missing) = replayed.walked.missing() {
        crate::cli::output::note(&format!("the rule did not hear what was sealed earlier: {missing}"));
    }
    match replayed.outcome {
        Came::Identical => Ok(()),
        _ if replayed.stretch.engine != ENGINE_VERSION => Err(Failure::Failed(anyhow::anyhow!(
            "{id} was raised by {}; this is {ENGINE_VERSION}, which may answer otherwise: that says nothing against the alert",
            replayed.stretch.engine
        ))),
        _ => Err(Failure::Failed(anyhow::anyhow!("the replay of {id} does not give the alert that was sealed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: i64, later: Vec<Listed>) -> Stretch {
        Stretch {
            from: Timestamp(from),
            set_hash: [0; 32],
            rules: Vec::new(),
            text: None,
            streams: Vec::new(),
            engine: String::new(),
            later,
        }
    }

    #[test]
    fn of_a_rule_that_stayed_as_it_was_the_set_is_named_that_was_in_force_as_the_message_came() {
        let later = [(20, 1), (30, 2), (30, 3)].map(|(from, set)| Listed {
            from: Timestamp(from),
            set_hash: [set; 32],
            rules: Vec::new(),
        });
        let stretch = stretch(10, later.into());
        let sets = [5, 10, 19, 20, 29, 30, 99].map(|arrived| stretch.as_of(Timestamp(arrived)).set_hash[0]);
        assert_eq!(sets, [0, 0, 0, 1, 1, 3, 3]);
    }

    #[test]
    fn a_replay_begins_a_version_earlier_and_as_far_back_as_anything_outlives_a_version() {
        let minutes = |minutes: i64| minutes * 60_000_000;
        let stretches = [0, 30, 49, 55, 60].map(|from| stretch(minutes(from), Vec::new()));
        assert_eq!(beginning(&stretches, 0, 0), 0);
        assert_eq!(beginning(&stretches, 2, 0), 1, "the one before");
        assert_eq!(beginning(&stretches, 4, 0), 2, "ten minutes, for what was raised often");
        assert_eq!(beginning(&stretches, 4, minutes(30)), 1, "a cool-down of half an hour");
        assert_eq!(beginning(&stretches, 4, minutes(120)), 0, "no further than is known");
    }
}
