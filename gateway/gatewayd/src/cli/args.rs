//! The command line's shape. Help texts are the manual's first page.

mod firmware;
mod keeping;
mod people;
mod plugin;
mod proof;
mod rules;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pitchside_admin::{NOTE_CHARS_MAX, UserName};
use pitchside_model::{AlertId, AthleteId, DeviceId};

pub use firmware::{DraftArgs, FirmwareCommand, KeyCommand, PolicyCommand, PublisherArgs, StepArg, TargetArg};
pub use keeping::{BackupCommand, FactoryResetArgs};
pub use people::{AthleteCommand, RoleArg, UserCommand};
pub use plugin::{PackageArgs, PluginCommand, PluginKeyCommand, PluginKindArg, TrialArgs};
pub use proof::{BlocksCommand, EvidenceCommand};
pub use rules::{PublishArgs, RulesCommand, Switch};

/// The gateway box for sports clinics.
#[derive(Debug, Parser)]
#[command(name = "pitchside", version, arg_required_else_help = true, infer_subcommands = false)]
pub struct Cli {
    /// Machine-readable output: JSON on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the settings come from.
    #[command(flatten)]
    pub config: ConfigArg,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the settings come from.
#[derive(Debug, Clone, Args)]
pub struct ConfigArg {
    /// Settings file, or a folder of them; without it, every *.toml under /etc/pitchside.
    #[arg(id = "config", long = "config", global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway.
    Run,
    /// One clinic on this machine: a ledger, a gateway and a squad of eight athletes.
    Demo(DemoArgs),
    /// Make a new box: keys, certificate authority, settings and the first user.
    Init(InitArgs),
    /// Look for what is wrong, and say which command mends it.
    Doctor {
        /// Only ask the running gateway whether it makes progress. Exit 0 if so, 1 with reasons if not.
        #[arg(long)]
        health: bool,
    },
    /// Backups: create, verify, restore.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Destroy keys and data, for good. What the ledger holds stays there.
    FactoryReset(FactoryResetArgs),
    /// Settings: check, show, explain.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Devices: enrol, list, assign, revoke.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Athletes: add, list, erase.
    #[command(subcommand)]
    Athlete(AthleteCommand),
    /// People who may sign in to the page.
    #[command(subcommand)]
    User(UserCommand),
    /// Rules: check, test, try on history, publish, roll back, replay.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Plugins: begin one, check and test it, pack, sign, install, update, look after.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Alerts, newest first.
    #[command(args_conflicts_with_subcommands = true)]
    Alerts {
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        last: usize,
        /// What else to do with them.
        #[command(subcommand)]
        command: Option<AlertsCommand>,
    },
    /// Recent readings, newest first, with the ids that `evidence export` takes.
    Readings {
        /// Only this device's.
        #[arg(long)]
        device: Option<DeviceId>,
        /// How many at most.
        #[arg(long, default_value_t = 20)]
        last: usize,
    },
    /// Sealed blocks: list and verify.
    #[command(subcommand)]
    Blocks(BlocksCommand),
    /// Evidence of one reading or alert that anyone can verify offline.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Firmware: sign, publish, roll out, pause, abort.
    #[command(subcommand)]
    Firmware(FirmwareCommand),
    /// Shell completions on standard output.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Sandboxed worker for rules or a plugin; started by the gateway itself.
    #[command(hide = true)]
    ScriptWorker {
        /// What it runs.
        kind: WorkerKind,
    },
}

/// `alerts ...`
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AlertsCommand {
    /// Prove the alert path now: a synthetic reading through the running gateway's rules to every output, and what each leg took.
    /// Exit 0 if every leg was walked in time.
    Drill,
    /// End a raised alert by hand: of a rule that latches nothing else does. It is raised anew if its condition still holds after the rule's
    /// hold and cool-down.
    Reset {
        /// The alert's id, from `pitchside alerts`.
        #[arg(value_parser = rules::alert)]
        alert: AlertId,
        /// Why.
        #[arg(long, value_parser = note)]
        note: Option<String>,
        /// Who; without it, the user of this machine.
        #[arg(long, value_parser = author)]
        author: Option<String>,
    },
}

/// What a script worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkerKind {
    /// The rules.
    Rules,
    /// One plugin's decoder.
    Plugin,
    /// One output.
    Output,
    /// What is run of a plugin before it is let in.
    Package,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How long to run, e.g. 60s or 5min; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub length: Option<Duration>,
    /// How many times faster than life the athletes train.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// Begin with so much generated history, sealed before the run, e.g. 30d: for `rules backtest`.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub history: Option<Duration>,
    /// Keep everything in this folder; without it, a temporary one that vanishes.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Address of the live page; without it 127.0.0.1:8443, or any free port if that is taken.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<std::net::SocketAddr>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder for settings, keys and data.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// What the box is called, e.g. pitch-1.
    #[arg(long, default_value = "pitchside")]
    pub name: DeviceId,
    /// Folder of rules to start with.
    #[arg(long, value_name = "DIR", default_value = "/usr/share/pitchside/rules")]
    pub rules: PathBuf,
    /// Folder of plugins to start with.
    #[arg(long, value_name = "DIR", default_value = "/usr/share/pitchside/plugins")]
    pub plugins: PathBuf,
    /// Where to write the recovery key, to be taken away; without it, it is shown once.
    #[arg(long, value_name = "FILE")]
    pub recovery_out: Option<PathBuf>,
}

