//! Reading own blocks back, and disclosing single records as evidence.

mod history;

use std::collections::BTreeMap;

use ledger_block::evidence::{AssembleError, Evidence};
use ledger_block::payload::{self, Payload, PayloadError, SegmentRef};
use ledger_block::receipt::Included;
use ledger_block::record::{ReadingRecord, Record};
use ledger_block::segment::{self, BlockPlace, HourKey, OpenSegment, SegmentError, SegmentKeys, SegmentTag, Subject};
use ledger_block::{BlockIndex, Header, SignedHeader};
use pitchside_model::{AlertEvent, Entry, HourIndex, Quantity};

use crate::key::Generation;
use crate::ring::{AthleteKeys, Whose};

pub use history::History;

/// Which segments to look for. Everything by default; each narrowing saves key derivations.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only somebody's.
    pub whose: Option<Whose>,
    /// Only these quantities, or alerts; everything if empty.
    pub subjects: Vec<Subject>,
}

/// Why a block does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The payload is not the header's.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// A segment of ours does not hold what its root says.
    #[error("a segment of {whose} in block {index}: {why}")]
    Segment {
        /// Whose key opens it.
        whose: Whose,
        /// The block.
        index: u64,
        /// What is wrong.
        why: SegmentError,
    },
}

/// A segment that opened.
#[derive(Debug, Clone)]
pub struct Found {
    /// Whose it is.
    pub whose: Whose,
    /// Under which of their keys.
    pub generation: Generation,
    /// Its position in the payload.
    pub position: usize,
    /// Its records.
    pub segment: OpenSegment,
}

/// What of a block our keys open.
#[derive(Debug, Clone)]
pub struct OpenBlock {
    index: BlockIndex,
    found: Vec<Found>,
    unopened: usize,
}

/// Where a record stands in an [`OpenBlock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    segment: usize,
    record: usize,
}

/// Opens what `keys` open of a block, after checking the payload against the header. Segments of others, or whose key was
/// erased, stay closed and are counted.
pub fn open(
    block: &SignedHeader,
    payload: &[u8],
    keys: &dyn AthleteKeys,
    filter: &Filter,
) -> Result<OpenBlock, OpenError> {
    let header = block.header();
    let payload = payload::verify(header, payload)?;
    let (place, hours, subjects) = (place(header, &payload), hours(&payload), filter.subjects());
    let mut found = Vec::new();
    for (whose, generation, key) in keys.opening() {
        if !filter.wants(&whose) {
            continue;
        }
        for (subject, hour) in subjects.iter().flat_map(|subject| hours.iter().map(move |hour| (*subject, *hour))) {
            let hour_key = key.hour(subject, generation, hour);
            for Part { position, sealed, keys, tag } in parts(&payload, &place, &hour_key, subject, hour) {
                let segment = segment::open(&sealed.to_sealed(), &keys, tag, whose.athlete())
                    .map_err(|why| OpenError::Segment { whose: whose.clone(), index: header.index.0, why })?;
                found.push(Found { whose: whose.clone(), generation, position, segment });
            }
        }
    }
    Ok(OpenBlock { index: header.index, unopened: payload.segments().len() - found.len(), found })
}

impl Filter {
    fn wants(&self, whose: &Whose) -> bool {
        self.whose.as_ref().is_none_or(|wanted| wanted == whose)
    }

    fn subjects(&self) -> Vec<Subject> {
        let everything = || Quantity::all().map(Subject::Readings).chain([Subject::Alerts]).collect();
        if self.subjects.is_empty() { everything() } else { self.subjects.clone() }
    }
}

fn place(header: &Header, payload: &Payload<'_>) -> BlockPlace {
    let (gateway, incarnation, index) = (header.gateway, header.incarnation, header.index);
    BlockPlace { gateway, incarnation, index, salt: *payload.salt() }
}

/// The hours a payload has segments of, each once.
fn hours(payload: &Payload<'_>) -> Vec<HourIndex> {
    let mut hours: Vec<HourIndex> = payload.segments().map(|segment| segment.hour).collect();
    hours.sort_unstable();
    hours.dedup();
    hours
}

/// A segment that a key finds.
struct Part<'a> {
    position: usize,
    sealed: SegmentRef<'a>,
    keys: SegmentKeys,
    tag: SegmentTag,
}

