//! What one rule remembers of one subject.

use pitchside_model::{DeviceId, Timestamp};
use pitchside_script::manifest::Plain;
use serde::{Deserialize, Serialize};

use crate::machine::Phase;
use crate::series::{Sample, Series};

/// One rule, one subject.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The latest event time.
    pub now: i64,
    /// The number of the message that last touched it: the least lately heard makes room.
    pub touched: u64,
    /// Where the alert stands.
    pub phase: Phase,
    /// The declared fields.
    pub fields: Vec<Plain>,
    /// One an input, in the manifest's order.
    pub tracks: Vec<Track>,
}

/// One input.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    /// The stream that counts: of several devices, the one heard first until it falls silent.
    pub source: Option<DeviceId>,
    /// Its readings since the last gap.
    pub series: Series,
}

/// A state as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    now: i64,
    touched: u64,
    phase: Phase,
    fields: Vec<Plain>,
    tracks: Vec<(Option<DeviceId>, i64, Vec<Sample>)>,
}

impl State {
    pub fn new(fields: Vec<Plain>, tracks: impl IntoIterator<Item = Series>) -> Self {
        let tracks = tracks.into_iter().map(|series| Track { source: None, series }).collect();
        Self { now: i64::MIN, touched: 0, phase: Phase::Idle, fields, tracks }
    }

    /// The event time, never backwards: devices of one athlete may disagree by a little.
    pub fn advance(&mut self, time: Timestamp) {
        self.now = self.now.max(time.0);
    }

    pub fn keep(&self) -> Kept {
        let tracks = self.tracks.iter();
        Kept {
            now: self.now,
            touched: self.touched,
            phase: self.phase,
            fields: self.fields.clone(),
            tracks: tracks.map(|t| (t.source.clone(), t.series.began(), t.series.kept().collect())).collect(),
        }
    }

    /// Takes what was kept; false if it is of another shape.
    pub fn resume(&mut self, kept: Kept) -> bool {
        if kept.fields.len() != self.fields.len() || kept.tracks.len() != self.tracks.len() {
            return false;
        }
        (self.now, self.touched, self.phase, self.fields) = (kept.now, kept.touched, kept.phase, kept.fields);
        for (track, (source, began, samples)) in self.tracks.iter_mut().zip(kept.tracks) {
            track.source = source;
            track.series.refill(began, samples);
        }
        true
    }
}
