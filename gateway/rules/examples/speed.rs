//! How fast the rules are: `cargo run --release -p pitchside-rules --example speed [-- --quick]`. It prints one table and asserts
//! nothing: figures depend on the machine. Everything runs on one thread, without the worker process.

#![allow(clippy::print_stdout, reason = "the table")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use pitchside_rules::{Engine, RuleSet, RuleSource};

/// Athletes whose readings come in turn.
const SQUAD: usize = 40;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn rule(name: &str, input: Quantity, script: &str) -> Outcome<RuleSource> {
    let manifest = format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A measurement.\"\npriority = \"low\"\ninputs = [\"{input}\"]\n\
         [params.limit]\ndefault = 180.0\nmin = 100.0\nmax = 220.0\n"
    );
    RuleSource::parse(name, &manifest, script).map_err(|problems| format!("{problems:?}").into())
}

fn engine(rules: Vec<RuleSource>) -> Outcome<Engine> {
    let set = RuleSet::new(rules).map_err(|problems| format!("{problems:?}"))?;
    Engine::new(Arc::new(set)).map_err(|problems| format!("{problems:?}").into())
}

/// Readings of a squad, one a message, a second apart for each athlete.
fn entries(count: usize, quantity: impl Fn(usize) -> Quantity) -> Outcome<Vec<Entry>> {
    let names =
        (0..SQUAD).map(|n| Ok((DeviceId::parse(&format!("strap-{n}"))?, AthleteId::parse(&format!("athlete-{n}"))?)));
    let names: Vec<(DeviceId, AthleteId)> = names.collect::<Outcome<_>>()?;
    let all = (0..count).map(|i| {
        let (device, athlete) = names[i % SQUAD].clone();
        let second = (i / SQUAD) as i64;
        let time = Timestamp::from_seconds(1_767_225_600 + second);
        let quantity = quantity(i);
        let level = if quantity == Quantity::RR_INTERVAL { 800 } else { 140 };
        let value = Value::Number(Decimal::integer(level + (second * 7 + i as i64) % 60));
        let (unit, quality) = (quantity.unit(), Quality::empty());
        let reading = Reading { quantity, unit, device_time: time, gateway_time: time, quality, value };
        let seq = Seq(second as u64);
        Entry {
            device,
            athlete: Some(athlete),
            assurance: Assurance::Noise,
            epoch: Epoch(1),
            seq,
            readings: vec![reading],
        }
    });
    Ok(all.collect())
}

fn say(what: &str, figure: f64, unit: &str) {
    println!("| {what:<62} | {figure:>12.0} | {unit:<14} |");
}

/// Evaluations a second of one rule.
fn evaluations(what: &str, count: usize, input: Quantity, script: &str) -> Outcome<()> {
    let source = match input {
        Quantity::RMSSD => Quantity::RR_INTERVAL,
        other => other,
    };
    let readings = entries(count, |_| source)?;
    let mut engine = engine(vec![rule("measured", input, script)?])?;
    let begun = Instant::now();
    black_box(engine.feed(&readings));
    let seconds = begun.elapsed().as_secs_f64();
    say(what, count as f64 / seconds, "readings/s");
    Ok(())
}

fn main() -> Outcome<()> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let count = if quick { 8_000 } else { 800_000 };
    let rate = Quantity::HEART_RATE;
    println!("| {:<62} | {:>12} | {:<14} |", "what", "figure", "unit");
    evaluations("threshold: value > limit", count, rate, "value > limit")?;
    evaluations("threshold with hysteresis: above(value, limit, 5.0)", count, rate, "above(value, limit, 5.0)")?;
    let window = "above(value, limit, 5.0) || heart_rate.mean(\"30s\") > limit";
    evaluations("window: mean over 30 s", count, rate, window)?;
    let windows = "heart_rate.slope(\"5min\") > 5.0 || heart_rate.max(\"1min\") > limit";
    evaluations("two windows: slope over 5 min, max over 1 min", count, rate, windows)?;
    evaluations("percentile over 1 h", count, rate, "heart_rate.percentile(95, \"1h\") > limit")?;
    evaluations("baseline: three deviations, seven days", count, rate, "heart_rate.deviations(\"7d\") > 3.0")?;
    let helpers =
        "let h = held(\"a\", \"30s\", value > limit); let t = times(\"b\", \"5min\", value > limit); h && t > 3";
    evaluations("held and times by name", count, rate, helpers)?;
    evaluations("derived: RMSSD of each RR interval", count, Quantity::RMSSD, "value < 20.0")?;

    let values: Vec<f64> = (0..count).map(|i| 140.0 + (i % 60) as f64).collect();
    let begun = Instant::now();
    let over = values.iter().filter(|value| black_box(**value) > black_box(180.0)).count();
    black_box(over);
    say(
        "beside: the threshold in plain Rust, without streams and state",
        count as f64 / begun.elapsed().as_secs_f64(),
        "values/s",
    );

    let hundred = |limit: usize| {
        let rules = (0..100).map(|n| {
            rule(
                &format!("rule-{n:03}"),
                rate,
                &format!("value > {limit}.0 && heart_rate.mean(\"{}s\") > limit", n + 1),
            )
        });
        rules.collect::<Outcome<Vec<_>>>()
    };
    let mut engine = engine(hundred(150)?)?;
    engine.feed(&entries(if quick { 400 } else { 40_000 }, |_| rate)?);
    let set = RuleSet::new(hundred(151)?).map_err(|problems| format!("{problems:?}"))?;
    let begun = Instant::now();
    engine.reload(Arc::new(set)).map_err(|problems| format!("{problems:?}"))?;
    say("reload of 100 rules that all changed", begun.elapsed().as_secs_f64() * 1e3, "ms");

    let kinds: Vec<Quantity> = Quantity::all().filter(|quantity| !quantity.is_gateways_own()).collect();
    let many = (0..8_000).map(|n| rule(&format!("rule-{n:04}"), kinds[n % kinds.len()], "value > limit"));
    let many = many.collect::<Outcome<Vec<_>>>()?;
    let begun = Instant::now();
    let mut engine = self::engine(many)?;
    say("load of 8,000 rules", begun.elapsed().as_secs_f64() * 1e3, "ms");
    let readings = entries(count / 40, |i| kinds[i % kinds.len()])?;
    let begun = Instant::now();
    black_box(engine.feed(&readings));
    let seconds = begun.elapsed().as_secs_f64();
    say("8,000 rules loaded, each reading seen by about 114", readings.len() as f64 / seconds, "readings/s");
    Ok(())
}
