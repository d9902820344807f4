//! `pitchside-bench`: how fast, how late and how large, beside mosquitto and the disk. It prints one table and asserts
//! nothing: figures depend on the machine, ratios less so.
//!
//! Everything runs on this machine at once, load generator included; the load generator is this process, on one thread.
//!
//! | module | measures |
//! | --- | --- |
//! | [`disk`] | syncs a second |
//! | [`mosquitto`] | QoS 1 messages relayed by somebody else's broker |
//! | [`ingest`] | messages, readings and samples made durable |
//! | [`alerts`] | from publish to alert |
//! | [`fanout`] | a release to twenty gateways: what its publisher sends |
//! | [`backtest`] | a draft over weeks of a squad's sealed history |
//! | [`rules`], [`node_red`] | rules in this process, in plain Rust, and as function nodes of Node-RED |
//! | [`worker`] | what the rules' process adds, and reloading |
//! | [`hostile`] | ingest while the hostile corpus runs |
//! | [`rest`] | bytes a reading in blocks, verifying them |
//! | [`clinic`], [`client`] | ledger, gateway and devices to load; a device |
//! | [`table`] | the table |

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table, and what is not in it")]

mod alerts;
mod backtest;
mod client;
mod clinic;
mod disk;
mod fanout;
mod hostile;
mod ingest;
mod mosquitto;
mod node_red;
mod rest;
mod rules;
mod table;
mod worker;

#[path = "../simulation/mqtt/codec.rs"]
#[allow(dead_code, reason = "shared with the sensors")]
mod codec;
#[path = "../simulation/pack.rs"]
#[allow(dead_code, reason = "shared with the sensors")]
mod pack;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use pitchside_model::Quantity;

use ingest::{Plan, Shape};
use table::Row;

/// Bytes of one reading in SenML-CBOR, sealed: what mosquitto relays in its turn.
const MESSAGE_BYTES: usize = 88;
const CONNECTIONS: usize = 50;
const DEVICES_AT_1_HZ: usize = 500;

/// Prints a table of speeds and sizes.
#[derive(Debug, Parser)]
#[command(name = "pitchside-bench", version)]
struct Args {
    /// Short runs, for a look whether everything works.
    #[arg(long)]
    quick: bool,
    /// Only this measurement.
    #[arg(long)]
    only: Option<What>,
    /// Messages of a device without a receipt.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    window: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Disk,
    Mosquitto,
    Single,
    Rules,
    Pack,
    Wave,
    Alerts,
    Rest,
    Backtest,
    Evaluation,
    Worker,
    Hostile,
    Fanout,
}

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]
fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", Row::head());
    runtime.block_on(Bench::new(&args).run())
}

struct Bench {
    only: Option<What>,
    plan: Plan,
    quick: bool,
    syncs: Option<f64>,
    mosquitto: Option<f64>,
}

impl Bench {
    fn new(args: &Args) -> Self {
        let (length, runs) = if args.quick { (Duration::from_millis(700), 1) } else { (Duration::from_secs(5), 3) };
        let plan = Plan { connections: CONNECTIONS, window: args.window, length, runs };
        Self { only: args.only, plan, quick: args.quick, syncs: None, mosquitto: None }
    }

    fn wants(&self, what: What) -> bool {
        self.only.is_none_or(|only| only == what)
    }

    async fn run(mut self) -> anyhow::Result<()> {
        if self.wants(What::Disk) {
            let folder = std::env::temp_dir();
            let length = self.plan.length / 4;
            let syncs =
                (0..self.plan.runs).map(|_| disk::syncs_per_second(&folder, length)).collect::<Result<_, _>>()?;
            self.syncs = Some(say(Row::new("disk: append 4 KiB and sync", "syncs/s", syncs)));
        }
        if self.wants(What::Mosquitto) {
            let mut rates = Vec::new();
            for _ in 0..self.plan.runs {
                rates.push(mosquitto::relayed_per_second(CONNECTIONS, MESSAGE_BYTES, self.plan.length / 2).await?);
            }
            let what = format!("mosquitto: relay {MESSAGE_BYTES} B, QoS 1, {CONNECTIONS} connections, no storage");
            self.mosquitto = Some(say(Row::new(what, "messages/s", rates).beside(self.syncs, "syncs")));
        }
        if self.wants(What::Single) {
            let shape = Shape::Pack(Quantity::CADENCE, 1);
            self.ingest("1 reading a message, P1, QoS 1", shape, "messages/s", Some(100_000.0)).await?;
        }
        if self.wants(What::Rules) {
            let shape = Shape::Pack(Quantity::HEART_RATE, 1);
            self.ingest("1 reading a message, each seen by 4 rules", shape, "messages/s", None).await?;
        }
        if self.wants(What::Pack) {
            let shape = Shape::Pack(Quantity::CADENCE, 16);
            self.ingest("16 readings a message", shape, "readings/s", Some(500_000.0)).await?;
        }
        if self.wants(What::Wave) {
            self.ingest("360 ECG samples a message", Shape::Wave, "samples/s", Some(1_000_000.0)).await?;
        }
        if self.wants(What::Alerts) {
            self.alerts().await?;
        }
        if self.wants(What::Rest) {
            self.rest()?;
        }
        if self.wants(What::Backtest) {
            self.backtest().await?;
        }
        if self.wants(What::Evaluation) {
            self.evaluation()?;
        }
        if self.wants(What::Worker) {
            self.worker().await?;
        }
        if self.wants(What::Hostile) {
            self.hostile().await?;
        }
        if self.wants(What::Fanout) {
            self.fanout()?;
        }
        Ok(())
    }

