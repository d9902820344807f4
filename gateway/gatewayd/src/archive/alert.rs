//! The evidence of an alert: found in sealed blocks, replayed, and stated under the gateway's signature.

use std::ops::ControlFlow;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use ledger_block::evidence::Evidence;
use ledger_block::evidence::alert::{AlertEvidence, Happened, LogLine, READINGS_MAX};
use ledger_block::record::{ReadingRecord, Record};
use ledger_block::segment::Subject as Segments;
use pitchside_model::{AlertId, Entry, Timestamp};
use pitchside_rules::replay::{ENGINE_VERSION, Follows, Outcome, follows, reach};
use pitchside_rules::{RuleSet, history};
use pitchside_script::manifest::RuleScope;
use pitchside_seal::{Filter, Whose, open};
use pitchside_store::{Came, DeliveryKind, RuleText, Tables};

use super::included;
use crate::adapters::athletes::load_ring;
use crate::cli::context::Context;
use crate::cli::rules_replay::{self, Replayed};
use crate::cli::{Failure, output};
use crate::clock::Clock;
use crate::past;
use crate::rulebook::in_words;

/// How much earlier than the readings a block may have been sealed, as clocks go, in microseconds.
const SLACK_US: i64 = 3_600_000_000;

/// To whom every alert goes out, whatever outputs there are.
const LISTENERS: &str = "page and MQTT";

/// A reading on its way into the file.
struct Proof {
    record: ReadingRecord,
    evidence: Evidence,
}

/// The file. What keeps its readings from being proven leaves the alert alone, once that is found.
pub fn evidence(context: &Context, id: AlertId) -> Result<Vec<u8>, Failure> {
    // The replay looks for the alert as well, and tells of a block that does not open on the way.
    let (alone, _) = super::find(context, &id.to_string())?;
    whole(context, id, &alone).map_err(|failure| match failure {
        Failure::Tampered(why) => Failure::Tampered(format!("{why}; --record-only gives evidence of the alert alone")),
        other => other,
    })
}

fn whole(context: &Context, id: AlertId, alone: &[u8]) -> Result<Vec<u8>, Failure> {
    let alert = Evidence::parse(alone).context("the alert's own evidence")?;
    let replayed = rules_replay::run(id, context, &mut |_, _| {})?;
    let text = replayed.stretch.text.as_ref().context("a rule without its texts")?;
    let set = rules_replay::alone(&replayed.stretch)?;
    let proofs = readings(context, &replayed, &set)?;
    // What another evaluator raised, and this one does not, is not put into this one's mouth.
    let is_again = replayed.outcome == Outcome::Identical;
    let before = replayed.before.as_deref().filter(|_| is_again);
    if is_again && replayed.left_out {
        let records: Vec<ReadingRecord> = proofs.iter().map(|proof| proof.record.clone()).collect();
        let follows = follows(&set, &replayed.sealed, &messages(&records), before);
        if follows.map_err(|problems| in_words("the rule of that time", &problems))? == Follows::No {
            return Err(Failure::Failed(anyhow::anyhow!(
                "{id} was raised by what the device told of another athlete, too, who wore it before, and evidence does not show that; \
                 --record-only gives evidence of the alert alone"
            )));
        }
    }
    let rules = rules_replay::set_of(&context.tables, &replayed.stretch)?;
    if history::set_hash(rules.iter().map(|(name, hash)| (name.as_str(), hash))) != replayed.sealed_under {
        output::note(
            "its block names other rules than those that were in force by the gateway's own record: that these were is its word alone",
        );
    }
    // Only those that ran: another plugin may have made the quantity, too.
    let ran = |text: &&RuleText| set.streams().iter().any(|stream| stream.hash == text.rule_hash);
    let streams = replayed.stretch.streams.iter().filter(ran);
    let said = AlertEvidence {
        alert,
        readings: proofs.into_iter().map(|proof| proof.evidence).collect(),
        rules,
        manifest: text.manifest.clone(),
        script: text.script.clone(),
        streams: streams.map(|text| (text.manifest.clone(), text.script.clone())).collect(),
        engine: if is_again { ENGINE_VERSION.to_owned() } else { replayed.stretch.engine.clone() },
        before: before.map(<[u8]>::to_vec),
        log: log(&context.tables, id, &replayed.stretch.engine)?,
        made_at: Clock::System.now(),
    };
    Ok(said.to_bytes(&GatewayKey::new(&context.identity.sign))?)
}

