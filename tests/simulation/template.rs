//! Bodies for load: built once, then only time and value change.

use pitchside_model::{Decimal, Quantity};
use pitchside_wire::Content;
use pitchside_wire::waveform::Waveform;

use crate::pack::{self, Record};

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// One reading.
    Single,
    /// Sixteen readings.
    Pack16,
    /// 360 samples of ECG.
    Wave,
}

/// Where the time stands in a pack: behind array, map, label, tag, array, exponent and the head of a 64-bit number.
const PACK_TIME_AT: usize = 7;
/// Where the time stands in a waveform body.
const WAVE_TIME_AT: usize = 16;

/// Bodies of one shape.
pub struct Template {
    body: Vec<u8>,
    content: Content,
    readings: u64,
    samples: u64,
}

impl Template {
    /// Builds the body once.
    pub fn new(shape: Shape) -> anyhow::Result<Self> {
        let record = |i: i64| Record {
            name: "heart_rate",
            unit: Some("beat/min"),
            after_ms: i * 10,
            value: Decimal::integer(120 + i),
        };
        // A time that needs all 8 bytes, as every real one does.
        let time_us = 1 << 50;
        let (body, content, readings, samples) = match shape {
            Shape::Single => (pack::cbor(time_us, &[record(0)]), Content::SenmlCbor, 1, 0),
            Shape::Pack16 => {
                let records: Vec<Record> = (0..16).map(record).collect();
                (pack::cbor(time_us, &records), Content::SenmlCbor, 16, 0)
            }
            Shape::Wave => {
                // Steps as small as an ECG's.
                let samples = (0..360).map(|i: i32| (i * 37 % 101) - 50 + if i % 300 < 12 { 700 } else { 0 }).collect();
                let wave = Waveform {
                    quantity: Quantity::ECG.code(),
                    exponent: 0,
                    offset: 0,
                    period_ns: 2_777_778,
                    start_us: time_us,
                    samples,
                };
                (wave.encode()?, Content::Waveform, 1, 360)
            }
        };
        Ok(Self { body, content, readings, samples })
    }

    /// How a body is to be read.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Readings in a body, as the gateway counts them.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Waveform samples in a body.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// A body of this moment.
    pub fn body(&self, time_us: i64, number: u64) -> Vec<u8> {
        let mut body = self.body.clone();
        let wave = self.content == Content::Waveform;
        let (at, bytes) =
            if wave { (WAVE_TIME_AT, time_us.to_le_bytes()) } else { (PACK_TIME_AT, time_us.to_be_bytes()) };
        if let Some(place) = body.get_mut(at..at + 8) {
            place.copy_from_slice(&bytes);
        }
        // A pack of one ends in its value: 120 to 151 beats.
        if self.readings == 1
            && !wave
            && let Some(value) = body.last_mut()
        {
            *value = 120 + (number / 8 % 32) as u8;
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchside_decode::Tolerances;
    use pitchside_model::Timestamp;

    #[test]
    fn every_template_decodes_at_the_time_it_was_given() {
        let now = Timestamp(1_800_000_000_123_456);
        for (shape, readings) in [(Shape::Single, 1), (Shape::Pack16, 16), (Shape::Wave, 1)] {
            let template = Template::new(shape).unwrap();
            for number in [0, 9, 300] {
                let body = template.body(now.0, number);
                let decoded = match shape {
                    Shape::Wave => vec![pitchside_decode::wave::reading(&body, now, Tolerances::default()).unwrap()],
                    _ => pitchside_decode::senml::reading::cbor(&body, now, Tolerances::default()).unwrap(),
                };
                assert_eq!(decoded.len(), readings, "{shape:?}");
                assert_eq!(decoded[0].device_time, now);
                assert!(decoded[0].quality.is_empty());
            }
        }
    }
}
