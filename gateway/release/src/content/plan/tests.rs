//! Whole swarms on a simulated clock: boxes, a publisher, the ledger, liars, each answering after its own time.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use ledger_block::content::GROUP_BYTES;
use proptest::prelude::*;

use super::*;

const LIMITS: PlanLimits = PlanLimits {
    orders_max: 6,
    orders_per_box_max: 2,
    orders_ledger_max: 4,
    sources_max: 64,
    piece_groups: 8,
    ask_ms: 1_000,
    hear_ms_max: 500,
    strikes_max: 3,
    back_off_ms: (1_000, 60_000),
    gone_max: 6,
    fruitless_max: 4,
    lan_idle_ms: 30_000,
};

fn xorshift(mut state: u64) -> impl FnMut() -> u64 {
    state |= 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }
}

fn peer(n: usize) -> Peer {
    Peer::Lan(SocketAddr::from(([10, 0, 0, u8::try_from(n).unwrap()], 7790)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    WrongBytes,
    Broken,
    Slow,
    Away,
    /// Says it holds everything, gives nothing.
    Boaster,
    /// Says it holds everything, and that all its places are taken.
    Busy,
    /// So till then, and honest afterwards.
    BusyUntil(u64),
    /// Says it holds everything but this group, which it is asked for again and again; breaks off whatever it gives.
    Cuts(u32),
}

enum Event {
    Look(usize),
    Answer(usize, Peer, Result<Groups, Outcome>),
    End(usize, OrderId, Peer, Span, Outcome),
}

/// A box: its plan if it fetches, and how it serves.
struct Node {
    plan: Plan,
    manner: Manner,
    fetches: bool,
    uploaded: u64,
    faults: Vec<(Peer, Fault)>,
    done_at: Option<u64>,
    /// When it looks next: one look is due at a time, the soonest.
    looks_at: Option<u64>,
}

struct Swarm {
    shape: Shape,
    nodes: Vec<Node>,
    ledger: bool,
    ledger_uploaded: u64,
    /// How the ledger answers until then, and how often it was asked.
    ledger_ails: (Manner, u64),
    ledger_asked: u64,
    now: u64,
    events: BinaryHeap<Reverse<(u64, usize)>>,
    details: Vec<Option<Event>>,
    /// Slices the publisher gives at once, and those it is giving.
    places: usize,
    giving: BTreeSet<(usize, OrderId)>,
    random: Box<dyn FnMut() -> u64>,
    /// Bytes a millisecond of the publisher's (or ledger's) one uplink, and when it is free.
    uplink: u64,
    uplink_free: u64,
}

impl Swarm {
    fn new(groups: u64, seed: u64, uplink: u64) -> Self {
        Self {
            shape: Shape::new(groups * GROUP_BYTES).unwrap(),
            nodes: Vec::new(),
            ledger: false,
            ledger_uploaded: 0,
            ledger_ails: (Manner::Honest, 0),
            ledger_asked: 0,
            now: 0,
            events: BinaryHeap::new(),
            details: Vec::new(),
            places: usize::MAX,
            giving: BTreeSet::new(),
            random: Box::new(xorshift(seed)),
            uplink,
            uplink_free: 0,
        }
    }

    fn add(&mut self, manner: Manner, whole: bool) {
        let held = if whole { Groups::all(self.shape) } else { Groups::none(self.shape) };
        let ledger_from = Moment((self.random)() % 2_000);
        let fetches = !whole && manner == Manner::Honest;
        let plan = Plan::new(held, LIMITS, ledger_from);
        self.nodes.push(Node { plan, manner, fetches, uploaded: 0, faults: Vec::new(), done_at: None, looks_at: None });
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.events.push(Reverse((self.now + ms, self.details.len())));
        self.details.push(Some(event));
    }

    fn look_in(&mut self, at: usize, ms: u64) {
        let due = self.now + ms;
        if self.nodes[at].looks_at.is_none_or(|before| before < self.now || due < before) {
            self.nodes[at].looks_at = Some(due);
            self.at(ms, Event::Look(at));
        }
    }

    fn run(&mut self) {
        let count = self.nodes.len();
        for at in 0..count {
            for other in (0..count).filter(|other| *other != at) {
                self.nodes[at].plan.found(peer(other));
            }
            if self.ledger {
                self.nodes[at].plan.found(Peer::Ledger);
            }
            if self.nodes[at].fetches {
                self.look_in(at, 0);
            }
        }
        let mut steps = 0;
        while let Some(Reverse((now, detail))) = self.events.pop() {
            self.now = now;
            steps += 1;
            assert!(steps < 3_000_000 && now < 3_600_000, "the swarm does not come to an end");
            match self.details[detail].take().unwrap() {
                // A later look that an answer made superfluous.
                Event::Look(at) if self.nodes[at].looks_at != Some(now) => {}
                Event::Look(at) => {
                    self.nodes[at].looks_at = None;
                    self.look(at);
                }
                Event::Answer(at, from, said) => {
                    let fault = self.nodes[at].plan.heard(from, said, Moment(now), &mut self.random);
                    self.nodes[at].faults.extend(fault.map(|fault| (from, fault)));
                    self.look(at);
                }
                Event::End(at, order, from, span, outcome) => {
                    self.giving.remove(&(at, order));
                    if outcome == Outcome::Done {
                        span.groups().for_each(|group| self.nodes[at].plan.kept(group));
                    }
                    let fault = self.nodes[at].plan.ended(order, outcome, Moment(now), &mut self.random);
                    self.nodes[at].faults.extend(fault.map(|fault| (from, fault)));
                    self.look(at);
                }
            }
        }
    }

    fn look(&mut self, at: usize) {
        loop {
            let (now, node) = (Moment(self.now), &mut self.nodes[at]);
            if self.ledger {
                // As a fetch does at every turn.
                node.plan.found(Peer::Ledger);
            }
            match node.plan.next(now, &mut self.random) {
                Next::Done => {
                    node.done_at.get_or_insert(self.now);
                    return;
                }
                Next::Wait(until) => {
                    assert!(until > now, "waiting for the past");
                    return self.look_in(at, until.ms_since(now));
                }
                Next::AskHeld(from) => self.ask(at, from),
                Next::Fetch(order, from, span) => {
                    self.check(at, span);
                    self.fetch(at, order, from, span);
                }
            }
        }
    }

    /// What must hold of every order.
    fn check(&self, at: usize, span: Span) {
        let plan = &self.nodes[at].plan;
        assert!(plan.orders.len() <= LIMITS.orders_max);
        assert!(span.groups().all(|group| !plan.held.contains(group)), "a group that is here was ordered");
        let mut seen = BTreeSet::new();
        for (from, span) in plan.orders.values() {
            assert!(span.groups().all(|group| seen.insert(group)), "a group was ordered twice");
            let of_it = plan.orders.values().filter(|(peer, _)| peer == from).count();
            assert!(of_it <= LIMITS.orders_per_box_max.max(LIMITS.orders_ledger_max));
        }
    }

    fn ledger_manner(&mut self) -> Manner {
        self.ledger_asked += 1;
        let (manner, until) = self.ledger_ails;
        if self.now < until { manner } else { Manner::Honest }
    }

    fn ask(&mut self, at: usize, from: Peer) {
        let (delay, said) = match from {
            Peer::Ledger if self.ledger_manner() == Manner::Broken => (40, Err(Outcome::Broken)),
            Peer::Ledger => (40, Ok(Groups::all(self.shape))),
            from => {
                let node = self.node(from);
                match node.manner {
                    Manner::Away => (20, Err(Outcome::Gone)),
                    Manner::Boaster | Manner::WrongBytes | Manner::Slow | Manner::Busy => {
                        (2, Ok(Groups::all(self.shape)))
                    }
                    Manner::Cuts(group) => {
                        let mut held = Groups::all(self.shape);
                        held.remove(GroupIndex(group));
                        (2, Ok(held))
                    }
                    Manner::Broken => (2, Err(Outcome::Broken)),
                    Manner::Honest | Manner::BusyUntil(_) => (2, Ok(node.plan.held().clone())),
                }
            }
        };
        let delay = delay + (self.random)() % 3;
        self.at(delay, Event::Answer(at, from, said));
    }

    fn node(&self, peer: Peer) -> &Node {
        (0..self.nodes.len()).find(|n| self::peer(*n) == peer).map(|n| &self.nodes[n]).unwrap()
    }

    fn fetch(&mut self, at: usize, order: OrderId, from: Peer, span: Span) {
        let bytes = self.shape.span_bytes(span);
        let (seed, manner) = match from {
            Peer::Ledger => (true, self.ledger_manner()),
            from => (self.node(from).plan.held().is_all() && !self.node(from).fetches, self.node(from).manner),
        };
        let manner = match manner {
            Manner::BusyUntil(then) if self.now < then => Manner::Busy,
            Manner::BusyUntil(_) => Manner::Honest,
            Manner::Honest if seed && from != Peer::Ledger && self.giving.len() >= self.places => Manner::Busy,
            other => other,
        };
        if seed && from != Peer::Ledger && manner == Manner::Honest {
            self.giving.insert((at, order));
        }
        let (delay, outcome) = match manner {
            Manner::WrongBytes => (5, Outcome::WrongBytes(SliceError::WrongBytes(span.first().0))),
            Manner::Broken => (5, Outcome::Broken),
            Manner::Slow => (5_000, Outcome::Slow),
            Manner::Away => (20, Outcome::Gone),
            Manner::Boaster => (3, Outcome::NotHeld),
            Manner::Busy => (3, Outcome::Busy),
            Manner::Cuts(_) => (3, Outcome::Gone),
            Manner::BusyUntil(_) => unreachable!("one or the other by now"),
            Manner::Honest if seed => {
                self.uplink_free = self.uplink_free.max(self.now) + bytes / self.uplink;
                (self.uplink_free - self.now + 2, Outcome::Done)
            }
            Manner::Honest => (2 + bytes / 20_000, Outcome::Done),
        };
        if outcome == Outcome::Done {
            match from {
                Peer::Ledger => self.ledger_uploaded += bytes,
                from => {
                    let n = (0..self.nodes.len()).find(|n| peer(*n) == from).unwrap();
                    self.nodes[n].uploaded += bytes;
                }
            }
        }
        let delay = delay + (self.random)() % 4;
        self.at(delay, Event::End(at, order, from, span, outcome));
    }

    fn all_done(&self) -> bool {
        self.nodes.iter().filter(|node| node.fetches).all(|node| node.done_at.is_some())
    }
}

/// Two copies is the aim. What is above one: boxes that fetch the same piece at the same time, before either can say so.
const COPIES_MAX: f64 = 1.6;

#[test]
fn twenty_boxes_cost_the_publisher_less_than_two_copies() {
    for (seed, uplink, groups) in [(1, 2_000, 512), (2, 12_500, 512), (3, 500_000, 512)] {
        let mut swarm = Swarm::new(groups, seed, uplink);
        swarm.add(Manner::Honest, true);
        (0..20).for_each(|_| swarm.add(Manner::Honest, false));
        swarm.run();
        assert!(swarm.all_done());
        let copies = swarm.nodes[0].uploaded as f64 / swarm.shape.size() as f64;
        assert!(copies < COPIES_MAX, "uplink {uplink} B/ms: the publisher sent {copies:.2} copies in {} ms", swarm.now);
    }
}

#[test]
fn a_publisher_with_few_places_still_sends_less_than_two_copies_and_is_not_given_up() {
    for (seed, places, ledger) in [(11, 8, false), (12, 2, false), (13, 8, true), (14, 2, true)] {
        let mut swarm = Swarm::new(512, seed, 12_500);
        (swarm.places, swarm.ledger) = (places, ledger);
        swarm.add(Manner::Honest, true);
        (0..20).for_each(|_| swarm.add(Manner::Honest, false));
        swarm.run();
        assert!(swarm.all_done());
        assert!(swarm.nodes.iter().all(|node| node.faults.is_empty()), "to be busy is no fault");
        let sent = [swarm.nodes[0].uploaded, swarm.ledger_uploaded];
        let copies = sent.map(|bytes| bytes as f64 / swarm.shape.size() as f64);
        assert!(copies[0] + copies[1] < COPIES_MAX, "{places} places: {copies:?} copies in {} ms", swarm.now);
    }
}

#[test]
fn twenty_boxes_cost_the_ledger_less_than_two_copies() {
    let mut swarm = Swarm::new(512, 5, 12_500);
    swarm.ledger = true;
    (0..20).for_each(|_| swarm.add(Manner::Honest, false));
    swarm.run();
    assert!(swarm.all_done());
    let copies = swarm.ledger_uploaded as f64 / swarm.shape.size() as f64;
    assert!(copies < COPIES_MAX, "the ledger sent {copies:.2} copies in {} ms", swarm.now);
}

#[test]
fn the_ledger_is_left_alone_while_the_lan_has_it() {
    let mut swarm = Swarm::new(200, 6, 12_500);
    swarm.ledger = true;
    swarm.add(Manner::Honest, true);
    swarm.add(Manner::Honest, false);
    swarm.run();
    assert!(swarm.all_done());
    assert_eq!(swarm.ledger_uploaded, 0);
}

#[test]
fn a_ledger_that_answers_out_of_form_is_asked_ever_less_and_never_given_up() {
    const TEN_MINUTES: u64 = 600_000;
    for manner in [Manner::Broken, Manner::WrongBytes, Manner::Boaster] {
        let mut swarm = Swarm::new(100, 15, 12_500);
        (swarm.ledger, swarm.ledger_ails) = (true, (manner, TEN_MINUTES));
        swarm.add(Manner::Honest, false);
        swarm.run();
        let done_at = swarm.nodes[0].done_at.unwrap();
        assert!(done_at < TEN_MINUTES + 2 * LIMITS.back_off_ms.1, "{manner:?}: {done_at}");
        // A minute between two tries after the first few, and few orders a try.
        let asked = swarm.ledger_asked;
        assert!(asked < 150, "{manner:?}: asked {asked} times in ten minutes");
        assert!(swarm.nodes[0].faults.iter().all(|(of, _)| *of == Peer::Ledger), "it is named");
        assert!(!swarm.nodes[0].faults.is_empty());
    }
}

#[test]
fn boxes_that_promise_everything_and_give_nothing_do_not_keep_the_ledger_away() {
    let (busy, cuts) = (Manner::Busy, [Manner::Cuts(0), Manner::Cuts(150)]);
    for liars in [vec![busy], vec![busy; 40], cuts.to_vec(), [cuts.to_vec(), vec![busy; 3]].concat()] {
        let mut swarm = Swarm::new(300, 8, 12_500);
        swarm.ledger = true;
        liars.iter().for_each(|manner| swarm.add(*manner, false));
        swarm.add(Manner::Honest, false);
        swarm.run();
        let done_at = swarm.nodes.last().unwrap().done_at;
        assert!(done_at.is_some_and(|at| at < 60_000), "{liars:?}: {done_at:?}");
        assert_eq!(swarm.ledger_uploaded, swarm.shape.size());
    }
}

#[test]
fn a_box_that_breaks_off_whatever_it_gives_is_dropped_however_often_it_says_what_it_holds() {
    let mut swarm = Swarm::new(100, 9, 12_500);
    swarm.add(Manner::Cuts(99), false);
    swarm.add(Manner::Honest, false);
    swarm.add(Manner::BusyUntil(120_000), true);
    swarm.run();
    let node = &swarm.nodes[1];
    assert!(node.done_at.is_some());
    assert_eq!(node.faults, [(peer(0), Fault::Gone)]);
}

#[test]
fn a_box_that_was_busy_for_minutes_is_used_as_soon_as_it_has_a_place() {
    let mut swarm = Swarm::new(100, 10, 12_500);
    swarm.add(Manner::BusyUntil(300_000), true);
    swarm.add(Manner::Honest, false);
    swarm.run();
    let node = &swarm.nodes[1];
    assert!(node.done_at.is_some_and(|at| at < 300_000 + 2 * LIMITS.back_off_ms.1), "{:?}", node.done_at);
    assert!(node.faults.is_empty(), "to be busy is no fault");
    // With a slow ledger beside it, too: it is tried now and then, and then believed again.
    let mut swarm = Swarm::new(2_000, 10, 100);
    swarm.ledger = true;
    swarm.add(Manner::BusyUntil(60_000), true);
    swarm.add(Manner::Honest, false);
    swarm.run();
    assert!(swarm.all_done() && swarm.nodes[0].uploaded > swarm.shape.size() / 4, "{}", swarm.nodes[0].uploaded);
}

#[test]
fn liars_are_dropped_and_named_and_the_rest_goes_on() {
    let mut swarm = Swarm::new(300, 7, 12_500);
    swarm.ledger = true;
    for manner in [Manner::WrongBytes, Manner::Broken, Manner::Slow, Manner::Away, Manner::Boaster] {
        swarm.add(manner, false);
    }
    swarm.add(Manner::Honest, false);
    swarm.run();
    let node = swarm.nodes.last().unwrap();
    assert!(node.done_at.is_some());
    let fault = |n: usize| node.faults.iter().find(|(of, _)| *of == peer(n)).map(|(_, fault)| *fault);
    assert!(matches!(fault(0), Some(Fault::WrongBytes(_))), "{:?}", node.faults);
    assert_eq!(fault(1), Some(Fault::Broken));
    assert!(node.faults.iter().all(|(of, _)| *of != Peer::Ledger));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
        fn every_box_gets_it_as_long_as_one_honest_source_has_it(
        seed in any::<u64>(), groups in 1u64..200, boxes in 1usize..8, ledger in any::<bool>(),
        liars in prop::collection::vec(prop_oneof![Just(Manner::WrongBytes), Just(Manner::Broken), Just(Manner::Slow),
            Just(Manner::Away), Just(Manner::Boaster), Just(Manner::Busy), Just(Manner::Cuts(0))], 0..5),
    ) {
        let mut swarm = Swarm::new(groups, seed, 12_500);
        swarm.ledger = ledger;
        if !ledger {
            swarm.add(Manner::Honest, true);
        }
        liars.iter().for_each(|manner| swarm.add(*manner, false));
        (0..boxes).for_each(|_| swarm.add(Manner::Honest, false));
        swarm.run();
        prop_assert!(swarm.all_done());
        for node in &swarm.nodes {
            for (of, _) in &node.faults {
                prop_assert!(*of != Peer::Ledger && swarm.node(*of).manner != Manner::Honest, "an honest source was dropped");
            }
        }
    }
}
