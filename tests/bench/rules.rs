//! Rules in this process, on one core: how many evaluations a second, of the library's own and in plain Rust; thousands of rules at
//! once. The engine is the one the worker runs; [`crate::worker`] measures what the process around it costs.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use pitchside_rules::derive::DERIVATIONS;
use pitchside_rules::input::METHODS;
use pitchside_rules::{Engine, RuleSet, RuleSource};
use pitchside_script::Problem;

use crate::clinic::repository;

/// Athletes whose readings come in turn, each once a second.
pub const SQUAD: usize = 40;
/// When the readings begin: 2026-01-01.
const BEGIN_S: i64 = 1_767_225_600;
/// The ceiling and its band, as the library's rule has them.
const CEILING: f64 = 200.0;
const BACK: f64 = 5.0;
/// The window of the library's heat rule, in seconds and readings.
const WINDOW_S: usize = 300;

/// How fast one rule is.
pub struct Speed {
    /// Which rule.
    pub name: String,
    /// Whether its script asks for windows, baselines or what helpers remember.
    pub windows: bool,
    /// Evaluations a second.
    pub per_second: f64,
    /// Readings a second, if most of them only feed a formula that tells something now and then: what is measured is the formula.
    pub of_readings: Option<f64>,
}

pub(crate) fn lines(problems: Vec<Problem>) -> anyhow::Error {
    anyhow::anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

pub(crate) fn engine(rules: Vec<RuleSource>) -> anyhow::Result<Engine> {
    Engine::new(Arc::new(RuleSet::new(rules).map_err(lines)?)).map_err(lines)
}

/// What sensors send so that a quantity is there: itself, or what it is derived from.
fn sources(quantity: Quantity) -> Vec<Quantity> {
    let made = DERIVATIONS.iter().find(|made| made.outputs.contains(&quantity));
    made.map_or_else(|| vec![quantity], |made| made.inputs.to_vec())
}

/// Readings of a squad, one a message. All of an athlete's quantities come each second. They wander within a tenth of what is plausible,
/// in whole numbers, so that rules have something to look at.
pub(crate) fn entries(count: usize, quantities: &[Quantity]) -> anyhow::Result<Vec<Entry>> {
    values(count, quantities, |at, who, (low, high)| {
        Decimal::integer(low + (high - low) * 4 / 10 + (at as i64 * 7 + who as i64) % (1 + (high - low) / 10))
    })
}

/// The same with other values: of the round, the athlete and what is plausible.
fn values(
    count: usize,
    quantities: &[Quantity],
    value: impl Fn(usize, usize, (i64, i64)) -> Decimal,
) -> anyhow::Result<Vec<Entry>> {
    ensure!(!quantities.is_empty(), "no quantity to measure");
    let names: Vec<(DeviceId, AthleteId)> = (0..SQUAD)
        .map(|n| Ok((DeviceId::parse(&format!("strap-{n}"))?, AthleteId::parse(&format!("athlete-{n}"))?)))
        .collect::<anyhow::Result<_>>()?;
    let entry = |i: usize| {
        let (round, of) = (i / (SQUAD * quantities.len()), i % (SQUAD * quantities.len()));
        let (who, quantity) = (of / quantities.len(), quantities[of % quantities.len()]);
        let time = Timestamp::from_seconds(BEGIN_S + round as i64);
        let reading = Reading {
            quantity,
            unit: quantity.unit(),
            device_time: time,
            gateway_time: time,
            quality: Quality::empty(),
            value: Value::Number(value(round, who, quantity.plausible())),
        };
        let (device, athlete) = names[who].clone();
        Entry {
            device,
            athlete: Some(athlete),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq: Seq(i as u64),
            readings: vec![reading],
        }
    };
    Ok((0..count).map(entry).collect())
}

/// The rules of the repository.
pub(crate) fn of_library() -> anyhow::Result<Vec<RuleSource>> {
    Ok(RuleSet::read(&repository("rules")).map_err(lines)?.rules().to_vec())
}

/// Every rule of the library alone on its own inputs. Those that no number wakes (waveforms, gaps) are named and left out.
pub fn library(count: usize) -> anyhow::Result<(Vec<Speed>, Vec<String>)> {
    let (mut speeds, mut not) = (Vec::new(), Vec::new());
    for rule in of_library()? {
        let (name, script) = (rule.name().to_string(), rule.script.clone());
        let mut quantities: Vec<Quantity> = rule.manifest.inputs.iter().flat_map(|input| sources(*input)).collect();
        quantities.sort_unstable_by_key(|quantity| quantity.code());
        quantities.dedup();
        let entries = entries(count, &quantities)?;
        let mut engine = engine(vec![rule])?;
        let begun = Instant::now();
        black_box(engine.feed(&entries));
        let seconds = begun.elapsed().as_secs_f64();
        let evaluations: u64 = engine.status().iter().map(|status| status.evaluations).sum();
        if evaluations < count as u64 / 100 {
            not.push(name);
            continue;
        }
        let asked = METHODS.iter().filter_map(|(signature, _)| signature.split('(').next());
        let windows = asked
            .chain(["held", "times", "sequence"])
            .any(|method| script.contains(&format!(".{method}(")) || script.contains(&format!(" {method}(\"")));
        let per_second = |count: u64| count as f64 / seconds;
        let of_readings = (evaluations < count as u64 / 2).then(|| per_second(count as u64));
        speeds.push(Speed { name, windows, per_second: per_second(evaluations), of_readings });
    }
    Ok((speeds, not))
}

/// What a script may ask for, one at a time: evaluations a second of rules that ask for it.
pub fn features(count: usize) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let named =
        "let h = held(\"a\", \"30s\", value > 180.0); let t = times(\"b\", \"5min\", value > 180.0); h && t > 3";
    let scripts = [
        ("mean over 30 s", Quantity::HEART_RATE, "heart_rate.mean(\"30s\") > 280.0"),
        ("slope over 5 min", Quantity::HEART_RATE, "heart_rate.slope(\"5min\") > 50.0"),
        ("percentile over 1 h", Quantity::HEART_RATE, "heart_rate.percentile(95, \"1h\") > 280.0"),
        ("deviations of seven days", Quantity::HEART_RATE, "heart_rate.deviations(\"7d\") > 30.0"),
        ("held and times", Quantity::HEART_RATE, named),
        ("RMSSD of each RR interval", Quantity::RMSSD, "value < 0.0"),
    ];
    let mut speeds = Vec::new();
    for (what, input, script) in scripts {
        let entries = entries(count, &sources(input))?;
        let rule = RuleSource::parse("measured", &manifest("measured", input), script).map_err(lines)?;
        let mut engine = engine(vec![rule])?;
        let begun = Instant::now();
        black_box(engine.feed(&entries));
        speeds.push((what, count as f64 / begun.elapsed().as_secs_f64()));
    }
    let rule = RuleSource::parse("measured", &manifest("measured", Quantity::HEART_RATE), "above(value, 280.0, 5.0)");
    let mut engine = engine(vec![rule.map_err(lines)?])?;
    let number = |at: usize, who: usize| (at * SQUAD + who) as i64 % 100_000_000;
    let entries = values(count, &[Quantity::HEART_RATE], |at, who, _| Decimal {
        mantissa: 100_000_000 + number(at, who),
        exponent: -6,
    })?;
    let begun = Instant::now();
    black_box(engine.feed(&entries));
    speeds.push(("a limit, of values of which none comes twice", count as f64 / begun.elapsed().as_secs_f64()));
    Ok(speeds)
}

