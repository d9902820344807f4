//! Every byte of a backup, offline. Without the recovery key: whether it is as it was written. With it: whether it opens,
//! holds what it should, and was made by the box it says.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;
use ledger_block::{GatewayId, GatewayKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::create::Written;
use super::envelope::{EnvelopeError, Opener, check_tail};
use super::record::Record;
use super::recovery::RecoveryKey;

/// What a look at a backup came to.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Its length.
    pub bytes: u64,
    /// What it says of itself; only with the recovery key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<serde_json::Value>,
    /// What lies in it; only with the recovery key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<Written>,
}

/// Checks a file; with the key, also what is inside.
pub fn verify(file: &Path, key: Option<&RecoveryKey>) -> anyhow::Result<Checked> {
    let what = || format!("{}", file.display());
    let length = std::fs::metadata(file).with_context(what)?.len();
    check_tail(File::open(file).with_context(what)?, length).with_context(what)?;
    let Some(key) = key else { return Ok(Checked { bytes: length, about: None, holds: None }) };
    let mut about = None;
    let mut holds = read_all(file, key, &mut |record| {
        if let Record::About(json) = record {
            about = Some(serde_json::from_slice(&json).context("what the backup says of itself is no JSON")?);
        }
        Ok(())
    })?;
    holds.bytes = length;
    Ok(Checked { bytes: length, about, holds: Some(holds) })
}

/// Shows every record to `visit`, in order. Returns well only if the file is whole, ends where it should, and holds the
/// signing key of the box the recovery key is for.
pub(super) fn read_all(
    file: &Path,
    key: &RecoveryKey,
    visit: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<Written> {
    let what = || format!("{}", file.display());
    let length = std::fs::metadata(file).with_context(what)?.len();
    check_tail(File::open(file).with_context(what)?, length).with_context(what)?;
    let input = BufReader::new(File::open(file).with_context(what)?);
    let mut input = Opener::start(input, length, key).with_context(what)?;
    let (mut counted, mut vouched) = (Written::default(), false);
    loop {
        let record = Record::read(&mut input).with_context(what)?;
        if counted.records == 0 && !matches!(record, Record::About(_)) {
            return Err(EnvelopeError::Changed("it does not begin with what it is")).with_context(what);
        }
        if let Record::End(count) = record {
            let mut one = [0];
            let rest = std::io::Read::read(&mut input, &mut one).map_err(EnvelopeError::of).with_context(what)?;
            if count != counted.records || rest != 0 {
                return Err(EnvelopeError::Changed("its end does not fit what came before")).with_context(what);
            }
            if !vouched {
                return Err(EnvelopeError::Changed("it does not hold the keys of the box")).with_context(what);
            }
            return Ok(counted);
        }
        counted.count(&record);
        if let Record::File { path, content } = &record
            && path == "keys/sign.key"
        {
            let made_by = signer(content).context("the signing key in it is none")?;
            anyhow::ensure!(
                made_by == key.gateway,
                EnvelopeError::Changed("it was not made by the box this recovery key is for")
            );
            vouched = true;
        }
        visit(record)?;
    }
}

fn signer(hex: &[u8]) -> Option<GatewayId> {
    let seed = Zeroizing::new(data_encoding::HEXLOWER.decode(hex.trim_ascii()).ok()?);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.as_slice().try_into().ok()?);
    Some(GatewayKey::new(&seed).id())
}
