use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use pitchside_model::{Assurance, Decimal, DeviceId, Epoch, Quality, Quantity, Seq, Timestamp};
use pitchside_rules::RuleSet;
use proptest::prelude::*;

use super::*;

/// A rules task and a journal, reduced to what the feed sees of them.
struct World {
    feed: RulesFeed,
    queue: RulesQueue,
    on_their_way: VecDeque<(Heard, u64)>,
    journal: Vec<u64>,
    heard: BTreeSet<u64>,
    offered: u64,
}

#[derive(Debug, Clone)]
enum Step {
    /// The front offers an entry of so many readings.
    Offer(usize),
    /// The oldest of them is committed.
    Commit,
    /// The oldest of them is refused by the disk.
    Lose,
    /// The rules take from the queue.
    Hear,
    /// The rules read so many rows of the journal.
    CatchUp(usize),
    /// The rules could not read the journal.
    Fail,
}

impl World {
    fn new() -> Self {
        let (feed, queue) = channel(true);
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
        feed.filter.store(Arc::new(Some(Filter::new(&RuleSet::load(&library).unwrap()))));
        Self { feed, queue, on_their_way: VecDeque::new(), journal: Vec::new(), heard: BTreeSet::new(), offered: 0 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer(readings) => {
                self.offered += 1;
                let heard = self.feed.offer(&[entry(self.offered, *readings)]);
                self.on_their_way.push_back((heard, self.offered));
            }
            Step::Commit => {
                if let Some((heard, number)) = self.on_their_way.pop_front() {
                    self.journal.push(number);
                    self.feed.stored(heard, RowId(self.journal.len() as i64));
                }
            }
            Step::Lose => {
                if let Some((heard, _)) = self.on_their_way.pop_front() {
                    self.feed.not_stored(heard);
                }
            }
            Step::Hear => self.hear(1),
            Step::CatchUp(rows) => {
                self.hear(usize::MAX);
                let Some(RowId(after)) = self.feed.take_after() else { return self.feed.caught_up() };
                let unread = &self.journal[after as usize..];
                let bite = &unread[..unread.len().min(*rows)];
                self.heard.extend(bite);
                match bite.len() {
                    0 => self.feed.caught_up(),
                    read => self.feed.read_after(RowId(after + read as i64)),
                }
            }
            Step::Fail => {
                if let Some(after) = self.feed.take_after() {
                    self.feed.read_after(after);
                }
            }
        }
    }

    fn hear(&mut self, offers: usize) {
        for _ in 0..offers {
            let Ok(offer) = self.queue.0.try_recv() else { return };
            self.heard.extend(offer.entries.iter().map(|entry| entry.seq.0));
        }
    }
}

fn entry(number: u64, readings: usize) -> Entry {
    let at = Timestamp::from_seconds(number as i64);
    let reading = Reading {
        quantity: Quantity::HEART_RATE,
        unit: Quantity::HEART_RATE.unit(),
        device_time: at,
        gateway_time: at,
        quality: Quality::empty(),
        value: Value::Number(Decimal::integer(70)),
    };
    Entry {
        device: DeviceId::parse("strap-1").unwrap(),
        athlete: None,
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(number),
        readings: vec![reading; readings],
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // A third of the room at once: the queue is full after a few.
        4 => prop_oneof![Just(Step::Offer(1)), Just(Step::Offer(READINGS_MAX / 3))],
        4 => Just(Step::Commit),
        1 => Just(Step::Lose),
        2 => Just(Step::Hear),
        2 => (1..3usize).prop_map(Step::CatchUp),
        1 => Just(Step::Fail),
    ]
}

proptest! {
    #[test]
    fn the_rules_hear_everything_that_is_stored_however_far_they_fall_behind(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        while !world.on_their_way.is_empty() {
            world.step(&Step::Commit);
        }
        while world.feed.is_behind() {
            world.step(&Step::CatchUp(2));
        }
        world.hear(usize::MAX);
        let stored: BTreeSet<u64> = world.journal.iter().copied().collect();
        prop_assert!(stored.is_subset(&world.heard), "{:?} of {:?}", world.heard, stored);
        prop_assert_eq!(world.feed.offer(&[entry(0, 1)]), Heard::Now, "caught up, the queue is the way again");
    }
}

#[test]
fn without_room_an_entry_goes_by_the_journal_and_so_does_everything_after_it() {
    let mut world = World::new();
    world.step(&Step::Offer(READINGS_MAX));
    world.step(&Step::Offer(1));
    world.step(&Step::Hear);
    world.step(&Step::Offer(1));
    let ways: Vec<Heard> = world.on_their_way.iter().map(|(heard, _)| *heard).collect();
    assert_eq!(ways, [Heard::Now, Heard::Later, Heard::Later]);
}

#[test]
fn samples_go_on_to_the_rules_only_where_something_is_derived_from_them() {
    let manifest = "name = \"tires\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\n\
                    inputs = [\"emg_median_frequency\", \"ecg\"]\n";
    let rule = pitchside_rules::RuleSource::parse("tires", manifest, "false").unwrap();
    let mut world = World::new();
    world.feed.filter.store(Arc::new(Some(Filter::new(&RuleSet::new([rule]).unwrap()))));
    let wave = Wave { period_ns: 1_000_000, exponent: 0, offset: 0, samples: vec![1; 4_000] };
    let of = |quantity: Quantity| Reading {
        quantity,
        unit: quantity.unit(),
        value: Value::Wave(Box::new(wave.clone())),
        ..entry(1, 1).readings[0].clone()
    };
    let waves = Entry { readings: vec![of(Quantity::EMG), of(Quantity::ECG)], ..entry(1, 1) };
    assert_eq!(room(&waves), 2 + 2 * (4_000 / SAMPLES_A_READING));
    assert_eq!(world.feed.offer(&[waves]), Heard::Now);
    let offer = world.queue.0.try_recv().unwrap();
    let samples = offer.entries[0].readings.iter().map(|reading| match &reading.value {
        Value::Wave(wave) => wave.samples.len(),
        Value::Number(_) | Value::Gap(_) => 0,
    });
    assert_eq!(samples.collect::<Vec<_>>(), [4_000, 0]);
}
