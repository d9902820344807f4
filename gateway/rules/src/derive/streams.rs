//! Who derives what of whom.

use pitchside_model::{Assurance, DeviceId, Gap, GapReason, Quality, Quantity};
use serde::{Deserialize, Serialize};

use super::{Content, DERIVATIONS, Derivation, Given, Kernel, Told, makers, since};
use crate::arrivals::Order;
use crate::id::{Map, Subject};
use crate::item::{Point, PointContent, Routes};
use crate::scripted::Derived;
use crate::series::steps;

/// The most subjects one formula remembers; the one heard least lately makes room.
const SUBJECTS_MAX: usize = 4_096;
/// Another device takes over where the one that counts was not heard for so long.
const HOLE: i64 = 120_000_000;

/// The device that counts for one input, when it was last heard, and the weakest assurance since it counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Source {
    heard: Option<(DeviceId, i64, Assurance)>,
}

/// One formula, one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stream {
    kernel: Kernel,
    sources: Vec<Source>,
    /// The device in whose name it was last told: what interrupts it interrupts that device's stream, whoever had the gap.
    told_of: Option<DeviceId>,
    touched: u64,
}

/// All that is derived.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Which formulas hear what.
    routes: Routes,
    /// By formula.
    subjects: Vec<Map<Subject, Stream>>,
}

/// A reading on its way to the formulas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived<'a> {
    /// Whose it is, and its device as a subject of its own.
    pub subject: &'a Subject,
    pub by_device: &'a Subject,
    pub device: &'a DeviceId,
    pub assurance: Assurance,
    pub point: &'a Point,
    pub order: Order,
    /// The number of its message.
    pub number: u64,
}

/// All derived streams, to be kept: formula, subject, stream.
pub(crate) type Kept = Vec<(u32, Subject, Stream)>;

impl Streams {
    /// Derives what `wanted` names from now on; what is no longer wanted is forgotten.
    pub fn want(&mut self, wanted: impl Fn(Quantity) -> bool) {
        let mut old = std::mem::take(&mut self.subjects);
        old.resize_with(DERIVATIONS.len(), Map::default);
        self.subjects.resize_with(DERIVATIONS.len(), Map::default);
        let makers: Vec<_> = makers(wanted).collect();
        for (at, _) in &makers {
            self.subjects[*at] = std::mem::take(&mut old[*at]);
        }
        self.routes = Routes::new(makers.iter().map(|(at, made)| (*at, made.inputs)));
    }

    /// What follows from a reading, in order, each with the weakest assurance of what it is made of.
    pub fn derive(&mut self, arrived: &Arrived<'_>) -> Vec<Derived> {
        let mut derived = Vec::new();
        for (at, input) in self.routes.of(arrived.point.quantity) {
            let (Some(made), Some(subjects)) = (DERIVATIONS.get(*at), self.subjects.get_mut(*at)) else { continue };
            let subject = if made.of_device { arrived.by_device } else { arrived.subject };
            if !subjects.contains_key(subject) {
                if subjects.len() >= SUBJECTS_MAX {
                    let oldest =
                        subjects.iter().min_by_key(|(_, stream)| stream.touched).map(|(subject, _)| subject.clone());
                    oldest.and_then(|oldest| subjects.remove(&oldest));
                }
                subjects.insert(subject.clone(), Stream::new(made));
            }
            if let Some(stream) = subjects.get_mut(subject) {
                stream.touched = arrived.number;
                stream.hear(made, *input, arrived, &mut derived);
            }
        }
        derived
    }

    pub fn keep(&self) -> Kept {
        let all = self.subjects.iter().enumerate();
        let mut kept: Kept = all
            .flat_map(|(at, subjects)| {
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                subjects.iter().map(move |(subject, stream)| (at, subject.clone(), stream.clone()))
            })
            .collect();
        kept.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        kept
    }

    /// Takes what was kept; false if it is of another shape.
    pub fn resume(&mut self, kept: Kept) -> bool {
        let fits = |(at, _, stream): &(u32, Subject, Stream)| {
            DERIVATIONS.get(*at as usize).is_some_and(|made| {
                let fresh = Stream::new(made);
                fresh.sources.len() == stream.sources.len()
                    && std::mem::discriminant(&fresh.kernel) == std::mem::discriminant(&stream.kernel)
            })
        };
        if !kept.iter().all(fits) {
            return false;
        }
        self.subjects.iter_mut().for_each(Map::clear);
        for (at, subject, stream) in kept {
            if let Some(subjects) = self.subjects.get_mut(at as usize) {
                subjects.insert(subject, stream);
            }
        }
        true
    }
}

