//! Small things by name, the boot counter, and what changed.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::connection::overwriting;
use crate::error::{OpenError, StoreError};
use crate::key::Vault;
use crate::sql;
use crate::tables::Tables;

/// The most bytes one value has.
pub const META_BYTES_MAX: usize = 32 << 20;
const BOOT: &str = "store/boot";
const KEY_CHECK: &str = "store/key-check";
const KEY_CHECK_TEXT: &[u8] = b"the root key opens this";

/// Counters that rise with every change of a table, by whatever process. Compare with the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revisions {
    /// Devices enrolled, changed, revoked.
    pub devices: u64,
    /// Assignments begun or ended.
    pub assignments: u64,
    /// Athletes or their keys added or erased.
    pub athletes: u64,
    /// Users added, changed, removed.
    pub users: u64,
}

fn get(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection.prepare_cached(sql!("meta/get"))?.query_row([key], |row| row.get(0)).optional()?)
}

fn put(connection: &Connection, key: &str, value: &[u8]) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("meta/put"))?.execute(params![key, value])?;
    Ok(())
}

fn check_name(key: &str, value: &[u8]) -> Result<(), StoreError> {
    if key.starts_with("store/") {
        return Err(StoreError::Conflict(format!("{key} is the store's own")));
    }
    if value.len() > META_BYTES_MAX {
        let (size, max) = (value.len() as u64, META_BYTES_MAX as u64);
        return Err(StoreError::TooLarge { what: "a value by name", size, max });
    }
    Ok(())
}

/// The boot counter as it stands.
pub(crate) fn boot(connection: &Connection) -> Result<u64, StoreError> {
    let Some(value) = get(connection, BOOT)? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(value).map_err(|_| StoreError::Damaged { table: "meta", row: BOOT.to_owned() })?;
    Ok(u64::from_be_bytes(bytes))
}

/// One more start.
pub(crate) fn raise_boot(connection: &mut Connection) -> Result<u64, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let next = boot(&transaction)?.saturating_add(1);
    put(&transaction, BOOT, &next.to_be_bytes())?;
    transaction.commit()?;
    Ok(next)
}

/// Finds out at opening, not at the first row, that the key is another one.
pub(crate) fn check_key(connection: &mut Connection, vault: &Vault) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
    match get(&transaction, KEY_CHECK)? {
        Some(sealed) => {
            let plain = vault.meta.open(KEY_CHECK.as_bytes(), &sealed).map_err(|_| OpenError::WrongKey)?;
            if plain != KEY_CHECK_TEXT {
                return Err(OpenError::WrongKey);
            }
        }
        None => put(&transaction, KEY_CHECK, &vault.meta.seal_copy(0, KEY_CHECK.as_bytes(), KEY_CHECK_TEXT)?)?,
    }
    transaction.commit().map_err(StoreError::from)?;
    Ok(())
}

impl Tables {
    /// A value by name, stored as it is. Names beginning with `store/` are ours.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| get(connection, key))
    }

    /// Sets a value by name, stored as it is: for what may be read by whoever has the disk.
    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        check_name(key, value)?;
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |connection| put(connection, &key, &value))
    }

    /// A value by name that was stored with [`Tables::set_secret`].
    pub fn secret(&self, key: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        let Some(sealed) = self.meta(key)? else { return Ok(None) };
        let damaged = |_| StoreError::Damaged { table: "meta", row: key.to_owned() };
        self.vault().meta.open(key.as_bytes(), &sealed).map(|plain| Some(plain.into())).map_err(damaged)
    }

    /// Sets a value by name, encrypted under the root key and bound to its name. What it was before is overwritten: of athletes who were
    /// erased nothing stays in what rules knew of them.
    pub fn set_secret(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        check_name(key, value)?;
        let sealed = self.vault().meta.seal_copy(self.boot(), key.as_bytes(), value)?;
        let key = key.to_owned();
        self.write(move |connection| overwriting(connection, |connection| put(connection, &key, &sealed)))
    }

    /// What has changed, counted. One read of four numbers: poll it as often as you like.
    pub fn changes(&self) -> Result<Revisions, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("meta/revisions"))?;
            Ok(statement.query_row([], |row| {
                let at = |i| row.get::<_, i64>(i).map(i64::cast_unsigned);
                Ok(Revisions { devices: at(0)?, assignments: at(1)?, athletes: at(2)?, users: at(3)? })
            })?)
        })
    }
}
