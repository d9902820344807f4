//! The clinic's recovery key. `pitchside init` makes it; its private half is handed over once and never stays on the box.
//! With it and the ledger, a lost box loses no data; without it, nobody restores a backup.
//!
//! ```text
//!     keys/recovery.pub      the public half: 64 hexadecimal digits
//!     the file taken away    one line: pitchside-recovery-1 <gateway, 64 hex> <private half, 64 hex>
//! ```
//!
//! The gateway's name (its public signing key) stands in the line so that a restore can tell a backup made by that box,
//! which alone knew the signing key that must be inside, from one made by somebody who only knew the public half.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use ledger_block::GatewayId;
use pitchside_seal::key::{RecoveryPublic, RecoverySecret};
use zeroize::Zeroizing;

use crate::files::{read_secret, write_public};
use crate::random::OsRandom;

/// File of the public half, below the key folder.
pub const PUBLIC_FILE: &str = "recovery.pub";
const PREFIX: &str = "pitchside-recovery-1";
/// A line has 147 bytes.
const LINE_BYTES_MAX: u64 = 1_024;

/// The private half, and whose backups it opens.
pub struct RecoveryKey {
    /// The box it was made for.
    pub gateway: GatewayId,
    bytes: Zeroizing<[u8; 32]>,
    /// The key itself.
    pub secret: RecoverySecret,
}

impl RecoveryKey {
    /// A fresh one for a box.
    pub fn make(gateway: GatewayId) -> anyhow::Result<Self> {
        Self::from_bytes(gateway, Zeroizing::new(OsRandom.bytes()?))
    }

    fn from_bytes(gateway: GatewayId, bytes: Zeroizing<[u8; 32]>) -> anyhow::Result<Self> {
        let secret = RecoverySecret::new(&bytes)?;
        Ok(Self { gateway, bytes, secret })
    }

    /// The line to take away.
    pub fn to_line(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(HEXLOWER.encode(self.bytes.as_slice()));
        Zeroizing::new(format!("{PREFIX} {} {}", self.gateway, secret.as_str()))
    }

    /// Reads that line.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let form = "a recovery key is one line: pitchside-recovery-1 GATEWAY SECRET";
        let mut words = line.split_whitespace();
        anyhow::ensure!(words.next() == Some(PREFIX), "{form}");
        let gateway = words.next().and_then(GatewayId::parse).context(form)?;
        let secret = Zeroizing::new(HEXLOWER.decode(words.next().context(form)?.as_bytes()).context(form)?);
        anyhow::ensure!(words.next().is_none(), "{form}");
        let bytes: [u8; 32] = secret.as_slice().try_into().context(form)?;
        Self::from_bytes(gateway, Zeroizing::new(bytes))
    }

    /// Reads it from a file that only its user can read, or from standard input for `-`. Never from an argument.
    pub fn read(from: &Path) -> anyhow::Result<Self> {
        let mut text = Zeroizing::new(String::new());
        if from == Path::new("-") {
            std::io::stdin().take(LINE_BYTES_MAX).read_to_string(&mut text).context("reading standard input")?;
        } else {
            let bytes = read_secret(from)?;
            text.push_str(std::str::from_utf8(&bytes).context("a recovery key is text")?);
        }
        Self::parse(&text).with_context(|| format!("the recovery key in {}", from.display()))
    }
}

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecoveryKey(of {})", self.gateway)
    }
}

/// The public half on the box.
pub struct RecoveryPublicFile;

impl RecoveryPublicFile {
    /// Writes it.
    pub fn write(keys: &Path, key: &RecoveryKey) -> anyhow::Result<()> {
        let text = HEXLOWER.encode(&key.secret.public().to_bytes());
        write_public(&keys.join(PUBLIC_FILE), text.as_bytes())
    }

    /// Reads it; none if the box was made without one.
    pub fn read(keys: &Path) -> anyhow::Result<Option<RecoveryPublic>> {
        let path = keys.join(PUBLIC_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let what = || format!("{} does not hold a recovery key's public half", path.display());
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).with_context(what)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().with_context(what)?;
        Ok(Some(RecoveryPublic::new(&bytes).with_context(what)?))
    }
}
