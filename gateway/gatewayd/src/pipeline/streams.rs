//! When every stream spoke last: the source of silence gaps and of clock offsets. Pure: time is passed in, the clock on the
//! wall for what is recorded and the time that only passes for how long a stream has been silent.

use std::collections::HashMap;
use std::time::Duration;

use pitchside_admin::stale_after;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Gap, GapReason, Quality, Quantity, Reading, Timestamp, Unit, Value,
};

use super::roster::Row;

/// More streams than any clinic has; beyond it new ones get no tile and no silence gap, which the log says once.
const STREAMS_MAX: usize = 65_536;
/// An interval that is only supposed, for the gateway was down or the stream was silent in it, is no longer than this.
const SUPPOSED_INTERVAL_MAX: i64 = 600_000_000;
/// A stream is silent after so many of its usual intervals, but never sooner than the configured time.
const INTERVALS_TO_SILENCE: i64 = 8;
/// The same while its interval is only supposed.
const SUPPOSED_TO_SILENCE: i64 = 2;
/// How many intervals the usual one is the mean of, about.
const INTERVALS_AVERAGED: i64 = 8;

/// One stream's last word.
#[derive(Debug)]
struct Last {
    /// What is measured.
    quantity: Quantity,
    /// Whose it is.
    athlete: Option<AthleteId>,
    /// Its unit.
    unit: Unit,
    /// By the device's clock.
    device_time: Timestamp,
    /// Whether that is in the future, as a flag.
    ahead: Quality,
    /// By the gateway's uptime.
    heard: Duration,
    /// Microseconds it had been silent before `heard`: what the gateway was down.
    before: i64,
    /// By ours; only to tell the interval of what was recorded before the gateway was started.
    gateway_time: Timestamp,
    /// How sure we are who sent it.
    assurance: Assurance,
    /// Why there is no value, if the last word was a gap.
    gap: Option<GapReason>,
    /// The last word was the first, or came after a gap.
    alone: bool,
    /// Usual microseconds between words (moving average); 0 if not known.
    interval: i64,
    /// Of how many intervals, at most [`INTERVALS_AVERAGED`]; 0 if it is only supposed.
    averaged: i64,
}

#[derive(Debug, Default)]
struct Device {
    streams: Vec<Last>,
    /// The clock offset of this connection has been recorded.
    offset_known: bool,
}

/// A reading the gateway makes itself, and about which device.
#[derive(Debug, Clone, PartialEq)]
pub struct Noticed {
    /// The device it is about.
    pub device: DeviceId,
    /// The athlete who wore it.
    pub athlete: Option<AthleteId>,
    /// How sure we were of the stream.
    pub assurance: Assurance,
    /// The gap or clock offset.
    pub reading: Reading,
}

/// The table of all streams.
#[derive(Debug, Default)]
pub struct Streams {
    devices: HashMap<DeviceId, Device>,
    count: usize,
    refused: u64,
}

impl Streams {
    /// Takes up an entry from before the gateway was started. Every stream that lived then is waited for anew, from
    /// `uptime` on; its silence, if it does not come back, began with its last word.
    pub fn recall(&mut self, entry: &Entry, uptime: Duration, now: Timestamp) {
        let _ = self.observe(entry, uptime);
        let Some(device) = self.devices.get_mut(entry.device.as_str()) else { return };
        device.offset_known = false;
        for reading in &entry.readings {
            if let Some(last) = device.streams.iter_mut().find(|last| last.quantity == reading.quantity) {
                last.before = now.micros_since(last.gateway_time).max(0);
            }
        }
    }

    /// Takes note of an entry; returns the connection's clock offset if this is its first timed reading.
    pub fn observe(&mut self, entry: &Entry, uptime: Duration) -> Option<Noticed> {
        if !self.devices.contains_key(entry.device.as_str()) {
            if self.count >= STREAMS_MAX {
                self.refused += 1;
                return None;
            }
            self.devices.insert(entry.device.clone(), Device::default());
        }
        let device = self.devices.get_mut(entry.device.as_str())?;
        for reading in &entry.readings {
            match device.streams.iter_mut().find(|last| last.quantity == reading.quantity) {
                Some(last) => last.update(entry, reading, uptime),
                None if self.count < STREAMS_MAX => {
                    self.count += 1;
                    device.streams.push(Last::first(entry, reading, uptime));
                }
                None => self.refused += 1,
            }
        }
        let timed = entry.readings.iter().find(|reading| is_dated(reading))?;
        if device.offset_known {
            return None;
        }
        device.offset_known = true;
        Some(clock_offset(entry, timed))
    }

