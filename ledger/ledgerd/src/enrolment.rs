//! Lets a gateway or a publisher in: a transaction in the log, signed by the operator, and the pre-shared key in a file beside it.

use std::path::{Path, PathBuf};

use ledger_block::GatewayId;
use ledger_block::channel::PublicKey;
use ledger_block::ingest::{Act, DeviceId, NameError, OPERATOR, Refusal, Role, Transaction, TransactionError};
use ledger_log::{Placed, SequenceError};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::files::read_text_bounded;
use crate::keys::{self, SecretError};
use crate::setup::{self, SetupError};

/// The longest enrolment file: four short lines and what somebody remarks.
const ENROLMENT_BYTES_MAX: usize = 64 << 10;

/// What a gateway hands to the ledger's operator. As TOML:
///
/// ```toml
/// gateway = "box-1"                # its name, for good
/// signing = "64 hexadecimal digits" # Ed25519 key its block headers name
/// channel = "64 hexadecimal digits" # X25519 key of its Noise channel
/// psk_file = "ledger.psk"          # 32 bytes as hexadecimal, mode 0600; relative to this file
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The gateway's name: 1 to 48 bytes of letters, digits, `-`, `_`, `.`.
    pub gateway: String,
    /// Its Ed25519 key, hexadecimal.
    pub signing: String,
    /// Its X25519 key, hexadecimal.
    pub channel: String,
    /// The file of the pre-shared key.
    pub psk_file: PathBuf,
}

/// Why a gateway was not let in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The enrolment file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The enrolment file is not one.
    #[error("not an enrolment: {0}")]
    Toml(#[from] toml::de::Error),
    /// The name is none.
    #[error("the gateway's name: {0}")]
    Name(#[from] NameError),
    /// A key is none.
    #[error("`{0}` is not a key: 64 lower-case hexadecimal digits")]
    Key(&'static str),
    /// Nobody can sign with it.
    #[error(
        "`signing` is no Ed25519 key under which a signature can hold: take it from the gateway's own enrolment file"
    )]
    Signing,
    /// Everybody knows what two sides share under it.
    #[error(
        "`channel` is an X25519 key of low order, with which every secret comes to the same: take it from the gateway's own enrolment file"
    )]
    Channel,
    /// The pre-shared key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The ledger does not open.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The transaction cannot be made.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The log refused it.
    #[error("the log refused the enrolment: {0}")]
    Refused(#[from] Refusal),
    /// The log could not take it.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
}

impl Enrolment {
    /// Reads an enrolment file; a relative `psk_file` is meant from where the file is.
    ///
    /// # Errors
    /// Not there, longer than an enrolment can be, or not one.
    pub fn read(path: &Path) -> Result<Self, EnrolError> {
        let text = read_text_bounded(path, ENROLMENT_BYTES_MAX)
            .map_err(|source| EnrolError::Io { path: path.to_owned(), source })?;
        let mut enrolment: Self = toml::from_str(&text)?;
        if let Some(parent) = path.parent() {
            enrolment.psk_file = parent.join(&enrolment.psk_file);
        }
        Ok(enrolment)
    }
}

/// Enrols a gateway in the ledger in `directory`, running or not. Doing it again with the same keys changes nothing; a
/// name or key that is somebody else's is refused.
///
/// # Errors
/// The enrolment is not in form, the ledger does not open, or the log refuses.
pub fn enrol_gateway(directory: &Path, enrolment: &Enrolment) -> Result<Option<Placed>, EnrolError> {
    enrol(directory, enrolment, Role::Gateway)
}

/// Enrols a publisher of firmware, who hands in releases and nothing else. Its file is a gateway's.
///
/// # Errors
/// As [`enrol_gateway`].
pub fn enrol_publisher(directory: &Path, enrolment: &Enrolment) -> Result<Option<Placed>, EnrolError> {
    enrol(directory, enrolment, Role::Publisher)
}

fn enrol(directory: &Path, enrolment: &Enrolment, role: Role) -> Result<Option<Placed>, EnrolError> {
    let name = DeviceId::parse(&enrolment.gateway)?;
    let signing = GatewayId::parse(&enrolment.signing).ok_or(EnrolError::Key("signing"))?;
    if !signing.can_sign() {
        return Err(EnrolError::Signing);
    }
    let signing = signing.0;
    let channel = enrolment.channel.parse::<PublicKey>().map_err(|_| EnrolError::Key("channel"))?;
    // A publisher that never connects has none, and says so with zeros.
    if channel.is_low_order() && !(role == Role::Publisher && channel.0 == [0; 32]) {
        return Err(EnrolError::Channel);
    }
    let channel = channel.0;
    let psk = keys::read_key(&enrolment.psk_file)?;
    let log = setup::open_log(directory)?;
    let kept = directory.join("psk").join(format!("{name}.psk"));
    let known = log.member(&name).map_err(SequenceError::from)?;
    let same =
        known.as_ref().is_some_and(|member| (member.signing, member.channel, member.role) == (signing, channel, role));
    // The key first: a gateway that is enrolled but cannot connect would look like a network fault.
    if same || known.is_none() {
        put_psk(&kept, &psk)?;
    }
    if same {
        return Ok(None);
    }
    let act = Act::Enrol { name, role, signing, channel };
    let transaction = Transaction { signer: DeviceId::parse(OPERATOR)?, time: clock::now(), act };
    let leaf = transaction.sign(log.origin(), &setup::operator_key(directory)?)?;
    Ok(Some(log.enter_now(leaf, clock::now())??))
}

/// Keeps the pre-shared key, replacing an older one in one step.
fn put_psk(path: &Path, psk: &[u8; 32]) -> Result<(), SecretError> {
    let fresh = path.with_extension("psk.new");
    let io = |source| SecretError::Io { path: path.to_owned(), source };
    if fresh.exists() {
        std::fs::remove_file(&fresh).map_err(io)?;
    }
    keys::write_key(&fresh, psk)?;
    std::fs::rename(&fresh, path).map_err(io)
}
