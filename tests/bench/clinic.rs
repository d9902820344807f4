//! A clinic for measurements: a real ledger, a real gateway (a process of its own, so that its memory can be read) and as
//! many enrolled devices as wanted, in a folder that vanishes.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gatewayd::adapters::keys::row;
use gatewayd::cli::args::ClassArg;
use gatewayd::cli::device::{Handed, Plan, enrol};
use gatewayd::cli::{InitPlan, add_athlete, make_box};
use gatewayd::identity::Identity;
use pitchside_config::{Gateway, Http, Ledger, Library, Mqtt, Settings};
use pitchside_model::{AthleteId, DeviceId, Timestamp};
use pitchside_store::{RootKey, Tables};
use pitchside_wire::Credential;
use tokio::net::TcpStream;

/// How long a program may take to listen.
const START_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The app that listens to alerts.
pub const APP: &str = "bench-app";

/// A program that ends with the benchmark.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The clinic.
pub struct Clinic {
    gateway: Beside,
    _ledger: Beside,
    /// The gate.
    pub mqtt: SocketAddr,
    /// Device ids and secrets.
    pub devices: Vec<(String, Credential)>,
    /// Password of [`APP`].
    pub app_password: String,
    tables: Tables,
    dir: tempfile::TempDir,
}

/// MiB, from the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: f64,
    /// Resident at most so far.
    pub peak: f64,
    /// Resident now, of the script workers.
    pub workers: f64,
}

/// A rule that raises at one reading of 200 /min or more, and clears at the next below.
const ONE_READING: [(&str, &str); 4] = [
    (
        "rule.toml",
        "name = \"one-reading\"\nversion = \"1.0.0\"\nsummary = \"Heart rate at 200 in one reading.\"\npriority = \"high\"\ninputs = [\"heart_rate\"]\nscope = \"device\"\n[params.ceiling]\ndefault = 200.0\nmin = 120.0\nmax = 240.0\n",
    ),
    ("rule.rhai", "above(value, ceiling, 1.0)\n"),
    (
        "cases.txt",
        "case one reading raises\n  +0s heart_rate 199 /min ->\n  +1s heart_rate 205 /min -> raise high\n  +2s heart_rate 120 /min -> clear\ncase below is silent\n  +0s heart_rate 150 /min ->\ncase a gap is silent\n  +0s heart_rate gap contact_lost ->\n",
    ),
    ("README.md", "# one-reading\n\nFor measuring the way from publish to alert.\n"),
];

/// A part of the repository.
pub fn repository(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part)
}

/// A file of the recordings.
pub fn recording(name: &str) -> PathBuf {
    repository("tests/recordings").join(name)
}

/// Copies a folder with all below.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn free_port() -> anyhow::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).context("finding a free port")
}

/// A program built beside this one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is not there; `make bench` builds it", path.display());
    Ok(path)
}

fn output(program: &Path, args: &[&OsStr]) -> anyhow::Result<String> {
    let done = Command::new(program).args(args).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{} failed ({}): {}", program.display(), done.status, said.trim());
    Ok(String::from_utf8(done.stdout)?)
}