/// `config ...`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read all settings and the files they name, and report every problem.
    Check {
        /// Look at this file alone, as the one that a setting will name: ledger.policy, firmware.release_policy or
        /// delivery.authorities. No settings are read.
        #[arg(long, value_name = "SETTING=FILE")]
        file: Option<String>,
    },
    /// The settings in force, and where each comes from.
    Show,
    /// What one setting means.
    Explain {
        /// e.g. blocks.interval_s
        key: String,
    },
}

/// `device ...`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Give a device a fresh secret, shown once as a QR code and written to a file.
    Enrol {
        /// Its id: letters, digits, '-', '_', '.'; at most 48.
        id: DeviceId,
        /// How it proves who it is.
        #[arg(long, value_enum, default_value_t = ClassArg::P1)]
        class: ClassArg,
        /// For p2: the device's X25519 public key, 64 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
        /// Decoder plugin for its vendor payloads.
        #[arg(long, value_name = "PLUGIN")]
        decoder: Option<pitchside_model::PluginName>,
        /// For app: topic filters it may read.
        #[arg(long, value_name = "FILTER")]
        read: Vec<String>,
        /// Where to write the enrolment file; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// For bonded, and for p0, p1, p2 reached by Bluetooth.
        #[command(flatten)]
        radio: RadioArgs,
    },
    /// Tell the code a bonded device shows while it pairs: six digits, read from standard input.
    Code {
        /// The device.
        id: DeviceId,
        /// Forget the code told before: the next pairing waits for a new one.
        #[arg(long)]
        forget: bool,
    },
    /// Remove the bond with a sensor that was reset: it stays enrolled and pairs anew.
    Forget {
        /// The device.
        id: DeviceId,
    },
    /// How BlueZ's devices are bonded; as root.
    Bonds {
        /// Where BlueZ keeps its bonds.
        #[arg(long, value_name = "DIR", default_value = pitchside_collect::ble::keys::FOLDER)]
        from: PathBuf,
        /// Copy them there without keys, for a gateway that is not root: bluetooth.bonds.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Go on copying, whenever a bond changes, until stopped: for a root service.
        #[arg(long, requires = "out")]
        follow: bool,
    },
    /// All devices.
    List,
    /// Bind a device to an athlete, from now on.
    Assign {
        /// The device.
        device: DeviceId,
        /// The athlete who wears it.
        athlete: AthleteId,
    },
    /// Shut a device out, at once and for good.
    Revoke {
        /// The device.
        id: DeviceId,
    },
}

/// How a device proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassArg {
    /// Pre-shared key only.
    P0,
    /// Pre-shared key and fresh X25519 keys.
    P1,
    /// Own key pair and pre-shared key.
    P2,
    /// A hub that knows only a password.
    Password,
    /// Whatever is on a serial line that the settings name.
    Wired,
    /// A program that reads alerts and live values over MQTT.
    App,
    /// A Bluetooth sensor that BlueZ bonds with by LE Secure Connections.
    Bonded,
}

/// Where a Bluetooth device is and how it pairs.
#[derive(Debug, Clone, Default, Args)]
pub struct RadioArgs {
    /// Its Bluetooth address, e.g. F0:F1:F2:F3:F4:01.
    #[arg(long)]
    pub address: Option<pitchside_model::BleAddress>,
    /// For bonded: it has neither display nor keyboard and pairs without a code. Pair it where nobody else is.
    #[arg(long, conflicts_with = "code_stdin")]
    pub just_works: bool,
    /// For bonded: the six digits printed on it are read from standard input. Without this and --just-works the gateway
    /// waits while pairing for `device code`.
    #[arg(long)]
    pub code_stdin: bool,
    /// For bonded: what it is asked for, e.g. heart-rate,battery; everything known if not given.
    #[arg(long, value_name = "PROFILES", value_parser = profiles)]
    pub profiles: Option<pitchside_model::Profiles>,
}

fn profiles(words: &str) -> Result<pitchside_model::Profiles, String> {
    use pitchside_collect::ble::profile;
    let all = || profile::words(pitchside_model::Profiles::all()).join(", ");
    profile::parse(words).map_err(|word| format!("{word:?} is no profile; there are: {}", all()))
}

fn note(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= NOTE_CHARS_MAX && !text.chars().any(char::is_control);
    let one_line = || format!("a note is one line of at most {NOTE_CHARS_MAX} characters");
    fits.then(|| text.trim().to_owned()).ok_or_else(one_line)
}

fn author(text: &str) -> Result<String, String> {
    let wrong = || "a name has 1 to 64 bytes, no control characters, and no space at either end".to_owned();
    UserName::parse(text).map(|name| name.to_string()).ok_or_else(wrong)
}

/// Reads `90s`, `5min`, `2h`, `30d`, `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is not a duration; write e.g. 60s or 5min"))?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("'{text}' needs a unit: ms, s, min, h or d")),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| format!("'{text}' is too long"))
}
