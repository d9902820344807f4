//! What a backup takes of plugins and rules: packages, who may sign them, what they were granted, how they were set and with which
//! secrets, whether they run; and the texts, versions and changes of rules. Not their logs, which may hold values.

use pitchside_model::{PluginName, Timestamp};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::key::Vault;
use crate::plugins::{self, PluginPackage, PluginRow, SealedSetting};
use crate::rules::{self, RuleChange, RuleText, RuleVersion};
use crate::sql;

/// A setting or secret of a plugin, in the clear: on its way from one box's seal to another's.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainSetting {
    /// Which plugin.
    pub plugin: PluginName,
    /// Which setting.
    pub key: String,
    /// A secret, not a param or text.
    pub secret: bool,
    /// Its value.
    pub value: Zeroizing<String>,
}

impl std::fmt::Debug for PlainSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlainSetting({}, {}, secret: {})", self.plugin, self.key, self.secret)
    }
}

/// One row of plugins or rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryRow {
    /// A verifier key whose plugins may be installed, and since when.
    Signer(String, Timestamp),
    /// A package that is installed, kept or tried.
    Package(PluginPackage),
    /// What is to be with a plugin.
    Plugin(PluginRow),
    /// What a plugin may do.
    Grant(PluginName, String),
    /// What was set of a plugin.
    Setting(PlainSetting),
    /// A rule as text; before the versions that have it.
    RuleText(RuleText),
    /// A published version.
    RuleVersion(RuleVersion),
    /// The rules that came into force at a time; the oldest first.
    RuleChange(RuleChange),
}

impl LibraryRow {
    /// Bytes of what may be large in it: who gathers rows does not gather too many.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Package(package) => package.archive.len() + package.note.len(),
            Self::RuleText(text) => text.manifest.len() + text.script.len() + text.cases.len() + text.readme.len(),
            Self::RuleChange(change) => change.rules.iter().map(|(name, hash)| name.len() + hash.len()).sum(),
            _ => 0,
        }
    }
}

/// Shows every row.
pub(super) fn show(
    moment: &Connection,
    vault: &Vault,
    visit: &mut dyn FnMut(LibraryRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = moment.prepare(sql!("plugins/signers"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::Signer(row.get(0)?, Timestamp(row.get(1)?)))?;
    }
    let mut statement = moment.prepare(sql!("plugins/packages_all"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::Package(PluginPackage {
            sha256: row.get(0)?,
            name: plugins::plugin_name(&row.get::<_, String>(1)?)?,
            version: row.get(2)?,
            signer: row.get(3)?,
            archive: row.get(4)?,
            note: row.get(5)?,
            installed_at: Timestamp(row.get(6)?),
        }))?;
    }
    let mut statement = moment.prepare(sql!("plugins/all"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::Plugin(plugins::plugin(row)?))?;
    }
    let mut statement = moment.prepare(sql!("plugins/grants_all"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::Grant(plugins::plugin_name(&row.get::<_, String>(0)?)?, row.get(1)?))?;
    }
    let mut statement = moment.prepare(sql!("plugins/settings_all"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let plugin = plugins::plugin_name(&row.get::<_, String>(0)?)?;
        let (secret, key, sealed): (bool, String, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let value = plugins::open_setting(vault, &plugin, &key, secret, &sealed)?;
        visit(LibraryRow::Setting(PlainSetting { plugin, key, secret, value }))?;
    }
    let mut statement = moment.prepare(sql!("rules/texts_all"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::RuleText(rules::text(row)?))?;
    }
    let mut statement = moment.prepare(sql!("rules/versions"))?;
    // Of all rules, and without a limit.
    let mut rows = statement.query(params![None::<&str>, -1])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::RuleVersion(rules::version(row)?))?;
    }
    let mut statement = moment.prepare(sql!("rules/changes"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(LibraryRow::RuleChange(rules::change(row)?))?;
    }
    Ok(())
}

/// Puts a row into an empty database; `sealed` is a setting under this box's own key.
pub(super) fn put(connection: &Connection, row: &LibraryRow, sealed: Option<&SealedSetting>) -> Result<(), StoreError> {
    match row {
        LibraryRow::Signer(key, at) => plugins::trust(connection, key, *at).map(drop),
        LibraryRow::Package(package) => plugins::put_package(connection, package),
        LibraryRow::Plugin(row) => plugins::put_row(connection, row),
        LibraryRow::Grant(name, capability) => plugins::permit(connection, name, capability),
        LibraryRow::Setting(setting) => sealed.map_or(Ok(()), |sealed| sealed.put(connection, &setting.plugin)),
        LibraryRow::RuleText(text) => rules::put_text(connection, text),
        LibraryRow::RuleVersion(version) => rules::put_version(connection, version),
        LibraryRow::RuleChange(change) => rules::put_change(connection, change),
    }
}
