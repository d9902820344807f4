//! A waveform thinned to a small drawing. Peaks are kept: of every stretch its lowest and highest sample, in order.

use pitchside_model::Wave;

use crate::api::Trace;

/// Stretches of a drawing; each gives two points.
const STRETCHES_MAX: usize = 64;

/// The drawing.
#[derive(Debug)]
pub(super) struct Shape {
    period_ns: u64,
    samples: usize,
    points: Vec<i32>,
}

impl Shape {
    /// None for a wave without samples.
    pub(super) fn new(wave: &Wave) -> Option<Self> {
        let samples = wave.samples.len();
        if samples == 0 || wave.period_ns == 0 {
            return None;
        }
        let points = if samples <= 2 * STRETCHES_MAX {
            wave.samples.clone()
        } else {
            wave.samples.chunks(samples.div_ceil(STRETCHES_MAX)).flat_map(extremes).collect()
        };
        Some(Self { period_ns: wave.period_ns, samples, points })
    }

    /// The drawing as the API gives it.
    pub(super) fn trace(&self) -> Trace {
        Trace {
            rate_hz: rate(self.period_ns),
            span_ms: u64::try_from(self.samples).unwrap_or(u64::MAX).saturating_mul(self.period_ns) / 1_000_000,
            points: self.points.clone(),
        }
    }
}

fn extremes(stretch: &[i32]) -> [i32; 2] {
    let low = stretch.iter().enumerate().min_by_key(|(_, sample)| **sample);
    let high = stretch.iter().enumerate().max_by_key(|(_, sample)| **sample);
    match (low, high) {
        (Some((i, low)), Some((j, high))) if i <= j => [*low, *high],
        (Some((_, low)), Some((_, high))) => [*high, *low],
        _ => [0, 0], // chunks are never empty
    }
}

/// Samples a second, to a tenth; whole rates (their period seldom is) without it.
fn rate(period_ns: u64) -> String {
    let tenths = (10_000_000_000 + period_ns / 2) / period_ns;
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_survive_thinning() {
        let mut samples = vec![0; 1_000];
        samples[333] = 900;
        samples[334] = -400;
        let trace = Shape::new(&Wave { period_ns: 2_777_778, exponent: 0, offset: 0, samples }).unwrap().trace();
        assert!(trace.points.len() <= 2 * STRETCHES_MAX);
        let at = trace.points.iter().position(|point| *point == 900).unwrap();
        assert_eq!(trace.points[at + 1], -400);
        assert_eq!((trace.rate_hz.as_str(), trace.span_ms), ("360", 2_777));
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        let wave = |period_ns, samples| Wave { period_ns, exponent: 0, offset: 0, samples };
        assert!(Shape::new(&wave(1, vec![])).is_none());
        assert!(Shape::new(&wave(0, vec![1])).is_none());
        assert_eq!(rate(80_000_000), "12.5");
    }
}