/// The readings the rule could look back on, and the message that fired, each with its proof, in the order of arrival.
fn readings(context: &Context, replayed: &Replayed, set: &RuleSet) -> Result<Vec<Proof>, Failure> {
    let alert = &replayed.sealed;
    let reach = reach(set).map_err(|problems| in_words("the rule of that time", &problems))?;
    let rule = &set.rules().first().context("a set of one rule")?.manifest;
    let from = Timestamp(alert.event_time.0.saturating_sub(reach));
    let by_athlete = rule.scope == RuleScope::Athlete && alert.athlete.is_some();
    let is_derived = rule.inputs.iter().any(|input| set.derives(*input));
    let filter = Filter {
        whose: by_athlete.then(|| Whose::of(alert.athlete.as_ref())),
        subjects: pitchside_rules::Filter::new(set).quantities().into_iter().map(Segments::Readings).collect(),
    };
    // What is derived is made of everything its athlete wears. What somebody else felt who wore the device before is no part of it, nor is
    // that they wore it: what hangs on that, such as how often a link broke, is in the state before.
    let counts = |record: &ReadingRecord| {
        let is_nobodys = !rule.is_about_wearer() && record.athlete.is_none();
        let is_worn = is_nobodys || record.athlete == alert.athlete;
        let wears = is_derived && alert.athlete.is_some() && record.athlete == alert.athlete;
        by_athlete || (record.device == alert.device && is_worn) || wears
    };
    let ring = load_ring(&context.tables, &context.identity)?;
    let mut found: Vec<Proof> = Vec::new();
    let fired = |record: &ReadingRecord| match &replayed.fired {
        Some(fired) => (&record.device, (record.epoch, record.seq)) == (&fired.device, fired.number),
        None => {
            record.device == alert.device
                && record.reading.quantity == alert.quantity
                && record.reading.device_time == alert.event_time
        }
    };
    let up_to = replayed.fired.as_ref().map_or(alert.event_time, |fired| fired.up_to.max(alert.event_time));
    let since = Timestamp(from.0.saturating_sub(SLACK_US));
    past::walk(context, since, &mut |_, _| {}, &mut |block| {
        // What the rule did not hear it could not look back on: of a restored box that is all from before.
        if block.header.header().incarnation < replayed.from {
            return Ok(ControlFlow::Continue(()));
        }
        let window = from..=up_to;
        let opened = open(block.header, block.payload, &ring, &filter).map_err(|error| block.bad(&error))?;
        let places = opened.find_all(|record| {
            matches!(record, Record::Reading(record)
                if window.contains(&record.reading.device_time) && counts(record))
        });
        if places.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let included = included(&context.tables, block.row.key)?;
        for place in places {
            let Some(Record::Reading(record)) = opened.record(place).cloned() else { continue };
            let evidence = opened.evidence(place, block.header, block.payload, &included)?;
            found.push(Proof { record, evidence });
        }
        let enough = found.iter().any(|proof| fired(&proof.record));
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let order = |record: &ReadingRecord| {
        (record.reading.gateway_time, record.device.clone(), record.epoch.0, record.seq.0, record.item)
    };
    found.sort_by_key(|proof| order(&proof.record));
    // A reading counts once, in however many blocks it is: a file that shows one twice is not believed.
    found.dedup_by_key(|proof| order(&proof.record));
    let Some(at) = found.iter().rposition(|proof| fired(&proof.record)) else {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the reading that fired the alert is in no block here; --record-only gives evidence of the alert alone"
        )));
    };
    let message = found.get(at).map(|proof| (proof.record.device.clone(), proof.record.epoch, proof.record.seq));
    let last = found.iter().rposition(|proof| {
        message
            .as_ref()
            .is_some_and(|m| (&proof.record.device, proof.record.epoch, proof.record.seq) == (&m.0, m.1, m.2))
    });
    found.truncate(last.unwrap_or(at) + 1);
    let spare = found.len().saturating_sub(READINGS_MAX);
    Ok(found.split_off(spare))
}

/// Readings put together to the messages they came in.
pub fn messages(readings: &[ReadingRecord]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for record in readings {
        let same =
            |entry: &&mut Entry| (&entry.device, entry.epoch, entry.seq) == (&record.device, record.epoch, record.seq);
        match entries.last_mut().filter(same) {
            Some(entry) => entry.readings.push(record.reading.clone()),
            None => entries.push(Entry {
                device: record.device.clone(),
                athlete: record.athlete.clone(),
                assurance: record.assurance,
                epoch: record.epoch,
                seq: record.seq,
                readings: vec![record.reading.clone()],
            }),
        }
    }
    entries
}

/// What happened to the alert, from the evaluation that raised it on, and what became of each request that outputs made of it.
fn log(tables: &Tables, id: AlertId, raised_by: &str) -> Result<Vec<LogLine>, Failure> {
    let Some(row) = tables.alert(id)? else { return Ok(Vec::new()) };
    let line = |what, at, by| LogLine { what, at, by };
    let mut lines = vec![line(Happened::Recorded, Some(row.recorded_at), Some(raised_by.to_owned()))];
    if row.delivered {
        lines.push(line(Happened::Delivered, row.delivered_at, Some(LISTENERS.to_owned())));
    }
    lines.extend(row.escalations.iter().map(|(_, at)| line(Happened::Escalated, Some(*at), None)));
    if let Some((by, at)) = row.acknowledged {
        lines.push(line(Happened::Acknowledged, Some(at), Some(by)));
    }
    if let Some(at) = row.cleared {
        lines.push(line(Happened::Cleared, Some(at), row.reset.map(|reset| reset.by)));
    }
    for request in tables.requests_of(id)? {
        let what = match request.came {
            Came::Done => Happened::Delivered,
            Came::GivenUp | Came::Unasked => Happened::GivenUp,
            Came::Waits | Came::Owed => continue,
        };
        let step = match request.step.kind {
            DeliveryKind::Raised => "raised".to_owned(),
            DeliveryKind::Acknowledged => "acknowledged".to_owned(),
            DeliveryKind::Cleared => "cleared".to_owned(),
            DeliveryKind::Escalated(level) => format!("escalated to {level}"),
            DeliveryKind::Drill => continue,
        };
        lines.push(line(
            what,
            Some(request.at),
            Some(format!("{}, {step}, request {}", request.name, request.number + 1)),
        ));
    }
    Ok(lines)
}
