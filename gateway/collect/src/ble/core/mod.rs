//! Which device is connected when, on which adapter: no I/O, no clock, no randomness of its own.
//!
//! Time comes in as milliseconds of a clock that only moves forward; jitter from a seed. [`Core::handle`] takes what happened,
//! [`Core::poll`] says what to do; every [`Action::Connect`] is answered by exactly one [`Event::Ended`].
//!
//! | module | holds |
//! | --- | --- |
//! | `backoff` | how long a device that failed is left alone |
//! | `plan` | who gets a slot, who must give one up, who waits |
//! | `words` | what the core is told and what it says |
//!
//! ```text
//!            seen, slot free                 subscribed
//!     idle ------------------> connecting ---------------> up --+ stalled, its turn is over, not enrolled any more
//!      ^                           |                        |   v
//!      +---- ended: backoff -------+------------------------+-- leaving
//! ```

mod backoff;
mod plan;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use pitchside_model::{BleAddress, DeviceId};

use backoff::Backoff;
pub use words::{Action, AdapterName, Condition, CoreConfig, End, Event, Known, Ms, Status, Why};

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    /// `probe`: nobody has seen it.
    Connecting {
        adapter: AdapterName,
        probe: bool,
    },
    Up {
        adapter: AdapterName,
        since: Ms,
        heard: Ms,
        /// It has said something.
        spoke: bool,
        streams: bool,
    },
    /// `attempt`: it was not connected yet.
    Leaving {
        adapter: AdapterName,
        why: Why,
        attempt: bool,
    },
}

impl State {
    fn adapter(&self) -> Option<&AdapterName> {
        match self {
            Self::Idle => None,
            Self::Connecting { adapter, .. } | Self::Up { adapter, .. } | Self::Leaving { adapter, .. } => {
                Some(adapter)
            }
        }
    }
}

/// The adapter that a device belongs to, by its address: names go round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Home {
    adapter: BleAddress,
    /// It holds the bond: while it is there no other adapter is of use. Else it is the one that connected last.
    bonded: bool,
}

#[derive(Debug)]
struct Device {
    version: u64,
    enrolled: bool,
    /// Its connection was made by what no longer holds.
    renew: bool,
    state: State,
    failures: u32,
    /// Its bond seemed to be lost, and it has not been connected since.
    bond_lost: bool,
    not_before: Ms,
    /// When the last connection or attempt ended.
    ended: Option<Ms>,
    /// The last attempt found nobody.
    absent: bool,
    /// Who hears it, and how loud.
    seen: BTreeMap<AdapterName, i16>,
    home: Option<Home>,
    /// Since when it could be connected.
    waiting: Option<Ms>,
    told: bool,
    probes: usize,
}

#[derive(Debug)]
struct Adapter {
    address: BleAddress,
    slots: usize,
    probe_after: Ms,
}

/// The state of all adapters and devices.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    backoff: Backoff,
    adapters: BTreeMap<AdapterName, Adapter>,
    devices: BTreeMap<DeviceId, Device>,
}

impl Core {
    /// Nothing known yet.
    pub const fn new(config: CoreConfig, seed: u64) -> Self {
        Self { config, backoff: Backoff::new(seed), adapters: BTreeMap::new(), devices: BTreeMap::new() }
    }

    /// Takes note of what happened. What names a device or adapter that is not known means nothing.
    pub fn handle(&mut self, event: Event, now: Ms) {
        match event {
            Event::Enrolled(known) => self.enrolled(&known, now),
            Event::AdapterUp { adapter, address, slots } => {
                self.adapters.insert(adapter, Adapter { address, slots, probe_after: now });
            }
            Event::AdapterDown { adapter } => {
                self.adapters.remove(&adapter);
                for device in self.devices.values_mut() {
                    device.seen.remove(&adapter);
                }
            }
            Event::Seen { adapter, device, rssi, bonded } => self.seen(adapter, &device, rssi, bonded),
            Event::Lost { adapter, device } => {
                if let Some(device) = self.devices.get_mut(&device) {
                    device.seen.remove(&adapter);
                }
            }
            Event::Ready { device, streams } => {
                let Some(device) = self.devices.get_mut(&device) else { return };
                if let State::Connecting { adapter, .. } = &device.state {
                    device.bond_lost = false;
                    if let Some(adapter) = self.adapters.get(adapter)
                        && device.home.is_none_or(|home| !home.bonded)
                    {
                        device.home = Some(Home { adapter: adapter.address, bonded: false });
                    }
                    let adapter = Arc::clone(adapter);
                    device.state = State::Up { adapter, since: now, heard: now, spoke: false, streams };
                }
            }
            Event::Heard { device } => {
                if let Some(Device { state: State::Up { heard, spoke, .. }, .. }) = self.devices.get_mut(&device) {
                    (*heard, *spoke) = (now, true);
                }
            }
            Event::Ended { device, end } => self.ended(&device, end, now),
        }
    }

