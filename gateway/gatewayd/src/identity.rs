//! The box's own keys: made once, kept as files only its user can read, everything else derived or wrapped.
//!
//! ```text
//!     keys/root.key      32 bytes, hexadecimal: wraps athletes' and devices' keys, encrypts the journal
//!     keys/sign.key      32 bytes: Ed25519 seed that signs blocks
//!     keys/noise.key     32 bytes: X25519 secret for PS/1 class P2 and the ledger
//!     keys/ledger.psk    32 bytes: shared with the ledger at enrolment
//!     keys/ca.pem, .key  the box's certificate authority
//!     keys/ledger-enrolment.toml    public: what the ledger's operator enrols, with ledger.psk beside it
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use ledger_block::channel::Keypair;
use ledger_block::{GatewayId, GatewayKey, SignedHeader};
use pitchside_store::Tables;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::files::{is_there, read_secret, write_public, write_secret};
use crate::random::OsRandom;

/// A secret of 32 bytes that vanishes when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// The keys of one box.
pub struct Identity {
    /// Wraps and derives.
    root: Secret,
    /// Ed25519 seed of the block signer.
    pub sign: Secret,
    /// X25519 secret.
    pub noise: Secret,
    /// Shared with the ledger.
    pub ledger_psk: Secret,
    folder: PathBuf,
}

/// What the ledger's operator is handed, with the pre-shared key beside it.
pub const LEDGER_ENROLMENT: &str = "ledger-enrolment.toml";
/// Files of the keys that are a box's own, below the key folder.
pub const FILES: [&str; 4] = ["root.key", "sign.key", "noise.key", "ledger.psk"];

impl Identity {
    /// Whether the folder holds none of the keys.
    pub fn is_missing(folder: &Path) -> bool {
        !FILES.iter().any(|name| is_there(&folder.join(name)))
    }

    /// Makes whichever keys are missing. Never replaces one.
    pub fn ensure(folder: &Path) -> anyhow::Result<()> {
        for name in FILES {
            let path = folder.join(name);
            if !path.exists() {
                let secret: Secret = Zeroizing::new(OsRandom.bytes()?);
                write_secret(&path, HEXLOWER.encode(secret.as_slice()).as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes what the ledger's operator is handed, with the pre-shared key beside it, under this name: the file.
    pub fn write_ledger_enrolment(&self, name: &str) -> anyhow::Result<PathBuf> {
        let (signing, channel) = (self.gateway(), Keypair::from_secret(self.noise.clone())?.public());
        let psk = FILES[3];
        let form =
            format!("gateway = \"{name}\"\nsigning = \"{signing}\"\nchannel = \"{channel}\"\npsk_file = \"{psk}\"\n");
        let file = self.folder.join(LEDGER_ENROLMENT);
        write_public(&file, form.as_bytes())?;
        Ok(file)
    }

    /// Reads the keys.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| -> anyhow::Result<Secret> {
            let path = folder.join(name);
            // One that others can read, or one of several that is gone, is no reason to make another box.
            let text = read_secret(&path).map_err(|error| {
                if Self::is_missing(folder) {
                    error.context("the box has no identity yet; `pitchside init` makes one")
                } else {
                    error
                }
            })?;
            let bytes = Zeroizing::new(
                HEXLOWER.decode(text.trim_ascii()).with_context(|| format!("{} is not hexadecimal", path.display()))?,
            );
            let array: [u8; 32] =
                bytes.as_slice().try_into().with_context(|| format!("{} does not hold 32 bytes", path.display()))?;
            Ok(Zeroizing::new(array))
        };
        let [root, sign, noise, ledger_psk] = FILES;
        Ok(Self {
            root: read(root)?,
            sign: read(sign)?,
            noise: read(noise)?,
            ledger_psk: read(ledger_psk)?,
            folder: folder.to_path_buf(),
        })
    }

    /// The box's own name in block headers: its public signing key.
    pub fn gateway(&self) -> GatewayId {
        GatewayKey::new(&self.sign).id()
    }

    /// Whether the signing key is the one the box's chain was made with. A block under another breaks the chain for good.
    pub fn check_chain(&self, tables: &Tables) -> anyhow::Result<()> {
        let own = self.gateway();
        match chain_of(tables)? {
            Some(known) if known != own => anyhow::bail!(
                "sign.key is not the one this chain was made with (it is gateway {own}'s, the chain {known}'s): put the right key \
                 file back, or restore a backup: `pitchside backup restore FILE --dir DIR --recovery-key FILE`"
            ),
            _ => Ok(()),
        }
    }

    /// The same, for whoever goes on to seal: a chain that is nobody's yet is this key's from now on.
    pub fn claim_chain(&self, tables: &Tables) -> anyhow::Result<()> {
        self.check_chain(tables)?;
        if tables.meta(CHAIN_OF)?.is_none() {
            tables.set_meta(CHAIN_OF, &self.gateway().0)?;
        }
        Ok(())
    }

    /// A key for one purpose (RFC 5869, the root key as input keying material, the label as info).
    pub fn derive(&self, label: &str) -> anyhow::Result<Secret> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.root.as_slice())
            .expand(label.as_bytes(), key.as_mut_slice())
            .map_err(|error| anyhow::anyhow!("deriving {label}: {error}"))?;
        Ok(key)
    }

    /// Folder of the key files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Where the database keeps which gateway its chain is of.
const CHAIN_OF: &str = "chain-gateway";

/// The gateway the box's chain is of: its last block says, or what was kept when it was claimed.
fn chain_of(tables: &Tables) -> anyhow::Result<Option<GatewayId>> {
    // A header that does not verify is for `blocks verify` to name.
    let last = tables.last_block()?.and_then(|block| SignedHeader::verify(&block.header).ok());
    if let Some(last) = last {
        return Ok(Some(last.header().gateway));
    }
    let Some(kept) = tables.meta(CHAIN_OF)? else { return Ok(None) };
    let kept: [u8; 32] = kept.as_slice().try_into().context("whose chain the database holds is damaged in it")?;
    Ok(Some(GatewayId(kept)))
}

#[cfg(test)]
mod tests {
    use pitchside_store::RootKey;

    use super::*;

    #[test]
    fn a_chain_is_its_first_keys_before_the_first_block_too() {
        let dir = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "other"].map(|name| {
            Identity::ensure(&dir.path().join(name)).unwrap();
            Identity::load(&dir.path().join(name)).unwrap()
        });
        let tables = Tables::init(&dir.path().join("data"), RootKey::new([1; 32])).unwrap();
        other.check_chain(&tables).unwrap();
        own.claim_chain(&tables).unwrap();
        own.claim_chain(&tables).unwrap();
        for refused in [other.check_chain(&tables), other.claim_chain(&tables)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("sign.key is not the one this chain was made with"), "{error}");
            assert!(error.contains(&own.gateway().to_string()), "{error}");
        }
        own.check_chain(&tables).unwrap();
    }
}
