//! A small world: devices that come, go, fail and stall, and a radio that does what the core says, a little later.

use super::*;
use proptest::prelude::*;

const STEP: Ms = 200;

fn name(at: usize) -> DeviceId {
    DeviceId::parse(&format!("strap-{at:02}")).unwrap()
}

fn known(at: usize, version: u64) -> Known {
    Known { id: name(at), version, home: None }
}

/// The address of the adapter that is plugged in as this one.
fn own(at: usize) -> BleAddress {
    BleAddress([0xC0, 0, 0, 0, 0, u8::try_from(at).unwrap()])
}

/// How a device behaves when it is connected.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Nature {
    Good,
    /// Never answers an attempt, though it advertises.
    Deaf,
    /// Fails at once, whatever is tried.
    Broken,
    /// Connects and says nothing.
    Silent,
    /// Connects, and drops the link a second later.
    Fickle,
    /// Connects, says what it has measured, and hangs up.
    Visitor,
    /// A stream: connects, speaks, and drops the link a second later.
    Flapping,
}

struct World {
    core: Core,
    now: Ms,
    slots: Vec<(AdapterName, usize)>,
    natures: Vec<Nature>,
    /// What comes next for a device: at, event.
    due: Vec<(Ms, Event)>,
    /// Per device: attempts (begun), and when it was up.
    attempts: Vec<Vec<Ms>>,
    up: Vec<bool>,
    turns: Vec<usize>,
    attempting: Vec<Option<AdapterName>>,
    on: Vec<Option<AdapterName>>,
    /// The adapter that holds a device's bond: no other may try it.
    bonds: Vec<Option<AdapterName>>,
    waits: usize,
    stalls: usize,
}

impl World {
    fn new(slots: &[usize], natures: &[Nature], seed: u64) -> Self {
        let slots: Vec<(AdapterName, usize)> =
            slots.iter().enumerate().map(|(at, slots)| (AdapterName::from(format!("hci{at}")), *slots)).collect();
        let mut core = Core::new(CoreConfig::default(), seed);
        for (at, (adapter, slots)) in slots.iter().enumerate() {
            core.handle(Event::AdapterUp { adapter: Arc::clone(adapter), address: own(at), slots: *slots }, 0);
        }
        let known = (0..natures.len()).map(|at| known(at, 0)).collect();
        core.handle(Event::Enrolled(known), 0);
        let count = natures.len();
        Self {
            core,
            now: 0,
            slots,
            natures: natures.to_vec(),
            due: Vec::new(),
            attempts: vec![Vec::new(); count],
            up: vec![false; count],
            turns: vec![0; count],
            attempting: vec![None; count],
            on: vec![None; count],
            bonds: vec![None; count],
            waits: 0,
            stalls: 0,
        }
    }

    fn see_all(&mut self) {
        for (adapter, _) in self.slots.clone() {
            for at in 0..self.natures.len() {
                self.see(&adapter, at);
            }
        }
    }

    fn see(&mut self, adapter: &AdapterName, at: usize) {
        let bonded = self.bonds[at].as_ref() == Some(adapter);
        let seen = Event::Seen { adapter: Arc::clone(adapter), device: name(at), rssi: -60, bonded };
        self.core.handle(seen, self.now);
    }