/// One part of a segment, if it is there.
fn part<'a>(payload: &'a Payload<'a>, place: &BlockPlace, hour_key: &HourKey, tag: SegmentTag) -> Option<Part<'a>> {
    let keys = SegmentKeys::derive(hour_key, place, tag);
    let position = payload.find(&keys.commitment())?;
    Some(Part { position, sealed: payload.segment(position)?, keys, tag })
}

/// Part 0, 1, ... of a segment, until there is none.
fn parts<'a>(
    payload: &'a Payload<'a>,
    place: &BlockPlace,
    hour_key: &HourKey,
    subject: Subject,
    hour: HourIndex,
) -> impl Iterator<Item = Part<'a>> {
    (0..=u16::MAX).map_while(move |number| part(payload, place, hour_key, SegmentTag { subject, hour, part: number }))
}

impl OpenBlock {
    /// The segments that opened.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// How many segments stayed closed (all that were filtered out, too).
    pub const fn unopened(&self) -> usize {
        self.unopened
    }

    /// The block's position in its chain.
    pub const fn index(&self) -> BlockIndex {
        self.index
    }

    fn records(&self) -> impl Iterator<Item = (Place, &Record)> {
        self.found.iter().enumerate().flat_map(|(segment, found)| {
            let place = move |(record, content)| (Place { segment, record }, content);
            found.segment.records().iter().enumerate().map(place)
        })
    }

    /// The messages the readings came in, ordered by device, athlete, assurance, epoch and sequence number; readings in
    /// their order within the message.
    pub fn entries(&self) -> Vec<Entry> {
        let mut messages: BTreeMap<_, Vec<&ReadingRecord>> = BTreeMap::new();
        for (_, record) in self.records() {
            if let Record::Reading(reading) = record {
                let key = (&reading.device, &reading.athlete, reading.assurance, reading.epoch, reading.seq);
                messages.entry(key).or_default().push(reading);
            }
        }
        messages
            .into_iter()
            .map(|((device, athlete, assurance, epoch, seq), mut readings)| {
                readings.sort_by_key(|reading| reading.item);
                let readings = readings.into_iter().map(|reading| reading.reading.clone()).collect();
                Entry { device: device.clone(), athlete: athlete.clone(), assurance, epoch, seq, readings }
            })
            .collect()
    }

    /// The alerts.
    pub fn alerts(&self) -> Vec<AlertEvent> {
        self.records()
            .filter_map(|(_, record)| match record {
                Record::Alert(alert) => Some(alert.0.clone()),
                Record::Reading(_) => None,
            })
            .collect()
    }

    /// Where the first record stands that is wanted.
    pub fn find(&self, mut wanted: impl FnMut(&Record) -> bool) -> Option<Place> {
        self.records().find(|(_, record)| wanted(record)).map(|(place, _)| place)
    }

    /// Where all records stand that are wanted.
    pub fn find_all(&self, mut wanted: impl FnMut(&Record) -> bool) -> Vec<Place> {
        self.records().filter(|(_, record)| wanted(record)).map(|(place, _)| place).collect()
    }

    /// The record at a place.
    pub fn record(&self, place: Place) -> Option<&Record> {
        self.found.get(place.segment)?.segment.records().get(place.record)
    }

    /// Evidence of the record at `place`: `block` and `payload` are what was opened, `included` is the ledger's receipt R2.
    pub fn evidence(
        &self,
        place: Place,
        block: &SignedHeader,
        payload: &[u8],
        included: &Included,
    ) -> Result<Evidence, EvidenceError> {
        let found = self.found.get(place.segment).ok_or(EvidenceError::NoRecord)?;
        let disclosed = found.segment.disclose(place.record).ok_or(EvidenceError::NoRecord)?;
        let payload = payload::verify(block.header(), payload)?;
        Ok(Evidence::assemble(disclosed, &payload, found.position, block, included)?)
    }
}

/// Why there is no evidence of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The place is not in the opened block.
    #[error("there is no such record in the opened block")]
    NoRecord,
    /// The payload is not the header's.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// The pieces do not belong together.
    #[error("{0}")]
    Assemble(#[from] AssembleError),
}

#[cfg(test)]
mod tests;
