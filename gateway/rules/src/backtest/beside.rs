//! Rules that hear history, each set on a thread of its own. Whoever waits for one sees whether its scripts end: nothing ends a thread from
//! without, but nobody has to wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pitchside_model::{AlertEvent, AlertId, Entry, RuleName};
use pitchside_script::Problem;

use crate::engine::{Engine, Fed, RuleFault};
use crate::id::{Map, Message, ids_of};
use crate::library::RuleSet;

/// How long is waited between two looks at a set that hears a portion.
const LOOK: Duration = Duration::from_secs(1);
/// A script that is at the same reading for so many looks does not end: a call has a bound of a tenth of a second, but none is seen from
/// within one function. Looks are counted, and not time: a process that was stopped for an hour took none.
pub(super) const LOOKS_MAX: u32 = 60;

/// An event with the place of the message it came of.
#[derive(Debug)]
pub(super) struct Happened {
    pub place: usize,
    /// What an alert that is raised has in common with the other side's of the same reading. Its id need not be: that hangs on what the
    /// side raised before.
    pub shared: Option<AlertId>,
    pub event: AlertEvent,
}

/// What came of a portion: each event, and each fault with the place of the message it came of.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub events: Vec<Happened>,
    pub faults: Vec<(usize, RuleFault)>,
}

/// Lets rules hear a portion; `watch` is told each rule's name before its script runs.
fn hear(engine: &mut Engine, entries: &[Entry], watch: &mut dyn FnMut(&RuleName)) -> Told {
    let mut told = Told::default();
    for (place, entry) in entries.iter().enumerate() {
        let Fed { events, faults } = engine.feed_watched(std::slice::from_ref(entry), watch);
        told.events.extend(events.into_iter().map(|event| {
            let shared = event.raised().and_then(|alert| {
                let rule = engine.rule_set().rules().iter().find(|rule| *rule.name() == alert.rule)?;
                let [_, of_message] = ids_of(alert, rule.manifest.scope, Message::of(entry));
                Some(of_message)
            });
            Happened { place, shared, event }
        }));
        told.faults.extend(faults.into_iter().map(|fault| (place, fault)));
    }
    told
}

/// What a set of rules is at, for whoever waits for it. Written at every evaluation, by one thread alone: it takes no lock.
#[derive(Debug)]
struct Place {
    /// Its rules and streams, numbered from 1.
    numbers: Map<RuleName, usize>,
    /// The one that is asked; 0 between portions.
    asked: AtomicUsize,
    /// How often one was asked.
    times: AtomicU64,
}

impl Place {
    fn of(set: &RuleSet) -> Self {
        let numbers = set.all().map(|rule| rule.name().clone()).zip(1..).collect();
        Self { numbers, asked: AtomicUsize::new(0), times: AtomicU64::new(0) }
    }

    /// None is.
    fn rest(&self) {
        self.asked.store(0, Relaxed);
    }

    /// The rule that is asked, and the how manieth time one is.
    fn now(&self) -> Option<(&RuleName, u64)> {
        let asked = self.asked.load(Relaxed);
        let (rule, _) = self.numbers.iter().find(|(_, number)| **number == asked)?;
        Some((rule, self.times.load(Relaxed)))
    }
}

/// Says at a place which rule is asked.
#[derive(Debug)]
struct Asker {
    place: Arc<Place>,
    /// The last, and its number: most often it is the next, too.
    last: Option<(RuleName, usize)>,
}

impl Asker {
    const fn new(place: Arc<Place>) -> Self {
        Self { place, last: None }
    }