    /// How everybody is doing.
    pub fn status(&self) -> Vec<Status> {
        let status = |(id, device): (&DeviceId, &Device)| Status {
            device: id.clone(),
            state: match device.state {
                State::Connecting { probe: true, .. } => Condition::Absent,
                State::Connecting { .. } => Condition::Connecting,
                State::Up { .. } => Condition::Connected,
                State::Leaving { .. } => Condition::Leaving,
                State::Idle if !device.is_within_reach(&self.adapters) => Condition::Absent,
                State::Idle if device.told => Condition::Waiting,
                State::Idle => Condition::Resting,
            },
            adapter: device.state.adapter().cloned(),
            failures: device.failures,
            bond_lost: device.bond_lost,
        };
        self.devices.iter().map(status).collect()
    }

    fn enrolled(&mut self, known: &[Known], now: Ms) {
        for device in self.devices.values_mut() {
            device.enrolled = false;
        }
        for Known { id, version, home } in known {
            let device = self.devices.entry(id.clone()).or_insert_with(|| Device::new(*version, now));
            device.enrolled = true;
            // A bond that was given up binds it to no adapter.
            device.home = match home {
                Some(adapter) => Some(Home { adapter: *adapter, bonded: true }),
                None => device.home.map(|home| Home { bonded: false, ..home }),
            };
            if device.version != *version {
                device.renew = device.state != State::Idle;
                (device.version, device.failures, device.not_before) = (*version, 0, now);
            }
        }
        self.devices.retain(|_, device| device.enrolled || device.state != State::Idle);
    }

    fn seen(&mut self, adapter: AdapterName, device: &DeviceId, rssi: i16, bonded: bool) {
        let (Some(device), Some(by)) = (self.devices.get_mut(device), self.adapters.get(&adapter)) else { return };
        if bonded && device.home.is_none_or(|home| !home.bonded) {
            device.home = Some(Home { adapter: by.address, bonded: true });
        }
        let was_within_reach = device.is_within_reach(&self.adapters);
        // An attempt made blindly turns out to be at somebody who is there: it no longer makes way, least of all while pairing.
        if let State::Connecting { adapter: on, probe } = &mut device.state
            && *on == adapter
        {
            *probe = false;
        }
        device.seen.insert(adapter, rssi);
        // It is back: no need to sit out a pause it got for being away.
        if device.absent
            && !was_within_reach
            && device.is_within_reach(&self.adapters)
            && let Some(ended) = device.ended
        {
            device.not_before = device.not_before.min(ended.saturating_add(self.config.backoff_min_ms));
        }
    }

    fn ended(&mut self, id: &DeviceId, end: End, now: Ms) {
        let Some(device) = self.devices.get_mut(id) else { return };
        let state = std::mem::replace(&mut device.state, State::Idle);
        if !device.enrolled {
            self.devices.remove(id);
            return;
        }
        if state == State::Idle {
            return;
        }
        if matches!(&state, State::Up { since, .. } if now.saturating_sub(*since) >= self.config.steady_ms) {
            device.failures = 0;
        }
        device.ended = Some(now);
        device.renew = false;
        device.absent = end == End::Unreachable;
        device.bond_lost |= end == End::BondLost;
        device.waiting = None;
        match (end, state) {
            (End::Asked, State::Leaving { why: Why::TurnOver | Why::MakesWay | Why::Unenrolled, .. }) => {
                device.not_before = now.saturating_add(self.config.backoff_min_ms);
                return;
            }
            // Medical sensors connect, say what they have measured and hang up: that is no failure, however short it was. A stream
            // that ends at once is one.
            (End::LinkLost, State::Up { spoke: true, streams: false, .. }) => {
                device.failures = 0;
                device.not_before = now.saturating_add(self.config.backoff_min_ms);
                return;
            }
            (End::Unreachable, _) => device.seen.clear(),
            (End::Refused, _) => device.failures = device.failures.max(backoff::REFUSED_AS),
            (End::LinkLost | End::Failed | End::BondLost | End::Asked, _) => {}
        }
        device.failures = device.failures.saturating_add(1);
        device.not_before = now.saturating_add(self.backoff.pause(&self.config, device.failures));
    }
}

impl Device {
    fn new(version: u64, now: Ms) -> Self {
        Self {
            version,
            enrolled: true,
            renew: false,
            state: State::Idle,
            failures: 0,
            bond_lost: false,
            not_before: now,
            ended: None,
            absent: false,
            seen: BTreeMap::new(),
            home: None,
            waiting: None,
            told: false,
            probes: 0,
        }
    }
}
