//! What an admin set of a plugin, sealed: params and texts by name, and secrets.

use pitchside_model::PluginName;
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::key::Vault;
use crate::sql;
use crate::tables::Tables;

/// The most settings, and the most secrets, of one plugin.
const SETTINGS_MAX: usize = 64;
/// The longest value.
const VALUE_BYTES_MAX: usize = 1_024;

/// A value on its way into the table: nobody reads it out of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSetting {
    key: String,
    secret: bool,
    sealed: Vec<u8>,
}

/// What a sealed value is bound to.
fn context(name: &PluginName, key: &str, secret: bool) -> Vec<u8> {
    [b"plugin-setting", &[u8::from(secret)][..], name.as_str().as_bytes(), &[0], key.as_bytes()].concat()
}

impl SealedSetting {
    pub(crate) fn put(&self, connection: &Connection, name: &PluginName) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(sql!("plugins/setting_put"))?;
        statement.execute(params![name.as_str(), self.secret, self.key, self.sealed])?;
        let mut statement = connection.prepare_cached(sql!("plugins/settings"))?;
        let mut rows = statement.query(params![name.as_str(), self.secret])?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        if count > SETTINGS_MAX {
            return Err(StoreError::Conflict(format!("{name} has {SETTINGS_MAX} of these already: unset some first")));
        }
        Ok(())
    }
}

/// Opens a value out of the table.
pub(crate) fn open_setting(
    vault: &Vault,
    name: &PluginName,
    key: &str,
    secret: bool,
    sealed: &[u8],
) -> Result<Zeroizing<String>, StoreError> {
    let damaged = || StoreError::Damaged { table: "plugin_settings", row: format!("{name} {key}") };
    // Not String::from_utf8: its error would hold the bytes.
    let plain = Zeroizing::new(vault.meta.open(&context(name, key, secret), sealed).map_err(|_| damaged())?);
    Ok(Zeroizing::new(std::str::from_utf8(&plain).map_err(|_| damaged())?.to_owned()))
}

impl Tables {
    /// Seals a value for [`super::PluginChange::Set`].
    pub fn seal_plugin_setting(
        &self,
        name: &PluginName,
        key: &str,
        value: &str,
        secret: bool,
    ) -> Result<SealedSetting, StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            let size = value.len() as u64;
            return Err(StoreError::TooLarge { what: "a plugin's setting", size, max: VALUE_BYTES_MAX as u64 });
        }
        let sealed = self.vault().meta.seal_copy(self.boot(), &context(name, key, secret), value.as_bytes())?;
        Ok(SealedSetting { key: key.to_owned(), secret, sealed })
    }

    /// What was chosen of a plugin's params and texts, by name.
    pub fn plugin_settings(&self, name: &PluginName) -> Result<Vec<(String, String)>, StoreError> {
        let opened = self.opened(name, false)?;
        Ok(opened.into_iter().map(|(key, value)| (key, value.as_str().to_owned())).collect())
    }

    /// A plugin's secrets, by name.
    pub fn plugin_secrets(&self, name: &PluginName) -> Result<Vec<(String, Zeroizing<String>)>, StoreError> {
        self.opened(name, true)
    }

    fn opened(&self, name: &PluginName, secret: bool) -> Result<Vec<(String, Zeroizing<String>)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/settings"))?;
            let mut rows = statement.query(params![name.as_str(), secret])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (key, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let value = open_setting(self.vault(), name, &key, secret, &sealed)?;
                found.push((key, value));
            }
            Ok(found)
        })
    }
}
