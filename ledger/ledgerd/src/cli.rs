//! The command line. stdout is data, stderr is logs; exit 0 ok, 1 failed, 2 usage, 3 tampered.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use ledger_block::ingest::{Cohort, DeviceId};
use ledger_block::release::{HardwareId, ReleaseId};
use ledger_log::{OpenError, Placed};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::enrolment::{self, EnrolError, Enrolment, enrol_gateway, enrol_publisher};
use crate::firmware::{self, Beginning, Step};
use crate::setup::{self, SetupError};

/// The Pitchside ledger: proves what it holds, reads none of it.
#[derive(Debug, Parser)]
#[command(name = "ledgerd", version)]
pub struct Args {
    /// The ledger's directory.
    #[arg(long, global = true, default_value = "/var/lib/ledgerd", env = "LEDGERD_DIRECTORY", hide_env_values = true)]
    dir: PathBuf,
    /// One JSON object on stdout instead of lines for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a ledger: keys, log, `vkey` and `policy`.
    Init {
        /// The log's name for good, a URL without scheme by custom, e.g. ledger.example/clinic.
        #[arg(long)]
        origin: String,
    },
    /// Lets a gateway in. Works while the ledger runs, and again without harm.
    EnrolGateway {
        /// The gateway's enrolment file (TOML: gateway, signing, channel, psk_file).
        file: PathBuf,
    },
    /// Lets a publisher of firmware in: it may hand in releases and nothing else.
    EnrolPublisher {
        /// The publisher's enrolment file, of the same form as a gateway's.
        file: PathBuf,
    },
    /// Puts a new signing key in the place of the one a publisher has, lost or stolen: that one signs nothing any more. A gateway is shut
    /// out by it for good.
    Rotate {
        /// The name it is enrolled under.
        name: DeviceId,
        /// Its enrolment file with the new signing key. Its channel key must be the one of before; the pre-shared key is taken from it.
        file: PathBuf,
        /// Of a gateway: shut it out for good, one that was stolen. No box seals under another key than its chain's.
        #[arg(long)]
        shut_out: bool,
    },
    /// Says who signs releases, from here on: puts a signed release policy into the log.
    ReleasePolicy {
        /// The policy with its signatures, from `pitchside firmware policy`.
        file: PathBuf,
    },
    /// Begins or widens a rollout, or lets a paused one go on, where the publisher of the release cannot.
    Rollout {
        /// The release's name, or as much of its beginning as is unmistakable.
        release: Beginning,
        /// Which hardware.
        #[arg(long, value_name = "ID")]
        hardware: HardwareId,
        /// How many of its devices, in per cent.
        #[arg(long, value_enum)]
        to: StepArg,
    },
    /// Lets no further device begin, where the publisher of the release cannot. `rollout` goes on.
    Pause {
        /// The release's name, or its beginning.
        release: Beginning,
        /// Which hardware; all of the release's if not given.
        #[arg(long, value_name = "ID")]
        hardware: Option<HardwareId>,
    },
    /// Stops a release for good, where its publisher cannot: the `abort` of `pitchside firmware`.
    Halt {
        /// The release's name, or its beginning.
        release: Beginning,
    },
    /// Moves a log made by an older ledgerd to the present rules.
    Upgrade,
    /// Runs the ledger until interrupted.
    Serve {
        #[command(flatten)]
        flags: Flags,
        /// Settings file; `ledgerd.toml` in the ledger's directory if not given.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Checks every entry, tile, payload and checkpoint. Exit 3 if anything was changed.
    Fsck {
        /// The log's verifier key, from somewhere you trust; `vkey` in the ledger's directory if not given.
        #[arg(long)]
        vkey: Option<PathBuf>,
    },
}

/// A step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StepArg {
    /// The first few.
    #[value(name = "1")]
    One,
    /// A tenth.
    #[value(name = "10")]
    Ten,
    /// All.
    #[value(name = "100")]
    All,
}

#[derive(Debug, Clone, clap::Args, Serialize)]
struct Flags {
    /// Where gateways connect.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    ingest: Option<SocketAddr>,
    /// Where readers connect.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
    /// How long the first leaf of a batch waits for others, in milliseconds.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_ms: Option<u64>,
}

/// What a command says at its end: text for people, the same as JSON, and the exit code.
struct Said {
    text: String,
    json: Value,
    code: u8,
}