    /// The device ended its session in good order: nothing more is expected of it until it comes back.
    pub fn ended(&mut self, device: &DeviceId, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let Some(mut state) = self.devices.remove(device.as_str()) else { return Vec::new() };
        self.count -= state.streams.len();
        state.streams.iter_mut().filter_map(|last| last.end(device, GapReason::Ended, uptime, now)).collect()
    }

    /// The device's link went down: every stream of it that was live ends in a gap.
    pub fn disconnected(&mut self, device: &DeviceId, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let Some(state) = self.devices.get_mut(device.as_str()) else { return Vec::new() };
        state.offset_known = false;
        state.streams.iter_mut().filter_map(|last| last.end(device, GapReason::Disconnected, uptime, now)).collect()
    }

    /// The devices are worn as `roster` says from now on: a live stream of whoever wore one until now ends for them, in a gap of
    /// their own. Nothing else would tell their rules, for what the device says next is said of somebody else.
    pub fn handed_over(&mut self, roster: &HashMap<DeviceId, Row>, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let mut gaps = Vec::new();
        for (device, state) in &mut self.devices {
            let wearer = roster.get(device).and_then(|row| row.athlete.as_ref());
            gaps.extend(state.worn_by(wearer, device, uptime, now));
        }
        gaps
    }

    /// The same for the device of an entry that is about to be observed. It may have been read while the roster was changed.
    pub fn worn_in(&mut self, entry: &Entry, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let Some(state) = self.devices.get_mut(entry.device.as_str()) else { return Vec::new() };
        state.worn_by(entry.athlete.as_ref(), &entry.device, uptime, now).collect()
    }

    /// Every stream that has said nothing for too long ends in a gap, once. One whose usual interval is not known, or that
    /// speaks only when something changes, is silent when its whole device is; what is measured when somebody asks for it, or told when
    /// it happens, is never.
    pub fn silent(&mut self, silent_after_us: i64, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let mut gaps = Vec::new();
        for (device, state) in &mut self.devices {
            let heard = state.streams.iter().map(|last| last.heard).max().unwrap_or_default();
            let speaks = micros(uptime.saturating_sub(heard)) <= silent_after_us;
            for last in &mut state.streams {
                let by_device = last.interval == 0 || last.quantity.is_state();
                if last.quantity.is_spot() || (speaks && by_device) {
                    continue;
                }
                // Some sensors speak once a minute: their second word tells.
                let usual = match (last.interval, last.averaged) {
                    (0, _) => micros(stale_after(last.quantity)),
                    (supposed, 0) => supposed.saturating_mul(SUPPOSED_TO_SILENCE),
                    (interval, _) => interval.saturating_mul(INTERVALS_TO_SILENCE),
                };
                let patience = silent_after_us.max(usual);
                if micros(uptime.saturating_sub(last.heard)) > patience {
                    gaps.extend(last.end(device, GapReason::Silent, uptime, now));
                }
            }
        }
        gaps
    }

