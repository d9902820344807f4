//! The board: the current value of every stream, cheap to update on the data path, and which tiles changed.
//!
//! Nothing is formatted when a reading comes in; tiles are written out at most four times a second, and only those that
//! changed. Readings that arrive late never overwrite newer ones, and gaps show as gaps.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, GapReason, Quality, Quantity, Reading, Timestamp, Value,
};

use crate::api::{At, Tile};
use crate::board::trace::Shape;

mod trace;

/// The bounds of a board.
#[derive(Clone, Copy)]
pub struct BoardLimits {
    /// Streams at once; beyond it the one silent longest is forgotten.
    pub streams_max: usize,
    /// After how long without a reading a value is no longer current.
    pub stale_after: fn(Quantity) -> Duration,
}

impl Default for BoardLimits {
    fn default() -> Self {
        Self { streams_max: 4_096, stale_after }
    }
}

impl std::fmt::Debug for BoardLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoardLimits").field("streams_max", &self.streams_max).finish_non_exhaustive()
    }
}

/// How long a value stays current: a few of the usual intervals of such sensors.
pub fn stale_after(quantity: Quantity) -> Duration {
    Duration::from_secs(match quantity {
        Quantity::ECG | Quantity::EMG => 3,
        Quantity::ACCELERATION_X | Quantity::ACCELERATION_Y | Quantity::ACCELERATION_Z => 5,
        // Pills and patches report every 10 to 30 s.
        Quantity::CORE_TEMPERATURE | Quantity::SKIN_TEMPERATURE => 90,
        // Stations report every 20 to 60 s.
        Quantity::AMBIENT_TEMPERATURE
        | Quantity::RELATIVE_HUMIDITY
        | Quantity::ALTITUDE
        | Quantity::AIR_PRESSURE
        | Quantity::WIND_SPEED
        | Quantity::APPARENT_WIND_SPEED
        | Quantity::WIND_DIRECTION
        | Quantity::APPARENT_WIND_DIRECTION
        | Quantity::GUST_FACTOR
        | Quantity::IRRADIANCE
        | Quantity::UV_INDEX
        | Quantity::HEAT_INDEX
        | Quantity::DEW_POINT
        | Quantity::WIND_CHILL
        | Quantity::GLOBE_TEMPERATURE
        | Quantity::WBGT
        | Quantity::WBGT_SIMPLIFIED
        | Quantity::RAINFALL
        | Quantity::POLLEN_CONCENTRATION => 180,
        Quantity::BATTERY | Quantity::HEALTH | Quantity::CLOCK_OFFSET => 900,
        _ => 10,
    })
}

/// Current values of all streams. Shared by reference; one short lock an entry.
#[derive(Debug)]
pub struct Board {
    limits: BoardLimits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: HashMap<DeviceId, Vec<Stream>>,
    count: usize,
    revision: u64,
    /// Revision up to which changes have been handed out.
    flushed: u64,
}

#[derive(Debug)]
struct Stream {
    athlete: Option<AthleteId>,
    quantity: Quantity,
    assurance: Assurance,
    shown: Shown,
    quality: Quality,
    device_time: Timestamp,
    gateway_time: Timestamp,
    revision: u64,
}

#[derive(Debug)]
enum Shown {
    Number(Decimal),
    Wave(Shape),
    Gap(GapReason),
}

impl Board {
    /// An empty board.
    pub fn new(limits: BoardLimits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    /// Takes in the readings of one message.
    pub fn observe(&self, entry: &Entry) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        for reading in &entry.readings {
            let Some(shown) = shown(reading) else { continue };
            let revision = inner.revision + 1;
            // The map is asked before a key is made: only the first reading of a device clones its id.
            if !inner.streams.contains_key(&entry.device) {
                inner.streams.insert(entry.device.clone(), Vec::new());
            }
            let Some(streams) = inner.streams.get_mut(&entry.device) else { continue };
            if let Some(stream) = streams.iter_mut().find(|stream| stream.quantity == reading.quantity) {
                if !stream.yields_to(reading) {
                    continue;
                }
                if stream.athlete != entry.athlete {
                    stream.athlete.clone_from(&entry.athlete);
                }
                stream.assurance = entry.assurance;
                stream.shown = shown;
                stream.quality = reading.quality;
                stream.device_time = reading.device_time;
                stream.gateway_time = reading.gateway_time;
                stream.revision = revision;
            } else {
                streams.push(Stream {
                    athlete: entry.athlete.clone(),
                    quantity: reading.quantity,
                    assurance: entry.assurance,
                    shown,
                    quality: reading.quality,
                    device_time: reading.device_time,
                    gateway_time: reading.gateway_time,
                    revision,
                });
                inner.count += 1;
                if inner.count > self.limits.streams_max {
                    inner.forget_most_silent();
                }
            }
            inner.revision = revision;
        }
    }

    /// Takes the device's tiles off the board; true if there were any. Publish [`crate::events::Event::Gone`] then.
    pub fn forget(&self, device: &DeviceId) -> bool {
        let mut inner = self.inner.lock();
        let gone = inner.streams.remove(device).map_or(0, |streams| streams.len());
        inner.count -= gone;
        gone > 0
    }