/// Runs the command; gives the exit code.
pub fn run(args: &Args) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LEDGERD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    let said = execute(args).unwrap_or_else(|error| Said {
        text: String::new(),
        json: json!({ "ok": false, "error": format!("{error:#}") }),
        code: exit_of(&error),
    });
    if let Some(error) = said.json.get("error").and_then(Value::as_str) {
        let _closed = writeln!(std::io::stderr(), "ledgerd: {error}");
    }
    let out = if args.json { format!("{}\n", said.json) } else { said.text };
    let _closed = std::io::stdout().write_all(out.as_bytes());
    ExitCode::from(said.code)
}

/// 3 when what is stored contradicts itself, otherwise 1.
fn exit_of(error: &anyhow::Error) -> u8 {
    let tampered = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::Tampered(_))));
    let wrapped = error
        .chain()
        .any(|cause| matches!(cause.downcast_ref::<SetupError>(), Some(SetupError::Log(OpenError::Tampered(_)))));
    if tampered || wrapped { 3 } else { 1 }
}

fn execute(args: &Args) -> anyhow::Result<Said> {
    match &args.command {
        Command::Init { origin } => init(&args.dir, origin),
        Command::EnrolGateway { file } => enrol(&args.dir, file, enrol_gateway),
        Command::EnrolPublisher { file } => enrol(&args.dir, file, enrol_publisher),
        Command::Rotate { name, file, shut_out } => rotate(&args.dir, name, file, *shut_out),
        Command::Rollout { release, hardware, to } => rollout(&args.dir, release, hardware, *to),
        Command::Pause { release, hardware } => pause(&args.dir, release, hardware.as_ref()),
        Command::Halt { release } => halt(&args.dir, release),
        Command::ReleasePolicy { file } => release_policy(&args.dir, file),
        Command::Upgrade => upgrade(&args.dir),
        Command::Serve { flags, config } => serve(&args.dir, config.as_deref(), flags),
        Command::Fsck { vkey } => fsck(&args.dir, vkey.as_deref()),
    }
}

fn init(directory: &Path, origin: &str) -> anyhow::Result<Said> {
    let identity = setup::init(directory, origin)?;
    let (vkey, channel, policy) = (identity.vkey, identity.channel, identity.policy);
    Ok(Said {
        text: format!("vkey     {vkey}\nchannel  {channel}\npolicy   {}\n", policy.display()),
        json: json!({ "ok": true, "vkey": vkey.to_string(), "channel": channel.to_string(), "policy": policy }),
        code: 0,
    })
}

fn release_policy(directory: &Path, file: &Path) -> anyhow::Result<Said> {
    let (policy, placed) = firmware::release_policy(directory, file)?;
    let (threshold, keys, id) = (policy.threshold, policy.keys.len(), policy.id().to_string());
    Ok(Said {
        text: format!(
            "release policy {}, leaf {}: {threshold} of {keys} keys sign releases\n{id}\n",
            policy.number, placed.place
        ),
        json: json!({
            "ok": true, "number": policy.number, "policy": id, "threshold": threshold, "keys": keys, "leaf": placed.place,
        }),
        code: 0,
    })
}

fn upgrade(directory: &Path) -> anyhow::Result<Said> {
    let placed = firmware::upgrade(directory)?;
    Ok(Said {
        text: format!("the log runs version {} from leaf {} on\n", ledger_log::VERSION, placed.place),
        json: json!({ "ok": true, "version": ledger_log::VERSION, "leaf": placed.place }),
        code: 0,
    })
}

type Enrol = fn(&Path, &Enrolment) -> Result<Option<Placed>, EnrolError>;

fn enrol(directory: &Path, file: &Path, enrol: Enrol) -> anyhow::Result<Said> {
    let enrolment = Enrolment::read(file)?;
    let placed = enrol(directory, &enrolment)?;
    let name = &enrolment.gateway;
    Ok(Said {
        text: match placed {
            Some(placed) => format!("{name} is enrolled, leaf {}\n", placed.place),
            None => format!("{name} was enrolled already; its pre-shared key is as in the file\n"),
        },
        json: json!({ "ok": true, "gateway": name, "leaf": placed.map(|placed| placed.place) }),
        code: 0,
    })
}

