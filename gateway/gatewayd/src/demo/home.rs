//! Makes the demo's clinic: a ledger, a box enrolled in it, athletes and their devices. Everything lies in one folder.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pitchside_config::{Blocks, Gateway, Http, Ledger, Library, Mqtt, SerialPort, Settings};
use pitchside_model::{AthleteId, DeviceId, PluginName};
use pitchside_store::{RootKey, Tables};
use zeroize::Zeroizing;

use super::children::{self, Beside};
use super::squad::{SQUAD, Way};
use crate::cli::device::{Handed, Plan, enrol};
use crate::cli::{Failure, InitPlan, add_athlete, make_box};
use crate::clock::Clock;
use crate::files::{write_public, write_secret};
use crate::identity::Identity;

const ORIGIN: &str = "pitchside.example/demo";
const BLOCK_EVERY_MS: u64 = 5_000;

/// The clinic, before anything runs but the ledger.
pub struct Home {
    /// Its folder.
    pub dir: PathBuf,
    /// The box's settings.
    pub settings: Settings,
    /// Password of the first user.
    pub password: Zeroizing<String>,
    /// Folder of the recordings.
    pub recordings: PathBuf,
    /// The running ledger.
    pub ledger: Beside,
}

/// A folder of the repository: below the working directory, or above this program.
fn repository(part: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own file")?;
    let here = std::env::current_dir().context("finding the working directory")?;
    std::iter::once(here.as_path())
        .chain(own.ancestors())
        .map(|base| base.join(part))
        .find(|path| path.is_dir())
        .with_context(|| {
            format!("there is no folder {part} here or above this program: run the demo in the repository")
        })
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).with_context(|| format!("writing {}", target.display()))?;
        }
    }
    Ok(())
}

/// The demo's clinic has set its ceiling for heart rate to 185 /min: the recorded ride never reaches the library's 200.
fn lower_ceiling(manifest: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let lowered = text.replacen("default = 200.0", "default = 185.0", 1);
    anyhow::ensure!(lowered != text, "{} has no ceiling of 200 to lower", manifest.display());
    write_public(manifest, lowered.as_bytes())
}

/// A free port of the loopback. It is given up for a moment: the demo's own programs are the only ones that want it.
fn free_port() -> anyhow::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).context("finding a free port")
}

/// The page's address: the one asked for, else 8443, else any free one.
fn page_address(asked: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8443));
    match asked {
        Some(address) => Ok(address),
        None if TcpListener::bind(usual).is_ok() => Ok(usual),
        None => free_port(),
    }
}