    /// Takes the tiles of an athlete's devices off the board; which devices. Publish [`crate::events::Event::Gone`] for each.
    pub fn forget_athlete(&self, athlete: &AthleteId) -> Vec<DeviceId> {
        let inner = self.inner.lock();
        let of_theirs = |streams: &[Stream]| streams.iter().any(|stream| stream.athlete.as_ref() == Some(athlete));
        let worn = inner.streams.iter().filter(|(_, streams)| of_theirs(streams)).map(|(device, _)| device.clone());
        let worn: Vec<DeviceId> = worn.collect();
        drop(inner);
        worn.into_iter().filter(|device| self.forget(device)).collect()
    }

    /// All tiles, by athlete, device, quantity.
    pub fn tiles(&self) -> Vec<Tile> {
        let inner = self.inner.lock();
        let mut tiles = inner.tiles(0, self.limits.stale_after);
        drop(inner);
        tiles.sort_by(|a, b| (&a.athlete, &a.device, a.quantity).cmp(&(&b.athlete, &b.device, b.quantity)));
        tiles
    }

    /// The tiles that changed since a revision of the board (0: all), and its revision now.
    pub fn since(&self, revision: u64) -> (u64, Vec<Tile>) {
        let inner = self.inner.lock();
        let tiles =
            if revision == inner.revision { Vec::new() } else { inner.tiles(revision, self.limits.stale_after) };
        (inner.revision, tiles)
    }

    /// The tiles that changed since the last call.
    pub fn changed(&self) -> Vec<Tile> {
        let mut inner = self.inner.lock();
        let since = inner.flushed;
        inner.flushed = inner.revision;
        if since == inner.flushed { Vec::new() } else { inner.tiles(since, self.limits.stale_after) }
    }
}

impl Inner {
    fn tiles(&self, since: u64, stale_after: fn(Quantity) -> Duration) -> Vec<Tile> {
        let of_device = |(device, streams): (&DeviceId, &Vec<Stream>)| {
            let changed = streams.iter().filter(|stream| stream.revision > since);
            changed.map(|stream| stream.tile(device, stale_after(stream.quantity))).collect::<Vec<_>>()
        };
        self.streams.iter().flat_map(of_device).collect()
    }

    fn forget_most_silent(&mut self) {
        let all = self.streams.iter().flat_map(|(device, streams)| {
            streams.iter().enumerate().map(move |(at, stream)| (stream.gateway_time, stream.revision, device, at))
        });
        let Some((_, _, device, at)) = all.min() else { return };
        let device = device.clone();
        if let Some(streams) = self.streams.get_mut(&device) {
            streams.swap_remove(at);
            self.count -= 1;
            if streams.is_empty() {
                self.streams.remove(&device);
            }
        }
    }
}

impl Stream {
    /// Buffered readings that come in late must not push out a newer value. A clock that was merely set back does not
    /// mark its readings as late, and those are shown.
    fn yields_to(&self, reading: &Reading) -> bool {
        reading.device_time >= self.device_time || !reading.quality.contains(Quality::LATE)
    }

    fn tile(&self, device: &DeviceId, stale_after: Duration) -> Tile {
        let (value, trace, gap) = match &self.shown {
            Shown::Number(value) => (Some(value.to_string()), None, None),
            Shown::Wave(shape) => (None, Some(shape.trace()), None),
            Shown::Gap(reason) => (None, None, Some(*reason)),
        };
        Tile {
            athlete: self.athlete.clone(),
            device: device.clone(),
            quantity: self.quantity,
            unit: self.quantity.unit(),
            value,
            trace,
            gap,
            quality: quality_names(self.quality),
            device_time: At(self.device_time),
            gateway_time: At(self.gateway_time),
            stale_after_ms: u64::try_from(stale_after.as_millis()).unwrap_or(u64::MAX),
            assurance: self.assurance,
            revision: self.revision,
        }
    }
}

/// What a tile shows of a reading. Dropped counts and clock steps are gaps in the record, not in the present.
fn shown(reading: &Reading) -> Option<Shown> {
    match &reading.value {
        Value::Number(value) => Some(Shown::Number(*value)),
        Value::Wave(wave) => Shape::new(wave).map(Shown::Wave),
        Value::Gap(gap) => match gap.reason {
            GapReason::Silent
            | GapReason::Disconnected
            | GapReason::ContactLost
            | GapReason::Ended
            | GapReason::Invalid => Some(Shown::Gap(gap.reason)),
            GapReason::Dropped | GapReason::ClockStep => None,
        },
    }
}

fn quality_names(quality: Quality) -> Vec<&'static str> {
    let names = [
        (Quality::IMPLAUSIBLE, "implausible"),
        (Quality::FUTURE, "future"),
        (Quality::LATE, "late"),
        (Quality::NO_CLOCK, "no_clock"),
        (Quality::POOR_CONTACT, "poor_contact"),
    ];
    names.iter().filter(|(flag, _)| quality.contains(*flag)).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests;
