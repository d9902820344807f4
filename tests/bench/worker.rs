//! What the process around the rules costs: how much later an alert is known, and how long new rules take to come into force while
//! readings go on.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use pitchside_model::Quantity;
use pitchside_rules::{Engine, RuleSet, RulesWorker};
use pitchside_script::Program;

use crate::clinic::{copy_folder, program, repository};
use crate::rules::{entries, lines, manifest, of_library};
use crate::share;

/// Messages before anything is counted.
const WARM_UP: usize = 2_000;
/// Messages between two reloads.
const BETWEEN: usize = 4_000;
/// The rule that hears every reading, whatever is reloaded.
const WITNESS: &str = "witness";

/// Milliseconds from a message to what the rules say of it.
pub struct Latency {
    /// In this process, half and 99 in 100.
    pub here: [f64; 2],
    /// In the worker.
    pub worker: [f64; 2],
}

fn worker() -> anyhow::Result<Program> {
    Ok(Program { exe: program("pitchside")?, args: vec!["script-worker".into(), "rules".into()] })
}

fn write(folder: &Path, name: &str, script: &str) -> anyhow::Result<()> {
    let rule = folder.join(name);
    std::fs::create_dir_all(&rule)?;
    std::fs::write(rule.join("rule.toml"), manifest(name, Quantity::HEART_RATE))?;
    std::fs::write(rule.join("cases.txt"), "case none\n  +0s heart_rate 1 /min ->\n")?;
    std::fs::write(rule.join("README.md"), "# A measurement\n")?;
    std::fs::write(rule.join("rule.rhai"), script)?;
    Ok(())
}

fn of_runs(mut each_ms: Vec<f64>) -> [f64; 2] {
    each_ms.drain(..WARM_UP.min(each_ms.len()));
    each_ms.sort_by(f64::total_cmp);
    [share(&each_ms, 0.5), share(&each_ms, 0.99)]
}

/// The library's rules, one message of heart rate at a time, as a gateway with little to do feeds them.
pub async fn latency(count: usize) -> anyhow::Result<Latency> {
    let entries = entries(WARM_UP + count, &[Quantity::HEART_RATE])?;
    let set = RuleSet::new(of_library()?).map_err(lines)?;
    let mut engine = Engine::new(Arc::new(set)).map_err(lines)?;
    let mut here = Vec::with_capacity(entries.len());
    for entry in &entries {
        let begun = Instant::now();
        std::hint::black_box(engine.feed(std::slice::from_ref(entry)));
        here.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let folder = tempfile::tempdir()?;
    copy_folder(&repository("rules"), folder.path())?;
    let mut rules = RulesWorker::spawn(&worker()?, folder.path()).await?;
    let mut there = Vec::with_capacity(entries.len());
    for entry in &entries {
        let begun = Instant::now();
        std::hint::black_box(rules.feed(std::slice::from_ref(entry)).await?);
        there.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    rules.stop().await;
    Ok(Latency { here: of_runs(here), worker: of_runs(there) })
}

/// What a reload came to.
pub struct Reload {
    /// Milliseconds until the new rules were in force, each time.
    pub took_ms: Vec<f64>,
    /// Readings that the rule which did not change was not asked about.
    pub missed: f64,
}

/// `count` rules that all change, again and again, between messages that one rule which stays hears as well.
pub async fn reload(count: usize, times: usize) -> anyhow::Result<Reload> {
    let folder = tempfile::tempdir()?;
    let script =
        |round: usize, n: usize| format!("value > {}.0 && heart_rate.mean(\"{}s\") > 250.0", 240 + round, n + 1);
    let write_all =
        |round: usize| (0..count).try_for_each(|n| write(folder.path(), &format!("rule-{n:03}"), &script(round, n)));
    write(folder.path(), WITNESS, "value > 300.0")?;
    write_all(0)?;
    let mut rules = RulesWorker::spawn(&worker()?, folder.path()).await?;
    let entries = entries(BETWEEN * (times + 1), &[Quantity::HEART_RATE])?;
    let mut took_ms = Vec::new();
    for (round, entries) in entries.chunks(BETWEEN).enumerate() {
        rules.feed(entries).await?;
        if round < times {
            write_all(round + 1)?;
            let begun = Instant::now();
            rules.reload().await?;
            took_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let witness = rules.status().await?.into_iter().find(|status| status.rule.as_str() == WITNESS);
    let heard = witness.context("the rule that stays is gone")?.evaluations;
    rules.stop().await;
    let missed =
        (entries.len() as u64).checked_sub(heard).context("the rule that stays was asked more than there was")?;
    Ok(Reload { took_ms, missed: missed as f64 })
}