fn rotate(directory: &Path, name: &DeviceId, file: &Path, shut_out: bool) -> anyhow::Result<Said> {
    let placed = enrolment::rotate(directory, name, &Enrolment::read(file)?, shut_out)?;
    Ok(Said {
        text: match placed {
            Some(placed) => {
                format!("{name} signs with its new key, leaf {}; the one before is never taken again\n", placed.place)
            }
            None => format!("{name} signs with this key already; its pre-shared key is as in the file\n"),
        },
        json: json!({ "ok": true, "name": name.as_str(), "leaf": placed.map(|placed| placed.place) }),
        code: 0,
    })
}

fn rollout(directory: &Path, release: &Beginning, hardware: &HardwareId, to: StepArg) -> anyhow::Result<Said> {
    let cohort = match to {
        StepArg::One => Cohort::One,
        StepArg::Ten => Cohort::Ten,
        StepArg::All => Cohort::All,
    };
    let (release, step) = firmware::rollout(directory, release, hardware, cohort)?;
    Ok(stepped(release, &[step]))
}

fn pause(directory: &Path, release: &Beginning, hardware: Option<&HardwareId>) -> anyhow::Result<Said> {
    let (release, steps) = firmware::pause(directory, release, hardware)?;
    Ok(stepped(release, &steps))
}

fn stepped(release: ReleaseId, steps: &[Step]) -> Said {
    let line = |step: &Step| match (&step.hardware, step.cohort.percent(), step.placed.place) {
        (hardware, 0, place) => format!("{release}: paused on {hardware}, leaf {place}\n"),
        (hardware, percent, place) => format!("{release}: {percent} per cent of {hardware}, leaf {place}\n"),
    };
    let entered = |step: &Step| {
        let (hardware, percent) = (step.hardware.as_str(), step.cohort.percent());
        json!({ "hardware": hardware, "percent": percent, "leaf": step.placed.place })
    };
    let json = json!({
        "ok": true, "release": release.to_string(), "steps": steps.iter().map(entered).collect::<Vec<Value>>(),
    });
    Said { text: steps.iter().map(line).collect(), json, code: 0 }
}

fn halt(directory: &Path, release: &Beginning) -> anyhow::Result<Said> {
    let (release, placed) = firmware::halt(directory, release)?;
    Ok(Said {
        text: format!("{release}: halted for good, leaf {}\n", placed.place),
        json: json!({ "ok": true, "release": release.to_string(), "halted": true, "leaf": placed.place }),
        code: 0,
    })
}

fn serve(directory: &Path, file: Option<&Path>, flags: &Flags) -> anyhow::Result<Said> {
    let file = file.map_or_else(|| directory.join("ledgerd.toml"), Path::to_owned);
    let config = Config::load(&file, flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let running = crate::serve(directory, config).await?;
        // One line on stdout, so that whoever started us on port 0 learns the ports.
        let open = json!({ "ingest": running.ingest, "http": running.http });
        writeln!(std::io::stdout(), "{open}").context("writing to stdout")?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for an interrupt")?,
            _ = terminate.recv() => {}
        }
        running.shutdown().await;
        Ok(Said { text: String::new(), json: json!({ "ok": true, "stopped": true }), code: 0 })
    })
}

fn fsck(directory: &Path, vkey: Option<&Path>) -> anyhow::Result<Said> {
    let report = setup::fsck(directory, vkey)?;
    let mut text = String::new();
    for fault in &report.faults {
        text.push_str(&format!("{}: {}: {}\n", fault.kind.word(), fault.at, fault.text));
    }
    text.push_str(&format!(
        "{} leaves, {} tiles, {} checkpoints, {} payloads ({} bytes), {} contents, {} leftovers: {}\n",
        report.leaves,
        report.tiles,
        report.checkpoints,
        report.payloads,
        report.payload_bytes,
        report.contents,
        report.leftovers,
        if report.is_sound() { "sound".to_owned() } else { format!("{} faults", report.fault_count) },
    ));
    let faults: Vec<Value> = report
        .faults
        .iter()
        .map(|fault| json!({ "kind": fault.kind.word(), "at": fault.at, "text": fault.text }))
        .collect();
    let json = json!({
        "ok": report.is_sound(), "leaves": report.leaves, "tiles": report.tiles, "checkpoints": report.checkpoints,
        "payloads": report.payloads, "payload_bytes": report.payload_bytes,
        "contents": report.contents, "leftovers": report.leftovers,
        "fault_count": report.fault_count, "faults": faults,
    });
    Ok(Said { text, json, code: if report.is_sound() { 0 } else { 3 } })
}
