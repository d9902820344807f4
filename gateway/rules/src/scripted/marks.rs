//! What a stream passes on of what it is made of: whose it is, the weakest assurance, flags.

use pitchside_model::{Assurance, DeviceId, Quality};
use serde::{Deserialize, Serialize};

use crate::item::PointContent;
use crate::running::Heard;
use crate::state::Track;

/// What is known of one input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Mark {
    /// The weakest since its last gap; or ever, where a gap is outlived.
    weakest: Option<Assurance>,
    /// Flags, each with the time of the last reading that had it.
    flags: Vec<(u8, i64)>,
}

/// What is known of all inputs of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// The device that counts for the first input, or did so last.
    lead: Option<DeviceId>,
    outlives_gaps: bool,
    of: Vec<Mark>,
}

impl Marks {
    /// Nothing was heard yet. `outlives_gaps`: what was before a gap may be in what is made after it.
    pub fn new(inputs: usize, outlives_gaps: bool) -> Self {
        Self { lead: None, outlives_gaps, of: vec![Mark::default(); inputs] }
    }

    pub fn inputs(&self) -> usize {
        self.of.len()
    }

    /// The device the stream is of.
    pub fn lead(&self) -> Option<&DeviceId> {
        self.lead.as_ref()
    }

    /// A reading was entered into the track of an input.
    pub fn note(&mut self, input: usize, track: &Track, heard: &Heard<'_>) {
        if input == 0 && track.source.is_some() {
            self.lead.clone_from(&track.source);
        }
        let (Some(mark), PointContent::Number(_)) = (self.of.get_mut(input), &heard.point.content) else { return };
        let time = heard.point.time;
        if track.series.began() == time && !self.outlives_gaps {
            *mark = Mark::default();
        }
        mark.weakest = Some(mark.weakest.map_or(heard.assurance, |weakest| weakest.min(heard.assurance)));
        for flag in heard.point.quality.iter().map(|flag| flag.bits()) {
            match mark.flags.iter_mut().find(|(known, _)| *known == flag) {
                Some((_, at)) => *at = time,
                None => mark.flags.push((flag, time)),
            }
        }
    }

    /// Weakest assurance and flags of all that may be in an answer at `now`: flags of the newest reading of each input, and of
    /// those within the longest window.
    pub fn passed_on(&self, tracks: &[Track], now: i64, window: i64) -> (Option<Assurance>, Quality) {
        let heard = |track: &Track| self.outlives_gaps || track.series.last().is_some();
        let marks = || self.of.iter().zip(tracks).filter(|(_, track)| heard(track));
        let flags = marks().flat_map(|(mark, track)| {
            let newest = track.series.last().map_or(i64::MAX, |last| last.time);
            let counts = move |at: i64| at >= newest || now.saturating_sub(at) <= window;
            mark.flags.iter().filter(move |(_, at)| counts(*at)).map(|(flag, _)| Quality::from_bits_truncate(*flag))
        });
        (marks().filter_map(|(mark, _)| mark.weakest).min(), flags.fold(Quality::empty(), Quality::union))
    }
}
