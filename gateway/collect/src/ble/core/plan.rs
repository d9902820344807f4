//! Who gets a slot, who must give one up, who waits.
//!
//! Those in range come first, in the order in which they became ready, one attempt an adapter at a time. When every slot is taken the device
//! that has been connected longest, and at least for a turn, makes room. What is left over goes to devices nobody has seen: hosts
//! do not report every advertisement.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use pitchside_model::DeviceId;

use super::{Action, Adapter, AdapterName, Core, Device, Home, Ms, State, Why};

/// The most turns a device that failed often waits before another makes room for it.
const PATIENCE_TURNS_MAX: u32 = 10;

/// What one adapter is doing.
#[derive(Debug, Default, Clone)]
struct Load {
    used: usize,
    slots: usize,
    connecting: bool,
    leaving: usize,
    probing: Option<DeviceId>,
}

impl Core {
    /// What to do now. To be asked after every event and a few times a second.
    pub fn poll(&mut self, now: Ms) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take_down(now, &mut actions);
        let mut loads = self.loads();
        let mut full: BTreeMap<AdapterName, Vec<DeviceId>> = BTreeMap::new();
        for id in self.candidates(now) {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            let within = device.within_reach(&self.adapters);
            let free = |adapter: &&AdapterName| loads.get(*adapter).is_some_and(|load| load.used < load.slots);
            let (open, taken): (Vec<_>, Vec<_>) = within.iter().partition(|adapter| free(adapter));
            if let Some(adapter) = open.iter().find(|adapter| loads.get(**adapter).is_some_and(|load| !load.connecting))
            {
                let load = loads.entry(Arc::clone(adapter)).or_default();
                (load.used, load.connecting) = (load.used + 1, true);
                device.connect(adapter, false);
                actions.push(Action::Connect { adapter: Arc::clone(adapter), device: id });
            } else if let Some(adapter) = open.first() {
                make_way(&mut self.devices, &mut loads, adapter, &mut actions);
            } else if let Some(adapter) = taken.first() {
                full.entry(Arc::clone(adapter)).or_default().push(id);
            }
        }
        for (adapter, waiting) in full {
            self.rotate(&adapter, &waiting, &mut loads, now, &mut actions);
        }
        self.probe(&mut loads, now, &mut actions);
        actions
    }

    /// Disconnects whoever stalls and whoever is no longer enrolled.
    fn take_down(&mut self, now: Ms, actions: &mut Vec<Action>) {
        for (id, device) in &mut self.devices {
            let why = match &device.state {
                State::Connecting { .. } | State::Up { .. } if !device.enrolled || device.renew => Why::Unenrolled,
                State::Up { heard, streams: true, .. } if now.saturating_sub(*heard) > self.config.stall_ms => {
                    Why::Stalled
                }
                _ => continue,
            };
            actions.extend(device.leave(id, why));
        }
    }

    fn loads(&self) -> BTreeMap<AdapterName, Load> {
        let fresh = |(name, adapter): (&AdapterName, &Adapter)| {
            (Arc::clone(name), Load { slots: adapter.slots, ..Load::default() })
        };
        let mut loads: BTreeMap<AdapterName, Load> = self.adapters.iter().map(fresh).collect();
        for (id, device) in &self.devices {
            let Some(load) = device.state.adapter().and_then(|adapter| loads.get_mut(adapter)) else { continue };
            load.used += 1;
            match &device.state {
                State::Connecting { probe, .. } => {
                    load.connecting = true;
                    load.probing = Some(id.clone()).filter(|_| *probe);
                }
                State::Leaving { attempt, .. } => {
                    load.leaving += 1;
                    load.connecting |= attempt;
                }
                State::Idle | State::Up { .. } => {}
            }
        }
        loads
    }

    /// Those that could be connected, longest waiting first.
    fn candidates(&mut self, now: Ms) -> Vec<DeviceId> {
        let mut ready = Vec::new();
        for (id, device) in &mut self.devices {
            let is_ready = device.state == State::Idle
                && device.enrolled
                && now >= device.not_before
                && device.is_within_reach(&self.adapters);
            if !is_ready {
                (device.waiting, device.told) = (None, false);
                continue;
            }
            ready.push((*device.waiting.get_or_insert(now), id.clone()));
        }
        ready.sort();
        ready.into_iter().map(|(_, id)| id).collect()
    }

    /// Asks as many devices to leave as wait, if their turn is over; says who waits, once.
    fn rotate(
        &mut self,
        adapter: &AdapterName,
        waiting: &[DeviceId],
        loads: &mut BTreeMap<AdapterName, Load>,
        now: Ms,
        actions: &mut Vec<Action>,
    ) {
        for id in waiting {
            let Some(device) = self.devices.get_mut(id).filter(|device| !device.told) else { continue };
            device.told = true;
            actions.push(Action::Waits { device: id.clone(), waiting: waiting.len() });
        }
        let mut longest: Vec<(Ms, DeviceId)> = self
            .devices
            .iter()
            .filter_map(|(id, device)| match &device.state {
                State::Up { adapter: on, since, .. } if on == adapter => Some((*since, id.clone())),
                _ => None,
            })
            .filter(|(since, _)| now.saturating_sub(*since) >= self.config.turn_ms)
            .collect();
        longest.sort();
        let leaving = loads.get(adapter).map_or(0, |load| load.leaving);
        // Whoever failed often waits longer before another must go for it: somebody may be playing its advertisements.
        let patient = |id: &&DeviceId| {
            let device = self.devices.get(*id);
            let since = device.and_then(|device| device.waiting).unwrap_or(now);
            let turns = device.map_or(0, |device| device.failures.min(PATIENCE_TURNS_MAX));
            now.saturating_sub(since) >= self.config.turn_ms.saturating_mul(u64::from(turns))
        };
        let wanted = waiting.iter().filter(patient).count();
        for (_, id) in longest.into_iter().take(wanted.saturating_sub(leaving)) {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            actions.extend(device.leave(&id, Why::TurnOver));
        }
        // A probe holds a slot, too.
        if leaving == 0 {
            make_way(&mut self.devices, loads, adapter, actions);
        }
    }

    /// Tries a device that no adapter which may connect it has seen, where nobody else wants the adapter.
    fn probe(&mut self, loads: &mut BTreeMap<AdapterName, Load>, now: Ms, actions: &mut Vec<Action>) {
        let mut unseen: Vec<(Option<Ms>, DeviceId)> = self
            .devices
            .iter()
            .filter(|(_, device)| device.state == State::Idle && device.enrolled && now >= device.not_before)
            .filter(|(_, device)| !device.is_within_reach(&self.adapters))
            .map(|(id, device)| (device.ended, id.clone()))
            .collect();
        unseen.sort();
        for (_, id) in unseen {
            let Some(device) = self.devices.get_mut(&id) else { continue };
            let home = device.at_home(&self.adapters).map(|(name, _)| name);
            let Some(adapter) = home.or_else(|| loads.keys().nth(device.probes % loads.len().max(1))).cloned() else {
                return;
            };
            let due = self.adapters.get(&adapter).is_some_and(|adapter| now >= adapter.probe_after);
            let Some(load) = loads.get_mut(&adapter).filter(|load| due && !load.connecting && load.used < load.slots)
            else {
                continue;
            };
            (load.used, load.connecting) = (load.used + 1, true);
            device.probes = device.probes.wrapping_add(1);
            device.connect(&adapter, true);
            if let Some(state) = self.adapters.get_mut(&adapter) {
                state.probe_after = now.saturating_add(self.config.probe_every_ms);
            }
            actions.push(Action::Connect { adapter, device: id });
        }
    }
}

