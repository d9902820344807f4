//! What one rule remembers of one subject.

use pitchside_model::{AthleteId, DeviceId, Timestamp};
use pitchside_script::manifest::Plain;
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::gaps::Gaps;
use crate::machine::{Phase, Pulse};
use crate::moments::Moments;
use crate::scripted::marks::Marks;
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
    /// How often it was raised lately.
    pub pulse: Pulse,
    /// The declared fields.
    pub fields: Vec<Plain>,
    /// What the helpers remember by name.
    pub moments: Moments,
    /// One an input, in the manifest's order.
    pub tracks: Vec<Track>,
    /// What a stream must pass on of what it is made of; none of a rule.
    pub marks: Option<Box<Marks>>,
    /// Whose all this is, of a rule that hears every device by itself and is about whoever wears it.
    pub wearer: Option<AthleteId>,
    /// Of such a rule, whom the raised alert is about: it outlives a change of the wearer.
    pub raised_of: Option<AthleteId>,
}

/// One input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    /// The stream that counts: of several devices, the one heard first until it falls silent.
    pub source: Option<DeviceId>,
    /// Its readings since the last gap.
    pub series: Series,
    /// When it was interrupted.
    pub gaps: Gaps,
    /// What is usual for it; gaps change nothing there.
    pub baselines: Vec<Baseline>,
    /// The latest event time at which it raised an alert. A clock that is set back changes nothing there: ids are for good.
    pub told: Option<i64>,
}

impl Track {
    /// An input nothing was heard of.
    pub fn new(series: Series, baselines: Vec<Baseline>) -> Self {
        Self { source: None, series, gaps: Gaps::default(), baselines, told: None }
    }

    /// The newest value, unless it is older than a gap at `now`.
    pub fn value(&self, now: i64, gap_after: i64) -> Option<f64> {
        self.series.last().filter(|last| now.saturating_sub(last.time) <= gap_after).map(Sample::value)
    }

    /// The stream is interrupted; it becomes known at `known`. Whether it had readings.
    pub fn interrupt(&mut self, known: i64) -> bool {
        let had = self.series.last().is_some();
        if had {
            self.gaps.note(known);
        }
        self.series.clear();
        had
    }

    /// It raises an alert at this event time; whether it may have raised one at that time before.
    pub fn tell(&mut self, time: i64) -> bool {
        let again = self.told.is_some_and(|told| time <= told);
        self.told = self.told.max(Some(time));
        again
    }

    /// Takes the baselines another version of the rule made of the same input; whether there were any.
    pub fn inherit(&mut self, old: Vec<Baseline>) -> bool {
        let mut any = false;
        for baseline in old {
            if let Some(own) = self.baselines.iter_mut().find(|own| own.form() == baseline.form()) {
                (*own, any) = (baseline, true);
            }
        }
        any
    }
}

/// An input as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptTrack {
    source: Option<DeviceId>,
    began: i64,
    samples: Vec<Sample>,
    gaps: Gaps,
    baselines: Vec<Baseline>,
    told: Option<i64>,
}

/// A state as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    now: i64,
    touched: u64,
    phase: Phase,
    pulse: Pulse,
    fields: Vec<Plain>,
    moments: Moments,
    tracks: Vec<KeptTrack>,
    marks: Option<Box<Marks>>,
    wearer: Option<AthleteId>,
    raised_of: Option<AthleteId>,
}

impl Kept {
    /// Whether it is of somebody, or of an alert about them, as far as that is known of what is a device's.
    pub fn is_of(&self, athlete: &AthleteId) -> bool {
        self.wearer.as_ref() == Some(athlete) || self.raised_of.as_ref() == Some(athlete)
    }

    /// Lets go of what was learnt of values up to an event time, and of whatever a script made of them. `fresh` has heard nothing. When
    /// conditions held stays: how often a link broke counts, whoever wore the device.
    pub fn forget_values(&mut self, up_to: i64, fresh: &Self) {
        self.fields.clone_from(&fresh.fields);
        for (track, fresh) in self.tracks.iter_mut().zip(&fresh.tracks) {
            track.samples.retain(|sample| sample.time > up_to);
            track.baselines.clone_from(&fresh.baselines);
        }
    }

    /// Whether it is of anybody else.
    pub fn is_of_another(&self, athlete: Option<&AthleteId>) -> bool {
        [&self.wearer, &self.raised_of].into_iter().flatten().any(|other| Some(other) != athlete)
    }
}