    fn at(&self, id: &DeviceId) -> usize {
        (0..self.natures.len()).find(|at| name(*at) == *id).unwrap()
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Ready { device, .. } => {
                let at = self.at(device);
                self.attempting[at] = None;
                (self.up[at], self.turns[at]) = (true, self.turns[at] + 1);
            }
            Event::Ended { device, .. } => {
                let at = self.at(device);
                (self.attempting[at], self.up[at], self.on[at]) = (None, false, None);
                let gone = device.clone();
                self.due.retain(|(_, due)| {
                    !matches!(due, Event::Ready { device, .. } | Event::Heard { device } | Event::Ended { device, .. } if *device == gone)
                });
            }
            _ => {}
        }
        self.core.handle(event, self.now);
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        while let Some(next) = self.due.iter().position(|(at, _)| *at <= now) {
            let (_, event) = self.due.remove(next);
            self.happen(event);
        }
        for at in 0..self.natures.len() {
            if self.up[at] && self.natures[at] == Nature::Good && now.is_multiple_of(1_000) {
                self.core.handle(Event::Heard { device: name(at) }, now);
            }
        }
        for action in self.core.poll(now) {
            self.obey(action);
        }
        self.check();
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Connect { adapter, device } => {
                let at = self.at(&device);
                assert!(self.on[at].is_none(), "connected twice");
                if let Some(home) = &self.bonds[at] {
                    assert_eq!(*home, adapter, "its bond is elsewhere");
                }
                self.attempts[at].push(self.now);
                (self.attempting[at], self.on[at]) = (Some(Arc::clone(&adapter)), Some(adapter));
                let up = |after: Ms, streams| (self.now + after, Event::Ready { device: device.clone(), streams });
                let ready = |after| up(after, true);
                let heard = |after| (self.now + after, Event::Heard { device: device.clone() });
                let ended = |after, end| (self.now + after, Event::Ended { device: device.clone(), end });
                match self.natures[at] {
                    Nature::Good | Nature::Silent => self.due.push(ready(400)),
                    Nature::Deaf => self.due.push(ended(10_000, End::Unreachable)),
                    Nature::Broken => self.due.push(ended(STEP, End::Failed)),
                    Nature::Fickle => self.due.extend([ready(400), ended(1_400, End::LinkLost)]),
                    Nature::Visitor => self.due.extend([up(400, false), heard(800), ended(1_400, End::LinkLost)]),
                    Nature::Flapping => self.due.extend([ready(400), heard(800), ended(1_400, End::LinkLost)]),
                }
            }
            Action::Disconnect { device, why } => {
                self.stalls += usize::from(why == Why::Stalled);
                self.due.push((self.now + STEP, Event::Ended { device, end: End::Asked }));
            }
            Action::Waits { .. } => self.waits += 1,
        }
    }

    fn check(&self) {
        for (adapter, slots) in &self.slots {
            let used = self.on.iter().flatten().filter(|on| *on == adapter).count();
            assert!(used <= *slots, "{used} connections on {slots} slots");
            let attempts = self.attempting.iter().flatten().filter(|on| *on == adapter).count();
            assert!(attempts <= 1, "{attempts} attempts at once");
        }
    }

    fn run(&mut self, for_ms: Ms) {
        for _ in 0..for_ms / STEP {
            if self.now.is_multiple_of(1_000) {
                self.see_all();
            }
            self.step();
        }
    }
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        4 => Just(Nature::Good),
        1 => Just(Nature::Deaf),
        1 => Just(Nature::Broken),
        1 => Just(Nature::Silent),
        1 => Just(Nature::Fickle),
        1 => Just(Nature::Visitor),
        1 => Just(Nature::Flapping)
    ]
}

#[test]
fn a_strap_in_range_is_connected_at_once_and_stays() {
    let mut world = World::new(&[4], &[Nature::Good], 1);
    world.run(120_000);
    assert_eq!((world.attempts[0].len(), world.turns[0], world.stalls), (1, 1, 0));
    assert!(world.attempts[0][0] <= 200);
}

#[test]
fn a_silent_stream_is_taken_down_and_tried_again_ever_more_seldom() {
    let mut world = World::new(&[4], &[Nature::Silent], 1);
    world.run(600_000);
    let attempts = &world.attempts[0];
    assert!(world.stalls >= 6, "{}", world.stalls);
    let gaps: Vec<Ms> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[5] > gaps[0] + 10_000, "{gaps:?}");
}

#[test]
fn a_sensor_that_says_what_it_has_and_hangs_up_is_connected_again_as_soon_as_it_is_there() {
    let mut world = World::new(&[1], &[Nature::Visitor, Nature::Fickle], 1);
    world.run(120_000);
    let gaps: Vec<Ms> = world.attempts[0].windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Up for 1.4 s and left alone for half a second; the other one may be in the way for as long.
    assert!(gaps.len() >= 30 && gaps.iter().all(|gap| *gap <= 4_000), "{gaps:?}");
    assert_eq!(world.core.status()[0].failures, 0);
    assert!(world.attempts[1].len() <= 12, "whoever says nothing is left alone ever longer: {:?}", world.attempts[1]);
}

#[test]
fn a_strap_that_speaks_and_drops_its_link_again_and_again_is_left_alone_ever_longer() {
    let mut world = World::new(&[1], &[Nature::Flapping], 1);
    world.run(120_000);
    assert!(world.attempts[0].len() <= 12, "{:?}", world.attempts[0]);
    assert!(world.core.status()[0].failures >= 5);
}

