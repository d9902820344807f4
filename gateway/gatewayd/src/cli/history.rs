//! `pitchside alerts` and `pitchside readings`.

use pitchside_model::{DeviceId, Entry, Reading, Value};
use pitchside_rules::RuleSet;
use pitchside_store::{RowId, Tables};
use serde::Serialize;

use super::args::ConfigArg;
use super::output::{Output, note};
use super::{Outcome, context};
use crate::adapters::page::alert_view;
use crate::pipeline::delivery::RuleNotes;
use crate::reading_id::ReadingId;
use crate::rulebook::standing;

/// Bytes of journal read at a time.
const BITE: usize = 8 << 20;
const ROWS_MAX: u32 = 10_000;

/// `pitchside alerts`.
pub fn alerts(last: usize, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let rows = context.tables.alerts(u32::try_from(last).unwrap_or(ROWS_MAX).min(ROWS_MAX))?;
    let notes = RuleNotes::default();
    // Rules that can't be read are `rules check`'s concern: what the alerts are about is then not known.
    if let Some(Ok(set)) = context.settings.rules.dir.as_deref().map(RuleSet::read) {
        notes.replace(&set);
    }
    let views: Vec<_> = rows.iter().map(|row| alert_view(row, notes.of(&row.alert.rule).shown())).collect();
    output.table(&views, &["ALERT", "WHEN", "PRIORITY", "RULE", "ATHLETE", "VALUE", "STATE"], |v| {
        vec![
            v.id.to_string(),
            v.event_time.0.to_string(),
            v.priority.to_string(),
            v.rule.to_string(),
            v.athlete.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            v.value.as_ref().map_or_else(|| "-".to_owned(), |value| format!("{value} {}", v.unit)),
            format!("{:?}", v.state).to_lowercase(),
        ]
    })?;
    for rule in standing::read(&context.tables)?.iter().filter(|rule| rule.off && !rule.stream) {
        let open = rows.iter().filter(|row| row.cleared.is_none() && row.alert.rule.as_str() == rule.rule).count();
        if open > 0 {
            note(&format!(
                "{name} is switched off for its faults: its open alerts ({open} here) stay until it runs again and finds them over \
                 (pitchside rules again {name}), or somebody resets them",
                name = rule.rule
            ));
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Row {
    id: String,
    device_time: String,
    device: String,
    athlete: Option<String>,
    quantity: String,
    /// None in a gap.
    value: Option<String>,
    /// Why there is no value.
    gap: Option<&'static str>,
    unit: String,
    assurance: String,
    sealed: bool,
}

/// `pitchside readings`.
pub fn readings(device: Option<&DeviceId>, last: usize, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let rows = latest(&context.tables, device, last)?;
    output.table(&rows, &["READING", "WHEN", "ATHLETE", "QUANTITY", "VALUE", "ASSURANCE", "SEALED"], |r| {
        vec![
            r.id.clone(),
            r.device_time.clone(),
            r.athlete.clone().unwrap_or_else(|| "-".to_owned()),
            r.quantity.clone(),
            what(r),
            r.assurance.clone(),
            r.sealed.to_string(),
        ]
    })?;
    Ok(())
}

/// Value and unit, or the gap: for people.
fn what(row: &Row) -> String {
    match (&row.value, row.gap) {
        (Some(value), _) => format!("{value} {}", row.unit),
        (None, gap) => format!("gap: {}", gap.unwrap_or("no reason given").replace('_', " ")),
    }
}

/// The newest readings of the journal, newest first.
fn latest(tables: &Tables, device: Option<&DeviceId>, last: usize) -> anyhow::Result<Vec<Row>> {
    let sealed_up_to = tables.sealed_up_to()?;
    let mut kept = std::collections::VecDeque::with_capacity(last.min(1_024));
    let mut after = RowId(0);
    loop {
        let rows = tables.journal_since(after, BITE)?;
        let Some(end) = rows.last() else { break };
        after = end.id;
        for row in &rows {
            for entry in row.entries.iter().filter(|entry| device.is_none_or(|d| *d == entry.device)) {
                for (item, reading) in entry.readings.iter().enumerate() {
                    if kept.len() == last {
                        kept.pop_front();
                    }
                    kept.push_back(describe(entry, item, reading, row.id <= sealed_up_to));
                }
            }
        }
    }
    Ok(kept.into_iter().rev().collect())
}

fn describe(entry: &Entry, item: usize, reading: &Reading, sealed: bool) -> Row {
    let id = ReadingId {
        device: entry.device.clone(),
        epoch: entry.epoch,
        seq: entry.seq,
        item: u32::try_from(item).unwrap_or(u32::MAX),
    };
    let (value, gap) = match &reading.value {
        Value::Number(number) => (Some(number.to_string()), None),
        Value::Wave(wave) => (Some(format!("{} samples", wave.samples.len())), None),
        Value::Gap(gap) => (None, Some(gap.reason.name())),
    };
    Row {
        id: id.to_string(),
        device_time: reading.device_time.to_string(),
        device: entry.device.to_string(),
        athlete: entry.athlete.as_ref().map(ToString::to_string),
        quantity: reading.quantity.to_string(),
        value,
        gap,
        unit: reading.unit.to_string(),
        assurance: entry.assurance.to_string(),
        sealed,
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Assurance, Decimal, Epoch, Gap, GapReason, Quality, Quantity, Seq, Timestamp};

    use super::*;

    fn row(quantity: Quantity, value: Value) -> Row {
        let reading = Reading {
            quantity,
            unit: quantity.unit(),
            device_time: Timestamp(0),
            gateway_time: Timestamp(0),
            quality: Quality::empty(),
            value,
        };
        let entry = Entry {
            device: DeviceId::parse("s7").unwrap(),
            athlete: None,
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(2),
            readings: vec![reading.clone()],
        };
        describe(&entry, 0, &reading, false)
    }

    #[test]
    fn a_gap_is_no_value_and_has_no_unit() {
        let gap = row(Quantity::RR_INTERVAL, Value::Gap(Gap { reason: GapReason::ContactLost, extent: 0 }));
        assert_eq!(what(&gap), "gap: contact lost");
        let json = serde_json::to_value(&gap).unwrap();
        assert_eq!((&json["value"], &json["gap"]), (&serde_json::Value::Null, &"contact_lost".into()));
        let number = row(Quantity::HEART_RATE, Value::Number(Decimal::integer(72)));
        assert_eq!(what(&number), "72 /min");
        let json = serde_json::to_value(&number).unwrap();
        assert_eq!((&json["value"], &json["gap"]), (&"72".into(), &serde_json::Value::Null));
    }
}