impl State {
    pub fn new(fields: Vec<Plain>, tracks: Vec<Track>) -> Self {
        let (phase, pulse, moments) = (Phase::Idle, Pulse::default(), Moments::default());
        let (marks, wearer, raised_of) = (None, None, None);
        Self { now: i64::MIN, touched: 0, phase, pulse, fields, moments, tracks, marks, wearer, raised_of }
    }

    /// Somebody else wears the device: of what was known only its time stays, an alert that is raised, and the event times at which there
    /// were alerts.
    pub fn begin_anew(&mut self, fresh: Self) {
        let before = std::mem::replace(self, fresh);
        (self.now, self.touched) = (before.now, before.touched);
        if let Phase::Raised(id, _) = before.phase {
            (self.phase, self.raised_of) = (Phase::Raised(id, None), before.raised_of);
        }
        for (track, before) in self.tracks.iter_mut().zip(before.tracks) {
            track.told = before.told;
        }
    }

    /// Nothing is known of an input for a while: what held need not have held on.
    pub fn gap(&mut self) {
        self.phase.gap();
        self.moments.gap();
    }

    /// Whoever makes an input makes it no more: if it is that one which counts there, the input has a gap.
    pub fn lose(&mut self, input: usize, source: &DeviceId) {
        let known = self.now;
        let track = self.tracks.get_mut(input).filter(|track| track.source.as_ref() == Some(source));
        if let Some(track) = track {
            track.source = None;
            track.interrupt(known);
            self.gap();
        }
    }

    /// The clock of an input was set back, and time with it.
    pub fn set_back(&mut self) {
        self.now = i64::MIN;
        self.phase.set_back();
        self.pulse = Pulse::default();
        self.moments.clear();
        for track in &mut self.tracks {
            track.gaps.clear();
            track.series.rewind();
        }
    }

    /// Whether no other input has a value now.
    pub fn hears_nothing_but(&self, input: usize, gap_after: i64) -> bool {
        let mut others = self.tracks.iter().enumerate().filter(|(other, _)| *other != input);
        others.all(|(_, track)| track.value(self.now, gap_after).is_none())
    }

    /// Readings kept, over all inputs.
    pub fn samples(&self) -> usize {
        self.tracks.iter().map(|track| track.series.len()).sum()
    }

    /// Forgets the readings kept, as a gap does.
    pub fn forget_samples(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.series.clear());
    }

    /// The event time, never backwards: devices of one athlete may disagree by a little.
    pub fn advance(&mut self, time: Timestamp) {
        self.now = self.now.max(time.0);
    }

    pub fn keep(&self) -> Kept {
        let kept = |track: &Track| KeptTrack {
            source: track.source.clone(),
            began: track.series.began(),
            samples: track.series.kept().collect(),
            gaps: track.gaps.clone(),
            baselines: track.baselines.clone(),
            told: track.told,
        };
        Kept {
            now: self.now,
            touched: self.touched,
            phase: self.phase,
            pulse: self.pulse.clone(),
            fields: self.fields.clone(),
            moments: self.moments.clone(),
            tracks: self.tracks.iter().map(kept).collect(),
            marks: self.marks.clone(),
            wearer: self.wearer.clone(),
            raised_of: self.raised_of.clone(),
        }
    }

    /// Takes what was kept; false if it is of another shape.
    pub fn resume(&mut self, kept: Kept) -> bool {
        let marks = |marks: &Option<Box<Marks>>| marks.as_ref().map(|marks| marks.inputs());
        let shape = (self.fields.len(), self.tracks.len(), marks(&self.marks));
        if (kept.fields.len(), kept.tracks.len(), marks(&kept.marks)) != shape {
            return false;
        }
        (self.now, self.touched, self.phase, self.fields) = (kept.now, kept.touched, kept.phase, kept.fields);
        (self.pulse, self.moments, self.marks) = (kept.pulse, kept.moments, kept.marks);
        (self.wearer, self.raised_of) = (kept.wearer, kept.raised_of);
        for (track, kept) in self.tracks.iter_mut().zip(kept.tracks) {
            if !track.baselines.iter().map(Baseline::form).eq(kept.baselines.iter().map(Baseline::form)) {
                return false;
            }
            (track.source, track.gaps, track.baselines) = (kept.source, kept.gaps, kept.baselines);
            track.told = kept.told;
            track.series.refill(kept.began, kept.samples);
        }
        true
    }
}
