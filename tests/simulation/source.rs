//! What a sensor measures, message by message, from a recording or a model.

use anyhow::Context as _;
use pitchside_model::{Decimal, Quantity};
use pitchside_wire::Content;
use pitchside_wire::waveform::Waveform;

use crate::clock::Pace;
use crate::heat::Athlete;
use crate::pack::{self, Record};
use crate::recording::Recording;
use crate::spec::{Faults, HubFormat, SensorSpec, Spec, Stretch};

/// A message and when it is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Microseconds into the replay.
    pub played_us: i64,
    /// How the body is to be read.
    pub content: Content,
    /// The body.
    pub body: Vec<u8>,
    /// Readings in it, as the gateway counts them: a waveform is one.
    pub readings: u64,
    /// Samples in it, if it is a waveform.
    pub samples: u64,
}

/// The readings of one sensor, in order.
pub struct Source {
    kind: Kind,
    pace: Pace,
    faults: Faults,
    /// Messages so far.
    step: i64,
    /// Row of the recording, or second of the exercise, at the start.
    offset: usize,
    touching: bool,
}

enum Kind {
    Strap { rates: Vec<Decimal>, beats: Beats },
    Patch { microvolts: Vec<i32> },
    Meter { power: Vec<Decimal>, cadence: Vec<Decimal>, speed: Vec<Decimal> },
    Pill { minutes_cel: Vec<f64> },
    Hub { rate: Vec<Decimal>, speed: Vec<Decimal>, temperature: Vec<Decimal>, format: HubFormat },
}

/// Sampling rate of the patch.
const ECG_HZ: i64 = 360;
/// Seconds between readings of the pill.
const PILL_S: i64 = 10;

impl Source {
    /// Opens the recording or runs the model up to the start.
    pub fn open(spec: &Spec) -> anyhow::Result<(Self, f64)> {
        let offset_s = spec.replay.offset_s;
        let column = |recording: &Recording, name| Ok::<_, anyhow::Error>(recording.column(name)?.to_vec());
        let (kind, rows, hz) = match &spec.sensor {
            SensorSpec::ChestStrap { recording } => {
                let recording = Recording::read(recording)?;
                (
                    Kind::Strap { rates: column(&recording, "heart_rate")?, beats: Beats::default() },
                    recording.rows(),
                    1.0,
                )
            }
            SensorSpec::EcgPatch { recording } => {
                let recording = Recording::read(recording)?;
                let whole = |d: &Decimal| d.mantissa_at(0).and_then(|m| i32::try_from(m).ok());
                let microvolts: Option<Vec<i32>> = recording.column("microvolt")?.iter().map(whole).collect();
                let microvolts = microvolts.context("an ECG is in whole microvolts")?;
                (Kind::Patch { microvolts }, recording.rows(), ECG_HZ as f64)
            }
            SensorSpec::PowerMeter { recording } => {
                let recording = Recording::read(recording)?;
                let of = |name| column(&recording, name);
                let kind = Kind::Meter { power: of("power")?, cadence: of("cadence")?, speed: of("speed")? };
                (kind, recording.rows(), 1.0)
            }
            SensorSpec::CorePill { climate } => {
                let mut athlete = Athlete::new((*climate).into())?;
                let mut minutes_cel = vec![athlete.rectal_cel()];
                // Four hours: longer than anybody lasts.
                for _ in 0..240 {
                    athlete.step();
                    minutes_cel.push(athlete.rectal_cel());
                }
                (Kind::Pill { minutes_cel }, 240 * 60, 1.0)
            }
            SensorSpec::Hub { recording, format } => {
                let recording = Recording::read(recording)?;
                let of = |name| column(&recording, name);
                let (rate, speed, temperature) = (of("heart_rate")?, of("speed")?, of("temperature")?);
                (Kind::Hub { rate, speed, temperature, format: *format }, recording.rows(), 1.0)
            }
        };
        let pace =
            Pace { start_us: 0, speed: spec.replay.speed, duration_s: 0.0, skew_us: spec.replay.clock_skew_ms * 1_000 };
        let source =
            Self { kind, pace, faults: spec.faults, step: 0, offset: (offset_s * hz) as usize, touching: false };
        Ok((source, (rows as f64 / hz - offset_s).max(0.0)))
    }