impl Device {
    /// Where it belongs, by the name that adapter has now, if it is there.
    fn at_home<'a>(&self, adapters: &'a BTreeMap<AdapterName, Adapter>) -> Option<(&'a AdapterName, Home)> {
        let home = self.home?;
        let (name, _) = adapters.iter().find(|(_, adapter)| adapter.address == home.adapter)?;
        Some((name, home))
    }

    /// Whether an adapter that may connect it hears it.
    pub(super) fn is_within_reach(&self, adapters: &BTreeMap<AdapterName, Adapter>) -> bool {
        !self.within_reach(adapters).is_empty()
    }

    /// The adapters to try, best first: the one that holds the bond, and no other while that is there; else the one it was on, while
    /// that hears it; else the loudest.
    fn within_reach(&self, adapters: &BTreeMap<AdapterName, Adapter>) -> Vec<AdapterName> {
        if let Some((name, home)) = self.at_home(adapters) {
            if self.seen.contains_key(name) {
                return vec![Arc::clone(name)];
            }
            if home.bonded {
                return Vec::new();
            }
        }
        let mut heard: Vec<(Reverse<i16>, &AdapterName)> = self
            .seen
            .iter()
            .filter(|(name, _)| adapters.contains_key(*name))
            .map(|(name, rssi)| (Reverse(*rssi), name))
            .collect();
        heard.sort();
        heard.into_iter().map(|(_, name)| Arc::clone(name)).collect()
    }

    fn connect(&mut self, adapter: &AdapterName, probe: bool) {
        self.state = State::Connecting { adapter: Arc::clone(adapter), probe };
        (self.waiting, self.told) = (None, false);
    }

    fn leave(&mut self, id: &DeviceId, why: Why) -> Option<Action> {
        let adapter = Arc::clone(self.state.adapter()?);
        self.state = State::Leaving { adapter, why, attempt: matches!(self.state, State::Connecting { .. }) };
        Some(Action::Disconnect { device: id.clone(), why })
    }
}

/// An attempt at a device nobody has seen makes way.
fn make_way(
    devices: &mut BTreeMap<DeviceId, Device>,
    loads: &mut BTreeMap<AdapterName, Load>,
    adapter: &AdapterName,
    actions: &mut Vec<Action>,
) {
    let probing = loads.get_mut(adapter).and_then(|load| load.probing.take());
    if let Some(id) = probing
        && let Some(device) = devices.get_mut(&id)
    {
        actions.extend(device.leave(&id, Why::MakesWay));
    }
}