/// Heart rates as the plain functions here and in Node-RED get them: whose, when (s), how much.
fn plain_readings(count: usize) -> Vec<(usize, f64, f64)> {
    (0..count).map(|i| (i % SQUAD, (i / SQUAD) as f64, 140.0 + ((i / SQUAD * 7 + i) % 60) as f64)).collect()
}

/// `heart-rate-ceiling` in plain Rust: the band, ten seconds to raise, thirty to clear, one state an athlete.
pub fn plain_threshold(count: usize) -> f64 {
    #[derive(Clone, Copy, Default)]
    struct State {
        raised: bool,
        since: Option<f64>,
    }
    let (readings, mut states, mut raised) = (plain_readings(count), [State::default(); SQUAD], 0u64);
    let begun = Instant::now();
    for (who, time, value) in black_box(&readings) {
        let Some(state) = states.get_mut(*who) else { continue };
        let holds = if state.raised { *value > CEILING - BACK } else { *value >= CEILING };
        if holds == state.raised {
            state.since = None;
            continue;
        }
        let long = if state.raised { 30.0 } else { 10.0 };
        if time - *state.since.get_or_insert(*time) >= long {
            *state = State { raised: holds, since: None };
            raised += u64::from(holds);
        }
    }
    black_box(raised);
    count as f64 / begun.elapsed().as_secs_f64()
}