impl Stream {
    fn new(made: &Derivation) -> Self {
        let sources = vec![Source::default(); made.inputs.len()];
        Self { kernel: (made.fresh)(), sources, told_of: None, touched: 0 }
    }

    fn hear(&mut self, made: &Derivation, input: usize, arrived: &Arrived<'_>, derived: &mut Vec<Derived>) {
        let (point, time) = (arrived.point, arrived.point.time);
        let Some(source) = self.sources.get_mut(input) else { return };
        let other = source.heard.as_ref().is_some_and(|(device, ..)| device != arrived.device);
        let since = source.heard.as_ref().map_or(i64::MAX, |(_, at, _)| since(time, *at));
        let content = match &point.content {
            PointContent::Gap(_) if other => return,
            PointContent::Gap(gap) => {
                source.heard = None;
                if gap.reason == GapReason::ClockStep {
                    self.kernel.step(time);
                }
                return self.interrupt(made, input, arrived, *gap, derived);
            }
            _ if other && since <= HOLE => return,
            PointContent::Number(value) => match steps(*value) {
                Some(steps) => Content::Number(steps),
                None => return,
            },
            PointContent::Samples(wave) => Content::Wave(wave),
            PointContent::Wave => return,
        };
        if arrived.order == Order::SetBack {
            // Whatever was derived lies in a future that will not come: the streams begin anew.
            let gap = Gap { reason: GapReason::ClockStep, extent: 0 };
            self.kernel.set_back(made, time);
            self.sources.iter_mut().for_each(|source| source.heard = None);
            self.interrupt(made, input, arrived, gap, derived);
        } else if other {
            self.kernel.gap(input);
        }
        let Some(source) = self.sources.get_mut(input) else { return };
        let before = source.heard.take().filter(|(device, ..)| device == arrived.device && since <= HOLE);
        let assurance = before.map_or(arrived.assurance, |(_, _, weakest)| weakest.min(arrived.assurance));
        source.heard = Some((arrived.device.clone(), time, assurance));
        let mut told = Vec::new();
        let given = Given { input, time, quality: point.quality, assurance: arrived.assurance, content };
        self.kernel.take(&given, &mut told);
        let heard = self.sources.iter().filter_map(|source| source.heard.as_ref().map(|(_, _, weakest)| *weakest));
        let weakest = heard.chain(self.kernel.assurance()).min().unwrap_or(arrived.assurance);
        if told.is_empty() {
            return;
        }
        let lead = self.sources.first().and_then(|source| source.heard.as_ref());
        let device = lead.map_or(arrived.device, |(device, ..)| device).clone();
        let points = told.into_iter().filter_map(|told| reading(made, told));
        derived.extend(points.map(|point| Derived { device: device.clone(), assurance: weakest, point }));
        self.told_of = Some(device);
    }

    /// A gap of an input is one of all that is made of it.
    fn interrupt(
        &mut self,
        made: &Derivation,
        input: usize,
        arrived: &Arrived<'_>,
        gap: Gap,
        derived: &mut Vec<Derived>,
    ) {
        self.kernel.gap(input);
        let Point { time, quality, .. } = *arrived.point;
        let device = self.told_of.as_ref().unwrap_or(arrived.device);
        derived.extend(made.outputs.iter().map(|quantity| Derived {
            device: device.clone(),
            assurance: arrived.assurance,
            point: Point { quantity: *quantity, time, quality, content: PointContent::Gap(gap) },
        }));
    }
}

fn reading(made: &Derivation, told: Told) -> Option<Point> {
    let quantity = *made.outputs.get(told.output)?;
    let (low, high) = quantity.plausible();
    let odd = told.value.to_f64() < low as f64 || told.value.to_f64() > high as f64;
    let quality = if odd { told.quality | Quality::IMPLAUSIBLE } else { told.quality };
    Some(Point { quantity, time: told.time, quality, content: PointContent::Number(told.value) })
}