#[test]
fn more_straps_than_slots_take_turns_and_those_who_wait_are_named() {
    let mut world = World::new(&[2], &[Nature::Good; 6], 7);
    world.run(60_000 * 8);
    assert!(world.waits >= 4);
    assert!(world.turns.iter().all(|turns| *turns >= 2), "{:?}", world.turns);
    let (least, most) = (world.turns.iter().min().unwrap(), world.turns.iter().max().unwrap());
    assert!(most - least <= 1, "{:?}", world.turns);
}

#[test]
fn a_strap_that_comes_back_is_not_made_to_sit_out_its_pause() {
    let mut world = World::new(&[4], &[Nature::Deaf], 3);
    world.run(300_000);
    // Out of range: nobody sees it, and the pause is long by now.
    while world.on[0].is_some() {
        world.step();
    }
    world.core.handle(Event::Lost { adapter: Arc::clone(&world.slots[0].0), device: name(0) }, world.now);
    world.natures[0] = Nature::Good;
    world.run(2_000);
    assert!(world.up[0]);
}

#[test]
fn a_refused_device_is_left_alone_for_long() {
    let mut core = Core::new(CoreConfig::default(), 1);
    let adapter = AdapterName::from("hci0");
    core.handle(Event::AdapterUp { adapter: Arc::clone(&adapter), address: own(0), slots: 1 }, 0);
    core.handle(Event::Enrolled(vec![known(0, 0)]), 0);
    core.handle(Event::Seen { adapter: Arc::clone(&adapter), device: name(0), rssi: -50, bonded: false }, 0);
    assert_eq!(core.poll(0).len(), 1);
    core.handle(Event::Ended { device: name(0), end: End::Refused }, 100);
    core.handle(Event::Seen { adapter, device: name(0), rssi: -50, bonded: false }, 200);
    assert!((200..10_000).step_by(100).all(|now| core.poll(now).is_empty()));
}

#[test]
fn a_device_without_its_bond_is_named_until_it_is_connected_again() {
    let mut core = Core::new(CoreConfig::default(), 1);
    let adapter = AdapterName::from("hci0");
    let seen = || Event::Seen { adapter: Arc::clone(&adapter), device: name(0), rssi: -50, bonded: true };
    core.handle(Event::AdapterUp { adapter: Arc::clone(&adapter), address: own(0), slots: 1 }, 0);
    core.handle(Event::Enrolled(vec![known(0, 0)]), 0);
    core.handle(seen(), 0);
    assert_eq!(core.poll(0).len(), 1);
    assert!(!core.status()[0].bond_lost);
    core.handle(Event::Ended { device: name(0), end: End::BondLost }, 100);
    assert!(core.status()[0].bond_lost);
    // Out of reach for once: nothing is known to be better.
    assert_eq!(core.poll(60_000).len(), 1);
    core.handle(Event::Ended { device: name(0), end: End::Unreachable }, 70_000);
    assert!(core.status()[0].bond_lost);
    core.handle(seen(), 140_000);
    assert_eq!(core.poll(140_000).len(), 1);
    core.handle(Event::Ready { device: name(0), streams: false }, 141_000);
    assert!(!core.status()[0].bond_lost);
}

#[test]
fn a_vanished_adapter_hands_its_devices_to_another_and_the_bond_draws_them_back() {
    let mut world = World::new(&[4, 4], &[Nature::Good], 5);
    world.run(30_000);
    let home = world.on[0].clone().unwrap();
    world.core.handle(Event::AdapterDown { adapter: Arc::clone(&home) }, world.now);
    world.happen(Event::Ended { device: name(0), end: End::LinkLost });
    let kept = world.slots.clone();
    world.slots.retain(|(adapter, _)| *adapter != home);
    world.run(30_000);
    assert!(world.up[0]);
    assert_ne!(world.on[0], Some(home));
    world.slots = kept;
}

#[test]
fn a_bonded_sensor_that_another_adapter_hears_first_is_connected_by_its_own() {
    let mut world = World::new(&[4, 4], &[Nature::Good, Nature::Good], 5);
    let [first, second] = [0, 1].map(|at| Arc::clone(&world.slots[at].0));
    // It bonds where it is heard first, which no advertisement has told yet.
    world.see(&second, 0);
    while !world.up[0] {
        world.step();
    }
    world.bonds[0] = Some(Arc::clone(&second));
    world.core.handle(Event::Enrolled(vec![Known { home: Some(own(1)), ..known(0, 0) }, known(1, 0)]), world.now);
    for _ in 0..10 {
        // Its wearer leaves, and comes back where the other adapter hears it first and for long.
        for adapter in [&first, &second] {
            world.core.handle(Event::Lost { adapter: Arc::clone(adapter), device: name(0) }, world.now);
        }
        world.happen(Event::Ended { device: name(0), end: End::LinkLost });
        for _ in 0..50 {
            world.see(&first, 0);
            world.step();
        }
        world.see(&second, 0);
        world.run(61_000);
        assert!(world.up[0]);
    }
    assert!(world.up[1], "one without a bond goes where it is heard");
}

