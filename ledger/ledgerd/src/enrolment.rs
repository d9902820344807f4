//! Lets a gateway or a publisher in, or its new signing key: a transaction in the log, signed by the operator, and the pre-shared key
//! in a file beside it.

use std::path::{Path, PathBuf};

use ledger_block::GatewayId;
use ledger_block::channel::PublicKey;
use ledger_block::ingest::{Act, DeviceId, NameError, OPERATOR, Refusal, Role, Transaction, TransactionError};
use ledger_log::{Log, Placed, SequenceError};
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
    /// A new key of somebody else.
    #[error("the enrolment is {file}'s, not {name}'s: nothing was changed")]
    OtherName {
        /// Whose it is.
        file: DeviceId,
        /// Who was named.
        name: DeviceId,
    },
    /// A new key for nobody.
    #[error("nobody is enrolled as {0}: `ledgerd enrol-publisher` and `ledgerd enrol-gateway` let somebody in")]
    Nobody(DeviceId),
    /// A new key for a gateway, unasked.
    #[error(
        "{0} is a gateway: a box seals under the key its chain began with and no other, so with another one it hands nothing in any more, and \
         the key it has never returns. To shut it out for good, say `--shut-out`; a box that lost its keys is restored from its backup; \
         one that is to begin anew is enrolled under another name: nothing was changed"
    )]
    ShutsOut(DeviceId),
    /// Another channel key.
    #[error(
        "`channel` is not the key {0} is enrolled with, which stays for good: make the new signing key beside the old noise.key; if that is \
         lost, too, enrol it under another name, and pause, resume or halt what it rolled out yourself: `ledgerd rollout`, `pause`, `halt`"
    )]
    OtherChannel(DeviceId),
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
    #[error("the log refused it: {0}")]
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

    /// Its name and keys.
    fn keys(&self) -> Result<(DeviceId, [u8; 32], PublicKey), EnrolError> {
        let name = DeviceId::parse(&self.gateway)?;
        let signing = GatewayId::parse(&self.signing).ok_or(EnrolError::Key("signing"))?;
        if !signing.can_sign() {
            return Err(EnrolError::Signing);
        }
        let channel = self.channel.parse::<PublicKey>().map_err(|_| EnrolError::Key("channel"))?;
        Ok((name, signing.0, channel))
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
    let (name, signing, channel) = enrolment.keys()?;
    // A publisher that never connects has none, and says so with zeros.
    if channel.is_low_order() && !(role == Role::Publisher && channel.0 == [0; 32]) {
        return Err(EnrolError::Channel);
    }
    let channel = channel.0;
    let psk = keys::read_key(&enrolment.psk_file)?;
    let log = setup::open_log(directory)?;
    let known = log.member(&name).map_err(SequenceError::from)?;
    let same =
        known.as_ref().is_some_and(|member| (member.signing, member.channel, member.role) == (signing, channel, role));
    // The key first: a gateway that is enrolled but cannot connect would look like a network fault.
    if same || known.is_none() {
        put_psk(directory, &name, &psk)?;
    }
    if same {
        return Ok(None);
    }
    enter(directory, &log, Act::Enrol { name, role, signing, channel }).map(Some)
}

/// Puts the signing key of an enrolment in the place of the one this member has, in the ledger in `directory`, running or not: nothing
/// that is signed with that one is taken any more. The channel key must be the present one, for the log has no other for it; the
/// pre-shared key becomes the enrolment's. None if it has this signing key already.
///
/// A gateway is shut out by it for good, as no box seals under another key than its chain's, so that must be meant: `shut_out`.
///
/// # Errors
/// The enrolment is not in form, of somebody else or with another channel key, it would shut a gateway out unasked, the ledger does not
/// open, or the log refuses: a key that is or was somebody's never returns.
pub fn rotate(
    directory: &Path,
    name: &DeviceId,
    enrolment: &Enrolment,
    shut_out: bool,
) -> Result<Option<Placed>, EnrolError> {
    let (file, signing, channel) = enrolment.keys()?;
    if file != *name {
        return Err(EnrolError::OtherName { file, name: name.clone() });
    }
    let psk = keys::read_key(&enrolment.psk_file)?;
    let log = setup::open_log(directory)?;
    let member = log.member(name).map_err(SequenceError::from)?.ok_or_else(|| EnrolError::Nobody(name.clone()))?;
    if member.channel != channel.0 {
        return Err(EnrolError::OtherChannel(name.clone()));
    }
    let placed = if member.signing == signing {
        None
    } else {
        if member.role == Role::Gateway && !shut_out {
            return Err(EnrolError::ShutsOut(name.clone()));
        }
        Some(enter(directory, &log, Act::Rotate { name: name.clone(), key: signing })?)
    };
    // Last: had the log refused the new key, whoever has the one before could not connect any more.
    put_psk(directory, name, &psk)?;
    Ok(placed)
}

fn enter(directory: &Path, log: &Log, act: Act) -> Result<Placed, EnrolError> {
    let transaction = Transaction { signer: DeviceId::parse(OPERATOR)?, time: clock::now(), act };
    let leaf = transaction.sign(log.origin(), &setup::operator_key(directory)?)?;
    Ok(log.enter_now(leaf, clock::now())??)
}

/// Keeps the pre-shared key, replacing an older one in one step.
fn put_psk(directory: &Path, name: &DeviceId, psk: &[u8; 32]) -> Result<(), SecretError> {
    let path = directory.join("psk").join(format!("{name}.psk"));
    let fresh = path.with_extension("psk.new");
    let io = |source| SecretError::Io { path: path.clone(), source };
    if fresh.exists() {
        std::fs::remove_file(&fresh).map_err(io)?;
    }
    keys::write_key(&fresh, psk)?;
    std::fs::rename(&fresh, &path).map_err(io)
}
