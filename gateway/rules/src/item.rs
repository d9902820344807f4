//! What of an entry reaches the rules: the readings some rule wants, without what no rule looks at.

use pitchside_model::{Assurance, Decimal, Entry, Epoch, Gap, Quality, Quantity, Reading, Seq, Value, Wave};
use serde::{Deserialize, Serialize};

use crate::derive::makers;
use crate::library::RuleSet;

/// Samples of a waveform that take as much room as one reading.
const SAMPLES_A_READING: usize = 64;

/// The most entries of one call; more are sent in turn.
const ITEMS_MAX: usize = 2_048;
/// The most readings of one call, unless a single entry has more.
const READINGS_MAX: usize = 32_768;
/// The most evaluations one call asks for, unless a single entry asks for more: a twentieth of what a slow box does within the call's
/// deadline.
const EVALUATIONS_MAX: usize = 65_536;

/// An entry as rules see it. Borrowed, so that a batch crosses to the worker without a copy of its names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// Who sent it.
    pub device: &'a str,
    /// Whose readings they are.
    pub athlete: Option<&'a str>,
    /// How sure we are who sent it.
    pub assurance: Assurance,
    /// The message count.
    pub epoch: Epoch,
    /// The message's number in it.
    pub seq: Seq,
    /// The wanted readings.
    pub readings: Vec<Point>,
}

impl Item<'_> {
    /// How many readings it counts for: a waveform that crosses with its samples is as large as many.
    pub fn weight(&self) -> usize {
        let samples = self.readings.iter().map(|point| match &point.content {
            PointContent::Samples(wave) => wave.samples.len() / SAMPLES_A_READING,
            PointContent::Number(_) | PointContent::Gap(_) | PointContent::Wave => 0,
        });
        self.readings.len() + samples.sum::<usize>()
    }
}

/// A reading as rules see it, in its quantity's unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What was measured.
    pub quantity: Quantity,
    /// Device time, microseconds.
    pub time: i64,
    /// What is known to be wrong with it.
    pub quality: Quality,
    /// The value, or why there is none.
    pub content: PointContent,
}

/// See [`Point`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PointContent {
    /// A number.
    Number(Decimal),
    /// A gap.
    Gap(Gap),
    /// A waveform: a sign of life, no more. Its samples do not cross the pipe.
    Wave,
    /// A waveform something is derived from, with its samples. To rules it is a sign of life like any other.
    Samples(Box<Wave>),
}

/// Which quantities the rules of a set want, or what they want is derived from, for a quick look at every reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: Vec<bool>,
    /// How many rules hear each.
    heard_by: Vec<usize>,
    /// Those whose waveforms are wanted with their samples.
    samples: Vec<bool>,
}

impl Filter {
    /// The quantities of a set.
    pub fn new(set: &RuleSet) -> Self {
        let mut filter = Self::default();
        let named = |quantity| set.all().any(|rule| rule.manifest.inputs.contains(&quantity));
        for quantity in set.all().flat_map(|rule| &rule.manifest.inputs) {
            mark(&mut filter.wanted, *quantity);
            let at = usize::from(quantity.code());
            filter.heard_by.resize(filter.heard_by.len().max(at + 1), 0);
            filter.heard_by[at] += 1;
        }
        for (_, made) in makers(named) {
            for quantity in made.inputs {
                mark(&mut filter.wanted, *quantity);
                if made.waves {
                    mark(&mut filter.samples, *quantity);
                }
            }
        }
        filter
    }

    /// All quantities that are wanted.
    pub fn quantities(&self) -> Vec<Quantity> {
        Quantity::all().filter(|quantity| self.wants(*quantity)).collect()
    }

    /// Whether some rule wants a quantity, or what it is made of.
    pub fn wants(&self, quantity: Quantity) -> bool {
        marked(&self.wanted, quantity)
    }

    /// Whether the samples of its waveforms are wanted, too.
    pub fn wants_samples(&self, quantity: Quantity) -> bool {
        marked(&self.samples, quantity)
    }

    /// How many of the items go into one call of the worker.
    pub(crate) fn portion(&self, items: &[Item<'_>]) -> usize {
        let (mut readings, mut evaluations) = (0, 0);
        let heard_by = |point: &Point| self.heard_by.get(usize::from(point.quantity.code())).copied().unwrap_or(0);
        let fits = items.iter().take(ITEMS_MAX).take_while(|item| {
            readings += item.weight();
            evaluations += item.readings.iter().map(heard_by).sum::<usize>();
            readings <= READINGS_MAX && evaluations <= EVALUATIONS_MAX
        });
        fits.count().max(1)
    }

    /// What the rules see of an entry; none if it holds nothing they want. A reading in a unit that is not its quantity's
    /// is nothing a rule can compare.
    pub fn item<'a>(&self, entry: &'a Entry) -> Option<Item<'a>> {
        let mut readings = Vec::with_capacity(entry.readings.len());
        readings.extend(entry.readings.iter().filter_map(|reading| self.point(reading)));
        (!readings.is_empty()).then(|| Item {
            device: entry.device.as_str(),
            athlete: entry.athlete.as_ref().map(|athlete| athlete.as_str()),
            assurance: entry.assurance,
            epoch: entry.epoch,
            seq: entry.seq,
            readings,
        })
    }

    fn point(&self, reading: &Reading) -> Option<Point> {
        let content = match &reading.value {
            Value::Number(number) if reading.unit == reading.quantity.unit() => PointContent::Number(*number),
            Value::Gap(gap) => PointContent::Gap(*gap),
            Value::Wave(wave) if self.wants_samples(reading.quantity) => PointContent::Samples(wave.clone()),
            Value::Wave(_) => PointContent::Wave,
            Value::Number(_) => return None,
        };
        self.wants(reading.quantity).then_some(Point {
            quantity: reading.quantity,
            time: reading.device_time.0,
            quality: reading.quality,
            content,
        })
    }
}

/// Who hears a quantity, and as which of their inputs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Vec<Vec<(usize, usize)>>);

impl Routes {
    /// From the inputs of each, in their order.
    pub fn new<'a>(hearers: impl Iterator<Item = (usize, &'a [Quantity])>) -> Self {
        let mut routes = Vec::new();
        for (hearer, inputs) in hearers {
            for (input, quantity) in inputs.iter().enumerate() {
                let at = usize::from(quantity.code());
                if routes.len() <= at {
                    routes.resize_with(at + 1, Vec::new);
                }
                routes[at].push((hearer, input));
            }
        }
        Self(routes)
    }

    /// Those that hear a quantity.
    pub fn of(&self, quantity: Quantity) -> &[(usize, usize)] {
        self.0.get(usize::from(quantity.code())).map_or(&[], Vec::as_slice)
    }
}

fn mark(marks: &mut Vec<bool>, quantity: Quantity) {
    let at = usize::from(quantity.code());
    marks.resize(marks.len().max(at + 1), false);
    marks[at] = true;
}

fn marked(marks: &[bool], quantity: Quantity) -> bool {
    marks.get(usize::from(quantity.code())).copied().unwrap_or(false)
}
