//! Why firmware stands still, kept for `doctor`, which asks from outside: what the ledger says and this box does not believe, and
//! why firmware was off when the gateway last started.

use anyhow::Context as _;
use pitchside_model::Timestamp;
use pitchside_release::known::{Anchors, LearnError, Rule};
use pitchside_store::Tables;
use serde::{Deserialize, Serialize};

/// Where it is kept that firmware was off at the last start.
const OFF: &str = "firmware-off";
/// Where it is kept what was not believed last: by the name of the anchors behind this.
const REFUSED: &str = "firmware-refused";

/// Whose it is to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The settings name another first release policy than the log, or one that cannot be read.
    Settings,
    /// The ledger's operator: an older log is shown, another one, or one that breaks its own rules.
    Ledger,
    /// This program keeps no more.
    Program,
    /// The folder of contents does not open.
    Disk,
}

/// Why firmware stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In a sentence.
    pub why: String,
    /// Since when that is so.
    pub since: Timestamp,
    /// Who can mend it.
    pub whose: Whose,
}

impl From<&LearnError> for Whose {
    fn from(error: &LearnError) -> Self {
        match error {
            LearnError::Broken { rule: Rule::FirstPolicy { .. }, .. } => Self::Settings,
            LearnError::Full => Self::Program,
            LearnError::Untrusted(_)
            | LearnError::Older { .. }
            | LearnError::Forked { .. }
            | LearnError::NotIncluded { .. }
            | LearnError::OutOfPlace { .. }
            | LearnError::NotFirmware { .. }
            | LearnError::OtherKind { .. }
            | LearnError::Broken { .. } => Self::Ledger,
        }
    }
}

fn refused_under(anchors: &Anchors) -> String {
    format!("{REFUSED}/{}", anchors.name())
}

fn read(tables: &Tables, name: &str) -> anyhow::Result<Option<Trouble>> {
    let Some(bytes) = tables.meta(name)?.filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).with_context(|| format!("what is kept under {name}"))
}

/// Keeps it, if it is another than was kept. What cannot be kept is in the log all the same.
fn keep(tables: &Tables, name: &str, trouble: Option<(String, Whose, Timestamp)>) {
    let kept = || -> anyhow::Result<()> {
        // What cannot be read is replaced.
        let before = read(tables, name).ok();
        match trouble {
            None if matches!(before, Some(None)) => Ok(()),
            None => Ok(tables.set_meta(name, &[])?),
            Some((why, ..)) if matches!(&before, Some(Some(same)) if same.why == why) => Ok(()),
            Some((why, whose, since)) => {
                Ok(tables.set_meta(name, &serde_json::to_vec(&Trouble { why, since, whose })?)?)
            }
        }
    };
    if let Err(error) = kept() {
        tracing::warn!(error = format!("{error:#}"), "why firmware stands still was not kept");
    }
}

/// What the ledger said last and was not believed under these anchors, if it is so still.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn refused(tables: &Tables, anchors: &Anchors) -> anyhow::Result<Option<Trouble>> {
    read(tables, &refused_under(anchors))
}

/// Nothing of a reply was taken.
pub(super) fn keep_refused(tables: &Tables, anchors: &Anchors, error: &LearnError, now: Timestamp) {
    keep(tables, &refused_under(anchors), Some((error.to_string(), error.into(), now)));
}

/// A reply was taken.
pub(super) fn keep_believed(tables: &Tables, anchors: &Anchors) {
    keep(tables, &refused_under(anchors), None);
}

/// Why firmware was off at the last start, if it was.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn off(tables: &Tables) -> anyhow::Result<Option<Trouble>> {
    read(tables, OFF)
}

/// Firmware is off at this start, and why; or it is on.
pub fn keep_off(tables: &Tables, trouble: Option<(String, Whose, Timestamp)>) {
    keep(tables, OFF, trouble);
}

#[cfg(test)]
mod tests {
    use pitchside_store::{RootKey, Store};

    use super::*;

    #[test]
    fn a_trouble_is_kept_since_it_began_and_until_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let is = |why: &str, at: i64| keep_off(&store, Some((why.to_owned(), Whose::Disk, Timestamp(at))));
        let kept = || off(&store).unwrap().map(|trouble| (trouble.why, trouble.since.0));
        keep_off(&store, None);
        assert_eq!((kept(), store.meta(OFF).unwrap()), (None, None), "nothing to write");
        is("no room", 1);
        is("no room", 2);
        assert_eq!(kept(), Some(("no room".to_owned(), 1)));
        is("no folder", 3);
        assert_eq!(kept(), Some(("no folder".to_owned(), 3)));
        store.set_meta(OFF, b"noise").unwrap();
        assert!(off(&store).is_err());
        is("no folder", 4);
        assert_eq!(kept(), Some(("no folder".to_owned(), 4)));
        keep_off(&store, None);
        assert_eq!(kept(), None);
    }
}
