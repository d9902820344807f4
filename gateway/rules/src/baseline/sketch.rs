//! Readings as a small histogram whose weights fade: what a median and a spread need, in bounded memory.
//!
//! A reading weighs 2^(-age / half-life). Instead of letting all that is kept fade at every reading, the new reading weighs
//! more (forward decay: Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay", ICDE 2009); every eight half-lives all weights
//! are shifted down together. Weights are whole numbers and ages are counted in sixty-fourths of the half-life, so the same
//! readings leave the same bytes on every machine.
//!
//! Values are kept as they are while there are at most [`Sketch::add`]'s `most` different ones; beyond that neighbours
//! share a bin, twice as wide each time. A lone value far off takes one bin and widens none.

use serde::{Deserialize, Serialize};

/// Parts of a half-life in which ages are counted: a reading's weight is wrong by at most 1.1 %.
pub(super) const PARTS: i64 = 64;
/// Half-lives after which weights are shifted down.
const HALVINGS_MAX: i64 = 8;
/// 2^16 * 2^(k / 64).
const WEIGHTS: [u64; PARTS as usize] = [
    65_536, 66_250, 66_971, 67_700, 68_438, 69_183, 69_936, 70_698, 71_468, 72_246, 73_032, 73_828, 74_632, 75_444,
    76_266, 77_096, 77_936, 78_785, 79_642, 80_510, 81_386, 82_273, 83_169, 84_074, 84_990, 85_915, 86_851, 87_796,
    88_752, 89_719, 90_696, 91_684, 92_682, 93_691, 94_711, 95_743, 96_785, 97_839, 98_905, 99_982, 101_070, 102_171,
    103_283, 104_408, 105_545, 106_694, 107_856, 109_031, 110_218, 111_418, 112_631, 113_858, 115_098, 116_351,
    117_618, 118_899, 120_194, 121_502, 122_825, 124_163, 125_515, 126_882, 128_263, 129_660,
];
/// The coarsest power of ten whose multiples values are seen to be, in steps: whole units.
const GRAIN_MAX: i64 = 1_000_000;

/// Values within one width of each other, and their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    /// One of them.
    value: i64,
    weight: u64,
}

/// A histogram that fades.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sketch {
    /// By value, one for each multiple of 2^`shift`.
    bins: Vec<Bin>,
    shift: u8,
    /// Weights count from this half-life.
    base: i64,
    /// The last part of a half-life that had a reading, and the weights of all that had, one for each.
    part: Option<i64>,
    parts: u64,
    /// Every value is a multiple of it.
    grain: i64,
}

/// What a sketch knows, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub median: i64,
    /// Median absolute deviation from it.
    pub mad: i64,
    pub grain: i64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { bins: Vec::new(), shift: 0, base: 0, part: None, parts: 0, grain: GRAIN_MAX }
    }
}

/// What a reading of a part weighs, counted from the half-life `base`.
fn weight(part: i64, base: i64) -> u128 {
    let halvings = part.div_euclid(PARTS).saturating_sub(base).clamp(0, 96);
    u128::from(WEIGHTS[part.rem_euclid(PARTS) as usize]) << halvings
}

impl Sketch {
    /// Adds a value (in steps) at a part; parts never go back. At most `most` bins are kept.
    pub fn add(&mut self, value: i64, part: i64, most: usize) {
        let halving = part.div_euclid(PARTS);
        if self.bins.is_empty() {
            self.base = halving;
        } else if halving - self.base >= HALVINGS_MAX {
            self.fade(halving);
        }
        let weight = u64::try_from(weight(part, self.base)).unwrap_or(u64::MAX);
        if self.part != Some(part) {
            self.part = Some(part);
            self.parts = self.parts.saturating_add(weight);
        }
        while value % self.grain != 0 {
            self.grain /= 10;
        }
        let key = value >> self.shift;
        let at = self.bins.partition_point(|bin| bin.value >> self.shift < key);
        match self.bins.get_mut(at) {
            Some(bin) if bin.value >> self.shift == key => bin.weight = bin.weight.saturating_add(weight),
            _ => self.bins.insert(at, Bin { value, weight }),
        }
        if self.bins.len() > most {
            // Down to three quarters, so that it is not done again at the next value.
            while self.bins.len() > most - most / 4 {
                self.widen();
            }
        }
    }