async fn beside(program: &Path, args: &[&OsStr], log: &Path, listens: &[SocketAddr]) -> anyhow::Result<Beside> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(log)?);
    let mut running = Beside(command.spawn().with_context(|| format!("starting {}", program.display()))?);
    let deadline = Instant::now() + START_WITHIN;
    for address in listens {
        while TcpStream::connect(address).await.is_err() {
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            ensure!(running.0.try_wait()?.is_none(), "{} ended: {}", program.display(), said());
            ensure!(Instant::now() < deadline, "{} does not listen: {}", program.display(), said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(running)
}

impl Clinic {
    /// Makes and starts everything. `count` devices of class P1, each worn by an athlete of its own.
    pub async fn open(count: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path();
        copy_folder(&repository("rules"), &dir.join("rules"))?;
        std::fs::create_dir(dir.join("rules/one-reading"))?;
        for (name, text) in ONE_READING {
            std::fs::write(dir.join("rules/one-reading").join(name), text)?;
        }
        let ledgerd = program("ledgerd")?;
        let ledger_dir = dir.join("ledger");
        let at = [OsStr::new("--dir"), ledger_dir.as_os_str(), OsStr::new("--json")];
        let init = ["init", "--origin", "pitchside.example/bench"].map(OsStr::new);
        let made: serde_json::Value = serde_json::from_str(&output(&ledgerd, &[&at[..], &init].concat())?)?;
        let channel = made["channel"].as_str().context("`ledgerd init` named no channel key")?.to_owned();
        let (ingest, ledger_http, mqtt, page) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let settings = settings(mqtt, page, ingest, channel)?;
        make_box(&InitPlan { dir: dir.to_owned(), settings: settings.clone() })
            .map_err(|failure| anyhow::anyhow!("making the box: {failure:?}"))?;
        let keys = dir.join(&settings.gateway.key_dir);
        let identity = Identity::load(&keys)?;
        enrol_box(&ledgerd, &ledger_dir, &identity)?;
        let root = RootKey::new(*identity.derive("pitchside/1/store")?);
        let tables = Tables::attach(&dir.join(&settings.gateway.data_dir), root)?;
        let (devices, app_password) = enrol_all(&tables, &identity, count)?;

        let (ingest_at, http_at) = (ingest.to_string(), ledger_http.to_string());
        let serve = ["serve", "--ingest", &ingest_at, "--http", &http_at].map(OsStr::new);
        let ledger =
            beside(&ledgerd, &[&at[..], &serve].concat(), &dir.join("ledger.log"), &[ingest, ledger_http]).await?;
        let config = dir.join("pitchside.toml");
        let run = [OsStr::new("--config"), config.as_os_str(), OsStr::new("run")];
        // The page comes up last: after it, rules are loaded and devices may come.
        let gateway = beside(&program("pitchside")?, &run, &dir.join("gateway.log"), &[mqtt, page]).await?;
        Ok(Self { gateway, _ledger: ledger, mqtt, devices, app_password, tables, dir: folder })
    }

    /// Its folder of rules, which it looks at by itself.
    pub fn rules(&self) -> PathBuf {
        self.dir.path().join("rules")
    }

    /// What the gateway's processes hold.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let id = self.gateway.0.id();
        let mut workers = 0.0;
        for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
            let children = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
                workers += status(child, "VmRSS:")?;
            }
        }
        Ok(Memory { resident: status(id, "VmRSS:")?, peak: status(id, "VmHWM:")?, workers })
    }

    /// Waits until everything in the journal is sealed; how long that took.
    pub async fn sealed(&self, within: Duration) -> anyhow::Result<Duration> {
        let started = Instant::now();
        // What is acknowledged last seals when the block's interval is over; its size alone does not close a block.
        while !self.tables.unsealed(1)?.is_empty() {
            ensure!(started.elapsed() < within, "the gateway has not sealed everything within {within:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(started.elapsed())
    }
}

/// A line of `/proc/PID/status`, in MiB.
fn status(process: u32, line: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = text.lines().find_map(|l| l.strip_prefix(line)?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.with_context(|| format!("/proc/{process}/status has no {line}"))? / 1_024.0)
}

fn settings(mqtt: SocketAddr, page: SocketAddr, ingest: SocketAddr, channel: String) -> anyhow::Result<Settings> {
    Ok(Settings {
        gateway: Gateway {
            name: DeviceId::parse("bench-box")?,
            data_dir: "data".into(),
            key_dir: "keys".into(),
            ..Gateway::default()
        },
        mqtt: Mqtt { tcp: vec![mqtt], ..Mqtt::default() },
        http: Http { address: page, ..Http::default() },
        ledger: Some(Ledger { address: ingest.to_string(), public_key: channel, policy: "ledger/policy".into() }),
        blocks: pitchside_config::Blocks { interval_ms: 2_000, ..pitchside_config::Blocks::default() },
        rules: Library { dir: Some("rules".into()) },
        ..Settings::default()
    })
}

fn enrol_box(ledgerd: &Path, ledger_dir: &Path, identity: &Identity) -> anyhow::Result<()> {
    let file = identity.write_ledger_enrolment("bench-box")?;
    output(ledgerd, &[OsStr::new("--dir"), ledger_dir.as_os_str(), OsStr::new("enrol-gateway"), file.as_os_str()])?;
    Ok(())
}

type Enrolled = (Vec<(String, Credential)>, String);

fn enrol_all(tables: &Tables, identity: &Identity, count: usize) -> anyhow::Result<Enrolled> {
    let plan = |id: &str, class, filters| -> anyhow::Result<Plan> {
        Ok(Plan { id: DeviceId::parse(id)?, class, own_key: None, decoder: None, filters })
    };
    let now = Timestamp(crate::wall_us());
    let mut devices = Vec::with_capacity(count);
    for number in 0..count {
        let (device, athlete) = (format!("strap-{number:03}"), AthleteId::parse(&format!("athlete-{number:03}"))?);
        add_athlete(tables, identity, &athlete)?;
        let (record, handed) = enrol(identity, &plan(&device, ClassArg::P1, Vec::new())?)?;
        tables.add_device(row(record))?;
        tables.assign(&DeviceId::parse(&device)?, &athlete, now)?;
        let Handed::Card(card) = handed else { anyhow::bail!("a P1 device got no card") };
        devices.push((device, Credential::P1 { psk: card.psk }));
    }
    let (record, handed) = enrol(identity, &plan(APP, ClassArg::App, vec!["alerts/#".to_owned()])?)?;
    tables.add_device(row(record))?;
    let Handed::Password(password) = handed else { anyhow::bail!("an app got no password") };
    Ok((devices, password.to_string()))
}
