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
/// The most evaluations one call asks for, unless a single entry asks for more. What each may cost on average, all may in the deadline of
/// the call: few, so that a worker that hangs is found within seconds; and enough that the way there and back is next to nothing.
const EVALUATIONS_MAX: usize = 4_096;

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
    /// How many evaluations a reading of each asks for at most, with those of what is derived from it.
    heard_by: Vec<usize>,
    /// Those whose waveforms are wanted with their samples.
    samples: Vec<bool>,
}

impl Filter {
    /// The quantities of a set.
    pub fn new(set: &RuleSet) -> Self {
        let mut filter = Self::default();
        let named = |quantity| set.all().any(|rule| rule.manifest.inputs.contains(&quantity));
        let mut rules = Vec::new();
        set.rules().iter().flat_map(|rule| &rule.manifest.inputs).for_each(|quantity| add(&mut rules, *quantity, 1));
        for quantity in set.all().flat_map(|rule| &rule.manifest.inputs) {
            mark(&mut filter.wanted, *quantity);
            add(&mut filter.heard_by, *quantity, 1);
        }
        // What streams of plugins make, rules hear; and both hear what formulas make.
        for stream in set.streams() {
            let heard = stream.makes.map_or(0, |made| of(&rules, made));
            stream.manifest.inputs.iter().for_each(|quantity| add(&mut filter.heard_by, *quantity, heard));
        }
        let direct = filter.heard_by.clone();
        for (_, made) in makers(named) {
            let heard = made.outputs.iter().map(|output| of(&direct, *output)).sum();
            for quantity in made.inputs {
                add(&mut filter.heard_by, *quantity, heard);
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
        let fits = items.iter().take(ITEMS_MAX).take_while(|item| {
            readings += item.weight();
            evaluations += self.evaluations(item);
            readings <= READINGS_MAX && evaluations <= EVALUATIONS_MAX
        });
        fits.count().max(1)
    }

    /// How many evaluations an item asks for at most. Samples that something is derived from count as some: that is work, too.
    pub(crate) fn evaluations(&self, item: &Item<'_>) -> usize {
        let heard_by = item.readings.iter().map(|point| of(&self.heard_by, point.quantity));
        heard_by.sum::<usize>() + item.weight().saturating_sub(item.readings.len())
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

fn add(counts: &mut Vec<usize>, quantity: Quantity, more: usize) {
    let at = usize::from(quantity.code());
    counts.resize(counts.len().max(at + 1), 0);
    counts[at] += more;
}

fn of(counts: &[usize], quantity: Quantity) -> usize {
    counts.get(usize::from(quantity.code())).copied().unwrap_or(0)
}

fn mark(marks: &mut Vec<bool>, quantity: Quantity) {
    let at = usize::from(quantity.code());
    marks.resize(marks.len().max(at + 1), false);
    marks[at] = true;
}

fn marked(marks: &[bool], quantity: Quantity) -> bool {
    marks.get(usize::from(quantity.code())).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::RuleSource;

    fn rule(name: &str, inputs: &str) -> RuleSource {
        let manifest = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"high\"\ninputs = [{inputs}]\n"
        );
        RuleSource::parse(name, &manifest, "false").unwrap()
    }

    fn item(quantity: Quantity, readings: usize) -> Item<'static> {
        let content = PointContent::Number(Decimal::integer(1));
        let point = Point { quantity, time: 0, quality: Quality::empty(), content };
        Item {
            device: "strap",
            athlete: Some("ann"),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(1),
            readings: vec![point; readings],
        }
    }

    #[test]
    fn a_call_asks_for_no_more_evaluations_than_its_deadline_is_for_unless_one_entry_does() {
        let rules = (0..176).map(|number| rule(&format!("rule-{number}"), "\"heart_rate\""));
        let filter = Filter::new(&RuleSet::new(rules).unwrap());
        let one = item(Quantity::HEART_RATE, 1);
        assert_eq!(filter.evaluations(&one), 176);
        assert_eq!(filter.portion(&vec![one.clone(); 100]), EVALUATIONS_MAX / 176);
        assert_eq!(filter.portion(&[item(Quantity::HEART_RATE, 100), one]), 1);
    }

    #[test]
    fn what_is_made_of_a_reading_counts_with_it() {
        let rules =
            [rule("both", "\"rr_interval\", \"rmssd\""), rule("one", "\"rmssd\""), rule("damp", "\"dew_point\"")];
        let felt = "name = \"felt\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"derived\"\n\
                    inputs = [\"relative_humidity\"]\noutputs = [\"dew_point\"]\n";
        let stream = RuleSource::parse_stream("felt", felt, "value").unwrap();
        let (set, problems) = RuleSet::new(rules).unwrap().with_streams(vec![stream]);
        assert_eq!(problems, []);
        let filter = Filter::new(&set);
        assert_eq!(
            filter.evaluations(&item(Quantity::RR_INTERVAL, 1)),
            3,
            "one that hears it, two that hear what follows"
        );
        assert_eq!(filter.evaluations(&item(Quantity::RELATIVE_HUMIDITY, 2)), 4, "the stream, and who hears that");
        assert_eq!(filter.evaluations(&item(Quantity::POWER, 1)), 0);
    }
}