    /// Counts weights from `halving`; what weighs nothing any more is forgotten.
    fn fade(&mut self, halving: i64) {
        let by = u32::try_from(halving - self.base).unwrap_or(u32::MAX).min(63);
        for bin in &mut self.bins {
            bin.weight >>= by;
        }
        self.bins.retain(|bin| bin.weight > 0);
        (self.parts, self.base) = (self.parts >> by, halving);
    }

    /// Bins twice as wide; of two that become one the heavier gives the value.
    fn widen(&mut self) {
        self.shift += 1;
        let shift = self.shift;
        self.bins.dedup_by(|next, kept| {
            let same = next.value >> shift == kept.value >> shift;
            if same {
                if next.weight > kept.weight {
                    kept.value = next.value;
                }
                kept.weight = kept.weight.saturating_add(next.weight);
            }
            same
        });
    }

    /// Whether what it knows is worth `readings` readings made now, from `parts` different parts.
    pub fn is_worth(&self, now: i64, readings: u64, parts: u64) -> bool {
        let one = weight(now, self.base);
        self.total() >= one.saturating_mul(readings.into())
            && u128::from(self.parts) >= one.saturating_mul(parts.into())
    }

    fn total(&self) -> u128 {
        self.bins.iter().map(|bin| u128::from(bin.weight)).sum()
    }

    /// Median and spread; none if it is empty.
    pub fn known(&self) -> Option<Known> {
        let total = self.total();
        let (mut at, mut below) = (0, 0);
        for (i, bin) in self.bins.iter().enumerate() {
            (at, below) = (i, below + u128::from(bin.weight));
            if 2 * below >= total {
                break;
            }
        }
        let median = self.bins.get(at)?.value;
        // Outwards from the median, the nearer side first, until half of the weight is within.
        let (mut within, mut mad) = (u128::from(self.bins[at].weight), 0);
        let (mut down, mut up) = (at, at + 1);
        while 2 * within < total {
            let lower = down.checked_sub(1).and_then(|i| self.bins.get(i)).map(|bin| (median - bin.value, bin.weight));
            let upper = self.bins.get(up).map(|bin| (bin.value - median, bin.weight));
            let (far, weight) = match (lower, upper) {
                (Some(lower), upper) if upper.is_none_or(|upper| lower.0 <= upper.0) => {
                    down -= 1;
                    lower
                }
                (_, Some(upper)) => {
                    up += 1;
                    upper
                }
                (_, None) => break,
            };
            (mad, within) = (far, within + u128::from(weight));
        }
        Some(Known { median, mad, grain: self.grain })
    }

    /// How far a value kept may be from the value that was read, in steps.
    #[cfg(test)]
    pub fn width(&self) -> i64 {
        1 << self.shift
    }

    #[cfg(test)]
    pub fn bins(&self) -> usize {
        self.bins.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_powers_of_two_in_sixty_four_steps() {
        for (k, weight) in WEIGHTS.iter().enumerate() {
            assert_eq!(*weight, (65_536.0 * (k as f64 / 64.0).exp2()).round() as u64, "{k}");
        }
    }

    #[test]
    fn a_lone_value_far_off_widens_no_bin() {
        let mut sketch = Sketch::default();
        for value in 0..100 {
            sketch.add(value * 1_000_000, 0, 128);
        }
        sketch.add(10_000_000_000_000_000, 0, 128);
        sketch.add(-10_000_000_000_000_000, 0, 128);
        assert_eq!((sketch.width(), sketch.bins()), (1, 102));
    }

    #[test]
    fn years_without_a_reading_leave_weights_that_say_so() {
        let mut sketch = Sketch::default();
        (0..1_000).for_each(|part| sketch.add(60_000_000, part, 128));
        assert!(sketch.is_worth(1_000, 64, 4));
        assert!(!sketch.is_worth(1_000 + 64 * 20, 64, 4));
        assert!(!sketch.is_worth(i64::MAX, 1, 1));
        sketch.add(70_000_000, i64::MAX, 128);
        assert_eq!(sketch.known().map(|known| known.median), Some(70_000_000));
    }
}