    async fn ingest(&self, what: &str, shape: Shape, unit: &'static str, aim: Option<f64>) -> anyhow::Result<()> {
        let outcome = ingest::measure(shape, self.plan).await?;
        let row = Row::new(format!("durable ingest: {what}"), unit, outcome.rates);
        let row = if let Some(aim) = aim { row.at_least(aim) } else { row };
        say(row.beside(self.mosquitto, "mosquitto").beside(self.syncs, "syncs"));
        say(Row::new("  then until all of it is sealed", "s", outcome.sealing_s));
        let of = |part: fn(&clinic::Memory) -> f64| outcome.memory.iter().map(part).collect::<Vec<_>>();
        say(Row::new("  gateway, resident after the load", "MiB", of(|m| m.resident)).at_most(64.0));
        say(Row::new("  gateway, resident at its peak", "MiB", of(|m| m.peak)));
        say(Row::new("  rules worker, resident after the load", "MiB", of(|m| m.workers)));
        Ok(())
    }

    async fn alerts(&self) -> anyhow::Result<()> {
        let length = if self.quick { Duration::from_secs(2) } else { Duration::from_secs(20) };
        let outcome = alerts::measure(DEVICES_AT_1_HZ, length, self.plan.runs).await?;
        let what = |part: &str| format!("publish to alert, {DEVICES_AT_1_HZ} devices x 1 Hz: {part}");
        say(Row::new(what("p50"), "ms", outcome.p50_ms));
        say(Row::new(what("p99"), "ms", outcome.p99_ms).at_most(15.0));
        say(Row::new(what("slowest"), "ms", outcome.max_ms));
        say(Row::new("  alerts that came", "alerts", vec![outcome.alerts as f64]));
        say(Row::new("  alerts that never came", "alerts", vec![outcome.missing as f64]).at_most(0.0));
        say(Row::new("  gateway, resident", "MiB", vec![outcome.memory.resident]).at_most(64.0));
        Ok(())
    }

    async fn backtest(&self) -> anyhow::Result<()> {
        let hours = if self.quick { 6 } else { 72 };
        let history = backtest::History::make(hours).await?;
        let aim_s = 15.0;
        for (what, draft) in [("the rule in force", backtest::IN_FORCE), ("a draft beside it", history.draft())] {
            let (readings, seconds) = history.backtest(draft)?;
            let of_30_days = seconds * 30.0 * 24.0 / f64::from(hours);
            let squad = backtest::SQUAD;
            say(Row::new(
                format!("backtest, {squad} at 1 Hz, {hours} h: {what}"),
                "readings/s",
                vec![readings / seconds],
            ));
            say(Row::new("  30 days at that speed", "s", vec![of_30_days]).at_most(aim_s));
        }
        Ok(())
    }

    /// The library's rules beside plain Rust and Node-RED; 8,000 rules at once.
    fn evaluation(&self) -> anyhow::Result<()> {
        let (count, of_node) = if self.quick { (40_000, 4_000) } else { (800_000, 100_000) };
        let (speeds, not) = rules::library(count)?;
        if !not.is_empty() {
            eprintln!("NOT MEASURED: rules that no number wakes: {}", not.join(", "));
        }
        type Plain = fn(usize) -> f64;
        let kinds: [(bool, &str, &str, f64, Plain); 2] = [
            (false, "threshold", "without windows", 500_000.0, rules::plain_threshold),
            (true, "window", "with windows", 200_000.0, rules::plain_window),
        ];
        for (windows, body, words, aim, plain) in kinds {
            let node = node_red::measure(body, of_node);
            let what = format!("{body} rule, as a function node of Node-RED");
            let in_node_red = match &node {
                Ok(node_red::Speed { node_red: Some(speed), .. }) => {
                    Some(say(Row::new(what.clone(), "readings/s", vec![*speed])))
                }
                Ok(_) => None,
                Err(error) => {
                    eprintln!("NOT MEASURED: {what}: {error:#}");
                    None
                }
            };
            if node.is_ok() && in_node_red.is_none() {
                eprintln!("NOT MEASURED: {what}: it is not installed; make bench does");
            }
            let in_vm = node.ok().map(|node| {
                say(Row::new(format!("{body} rule, the same body in node's vm alone"), "readings/s", vec![node.vm]))
            });
            let plain: Vec<f64> = (0..self.plan.runs).map(|_| plain(count)).collect();
            let plain = say(Row::new(format!("{body} rule, in plain Rust"), "readings/s", plain));
            let of_kind = speeds.iter().filter(|speed| speed.windows == windows);
            let (fed, of_kind): (Vec<_>, Vec<_>) = of_kind.partition(|speed| speed.of_readings.is_some());
            if of_kind.is_empty() {
                eprintln!("NOT MEASURED: the library has no rule {words}");
                continue;
            }
            let what = format!("the library's {} rules {words}, one core", of_kind.len());
            let row = Row::new(what, "evaluations/s", of_kind.iter().map(|speed| speed.per_second).collect());
            let row = row.at_least(aim).beside(in_node_red, "Node-RED").beside(in_vm, "vm");
            say(row.beside(Some(plain), "plain Rust"));
            for speed in of_kind {
                say(Row::new(format!("  {}", speed.name), "evaluations/s", vec![speed.per_second]).at_least(aim));
            }
            for speed in fed {
                let what = format!("  {}, of what is derived now and then", speed.name);
                say(Row::new(what, "readings/s", speed.of_readings.into_iter().collect()));
            }
        }
        for (what, per_second) in rules::features(count)? {
            say(Row::new(format!("a rule that asks for: {what}"), "readings/s", vec![per_second]));
        }
        let (rules, per_second) = (8_000, 1_000);
        let many = rules::many(rules, per_second, if self.quick { 2 } else { 20 })?;
        say(Row::new(format!("{rules} rules: read, compiled, loaded"), "ms", vec![many.load_ms]));
        say(Row::new("  rules that a reading wakes", "rules", vec![many.each]));
        let what = format!("  {per_second} readings/s keep the rules busy for");
        say(Row::new(what, "cores", vec![many.cores]).at_most(2.0));
        Ok(())
    }