/// `heat-illness` in plain Rust: the least-squares slope over five minutes, worked out anew at each reading, as one writes it.
pub fn plain_window(count: usize) -> f64 {
    let readings = plain_readings(count);
    let (mut windows, mut hot) = (vec![VecDeque::<(f64, f64)>::with_capacity(WINDOW_S + 1); SQUAD], 0u64);
    let begun = Instant::now();
    for (who, time, value) in black_box(&readings) {
        let Some(window) = windows.get_mut(*who) else { continue };
        window.push_back((*time, *value));
        while window.front().is_some_and(|(first, _)| time - first > WINDOW_S as f64) {
            window.pop_front();
        }
        let n = window.len() as f64;
        let (sum_t, sum_v) = window.iter().fold((0.0, 0.0), |(t, v), (time, value)| (t + time, v + value));
        let (mean_t, mean_v) = (sum_t / n, sum_v / n);
        let (over, under) = window.iter().fold((0.0, 0.0), |(over, under), (time, value)| {
            (over + (time - mean_t) * (value - mean_v), under + (time - mean_t) * (time - mean_t))
        });
        hot += u64::from(*value >= 180.0 && under > 0.0 && over / under > 0.0);
    }
    black_box(hot);
    count as f64 / begun.elapsed().as_secs_f64()
}

/// What thousands of rules need.
pub struct Many {
    /// To read, compile and load them.
    pub load_ms: f64,
    /// Rules that a reading wakes, on average.
    pub each: f64,
    /// Cores taken by readings at the given rate.
    pub cores: f64,
}

/// So many threshold rules over all quantities, and readings of all of them at so many a second, for some seconds.
pub fn many(rules: usize, per_second: usize, seconds: usize) -> anyhow::Result<Many> {
    let own = |quantity: &Quantity| {
        !quantity.is_gateways_own() && !DERIVATIONS.iter().any(|made| made.outputs.contains(quantity))
    };
    let kinds: Vec<Quantity> = Quantity::all().filter(own).collect();
    let begun = Instant::now();
    let sources = (0..rules).map(|n| threshold(&format!("rule-{n:04}"), kinds[n % kinds.len()], 180 + n / kinds.len()));
    let mut engine = engine(sources.collect::<anyhow::Result<_>>()?)?;
    let load_ms = begun.elapsed().as_secs_f64() * 1e3;
    let entries = entries(per_second * seconds, &kinds)?;
    let begun = Instant::now();
    black_box(engine.feed(&entries));
    let taken = begun.elapsed().as_secs_f64();
    let evaluations: u64 = engine.status().iter().map(|status| status.evaluations).sum();
    Ok(Many { load_ms, each: evaluations as f64 / entries.len() as f64, cores: taken / seconds as f64 })
}

/// A rule that compares with a limit.
pub(crate) fn threshold(name: &str, input: Quantity, limit: usize) -> anyhow::Result<RuleSource> {
    RuleSource::parse(name, &manifest(name, input), &format!("value > {limit}.0")).map_err(lines)
}

/// The manifest of a rule that is only for measuring.
pub(crate) fn manifest(name: &str, input: Quantity) -> String {
    format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A measurement.\"\npriority = \"low\"\ninputs = [\"{input}\"]\n"
    )
}
