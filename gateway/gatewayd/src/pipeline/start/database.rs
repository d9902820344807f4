//! The database of a box that starts: there must be one, and its chain must be this box's.

use pitchside_config::Settings;
use pitchside_store::{OpenError, Options, RootKey, Store, StoreError};

use crate::identity::Identity;

/// Opens it.
pub(super) fn open_store(settings: &Settings, identity: &Identity) -> anyhow::Result<Store> {
    let options = Options {
        disk_reserve_bytes: settings.journal.reserve_bytes,
        database_bytes_max: Some(settings.journal.database_bytes_max).filter(|max| *max > 0),
        ..Options::default()
    };
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    // A start never makes the database: a fresh one would begin a second chain beside the ledger's.
    let store = Store::attach_with(&settings.gateway.data_dir, root, options).map_err(|error| match error {
        OpenError::Missing(data) => anyhow::anyhow!(
            "the data is gone: the box has its keys, but {} holds no database. Is its disk there? `pitchside backup restore FILE \
             --dir DIR --recovery-key FILE` brings the box back, `pitchside init --dir DIR` makes a new one elsewhere",
            data.display()
        ),
        other => other.into(),
    })?;
    // Nothing is sealed under a key of somebody else's.
    unless_full(identity.claim_chain(&store))?;
    for row in store.damaged_rows() {
        tracing::error!(row = row.0, "a journal row does not open; it is set aside in journal_damaged");
    }
    Ok(store)
}

/// A box starts on a full disk, too: whose chain it is stands in its blocks, or is kept at the next start. It was looked at before.
fn unless_full(claimed: anyhow::Result<()>) -> anyhow::Result<()> {
    let Err(error) = claimed else { return Ok(()) };
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::DatabaseFull | StoreError::DiskFull { .. }) => {
            tracing::warn!(%error, "whose chain this is could not be kept, and is kept at the next start");
            Ok(())
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_no_box_from_starting_and_a_key_of_another_box_does() {
        for full in [StoreError::DatabaseFull, StoreError::DiskFull { free_bytes: 1, reserve_bytes: 2 }] {
            unless_full(Err(full.into())).unwrap();
        }
        unless_full(Ok(())).unwrap();
        for other in [StoreError::ReadOnly.into(), anyhow::anyhow!("sign.key is not the one this chain was made with")]
        {
            assert!(unless_full(Err(other)).is_err());
        }
    }
}