/// Makes everything below `dir` and starts the ledger.
pub async fn make(dir: &Path, page: Option<SocketAddr>) -> Result<Home, Failure> {
    let dir = std::path::absolute(dir).context("the demo's folder")?;
    if dir.join("pitchside.toml").exists() {
        return Err(Failure::Usage(format!(
            "{} holds a demo already: name another folder, or remove it. To run its gateway again: pitchside run --config {}",
            dir.display(),
            dir.join("pitchside.toml").display()
        )));
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    copy_folder(&repository("rules")?, &dir.join("rules"))?;
    copy_folder(&repository("plugins")?, &dir.join("plugins"))?;
    lower_ceiling(&dir.join("rules/heart-rate-ceiling/rule.toml"))?;

    let ledgerd = children::program("ledgerd")?;
    let ledger_dir = dir.join("ledger");
    let at = [OsStr::new("--dir"), ledger_dir.as_os_str(), OsStr::new("--json")];
    let made = children::output(&ledgerd, &[&at[..], &["init", "--origin", ORIGIN].map(OsStr::new)].concat()).await?;
    let made: serde_json::Value = serde_json::from_str(&made).context("what `ledgerd init` said")?;
    let channel = made["channel"].as_str().context("`ledgerd init` named no channel key")?.to_owned();
    let ingest = free_port()?;

    let settings = settings(&dir, page_address(page)?, ingest, channel)?;
    let crate::cli::NewBox { password, recovery } =
        make_box(&InitPlan { dir: dir.clone(), settings: settings.clone() })?;
    write_secret(&dir.join("recovery.key"), recovery.as_bytes())?;
    let keys = dir.join(&settings.gateway.key_dir);
    let identity = Identity::load(&keys)?;
    enrol_box(&ledgerd, &ledger_dir, &identity).await?;
    enrol_squad(&dir, &settings, &identity)?;

    let ledger_http = free_port()?;
    let serve = ["serve".into(), "--ingest".into(), ingest.to_string(), "--http".into(), ledger_http.to_string()];
    let serve: Vec<&OsStr> = at.into_iter().chain(serve.iter().map(|arg: &String| OsStr::new(arg.as_str()))).collect();
    let mut ledger = Beside::start(&ledgerd, &serve, &dir.join("ledger.log"))?;
    ledger
        .line()
        .await?
        .with_context(|| format!("the ledger did not start; see {}", dir.join("ledger.log").display()))?;
    let loaded = pitchside_config::Loaded::load(&pitchside_config::Source::File(dir.join("pitchside.toml")))
        .map_err(|problems| anyhow::anyhow!("the demo's own settings: {problems:?}"))?;
    Ok(Home { settings: loaded.settings, password, recordings: repository("tests/recordings")?, ledger, dir })
}

/// Where a serial sensor plugs in: a terminal that is there while the sensor is.
pub fn terminal(dir: &Path, device: &str) -> PathBuf {
    dir.join("tty").join(device)
}

fn settings(dir: &Path, page: SocketAddr, ingest: SocketAddr, channel: String) -> anyhow::Result<Settings> {
    let serial = SQUAD
        .iter()
        .filter(|wearable| wearable.way == Way::Serial)
        .map(|wearable| SerialPort::ps1(terminal(dir, wearable.device)))
        .collect();
    Ok(Settings {
        gateway: Gateway {
            name: DeviceId::parse("demo-box")?,
            data_dir: "data".into(),
            key_dir: "keys".into(),
            ..Gateway::default()
        },
        mqtt: Mqtt { tcp: vec![free_port()?], tls: Some(free_port()?), ..Mqtt::default() },
        serial,
        http: Http { address: page, ..Http::default() },
        ledger: Some(Ledger { address: ingest.to_string(), public_key: channel, policy: "ledger/policy".into() }),
        blocks: Blocks { interval_ms: BLOCK_EVERY_MS, ..Blocks::default() },
        rules: Library { dir: Some("rules".into()) },
        plugins: Library { dir: Some("plugins".into()) },
        ..Settings::default()
    })
}

async fn enrol_box(ledgerd: &Path, ledger_dir: &Path, identity: &Identity) -> anyhow::Result<()> {
    let file = identity.write_ledger_enrolment("demo-box")?;
    let args = [OsStr::new("--dir"), ledger_dir.as_os_str(), OsStr::new("enrol-gateway"), file.as_os_str()];
    children::output(ledgerd, &args).await?;
    Ok(())
}

fn enrol_squad(dir: &Path, settings: &Settings, identity: &Identity) -> anyhow::Result<()> {
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = Tables::attach(&dir.join(&settings.gateway.data_dir), root)?;
    for wearable in SQUAD {
        let athlete = AthleteId::parse(wearable.athlete)?;
        if tables.athlete(&athlete)?.is_none() {
            add_athlete(&tables, identity, &athlete)?;
        }
        let id = DeviceId::parse(wearable.device)?;
        let plan = Plan {
            id: id.clone(),
            class: wearable.class,
            own_key: None,
            decoder: wearable.decoder.map(PluginName::parse).transpose()?,
            filters: Vec::new(),
        };
        let (record, handed) = enrol(identity, &plan)?;
        tables.add_device(crate::adapters::keys::row(record))?;
        tables.assign(&id, &athlete, Clock::System.now())?;
        let text = match handed {
            Handed::Card(card) => card.to_file(),
            Handed::Password(password) => password,
            Handed::Nothing => continue,
        };
        write_secret(&secret_file(dir, wearable.device), text.as_bytes())?;
    }
    Ok(())
}

/// Where a device's secret lies.
pub fn secret_file(dir: &Path, device: &str) -> PathBuf {
    dir.join("sensors").join(format!("{device}.secret"))
}