#[test]
fn what_an_adapter_says_of_its_bond_counts_more_than_where_a_sensor_was_last() {
    let mut core = Core::new(CoreConfig::default(), 1);
    let [first, second] = ["hci0", "hci1"].map(AdapterName::from);
    let up = |adapter: &AdapterName, at| Event::AdapterUp { adapter: Arc::clone(adapter), address: own(at), slots: 1 };
    let seen = |adapter: &AdapterName, bonded| Event::Seen {
        adapter: Arc::clone(adapter),
        device: name(0),
        rssi: -50,
        bonded,
    };
    core.handle(Event::Enrolled(vec![known(0, 0)]), 0);
    core.handle(up(&first, 0), 0);
    core.handle(seen(&first, false), 0);
    assert_eq!(core.poll(0), [Action::Connect { adapter: Arc::clone(&first), device: name(0) }]);
    core.handle(Event::Ready { device: name(0), streams: true }, 100);
    core.handle(up(&second, 1), 200);
    core.handle(Event::Ended { device: name(0), end: End::LinkLost }, 300);
    core.handle(seen(&second, true), 400);
    core.handle(seen(&first, false), 400);
    assert_eq!(core.poll(10_000), [Action::Connect { adapter: second, device: name(0) }]);
}

#[test]
fn a_bond_is_with_an_adapter_whatever_that_is_called_today() {
    let mut core = Core::new(CoreConfig::default(), 1);
    let [first, second] = ["hci0", "hci1"].map(AdapterName::from);
    core.handle(Event::Enrolled(vec![Known { home: Some(own(7)), ..known(0, 0) }]), 0);
    let seen =
        |adapter: &AdapterName| Event::Seen { adapter: Arc::clone(adapter), device: name(0), rssi: -50, bonded: false };
    let up = |adapter: &AdapterName, at| Event::AdapterUp { adapter: Arc::clone(adapter), address: own(at), slots: 1 };
    let connect = |adapter: &AdapterName| [Action::Connect { adapter: Arc::clone(adapter), device: name(0) }];
    // A moment after the start, before the other is there: whether that is right the radio knows.
    core.handle(up(&first, 3), 0);
    core.handle(seen(&first), 0);
    assert_eq!(core.poll(0), connect(&first));
    core.handle(Event::Ended { device: name(0), end: End::Unreachable }, 0);
    core.handle(up(&second, 7), 0);
    core.handle(seen(&first), 1_000);
    core.handle(seen(&second), 1_000);
    assert_eq!(core.poll(1_000), connect(&second));
    core.handle(Event::Ended { device: name(0), end: End::LinkLost }, 2_000);
    // Both are pulled and put back the other way round.
    for adapter in [&first, &second] {
        core.handle(Event::AdapterDown { adapter: Arc::clone(adapter) }, 2_000);
    }
    core.handle(up(&first, 7), 60_000);
    core.handle(up(&second, 3), 60_000);
    core.handle(seen(&second), 60_000);
    core.handle(seen(&first), 60_000);
    assert_eq!(core.poll(60_000), connect(&first));
    core.handle(Event::Ended { device: name(0), end: End::LinkLost }, 61_000);
    // Its bond is given up: wherever it is heard.
    core.handle(Event::Lost { adapter: Arc::clone(&first), device: name(0) }, 61_000);
    core.handle(Event::Enrolled(vec![known(0, 0)]), 61_000);
    assert_eq!(core.poll(120_000), connect(&second));
}