    async fn worker(&self) -> anyhow::Result<()> {
        let count = if self.quick { 4_000 } else { 40_000 };
        let latency = worker::latency(count).await?;
        for (part, here, there) in
            [("p50", latency.here[0], latency.worker[0]), ("p99", latency.here[1], latency.worker[1])]
        {
            say(Row::new(format!("message to alert, rules in this process: {part}"), "ms", vec![here]));
            let row = Row::new(format!("message to alert, rules in their worker: {part}"), "ms", vec![there]);
            say(row.beside(Some(here), "in this process"));
        }
        let added = latency.worker[1] - latency.here[1];
        say(Row::new("  p99 that the worker adds", "ms", vec![added]).at_most(1.0));
        let reload = worker::reload(100, if self.quick { 3 } else { 20 }).await?;
        say(Row::new("reload of 100 rules that all changed", "ms", reload.took_ms).at_most(200.0));
        say(Row::new("  readings missed meanwhile", "readings", vec![reload.missed]).at_most(0.0));
        Ok(())
    }

    async fn hostile(&self) -> anyhow::Result<()> {
        let length = if self.quick { Duration::from_secs(2) } else { Duration::from_secs(20) };
        let outcome = hostile::measure(length, self.plan.runs).await?;
        let what = format!("message to R0, 1,000 messages/s, {} harmless rules: p99", outcome.scripts);
        let calm = say(Row::new(what, "ms", outcome.calm_ms));
        let hostile = Row::new("  as many hostile ones: p99", "ms", outcome.hostile_ms);
        let hostile = say(hostile.beside(Some(calm), "with the harmless"));
        say(Row::new("  that is later by", "%", vec![(hostile / calm - 1.0) * 100.0]).at_most(10.0));
        Ok(())
    }

    fn fanout(&self) -> anyhow::Result<()> {
        if let Some(why) = fanout::obstacle() {
            eprintln!("NOT MEASURED: a release to {} gateways: {why}", fanout::GATEWAYS);
            return Ok(());
        }
        let mib = if self.quick { 8 } else { 64 };
        let outcome = fanout::measure(mib << 20)?;
        let what = format!("a release of {mib} MiB to {} gateways: sent by its publisher", fanout::GATEWAYS);
        say(Row::new(what, "copies", vec![outcome.copies]).at_most(2.0));
        say(Row::new("  until the last gateway has it whole", "s", vec![outcome.seconds]));
        Ok(())
    }

    fn rest(&self) -> anyhow::Result<()> {
        let blocks = if self.quick { 2 } else { 10 };
        let (vitals, ecg) = (rest::vitals(blocks)?, rest::ecg(blocks)?);
        let vitals_each = vec![vitals.bytes_each()];
        say(Row::new("at rest: vitals at 1 Hz, 8 athletes, blocks of 60 s", "B/reading", vitals_each).at_most(4.0));
        let ecg_each = vec![ecg.bytes_each()];
        say(Row::new("at rest: ECG at 360 Hz, 8 athletes, blocks of 60 s", "B/sample", ecg_each).at_most(1.5));
        let verified = |chain: &rest::Chain| (0..self.plan.runs).map(|_| chain.verify()).collect::<Result<Vec<_>, _>>();
        say(Row::new("verify a chain of small blocks (vitals)", "MB/s", verified(&vitals)?));
        say(Row::new("verify a chain of large blocks (ECG)", "MB/s", verified(&ecg)?));
        Ok(())
    }
}

/// The value below which this share of sorted figures lies.
fn share(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN)
}

/// Prints a row as soon as it is known; returns its median.
fn say(row: Row) -> f64 {
    println!("{row}");
    row.median()
}
