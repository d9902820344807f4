//! Derived streams: quantities no sensor sends, made from those that do, each by one published formula.
//!
//! A rule names a derived quantity as an input like any other; what no rule names is not derived. It is derived for the
//! athlete (or the device nobody wears) whose readings it needs, inside the engine, before the rules are asked: so it is as
//! deterministic as they are, and part of the same snapshot. Of several devices with one quantity the first counts until it
//! has a gap. What tells of the place where a sensor is (a muscle, the head) is derived for each device. It is told in the name of
//! the device of the first input. A gap of what a stream is made of is a gap of the stream, in the name of the device it was last told
//! of; flags and the weakest assurance are passed on. What a device once sent itself is not derived in its name.
//!
//! | file | derives |
//! | --- | --- |
//! | [`variability`] | RMSSD, SDNN |
//! | [`recovery`] | heart-rate recovery |
//! | [`heat`] | WBGT |
//! | [`load`] | training load, acute to chronic ratios |
//! | [`frequency`], [`fft`] | median frequency of the EMG |
//! | [`impact`] | peaks of head impacts |
//! | [`streams`] | who derives what of whom |
//! | [`arith`] | functions that are the same everywhere |

use pitchside_model::{Assurance, Decimal, Quality, Quantity, Wave};
use serde::{Deserialize, Serialize};

mod arith;
mod fft;
mod frequency;
mod heat;
mod impact;
mod load;
mod recovery;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
mod variability;

pub(crate) use arith::decimal;

/// Flags that doubt a value, not its time.
const DOUBTFUL: Quality = Quality::IMPLAUSIBLE.union(Quality::POOR_CONTACT);

/// A formula: what it makes of what.
#[derive(Debug, Clone, Copy)]
pub struct Derivation {
    /// Name and version of the formula. Another formula is another version.
    pub formula: &'static [&'static str],
    /// What it makes.
    pub outputs: &'static [Quantity],
    /// Of what.
    pub inputs: &'static [Quantity],
    /// Whether it looks at the samples of waveforms.
    pub waves: bool,
    /// Whether it is made for each device, and not for whoever wears it.
    pub of_device: bool,
    fresh: fn() -> Kernel,
}

/// Every formula.
pub const DERIVATIONS: &[Derivation] = &[
    Derivation {
        formula: &["hrv-2"],
        outputs: &[Quantity::RMSSD, Quantity::SDNN],
        inputs: &[Quantity::RR_INTERVAL],
        waves: false,
        of_device: false,
        fresh: || Kernel::Variability(variability::State::default()),
    },
    Derivation {
        formula: &["hrr60-1"],
        outputs: &[Quantity::HEART_RATE_RECOVERY],
        inputs: &[Quantity::HEART_RATE, Quantity::POWER, Quantity::SPEED],
        waves: false,
        of_device: false,
        fresh: || Kernel::Recovery(recovery::State::default()),
    },
    Derivation {
        formula: &["wbgt-iso7243-stull-2", "wbgt-abm-2"],
        outputs: &[Quantity::WBGT, Quantity::WBGT_SIMPLIFIED],
        inputs: &[Quantity::AMBIENT_TEMPERATURE, Quantity::RELATIVE_HUMIDITY, Quantity::GLOBE_TEMPERATURE],
        waves: false,
        of_device: false,
        fresh: || Kernel::Heat(heat::State::default()),
    },
    Derivation {
        formula: &["trimp-banister-2", "acwr-rolling-2", "acwr-ewma-2"],
        outputs: &[Quantity::TRAINING_LOAD, Quantity::WORKLOAD_RATIO, Quantity::WORKLOAD_RATIO_EWMA],
        inputs: &[Quantity::HEART_RATE],
        waves: false,
        of_device: false,
        fresh: || Kernel::Load(load::State::default()),
    },
    Derivation {
        formula: &["emg-mdf-1"],
        outputs: &[Quantity::EMG_MEDIAN_FREQUENCY],
        inputs: &[Quantity::EMG],
        waves: true,
        of_device: true,
        fresh: || Kernel::Frequency(frequency::State::default()),
    },
    Derivation {
        formula: &["impact-peak-3"],
        outputs: &[Quantity::IMPACT_PEAK],
        inputs: &[Quantity::ACCELERATION_X, Quantity::ACCELERATION_Y, Quantity::ACCELERATION_Z],
        waves: true,
        of_device: true,
        fresh: || Kernel::Impact(impact::State::default()),
    },
];

/// The formulas that make one of `wanted`, with their places in [`DERIVATIONS`].
pub(crate) fn makers(wanted: impl Fn(Quantity) -> bool) -> impl Iterator<Item = (usize, &'static Derivation)> {
    DERIVATIONS.iter().enumerate().filter(move |(_, made)| made.outputs.iter().any(|output| wanted(*output)))
}

/// How far from the time of what is told of it a reading of this quantity may lie, in microseconds.
pub(crate) fn told_within(quantity: Quantity) -> u64 {
    let waits = |made: &Derivation| made.outputs.contains(&Quantity::WBGT) && made.inputs.contains(&quantity);
    if DERIVATIONS.iter().any(waits) { heat::FRESH.unsigned_abs() } else { 120_000_000 }
}

/// A reading as a formula sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Which of the inputs.
    pub input: usize,
    /// Event time, microseconds; it goes forwards in each input.
    pub time: i64,
    pub quality: Quality,
    pub assurance: Assurance,
    pub content: Content<'a>,
}

/// See [`Given`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// In 10^-6 of the unit.
    Number(i64),
    Wave(&'a Wave),
}

/// What a formula tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// Which of the outputs.
    pub output: usize,
    pub time: i64,
    pub value: Decimal,
    pub quality: Quality,
}

/// What a formula remembers of one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kernel {
    Variability(variability::State),
    Recovery(recovery::State),
    Heat(heat::State),
    Load(load::State),
    Frequency(frequency::State),
    Impact(impact::State),
}

impl Kernel {
    fn take(&mut self, given: &Given<'_>, told: &mut Vec<Told>) {
        match self {
            Self::Variability(state) => state.take(given, told),
            Self::Recovery(state) => state.take(given, told),
            Self::Heat(state) => state.take(given, told),
            Self::Load(state) => state.take(given, told),
            Self::Frequency(state) => state.take(given, told),
            Self::Impact(state) => state.take(given, told),
        }
    }

    /// Nothing is known of an input for a while.
    fn gap(&mut self, input: usize) {
        match self {
            Self::Variability(state) => state.gap(),
            Self::Recovery(state) => state.gap(input),
            Self::Heat(state) => state.gap(input),
            Self::Load(state) => state.gap(),
            Self::Frequency(state) => state.gap(),
            Self::Impact(state) => state.gap(),
        }
    }

    /// The clock of an input was set back to `time`: what was is no past any more. Only days stay, those that have come.
    fn set_back(&mut self, made: &Derivation, time: i64) {
        match self {
            Self::Load(state) => state.set_back(time),
            _ => *self = (made.fresh)(),
        }
    }

    /// The device of an input says that its clock was set, to `time`.
    fn step(&mut self, time: i64) {
        if let Self::Load(state) = self {
            state.set_back(time);
        }
    }

    /// The weakest assurance of what it holds from before the last gap.
    fn assurance(&self) -> Option<Assurance> {
        match self {
            Self::Load(state) => state.assurance(),
            _ => None,
        }
    }
}

/// Microseconds from `at` to `time`.
fn since(time: i64, at: i64) -> i64 {
    time.saturating_sub(at)
}
