//! Makes a ledger, and opens it again.
//!
//! ```text
//! DIR/ledgerd.toml       settings of `serve`
//! DIR/vkey               the log's verifier key (C2SP signed-note), for readers
//! DIR/policy             a C2SP tlog-policy that believes this log, for `evidence verify --policy`
//! DIR/channel.pub        X25519 key of the ingest, for gateways
//! DIR/keys/log.key       signs checkpoints           (0600)
//! DIR/keys/operator.key  signs what the operator enters (0600)
//! DIR/keys/channel.key   X25519 secret of the ingest (0600)
//! DIR/psk/<gateway>.psk  shared with one gateway     (0600)
//! DIR/log/               the log itself: see ledger/log/README.md
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ledger_block::GatewayKey;
use ledger_block::channel::{ChannelError, Keypair, PublicKey};
use ledger_block::note::{KeyError, KeyKind, SignerKey, VerifierKey};
use ledger_log::{Log, OpenError, Report, Storage, StorageError};

use crate::clock::{self, RandomError};
use crate::keys::{self, SecretError};

/// The settings file written by `init`.
const SETTINGS: &str = "\
# Settings of `ledgerd serve`; every key and its default:
# ingest = \"127.0.0.1:7788\"          # gateways connect here (Noise)
# http = \"127.0.0.1:7789\"            # readers connect here (HTTP, read only)
# batch_ms = 100                     # how long the first leaf of a batch waits for others
# connections_max = 512              # gateway connections at once
# connections_per_gateway_max = 4
# strangers_max = 64                 # connections that have not proven who they are
# handshake_ms_max = 10000
# idle_s_max = 300
# readers_max = 256                  # HTTP connections at once
# content_bytes_max = 17179869184    # contents of releases; never cleared away, beyond it, or on a disk nearly full, new ones are refused
";

/// Why a ledger was not made or opened.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a ledger already.
    #[error("{0} holds a ledger already; nothing was changed")]
    Present(PathBuf),
    /// A secret cannot be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The origin is no key name, or a key file is damaged.
    #[error("the log's key: {0}")]
    Key(#[from] KeyError),
    /// A key of the channel.
    #[error("the channel key: {0}")]
    Channel(#[from] ChannelError),
    /// The log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log's stores.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The public face of a ledger.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The log's verifier key; its name is the origin.
    pub vkey: VerifierKey,
    /// X25519 key of the ingest.
    pub channel: PublicKey,
    /// The C2SP policy file.
    pub policy: PathBuf,
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> SetupError + '_ {
    move |source| SetupError::Io { path: path.to_owned(), source }
}

fn private_directory(path: &Path) -> Result<(), SetupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_at(path))
}

fn publish(path: &Path, text: &str) -> Result<(), SetupError> {
    fs::write(path, text).map_err(io_at(path))?;
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(io_at(path))
}

/// Makes a ledger with fresh keys. `origin` names the log for good: a schema-less URL by custom, such as
/// `ledger.example/clinic`.
///
/// # Errors
/// There is one already, the origin is no name, or the file system refused.
pub fn init(directory: &Path, origin: &str) -> Result<Identity, SetupError> {
    if directory.join("keys/log.key").exists() {
        return Err(SetupError::Present(directory.to_owned()));
    }
    private_directory(directory)?;
    private_directory(&directory.join("keys"))?;
    private_directory(&directory.join("psk"))?;
    let key = SignerKey::new(origin, KeyKind::Ed25519, &*clock::random()?)?;
    let operator = clock::random()?;
    let channel = Keypair::from_secret(clock::random()?)?;
    keys::write_key(&directory.join("keys/operator.key"), &operator)?;
    keys::write_key(&directory.join("keys/channel.key"), channel.secret())?;
    let vkey = key.verifier().clone();
    publish(&directory.join("vkey"), &format!("{vkey}\n"))?;
    publish(
        &directory.join("policy"),
        &format!("# Believes this log alone; add witnesses and a quorum as you trust them.\nlog {vkey}\nquorum none\n"),
    )?;
    publish(&directory.join("channel.pub"), &format!("{}\n", channel.public()))?;
    publish(&directory.join("ledgerd.toml"), SETTINGS)?;
    // The log's key is written before the log, so that no log is ever without one; whoever is killed in between calls
    // `init` in a new directory.
    keys::write_text(&directory.join("keys/log.key"), &key.to_secret_text())?;
    let storage = Storage::files(&directory.join("log"))?;
    Log::create(storage, key, &GatewayKey::new(&operator), clock::now())?;
    Ok(Identity { vkey, channel: channel.public(), policy: directory.join("policy") })
}

/// Opens the log of a ledger, to write to it: what is only arriving gives way on a full disk.
///
/// # Errors
/// There is none, its key cannot be read, or it contradicts itself.
pub fn open_log(directory: &Path) -> Result<Log, SetupError> {
    let key = SignerKey::parse(keys::read_text(&directory.join("keys/log.key"))?.trim())?;
    let log = directory.join("log");
    Storage::make_room(&log)?;
    Ok(Log::open(Storage::files(&log)?, key)?)
}

/// The operator's key.
///
/// # Errors
/// It cannot be read.
pub fn operator_key(directory: &Path) -> Result<GatewayKey, SetupError> {
    Ok(GatewayKey::new(&*keys::read_key(&directory.join("keys/operator.key"))?))
}

/// The ingest's key pair.
///
/// # Errors
/// It cannot be read.
pub fn channel_key(directory: &Path) -> Result<Keypair, SetupError> {
    Ok(Keypair::from_secret(keys::read_key(&directory.join("keys/channel.key"))?)?)
}

/// Checks the whole log of a ledger with its public key alone (`vkey`, in the directory or given).
///
/// # Errors
/// There is no log, or the stores cannot be read at all. Faults are in the report.
pub fn fsck(directory: &Path, vkey: Option<&Path>) -> Result<Report, SetupError> {
    let path = vkey.map_or_else(|| directory.join("vkey"), Path::to_owned);
    let text = fs::read_to_string(&path).map_err(io_at(&path))?;
    let key = VerifierKey::parse(text.trim())?;
    let log = directory.join("log");
    if !log.join("index.sqlite").is_file() {
        return Err(OpenError::Absent.into());
    }
    Ok(ledger_log::fsck(&Storage::files(&log)?, &key)?)
}
