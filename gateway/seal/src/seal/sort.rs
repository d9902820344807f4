//! A batch sorted into segments: by whose, what and which hour, then split where a segment is full.

use std::collections::BTreeMap;

use ledger_block::cbor::Deterministic as _;
use ledger_block::record::{AlertRecord, ReadingRef, Record};
use ledger_block::segment::{Content, RECORDS_MAX, SAMPLES_MAX, SegmentTag, Subject};
use pitchside_model::{AlertEvent, AthleteId, Entry, HourIndex, Value};

use crate::ring::{AthleteKeys, Whose};

/// What becomes one segment.
pub(super) struct Group<'a> {
    pub(super) whose: Whose,
    pub(super) tag: SegmentTag,
    pub(super) content: Content<'a>,
}

type Key<'a> = (Option<&'a AthleteId>, Subject, HourIndex);

/// Sorts a batch. The order of segments and of their records depends on the batch's content alone.
pub(super) fn segments<'a>(entries: &'a [Entry], alerts: &[AlertEvent], keys: &dyn AthleteKeys) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    for ((athlete, subject, hour), mut rows) in readings(entries) {
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        for (part, rows) in (0u16..).zip(split(rows)) {
            let tag = SegmentTag { subject, hour, part };
            groups.push(Group { whose: Whose::of(athlete), tag, content: Content::Readings(rows) });
        }
    }
    for ((whose, hour), records) in alert_records(alerts, keys) {
        for (part, records) in (0u16..).zip(records.chunks(RECORDS_MAX)) {
            let tag = SegmentTag { subject: Subject::Alerts, hour, part };
            groups.push(Group { whose: whose.clone(), tag, content: Content::Alerts(records.to_vec()) });
        }
    }
    groups
}

fn order<'a>(row: &ReadingRef<'a>) -> (&'a str, u8, u64, u64, u32) {
    (row.device.as_str(), row.assurance as u8, row.epoch.0, row.seq.0, row.item)
}

fn readings(entries: &[Entry]) -> BTreeMap<Key<'_>, Vec<ReadingRef<'_>>> {
    let mut groups: BTreeMap<Key<'_>, Vec<ReadingRef<'_>>> = BTreeMap::new();
    for entry in entries {
        for (item, reading) in (0u32..).zip(&entry.readings) {
            let row = ReadingRef {
                device: &entry.device,
                athlete: entry.athlete.as_ref(),
                assurance: entry.assurance,
                epoch: entry.epoch,
                seq: entry.seq,
                item,
                reading,
            };
            let key = (entry.athlete.as_ref(), Subject::Readings(reading.quantity), reading.device_time.hour());
            groups.entry(key).or_default().push(row);
        }
    }
    groups
}

/// Parts within the limits of a segment.
fn split(rows: Vec<ReadingRef<'_>>) -> Vec<Vec<ReadingRef<'_>>> {
    let samples_of = |row: &ReadingRef<'_>| match &row.reading.value {
        Value::Wave(wave) => wave.samples.len(),
        Value::Number(_) | Value::Gap(_) => 0,
    };
    if rows.len() <= RECORDS_MAX && rows.iter().map(samples_of).sum::<usize>() <= SAMPLES_MAX {
        return vec![rows];
    }
    let mut parts = Vec::new();
    let (mut part, mut samples) = (Vec::new(), 0);
    for row in rows {
        let more = samples_of(&row);
        if !part.is_empty() && (part.len() == RECORDS_MAX || samples + more > SAMPLES_MAX) {
            parts.push(std::mem::take(&mut part));
            samples = 0;
        }
        samples += more;
        part.push(row);
    }
    parts.push(part);
    parts
}

fn alert_records(alerts: &[AlertEvent], keys: &dyn AthleteKeys) -> BTreeMap<(Whose, HourIndex), Vec<Vec<u8>>> {
    let mut groups: BTreeMap<(Whose, HourIndex), Vec<Vec<u8>>> = BTreeMap::new();
    for event in alerts {
        let whose = match event {
            AlertEvent::Raised(alert) => Whose::of(alert.athlete.as_ref()),
            AlertEvent::Cleared { id, .. } => {
                let raised = alerts.iter().find_map(|event| match event {
                    AlertEvent::Raised(alert) if alert.id == *id => Some(alert.athlete.clone()),
                    _ => None,
                });
                Whose::of(raised.unwrap_or_else(|| keys.alert_subject(id)).as_ref())
            }
        };
        let record = AlertRecord(event.clone());
        let hour = record.event_time().hour();
        groups.entry((whose, hour)).or_default().push(Record::Alert(record).to_cbor());
    }
    groups
}