#[test]
fn whoever_is_no_longer_enrolled_is_taken_down_and_forgotten() {
    let mut world = World::new(&[4], &[Nature::Good; 2], 5);
    world.run(10_000);
    world.core.handle(Event::Enrolled(vec![known(1, 0)]), world.now);
    world.run(2_000);
    assert_eq!(world.up, [false, true]);
    assert_eq!(world.core.status().len(), 1);
    world.core.handle(Event::Enrolled(vec![known(1, 1)]), world.now);
    world.run(3_000);
    assert_eq!((world.up[1], world.turns[1]), (true, 2), "connected anew under its new enrolment");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn slots_are_never_exceeded_everybody_good_gets_a_turn_and_nobody_storms(
        slots in prop::collection::vec(1usize..5, 1..4),
        natures in prop::collection::vec(nature(), 1..14),
        seed: u64,
    ) {
        let mut world = World::new(&slots, &natures, seed);
        let minutes = 40;
        world.run(60_000 * minutes);
        for (at, nature) in natures.iter().enumerate() {
            if *nature == Nature::Good {
                prop_assert!(world.turns[at] >= 1, "{} of {:?} had no turn", at, natures);
            }
            let pauses: Vec<Ms> = world.attempts[at].windows(2).map(|pair| pair[1] - pair[0]).collect();
            prop_assert!(pauses.iter().all(|pause| *pause >= 375), "{:?}", pauses);
            if matches!(nature, Nature::Broken | Nature::Fickle | Nature::Flapping) {
                // Doubling from half a second to a minute: eight quick ones, then a few a minute at most.
                prop_assert!(world.attempts[at].len() as u64 <= 10 + minutes * 2, "{}", world.attempts[at].len());
            }
        }
    }

    #[test]
    fn no_order_of_events_breaks_the_slots_or_makes_a_second_attempt(
        events in prop::collection::vec((0usize..10, 0usize..4, 0usize..2, 0u64..5_000), 0..400),
    ) {
        let mut core = Core::new(CoreConfig::default(), 9);
        let adapters = [AdapterName::from("hci0"), AdapterName::from("hci1")];
        let (mut now, mut on) = (0, [None::<usize>, None, None, None]);
        let mut up = [false; 2];
        for (kind, device, adapter, later) in events {
            now += later;
            let (id, radio) = (name(device), Arc::clone(&adapters[adapter]));
            match kind {
                0 => core.handle(Event::Enrolled((0..=device).map(|at| known(at, later % 2)).collect()), now),
                1 => { up[adapter] = true; core.handle(Event::AdapterUp { adapter: radio, address: own(adapter), slots: 2 }, now) }
                2 => { up[adapter] = false; core.handle(Event::AdapterDown { adapter: radio }, now) }
                3 | 4 => core.handle(Event::Seen { adapter: radio, device: id, rssi: -40, bonded: later % 2 == 0 }, now),
                5 => core.handle(Event::Lost { adapter: radio, device: id }, now),
                6 => core.handle(Event::Ready { device: id, streams: later % 2 == 0 }, now),
                7 => core.handle(Event::Heard { device: id }, now),
                _ => {
                    let end = [End::Unreachable, End::LinkLost, End::Failed, End::Refused, End::Asked, End::BondLost][later as usize % 6];
                    on[device] = None;
                    core.handle(Event::Ended { device: id, end }, now);
                }
            }
            for action in core.poll(now) {
                if let Action::Connect { adapter, device } = action {
                    let at = (0..4).find(|at| name(*at) == device).unwrap();
                    let place = adapters.iter().position(|known| *known == adapter).unwrap();
                    prop_assert!(on[at].is_none() && up[place]);
                    on[at] = Some(place);
                    prop_assert!(on.iter().flatten().filter(|used| **used == place).count() <= 2);
                }
            }
        }
    }
}

#[test]
fn a_blind_attempt_that_is_heard_of_no_longer_makes_way() {
    let mut world = World::new(&[6], &[Nature::Good, Nature::Good], 1);
    let adapter = AdapterName::from("hci0");
    let blind = world.core.poll(0);
    assert!(matches!(&blind[..], [Action::Connect { device, .. }] if *device == name(0)), "{blind:?}");
    let seen = |at: usize| Event::Seen { adapter: Arc::clone(&adapter), device: name(at), rssi: -60, bonded: false };
    // It answers, and pairs for as long as somebody takes to read its code off: whoever else comes waits.
    world.core.handle(seen(0), 100);
    world.core.handle(seen(1), 200);
    assert_eq!(world.core.poll(30_000), []);
    world.core.handle(Event::Ready { device: name(0), streams: true }, 31_000);
    assert!(matches!(&world.core.poll(31_000)[..], [Action::Connect { device, .. }] if *device == name(1)));
}
