//! When every stream spoke last: the source of silence gaps and of clock offsets. Pure: time is passed in.

use std::collections::HashMap;

use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Gap, GapReason, Quality, Quantity, Reading, Timestamp, Unit, Value,
};

/// More streams than any clinic has; beyond it new ones get no tile and no silence gap, which the log says once.
const STREAMS_MAX: usize = 65_536;
/// A stream is silent after so many of its usual intervals, but never sooner than the configured time.
const INTERVALS_TO_SILENCE: i64 = 8;

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
    /// By ours.
    gateway_time: Timestamp,
    /// How sure we are who sent it.
    assurance: Assurance,
    /// Why there is no value, if the last word was a gap.
    gap: Option<GapReason>,
    /// Usual microseconds between words (moving average).
    interval: i64,
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
    /// Takes note of an entry; returns the connection's clock offset if this is its first timed reading.
    pub fn observe(&mut self, entry: &Entry) -> Option<Noticed> {
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
                Some(last) => last.update(entry, reading),
                None if self.count < STREAMS_MAX => {
                    self.count += 1;
                    device.streams.push(Last::first(entry, reading));
                }
                None => self.refused += 1,
            }
        }
        let timed = entry.readings.iter().find(|r| !r.quality.contains(Quality::NO_CLOCK))?;
        if device.offset_known {
            return None;
        }
        device.offset_known = true;
        Some(clock_offset(entry, timed))
    }

    /// The device ended its session in good order: nothing more is expected of it until it comes back.
    pub fn ended(&mut self, device: &DeviceId) {
        if let Some(state) = self.devices.remove(device.as_str()) {
            self.count -= state.streams.len();
        }
    }

    /// The device's link went down: every stream of it that was live ends in a gap.
    pub fn disconnected(&mut self, device: &DeviceId, now: Timestamp) -> Vec<Noticed> {
        let Some(state) = self.devices.get_mut(device.as_str()) else { return Vec::new() };
        state.offset_known = false;
        state.streams.iter_mut().filter_map(|last| last.end(device, GapReason::Disconnected, now)).collect()
    }

    /// Every stream that has said nothing for too long ends in a gap, once.
    pub fn silent(&mut self, silent_after_us: i64, now: Timestamp) -> Vec<Noticed> {
        let mut gaps = Vec::new();
        for (device, state) in &mut self.devices {
            for last in &mut state.streams {
                let patience = silent_after_us.max(last.interval.saturating_mul(INTERVALS_TO_SILENCE));
                if now.micros_since(last.gateway_time) > patience {
                    gaps.extend(last.end(device, GapReason::Silent, now));
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
        quality: Quality::empty(),
        value: Value::Gap(Gap { reason: GapReason::Dropped, extent: count }),
    };
    // What is missing came before what is here.
    entry.readings.insert(0, gap);
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
            device_time: timed.device_time,
            gateway_time: timed.gateway_time,
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(offset_ms)),
        },
    }
}

impl Last {
    fn first(entry: &Entry, reading: &Reading) -> Self {
        let mut last = Self {
            quantity: reading.quantity,
            athlete: None,
            unit: reading.unit,
            device_time: reading.device_time,
            gateway_time: reading.gateway_time,
            assurance: entry.assurance,
            gap: None,
            interval: 0,
        };
        last.update(entry, reading);
        last
    }

    fn update(&mut self, entry: &Entry, reading: &Reading) {
        let since = reading.gateway_time.micros_since(self.gateway_time).max(0);
        // A gap's length says nothing about the usual interval.
        if self.gap.is_none() {
            self.interval += (since - self.interval) / 8;
        }
        self.gap = match &reading.value {
            Value::Number(_) | Value::Wave(_) => None,
            Value::Gap(gap) => Some(gap.reason),
        };
        if self.athlete != entry.athlete {
            self.athlete.clone_from(&entry.athlete);
        }
        self.unit = reading.unit;
        self.device_time = reading.device_time;
        self.gateway_time = self.gateway_time.max(reading.gateway_time);
        self.assurance = entry.assurance;
    }

    fn end(&mut self, device: &DeviceId, reason: GapReason, now: Timestamp) -> Option<Noticed> {
        if self.gap.is_some() || self.quantity == Quantity::CLOCK_OFFSET {
            return None;
        }
        let elapsed = now.micros_since(self.gateway_time).max(0);
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
                quality: Quality::empty(),
                value: Value::Gap(Gap { reason, extent: elapsed.unsigned_abs() }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchside_model::{Epoch, Seq};

    fn entry(at_ms: i64, bpm: i64) -> Entry {
        Entry {
            device: DeviceId::parse("strap-1").unwrap(),
            athlete: Some(AthleteId::parse("ada").unwrap()),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(0),
            readings: vec![Reading {
                quantity: Quantity::HEART_RATE,
                unit: Unit::PER_MINUTE,
                device_time: Timestamp::from_millis(at_ms - 40),
                gateway_time: Timestamp::from_millis(at_ms),
                quality: Quality::empty(),
                value: Value::Number(Decimal::integer(bpm)),
            }],
        }
    }

    #[test]
    fn a_stream_that_stops_gets_one_gap_and_its_return_ends_it() {
        let mut streams = Streams::default();
        for second in 0..10 {
            streams.observe(&entry(second * 1_000, 120));
        }
        let silent_after = 5_000_000;
        assert!(streams.silent(silent_after, Timestamp::from_millis(13_000)).is_empty());
        let gaps = streams.silent(silent_after, Timestamp::from_millis(20_000));
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].reading.device_time, Timestamp::from_millis(19_960));
        assert!(streams.silent(silent_after, Timestamp::from_millis(30_000)).is_empty(), "only once");
        streams.observe(&entry(31_000, 121));
        assert_eq!(streams.silent(silent_after, Timestamp::from_millis(60_000)).len(), 1, "a new silence, a new gap");
    }

    #[test]
    fn a_disconnect_ends_live_streams_only_once() {
        let mut streams = Streams::default();
        let first = streams.observe(&entry(1_000, 90));
        assert_eq!(first.map(|n| n.reading.value), Some(Value::Number(Decimal::integer(40))), "clock offset in ms");
        assert!(streams.observe(&entry(2_000, 90)).is_none(), "one offset a connection");
        let device = DeviceId::parse("strap-1").unwrap();
        assert_eq!(streams.disconnected(&device, Timestamp::from_millis(3_000)).len(), 1);
        assert!(streams.disconnected(&device, Timestamp::from_millis(4_000)).is_empty());
        assert!(streams.observe(&entry(5_000, 90)).is_some(), "the next connection has its own offset");
    }
}
