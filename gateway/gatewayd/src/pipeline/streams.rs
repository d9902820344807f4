//! When every stream spoke last: the source of silence gaps and of clock offsets. Pure: time is passed in, the clock on the
//! wall for what is recorded and the time that only passes for how long a stream has been silent.

use std::collections::HashMap;
use std::time::Duration;

use pitchside_admin::stale_after;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Gap, GapReason, Quality, Quantity, Reading, Timestamp, Unit, Value,
};

/// More streams than any clinic has; beyond it new ones get no tile and no silence gap, which the log says once.
const STREAMS_MAX: usize = 65_536;
/// A stream that spoke more seldom than this before the gateway was started is not waited for longer.
const RECALLED_INTERVAL_MAX: i64 = 600_000_000;
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
        let timed = entry.readings.iter().find(|r| !r.quality.contains(Quality::NO_CLOCK))?;
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

    /// Every stream that has said nothing for too long ends in a gap, once. One whose usual interval is not known, or that
    /// speaks only when something changes, is silent when its whole device is.
    pub fn silent(&mut self, silent_after_us: i64, uptime: Duration, now: Timestamp) -> Vec<Noticed> {
        let mut gaps = Vec::new();
        for (device, state) in &mut self.devices {
            let heard = state.streams.iter().map(|last| last.heard).max().unwrap_or_default();
            let speaks = micros(uptime.saturating_sub(heard)) <= silent_after_us;
            for last in &mut state.streams {
                if speaks && (last.interval == 0 || last.quantity.is_state()) {
                    continue;
                }
                // Some sensors speak once a minute: their second word tells.
                let usual = match last.interval {
                    0 => micros(stale_after(last.quantity)),
                    interval => interval.saturating_mul(INTERVALS_TO_SILENCE),
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
            interval: 0,
        };
        last.update(entry, reading, uptime);
        last
    }

    fn update(&mut self, entry: &Entry, reading: &Reading, uptime: Duration) {
        // Entries that are recalled all come at once: how far apart they were, only the clock on the wall can tell.
        let since = if uptime == self.heard {
            reading.gateway_time.micros_since(self.gateway_time).clamp(0, RECALLED_INTERVAL_MAX)
        } else {
            micros(uptime.saturating_sub(self.heard))
        };
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
        self.ahead = ahead(reading);
        self.gateway_time = reading.gateway_time;
        (self.heard, self.before) = (uptime, 0);
        self.assurance = entry.assurance;
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

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn up(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn strap() -> DeviceId {
        DeviceId::parse("strap-1").unwrap()
    }

    #[test]
    fn a_gap_of_a_stream_that_is_ahead_says_so_and_its_clock_offset_is_of_our_time() {
        let mut streams = Streams::default();
        let mut ahead = entry(20_000, 71);
        ahead.readings[0].device_time = at(9 * 3_600_000);
        ahead.readings[0].quality = Quality::FUTURE;
        let offset = streams.observe(&ahead, up(0)).unwrap();
        assert_eq!(offset.reading.device_time, at(20_000));
        let gaps = streams.disconnected(&strap(), up(1_000), at(21_000));
        assert_eq!(gaps[0].reading.quality, Quality::FUTURE);
        add_dropped(&mut ahead, 3, at(21_000));
        assert_eq!(ahead.readings[0].quality, Quality::FUTURE);
        // Put right, it is as any other.
        streams.observe(&entry(22_000, 72), up(2_000));
        assert_eq!(streams.disconnected(&strap(), up(3_000), at(23_000))[0].reading.quality, Quality::empty());
    }

    fn gap(noticed: &Noticed) -> (GapReason, u64) {
        match noticed.reading.value {
            Value::Gap(gap) => (gap.reason, gap.extent),
            _ => panic!("not a gap"),
        }
    }

    #[test]
    fn a_stream_that_stops_gets_one_gap_and_its_return_ends_it() {
        let mut streams = Streams::default();
        for second in 0..10 {
            streams.observe(&entry(second * 1_000, 120), up(second.unsigned_abs() * 1_000));
        }
        let silent_after = 5_000_000;
        assert!(streams.silent(silent_after, up(13_000), at(13_000)).is_empty());
        let gaps = streams.silent(silent_after, up(20_000), at(20_000));
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].reading.device_time, at(19_960));
        assert!(streams.silent(silent_after, up(30_000), at(30_000)).is_empty(), "only once");
        streams.observe(&entry(31_000, 121), up(31_000));
        assert_eq!(streams.silent(silent_after, up(60_000), at(60_000)).len(), 1, "a new silence, a new gap");
    }

    #[test]
    fn a_state_told_once_is_not_silent_while_its_device_speaks() {
        let mut streams = Streams::default();
        let mut first = entry(0, 120);
        let contact = Reading { quantity: Quantity::SKIN_CONTACT, unit: Unit::ONE, ..first.readings[0].clone() };
        first.readings.push(contact);
        streams.observe(&first, up(0));
        for second in 1..60 {
            streams.observe(&entry(second * 1_000, 120), up(second.unsigned_abs() * 1_000));
            assert!(streams.silent(5_000_000, up(second.unsigned_abs() * 1_000), at(second * 1_000)).is_empty());
        }
        assert_eq!(streams.silent(5_000_000, up(80_000), at(80_000)).len(), 2, "the whole device");
    }

    #[test]
    fn a_pill_that_speaks_once_a_minute_is_not_silent_after_its_first_word() {
        let mut streams = Streams::default();
        let mut first = entry(0, 37);
        (first.readings[0].quantity, first.readings[0].unit) = (Quantity::CORE_TEMPERATURE, Unit::CELSIUS);
        streams.observe(&first, up(0));
        assert!(streams.silent(15_000_000, up(60_000), at(60_000)).is_empty());
        assert_eq!(streams.silent(15_000_000, up(120_000), at(120_000)).len(), 1);
    }

    #[test]
    fn a_clock_that_jumps_makes_no_silence_and_hides_none() {
        let mut streams = Streams::default();
        streams.observe(&entry(500, 120), up(500));
        streams.observe(&entry(1_000, 120), up(1_000));
        assert!(streams.silent(5_000_000, up(2_000), at(3_600_000)).is_empty(), "an hour ahead");
        let gaps = streams.silent(5_000_000, up(9_000), at(-3_600_000));
        assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Silent, 8_000_000)], "an hour back");
    }

    #[test]
    fn a_disconnect_ends_live_streams_only_once() {
        let mut streams = Streams::default();
        let first = streams.observe(&entry(1_000, 90), up(1_000));
        assert_eq!(first.map(|n| n.reading.value), Some(Value::Number(Decimal::integer(40))), "clock offset in ms");
        assert!(streams.observe(&entry(2_000, 90), up(2_000)).is_none(), "one offset a connection");
        assert_eq!(streams.disconnected(&strap(), up(3_000), at(3_000)).len(), 1);
        assert!(streams.disconnected(&strap(), up(4_000), at(4_000)).is_empty());
        assert!(streams.observe(&entry(5_000, 90), up(5_000)).is_some(), "the next connection has its own offset");
    }

    #[test]
    fn what_lived_before_a_crash_and_does_not_come_back_is_silent_since_its_last_word() {
        let mut streams = Streams::default();
        for second in 0..10 {
            streams.recall(&entry(second * 1_000, 120), up(50), at(60_000));
        }
        assert!(streams.silent(5_000_000, up(5_000), at(65_000)).is_empty(), "it has time to come back");
        let gaps = streams.silent(5_000_000, up(9_050), at(69_000));
        assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Silent, 60_000_000)]);
    }

    #[test]
    fn a_goodbye_is_recorded_once_and_recalled_as_one() {
        let mut streams = Streams::default();
        streams.observe(&entry(1_000, 90), up(1_000));
        let ended = streams.ended(&strap(), up(2_000), at(2_000));
        assert_eq!(ended.iter().map(gap).collect::<Vec<_>>(), [(GapReason::Ended, 1_000_000)]);
        assert!(streams.ended(&strap(), up(2_000), at(2_000)).is_empty());

        let mut later = Streams::default();
        later.recall(&entry(1_000, 90), up(0), at(9_000));
        let goodbye = Entry { readings: ended.into_iter().map(|noticed| noticed.reading).collect(), ..entry(2_000, 0) };
        later.recall(&goodbye, up(0), at(9_000));
        assert!(later.silent(5_000_000, up(60_000), at(69_000)).is_empty());
    }
}