    /// Streams that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Device {
    /// Somebody else wears it, or nobody: its live streams end for whoever wore it until now. They are still expected to go on.
    fn worn_by(
        &mut self,
        wearer: Option<&AthleteId>,
        device: &DeviceId,
        uptime: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = Noticed> {
        // What nobody wore was watched for nobody.
        let others =
            self.streams.iter_mut().filter(move |last| last.athlete.is_some() && last.athlete.as_ref() != wearer);
        others.filter_map(move |last| {
            let gap = last.end(device, GapReason::Ended, uptime, now)?;
            last.gap = None;
            last.athlete = wearer.cloned();
            Some(gap)
        })
    }
}

/// Adds to an entry the gap that its device left: so many messages before it were given up.
pub fn add_dropped(entry: &mut Entry, count: u64, now: Timestamp) {
    let first = entry.readings.first();
    let quantity = first.map_or(Quantity::HEALTH, |reading| reading.quantity);
    let device_time = first.map_or(now, |reading| reading.device_time);
    let gap = Reading {
        quantity,
        unit: quantity.unit(),
        device_time,
        gateway_time: now,
        quality: first.map_or(Quality::empty(), ahead),
        value: Value::Gap(Gap { reason: GapReason::Dropped, extent: count }),
    };
    // What is missing came before what is here.
    entry.readings.insert(0, gap);
}

/// Whether its time is the device's own word. That of an added gap is what comes after it, or our time.
fn is_dated(reading: &Reading) -> bool {
    let is_added = matches!(reading.value, Value::Gap(Gap { reason: GapReason::Dropped, .. }));
    !is_added && !reading.quality.contains(Quality::NO_CLOCK)
}

/// What a gap takes over of a reading's flags: that its time has not come yet.
fn ahead(reading: &Reading) -> Quality {
    reading.quality & Quality::FUTURE
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn clock_offset(entry: &Entry, timed: &Reading) -> Noticed {
    let offset_ms = timed.gateway_time.micros_since(timed.device_time) / 1_000;
    Noticed {
        device: entry.device.clone(),
        athlete: entry.athlete.clone(),
        assurance: entry.assurance,
        reading: Reading {
            quantity: Quantity::CLOCK_OFFSET,
            unit: Quantity::CLOCK_OFFSET.unit(),
            // Measured by the gateway's clock: in the future it would hold up the next one, of a clock that was put right.
            device_time: timed.device_time.min(timed.gateway_time),
            gateway_time: timed.gateway_time,
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(offset_ms)),
        },
    }
}

impl Last {
    fn first(entry: &Entry, reading: &Reading, uptime: Duration) -> Self {
        let mut last = Self {
            quantity: reading.quantity,
            athlete: None,
            unit: reading.unit,
            device_time: reading.device_time,
            ahead: Quality::empty(),
            heard: uptime,
            before: 0,
            gateway_time: reading.gateway_time,
            assurance: entry.assurance,
            gap: None,
            alone: true,
            interval: 0,
            averaged: 0,
        };
        last.update(entry, reading, uptime);
        last
    }

    fn update(&mut self, entry: &Entry, reading: &Reading, uptime: Duration) {
        // Entries that are recalled all come at once: how far apart they were, only the clock on the wall can tell.
        let since = if uptime == self.heard {
            reading.gateway_time.micros_since(self.gateway_time).clamp(0, SUPPOSED_INTERVAL_MAX)
        } else {
            micros(uptime.saturating_sub(self.heard))
        };
        let gap = match &reading.value {
            Value::Number(_) | Value::Wave(_) => None,
            Value::Gap(gap) => Some(gap.reason),
        };
        // What the gateway itself recorded of its absence, and recalls, is no word of it.
        let is_word = !matches!(gap, Some(GapReason::Silent | GapReason::Disconnected | GapReason::Ended));
        if is_word {
            self.learn(since);
            self.gateway_time = reading.gateway_time;
        }
        self.gap = gap;
        if self.athlete != entry.athlete {
            self.athlete.clone_from(&entry.athlete);
        }
        self.unit = reading.unit;
        self.device_time = reading.device_time;
        self.ahead = ahead(reading);
        (self.heard, self.before) = (uptime, 0);
        self.assurance = entry.assurance;
    }

    /// What the time between two words tells of how often the stream speaks.
    fn learn(&mut self, since: i64) {
        // What comes at once is one word.
        if since == 0 {
            return;
        }
        match self.gap {
            None => {
                self.averaged = (self.averaged + 1).min(INTERVALS_AVERAGED);
                self.interval += (since - self.interval) / self.averaged;
            }
            // A gap's length says nothing about the usual interval, but that a word stood alone does: a slow stream would else be
            // silent before each of its words, and never be known as slow.
            Some(GapReason::Silent) if self.alone => {
                (self.interval, self.averaged) = (since.min(SUPPOSED_INTERVAL_MAX), 0);
            }
            Some(_) => {}
        }
        self.alone = self.gap.is_some();
    }

    fn end(&mut self, device: &DeviceId, reason: GapReason, uptime: Duration, now: Timestamp) -> Option<Noticed> {
        if self.gap.is_some() || self.quantity == Quantity::CLOCK_OFFSET {
            return None;
        }
        let elapsed = micros(uptime.saturating_sub(self.heard)).saturating_add(self.before);
        self.gap = Some(reason);
        Some(Noticed {
            device: device.clone(),
            athlete: self.athlete.clone(),
            assurance: self.assurance,
            reading: Reading {
                quantity: self.quantity,
                unit: self.unit,
                device_time: self.device_time.plus_micros(elapsed),
                gateway_time: now,
                quality: self.ahead,
                value: Value::Gap(Gap { reason, extent: elapsed.unsigned_abs() }),
            },
        })
    }
}

#[cfg(test)]
mod tests;
