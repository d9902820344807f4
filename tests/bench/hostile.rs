//! Ingest while the hostile corpus runs as rules: from writing a message to its receipt R0, beside as many harmless rules of the
//! same length. Both come back as changed rules every second, so that none stays switched off and what publishing costs is on both
//! sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pitchside_model::{Decimal, Quantity};
use pitchside_rules::RuleSource;
use pitchside_wire::Content;
use tokio::time::MissedTickBehavior;

use crate::client::Device;
use crate::clinic::{Clinic, repository};
use crate::ingest::connect;
use crate::pack::{self, Record};
use crate::rules::engine;
use crate::share;

/// Devices, each with one message on its way.
const DEVICES: usize = 200;
/// How often each speaks.
const EVERY: Duration = Duration::from_millis(200);
const STIR_EVERY: Duration = Duration::from_secs(1);
/// The corpora.
const FOLDERS: [&str; 2] = ["gateway/script/tests/hostile", "gateway/rules/tests/hostile"];

/// What came of it.
pub struct Outcome {
    /// Milliseconds, 99 in 100 of the messages of each run, with harmless rules.
    pub calm_ms: Vec<f64>,
    /// The same with the corpus.
    pub hostile_ms: Vec<f64>,
    /// Scripts that ran; the others do not even compile.
    pub scripts: usize,
}

/// The scripts that a box would load.
fn corpus() -> anyhow::Result<Vec<(String, String)>> {
    let mut scripts = Vec::new();
    for folder in FOLDERS {
        let mut files: Vec<PathBuf> = std::fs::read_dir(repository(folder))
            .with_context(|| format!("reading {folder}"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        for file in files {
            let script = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let name = format!("hostile-{:03}", scripts.len());
            let rule = RuleSource::parse(&name, &manifest(&name), &script);
            if rule.is_ok_and(|rule| engine(vec![rule]).is_ok()) {
                scripts.push((name, script));
            }
        }
    }
    Ok(scripts)
}

fn manifest(name: &str) -> String {
    format!("{}[state]\nmemory = 0.0\nwords = \"\"\n", crate::rules::manifest(name, Quantity::HEART_RATE))
}

/// Puts them all into the folder, as other rules than before.
fn put(rules: &Path, scripts: &[(String, String)], round: u64) -> anyhow::Result<()> {
    for (name, script) in scripts {
        let folder = rules.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("rule.rhai"), format!("{script}\n// {round}\n"))?;
        std::fs::write(folder.join("cases.txt"), "case none\n  +0s heart_rate 1 /min ->\n")?;
        std::fs::write(folder.join("README.md"), "# Hostile\n")?;
        std::fs::write(folder.join("rule.toml"), manifest(name))?;
    }
    Ok(())
}

/// A rule of the same length that does no harm.
fn harmless((name, script): &(String, String)) -> (String, String) {
    (name.clone(), format!("value > 300.0 /*{}*/", " ".repeat(script.len())))
}

/// Calm and hostile in turn, `runs` times each.
pub async fn measure(length: Duration, runs: usize) -> anyhow::Result<Outcome> {
    let scripts = corpus()?;
    let harmless: Vec<_> = scripts.iter().map(harmless).collect();
    let clinic = Clinic::open(DEVICES).await?;
    let mut devices = connect(&clinic).await?;
    let mut outcome = Outcome { calm_ms: Vec::new(), hostile_ms: Vec::new(), scripts: scripts.len() };
    for _ in 0..runs {
        for (scripts, all_ms) in [(&harmless, &mut outcome.calm_ms), (&scripts, &mut outcome.hostile_ms)] {
            let stop = Arc::new(AtomicBool::new(false));
            let stirring = std::thread::spawn({
                let (rules, scripts, stop) = (clinic.rules(), scripts.clone(), Arc::clone(&stop));
                move || stir(&rules, &scripts, &stop)
            });
            let (back, ms) = run(devices, length).await?;
            all_ms.push(ms);
            stop.store(true, Ordering::Relaxed);
            stirring.join().map_err(|_| anyhow::anyhow!("stirring panicked"))??;
            devices = back;
        }
    }
    Ok(outcome)
}

/// Publishes the scripts every second until it is to stop, then takes them away.
fn stir(rules: &Path, scripts: &[(String, String)], stop: &AtomicBool) -> anyhow::Result<()> {
    for round in 0.. {
        put(rules, scripts, round)?;
        std::thread::sleep(STIR_EVERY);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    scripts.iter().try_for_each(|(name, _)| Ok(std::fs::remove_dir_all(rules.join(name))?))
}

/// One run: the devices back, and milliseconds of 99 in 100 messages.
async fn run(devices: Vec<Device>, length: Duration) -> anyhow::Result<(Vec<Device>, f64)> {
    let speaking: Vec<_> = devices
        .into_iter()
        .enumerate()
        .map(|(number, device)| tokio::spawn(speak(device, EVERY.mul_f64(number as f64 / DEVICES as f64), length)))
        .collect();
    let (mut devices, mut all) = (Vec::new(), Vec::new());
    for device in speaking {
        let (device, latencies) = device.await??;
        devices.push(device);
        all.extend(latencies);
    }
    all.sort_by(f64::total_cmp);
    Ok((devices, share(&all, 0.99)))
}

/// One device; one message at a time, so that what it waits is the message's own time.
async fn speak(mut device: Device, first: Duration, length: Duration) -> anyhow::Result<(Device, Vec<f64>)> {
    let begun = Instant::now();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + first, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut latencies, mut sent) = (Vec::new(), None);
    while begun.elapsed() < length || sent.is_some() {
        tokio::select! {
            _ = tick.tick(), if sent.is_none() => {
                let name = Quantity::HEART_RATE.name();
                let value = Decimal::integer(110 + (device.made() % 30) as i64);
                let record = Record { name, unit: Some("beat/min"), after_ms: 0, value };
                device.write(Content::SenmlCbor, &pack::cbor(crate::wall_us(), &[record]))?;
                sent = Some(Instant::now());
                device.send().await?;
            }
            received = device.receive() => received?,
        }
        if device.outstanding() == 0
            && let Some(at) = sent.take()
        {
            latencies.push(at.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok((device, latencies))
}