    /// Sets the clock; to be called once, before the first message.
    pub fn start(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The next message, none after the replay's length. A recording that is too short begins again.
    pub fn next_message(&mut self) -> Option<Measured> {
        let every_s = if matches!(self.kind, Kind::Pill { .. }) { PILL_S } else { 1 };
        let played_us = self.step * every_s * 1_000_000;
        if played_us >= self.pace.length_us() {
            return None;
        }
        let row = self.offset + usize::try_from(self.step).unwrap_or_default();
        let time_us = self.pace.device_us(played_us);
        let contact = !Stretch::holds(self.faults.contact_lost, played_us);
        let first = self.step == 0;
        self.step += 1;
        let changed = std::mem::replace(&mut self.touching, contact) != contact || first;
        let at = |column: &[Decimal]| column.get(row % column.len()).copied().unwrap_or(Decimal::integer(0));
        let of = |name, unit, value| Record { name, unit: Some(unit), after_ms: 0, value };
        let switch =
            Record { name: "skin_contact", unit: None, after_ms: 0, value: Decimal::integer(i64::from(contact)) };
        let measured = |content, body, readings, samples| Measured { played_us, content, body, readings, samples };
        match &mut self.kind {
            Kind::Strap { rates, beats } => {
                let rate = at(rates);
                let intervals = beats.second(rate.to_f64());
                let mut records = Vec::with_capacity(4);
                if changed {
                    records.push(switch);
                }
                if contact {
                    records.push(of("heart_rate", "beat/min", rate));
                    records.extend(intervals.into_iter().map(|(after_ms, ms)| Record {
                        after_ms,
                        ..of("rr_interval", "s", Decimal { mantissa: ms, exponent: -3 })
                    }));
                }
                if records.is_empty() {
                    // Off the skin there is nothing to say but that.
                    records.push(switch);
                }
                Some(measured(Content::SenmlCbor, pack::cbor(time_us, &records), records.len() as u64, 0))
            }
            Kind::Patch { microvolts } => {
                let start = self.offset + usize::try_from(self.step - 1).unwrap_or_default() * ECG_HZ as usize;
                let samples =
                    (start..start + ECG_HZ as usize).filter_map(|i| microvolts.get(i % microvolts.len()).copied());
                let wave = Waveform {
                    quantity: Quantity::ECG.code(),
                    exponent: 0,
                    offset: 0,
                    period_ns: 1_000_000_000 / ECG_HZ as u64,
                    start_us: time_us,
                    samples: samples.collect(),
                };
                // An ECG's differences are small: a second of it always fits a frame.
                let body = wave.encode().ok()?;
                Some(measured(Content::Waveform, body, 1, ECG_HZ as u64))
            }
            Kind::Meter { power, cadence, speed } => {
                let records =
                    [of("power", "W", at(power)), of("cadence", "1/min", at(cadence)), of("speed", "m/s", at(speed))];
                Some(measured(Content::SenmlCbor, pack::cbor(time_us, &records), 3, 0))
            }
            Kind::Pill { minutes_cel } => {
                let second = self.offset as f64 + played_us as f64 / 1e6;
                let value = between(minutes_cel, second / 60.0);
                let value = Decimal { mantissa: (value * 100.0).round() as i64, exponent: -2 };
                let records = [of("core_temperature", "Cel", value)];
                Some(measured(Content::SenmlCbor, pack::cbor(time_us, &records), 1, 0))
            }
            Kind::Hub { rate, speed, temperature, format: HubFormat::Senml } => {
                let records = [
                    of("heart_rate", "beat/min", at(rate)),
                    of("speed", "m/s", at(speed)),
                    of("ambient_temperature", "Cel", at(temperature)),
                ];
                Some(measured(Content::SenmlJson, json_pack(time_us, &records), 3, 0))
            }
            Kind::Hub { rate, speed, temperature, format: HubFormat::Vendor } => {
                // 2: contact and heart rate, or contact and a gap.
                let body = format!(
                    r#"{{"v":1,"ts":{},"hr":{{"bpm":{},"contact":{contact}}},"speed_mps":{},"temp_c":{}}}"#,
                    time_us / 1_000,
                    at(rate),
                    at(speed),
                    at(temperature)
                );
                Some(measured(Content::Vendor, body.into_bytes(), 4, 0))
            }
        }
    }
}

/// A SenML pack in JSON, as a hub writes it.
fn json_pack(time_us: i64, records: &[Record]) -> Vec<u8> {
    let mut out = String::from("[");
    for (i, record) in records.iter().enumerate() {
        out.push_str(if i == 0 { "{" } else { ",{" });
        if i == 0 {
            out.push_str(&format!("\"bt\":{},", Decimal { mantissa: time_us, exponent: -6 }));
        }
        out.push_str(&format!("\"n\":\"{}\",", record.name));
        if let Some(unit) = record.unit {
            out.push_str(&format!("\"u\":\"{unit}\","));
        }
        if record.after_ms != 0 {
            out.push_str(&format!("\"t\":{},", Decimal { mantissa: record.after_ms, exponent: -3 }));
        }
        out.push_str(&format!("\"v\":{}}}", record.value));
    }
    out.push(']');
    out.into_bytes()
}

/// Between two minutes the temperature moves evenly.
fn between(minutes: &[f64], at: f64) -> f64 {
    let last = minutes.len().saturating_sub(1);
    let before = (at as usize).min(last);
    let (a, b) = (minutes.get(before).copied(), minutes.get((before + 1).min(last)).copied());
    let (a, b) = (a.unwrap_or(36.8), b.unwrap_or(36.8));
    a + (b - a) * (at - before as f64).clamp(0.0, 1.0)
}

/// Beats within the seconds of a heart-rate recording, which has none: the phase of the heart advances by rate / 60 a
/// second, a beat falls where it passes a whole number, and an interval lasts from beat to beat. Its sum is the time.
#[derive(Debug, Default)]
struct Beats {
    phase: f64,
    /// Milliseconds since the last beat, at the start of the second.
    since_ms: f64,
    begun: bool,
}

impl Beats {
    /// Beats of the next second: milliseconds into it, and the interval that ended there.
    fn second(&mut self, rate: f64) -> Vec<(i64, i64)> {
        let mut beats = Vec::new();
        let per_ms = rate / 60_000.0;
        let mut at_ms = 0.0;
        loop {
            // Infinite at rate 0: no beat comes.
            let to_beat_ms = (1.0 - self.phase) / per_ms;
            if at_ms + to_beat_ms >= 1_000.0 {
                break;
            }
            at_ms += to_beat_ms;
            self.since_ms += to_beat_ms;
            self.phase = 0.0;
            if self.begun {
                beats.push((at_ms as i64, self.since_ms.round() as i64));
            }
            (self.begun, self.since_ms) = (true, 0.0);
        }
        self.phase += (1_000.0 - at_ms) * per_ms;
        self.since_ms += 1_000.0 - at_ms;
        beats
    }
}

#[cfg(test)]
mod tests;
