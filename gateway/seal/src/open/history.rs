//! Reading a chain back block by block: the messages alone, as the rules hear them.
//!
//! What is read is what was sealed: the header's signature covers the payload's bytes, each segment's commitment its key. That the
//! records hash to their segment's root is what evidence of one record stands on ([`super::open`] checks it); for reading it would
//! say nothing more, and cost more than all the rest.

use std::collections::HashMap;

use ledger_block::SignedHeader;
use ledger_block::payload;
use ledger_block::segment::{self, HourKey, Row, SegmentTag, Subject};
use pitchside_model::{AthleteId, Entry, HourIndex, Seq};

use super::{Filter, OpenError, Part, hours, part, place};
use crate::key::{AthleteKey, Generation};
use crate::ring::{AthleteKeys, Whose};

/// A reader of blocks, most of them of one hour with the block before: the keys of its hours are kept.
///
/// What it holds between two blocks is wiped when it goes.
#[derive(Debug)]
pub struct History {
    keys: Vec<(Whose, Generation, AthleteKey)>,
    subjects: Vec<Subject>,
    // Boxed: a map that grows moves its values and leaves the old ones unwiped.
    hour_keys: HashMap<(usize, Subject, HourIndex), Box<HourKey>>,
}

/// The most hour keys that are kept: a block of a device whose clock wanders has segments of many hours.
const HOUR_KEYS_MAX: usize = 8_192;

/// Readings of one message that stood together.
struct Piece {
    entry: Entry,
    /// The place of each in the message.
    items: Vec<u32>,
}

impl History {
    /// Reads what `keys` open of what `filter` wants. Alerts are no readings.
    pub fn new(keys: &dyn AthleteKeys, filter: &Filter) -> Self {
        let mut subjects = filter.subjects();
        subjects.retain(|subject| matches!(subject, Subject::Readings(_)));
        subjects.sort_unstable();
        subjects.dedup();
        // Copied, so that what was opened for it is wiped where it lies.
        let opening = keys.opening();
        let mut keys = Vec::with_capacity(opening.len());
        keys.extend(opening.iter().filter(|(whose, ..)| filter.wants(whose)).cloned());
        Self { keys, subjects, hour_keys: HashMap::new() }
    }

    /// The messages of a block, checked against its header, in the order in which the gateway took them: by gateway time, and those
    /// of one moment (it counts milliseconds) by device and number.
    pub fn read(&mut self, block: &SignedHeader, payload: &[u8]) -> Result<Vec<Entry>, OpenError> {
        let header = block.header();
        let payload = payload::verify(header, payload)?;
        let (place, hours) = (place(header, &payload), hours(&payload));
        self.hour_keys.retain(|(_, _, hour), _| hours.binary_search(hour).is_ok());
        let mut sought: Vec<(usize, Subject, HourIndex)> = (0..self.keys.len())
            .flat_map(|at| self.subjects.iter().map(move |subject| (at, *subject)))
            .flat_map(|(at, subject)| hours.iter().map(move |hour| (at, subject, *hour)))
            .collect();
        let (mut pieces, mut closed) = (Vec::new(), payload.segments().len());
        // The first part of every segment, then the second of those that have a first, ...: most have no second, and where all
        // segments of a block are open no key needs to be derived to see it.
        for number in 0..=u16::MAX {
            let mut opened = Vec::new();
            for (at, subject, hour) in sought {
                let Some((whose, generation, key)) = self.keys.get(at).filter(|_| closed > 0) else { break };
                if self.hour_keys.len() >= HOUR_KEYS_MAX {
                    self.hour_keys.clear();
                }
                let hour_key = self.hour_keys.entry((at, subject, hour));
                let hour_key = hour_key.or_insert_with(|| Box::new(key.hour(subject, *generation, hour)));
                let tag = SegmentTag { subject, hour, part: number };
                let Some(Part { sealed, keys, .. }) = part(&payload, &place, hour_key, tag) else { continue };
                let streams = segment::readings(sealed.ciphertext, &keys, tag).map_err(|why| OpenError::Segment {
                    whose: whose.clone(),
                    index: header.index.0,
                    why,
                })?;
                streams.into_iter().for_each(|stream| cut(stream, whose.athlete(), &mut pieces));
                closed -= 1;
                opened.push((at, subject, hour));
            }
            if opened.is_empty() {
                break;
            }
            sought = opened;
        }
        Ok(joined(pieces))
    }
}

/// Cuts a stream into its messages.
fn cut(stream: segment::Stream, athlete: Option<&AthleteId>, pieces: &mut Vec<Piece>) {
    let segment::Stream { device, assurance, epoch, rows } = stream;
    let messages: Vec<(Option<Seq>, usize)> =
        rows.chunk_by(|a, b| a.seq == b.seq).map(|rows| (rows.first().map(|row| row.seq), rows.len())).collect();
    let mut rows = rows.into_iter();
    for (seq, length) in messages {
        let Some(seq) = seq else { continue };
        let (mut readings, mut items) = (Vec::with_capacity(length), Vec::with_capacity(length));
        for Row { item, reading, .. } in rows.by_ref().take(length) {
            readings.push(reading);
            items.push(item);
        }
        let (device, athlete) = (device.clone(), athlete.cloned());
        pieces.push(Piece { entry: Entry { device, athlete, assurance, epoch, seq, readings }, items });
    }
}

/// Puts the pieces of each message together, and the messages into the order of arrival.
fn joined(mut pieces: Vec<Piece>) -> Vec<Entry> {
    let whose = |a: &Entry, b: &Entry| {
        let rest = |entry: &Entry| (entry.assurance, entry.epoch, entry.seq);
        a.device.cmp(&b.device).then_with(|| a.athlete.cmp(&b.athlete)).then_with(|| rest(a).cmp(&rest(b)))
    };
    pieces.sort_by(|a, b| whose(&a.entry, &b.entry));
    let mut messages: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match messages.last_mut().filter(|last| whose(&last.entry, &piece.entry).is_eq()) {
            Some(last) => {
                last.items.extend(piece.items);
                last.entry.readings.extend(piece.entry.readings);
            }
            None => messages.push(piece),
        }
    }
    let mut entries: Vec<Entry> = messages.into_iter().map(in_order).collect();
    entries.sort_by_cached_key(|entry| {
        let taken = entry.readings.iter().map(|reading| reading.gateway_time).min();
        (taken, entry.device.clone(), entry.epoch, entry.seq)
    });
    entries
}

/// A message with its readings in their order.
fn in_order(Piece { mut entry, items }: Piece) -> Entry {
    if !items.is_sorted() {
        let mut rows: Vec<_> = items.into_iter().zip(entry.readings).collect();
        rows.sort_by_key(|(item, _)| *item);
        entry.readings = rows.into_iter().map(|(_, reading)| reading).collect();
    }
    entry
}