    fn ask(&mut self, rule: &RuleName) {
        let number = match &self.last {
            Some((last, number)) if last == rule => *number,
            _ => {
                let number = self.place.numbers.get(rule).copied().unwrap_or(0);
                self.last = Some((rule.clone(), number));
                number
            }
        };
        self.place.asked.store(number, Relaxed);
        self.place.times.store(self.place.times.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Looks at a place, one after the other.
#[derive(Debug, Default)]
struct Looks {
    /// How often a rule had been asked at the last.
    times: u64,
    /// How many before it found the same.
    alike: u32,
}

impl Looks {
    /// One more; the rule that is still asked what it was asked at all those before.
    fn at<'a>(&mut self, place: &'a Place) -> Option<&'a RuleName> {
        // Where nothing is asked, the thread waits for a processor.
        let (rule, times) = place.now()?;
        self.alike = if times == self.times { self.alike + 1 } else { 0 };
        self.times = times;
        (self.alike >= LOOKS_MAX).then_some(rule)
    }
}

/// What was waited for.
#[derive(Debug, PartialEq, Eq)]
enum Awaited<T> {
    Told(T),
    /// The script of this rule does not end.
    Endless(RuleName),
    /// The thread is gone.
    Gone,
}

/// Waits for what is told, with a look at the place after every so long.
fn wait<T>(told: &Receiver<T>, place: &Place, every: Duration) -> Awaited<T> {
    let mut looks = Looks::default();
    loop {
        match told.recv_timeout(every) {
            Ok(told) => return Awaited::Told(told),
            Err(RecvTimeoutError::Disconnected) => return Awaited::Gone,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(rule) = looks.at(place) {
            return Awaited::Endless(rule.clone());
        }
    }
}

/// Rules on a thread of their own: they hear a portion while others do.
#[derive(Debug)]
pub(super) struct Beside {
    portions: SyncSender<Arc<[Entry]>>,
    told: Receiver<Told>,
    place: Arc<Place>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    pub fn start(set: Arc<RuleSet>) -> Result<Self, Vec<Problem>> {
        let (portions, waiting) = sync_channel::<Arc<[Entry]>>(1);
        let (say_ready, ready) = sync_channel(1);
        let (say_told, told) = sync_channel(1);
        let place = Arc::new(Place::of(&set));
        let at = Arc::clone(&place);
        let thread = std::thread::spawn(move || {
            // Compiled here, for an engine does not move between threads.
            let (mut engine, compiled) = match Engine::new(set) {
                Ok(engine) => (Some(engine), Ok(())),
                Err(problems) => (None, Err(problems)),
            };
            if say_ready.send(compiled).is_err() {
                return;
            }
            let Some(engine) = &mut engine else { return };
            let mut asker = Asker::new(at);
            while let Ok(entries) = waiting.recv() {
                let told = hear(engine, &entries, &mut |rule| asker.ask(rule));
                asker.place.rest();
                if say_told.send(told).is_err() {
                    return;
                }
            }
        });
        let mut started = Self { portions, told, place, thread: Some(thread) };
        match ready.recv() {
            Ok(compiled) => compiled.map(|()| started),
            Err(_) => started.ended(),
        }
    }

    pub fn hear(&mut self, entries: &Arc<[Entry]>) {
        if self.portions.send(Arc::clone(entries)).is_err() {
            self.ended();
        }
    }

    /// What came of the portion, or which rule's script does not end. After that nothing comes of it any more.
    pub fn said(&mut self) -> Result<Told, RuleName> {
        match wait(&self.told, &self.place, LOOK) {
            Awaited::Told(told) => Ok(told),
            Awaited::Endless(rule) => Err(rule),
            Awaited::Gone => self.ended(),
        }
    }

    /// The thread ends by itself only in a panic, which goes on here.
    fn ended(&mut self) -> ! {
        let panic = self.thread.take().and_then(|thread| thread.join().err());
        std::panic::resume_unwind(panic.unwrap_or_else(|| Box::new("the rules' thread ended")))
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::{
        Assurance, AthleteId, Decimal, DeviceId, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
    };

    use super::*;
    use crate::library::RuleSource;

    fn set(names: &[&str]) -> Arc<RuleSet> {
        let rule = |name: &&str| {
            let manifest = format!(
                "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"Fast.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\n"
            );
            RuleSource::parse(name, &manifest, "value > 180.0").unwrap()
        };
        Arc::new(RuleSet::new(names.iter().map(rule)).unwrap())
    }

    fn entry(seq: u64) -> Entry {
        let time = Timestamp::from_seconds(1_767_225_600 + seq as i64);
        Entry {
            device: DeviceId::parse("strap").unwrap(),
            athlete: Some(AthleteId::parse("ada").unwrap()),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(seq),
            readings: vec![Reading {
                quantity: Quantity::HEART_RATE,
                unit: Quantity::HEART_RATE.unit(),
                device_time: time,
                gateway_time: time,
                quality: Quality::empty(),
                value: Value::Number(Decimal::integer(100)),
            }],
        }
    }

    /// Waits as whoever looks without a pause.
    fn waited(told: &Receiver<u8>, place: &Place) -> Awaited<u8> {
        wait(told, place, Duration::ZERO)
    }

    #[test]
    fn the_rule_whose_script_does_not_end_is_named_and_nobody_waits_for_it_any_more() {
        let place = Arc::new(Place::of(&set(&["fast", "faster"])));
        let (say, told) = sync_channel(1);
        let mut asker = Asker::new(Arc::clone(&place));
        ["fast", "fast", "faster"].iter().for_each(|rule| asker.ask(&RuleName::parse(rule).unwrap()));
        assert_eq!(waited(&told, &place), Awaited::Endless(RuleName::parse("faster").unwrap()));
        say.send(7).unwrap();
        assert_eq!(waited(&told, &place), Awaited::Told(7), "what is told counts, whatever it looks like");
        drop(say);
        assert_eq!(waited(&told, &place), Awaited::Gone);
    }

    #[test]
    fn scripts_that_get_on_are_waited_for_however_long_they_take_together() {
        let mut looks = Looks::default();
        let place = Arc::new(Place::of(&set(&["fast"])));
        let mut asker = Asker::new(Arc::clone(&place));
        let mut is_over = |more: u32| (0..more).any(|_| looks.at(&place).is_some());
        assert!(!is_over(10 * LOOKS_MAX), "nothing is asked");
        for _ in 0..10 {
            asker.ask(&RuleName::parse("fast").unwrap());
            assert!(!is_over(LOOKS_MAX), "the same rule, about another reading");
        }
        assert!(is_over(1), "one look more");
    }

    #[test]
    fn a_portion_is_over_when_it_is_told() {
        let mut beside = Beside::start(set(&["fast"])).unwrap();
        beside.hear(&Arc::from([entry(0), entry(1), entry(2)]));
        assert!(beside.said().unwrap().events.is_empty());
        assert_eq!((beside.place.now(), beside.place.times.load(Relaxed)), (None, 3), "each was seen to begin");
    }
}
