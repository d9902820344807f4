//! Plugins that were installed: their packages, what they may do, who may sign them, and a bounded log of what was done
//! with them and what went wrong in them. Every change is one transaction with its line in the log: both or neither.

mod change;
mod settings;

use pitchside_model::{PluginName, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;
pub(crate) use change::{permit, put_package, put_row};
pub use settings::SealedSetting;
pub(crate) use settings::open_setting;

/// The most deeds, and the most troubles, that the log keeps of one plugin.
pub const LOG_ROWS_MAX: u32 = 200;
/// The most characters of one line of it.
const LOG_CHARS_MAX: usize = 600;
/// In the place of a plugin's name: the log of whom the box trusts.
const OF_SIGNERS: &str = "";
/// The most signers that are trusted.
pub const SIGNERS_MAX: usize = 64;

/// SHA-256 of a package: its name.
pub type PackageDigest = [u8; 32];

/// A package as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPackage {
    /// Its SHA-256.
    pub sha256: PackageDigest,
    /// Which plugin.
    pub name: PluginName,
    /// Three numbers.
    pub version: String,
    /// The trusted key that signed it, whole; of one that came before that was kept, its name.
    pub signer: String,
    /// The archive.
    pub archive: Vec<u8>,
    /// The signed note.
    pub note: Vec<u8>,
    /// When it came; of one that is tried, since when it is, under what is set now.
    pub installed_at: Timestamp,
}

/// A package that is tried beside the one that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub sha256: PackageDigest,
    /// How many payloads both must read alike.
    pub payloads: u32,
    /// And how long that may take. What is set otherwise meanwhile begins it anew, for as long as there was from when the package came.
    pub until: Timestamp,
    /// What they say may differ; only what fails refuses it.
    pub differ: bool,
}

/// What is to be with one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRow {
    /// Which.
    pub name: PluginName,
    /// The package that runs; none: the library's.
    pub current: Option<PackageDigest>,
    /// The one before it.
    pub previous: Option<PackageDigest>,
    /// The one that is tried.
    pub candidate: Option<Candidate>,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Rises whenever it is to be started anew.
    pub generation: u64,
}

impl PluginRow {
    fn new(name: PluginName) -> Self {
        Self { name, current: None, previous: None, candidate: None, enabled: true, generation: 0 }
    }
}

/// A change of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginChange {
    /// It takes the place of what ran before, which is kept. What is switched off stays off.
    Install {
        /// What came.
        package: PluginPackage,
        /// What the admin grants with it.
        grants: Vec<String>,
        /// What ran when this was decided; else [`StoreError::Conflict`].
        after: Option<PackageDigest>,
    },
    /// It is tried beside what runs.
    Try {
        /// What came.
        package: PluginPackage,
        /// What the admin grants with it.
        grants: Vec<String>,
        /// How it is tried.
        candidate: Candidate,
        /// What ran when this was decided; else [`StoreError::Conflict`].
        after: Option<PackageDigest>,
    },
    /// What is tried takes over, or goes.
    Settle {
        /// Which; if it is tried no more, nothing happens.
        candidate: PackageDigest,
        /// It runs from now on.
        takes_over: bool,
    },
    /// What ran before runs again, or what is tried is tried no more.
    RollBack {
        /// What ran before, when this was decided; none: something is tried. Else [`StoreError::Conflict`].
        to: Option<PackageDigest>,
    },
    /// It runs, or does not; running, it starts anew.
    Enable(bool),
    /// It is gone, with what it was granted.
    Remove,
    /// It may do this.
    Grant(String),
    /// It may no longer.
    Withdraw(String),
    /// This was chosen, or given as a secret.
    Set(SealedSetting),
    /// It is as if it never was.
    Unset {
        /// Which.
        key: String,
        /// A secret, not a param or text.
        secret: bool,
    },
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLine {
    /// Which plugin; none: it is about whom the box trusts.
    pub name: Option<PluginName>,
    /// When.
    pub at: Timestamp,
    /// Something that was done; else something that went wrong.
    pub deed: bool,
    /// What, in a sentence.
    pub text: String,
}

pub(crate) fn plugin_name(text: &str) -> Result<PluginName, StoreError> {
    PluginName::parse(text).map_err(|_| StoreError::Damaged { table: "plugins", row: text.to_owned() })
}

pub(crate) fn plugin(row: &Row<'_>) -> Result<PluginRow, StoreError> {
    let name: String = row.get(0)?;
    let sha256: Option<PackageDigest> = row.get(3)?;
    let (payloads, until, differ) = (row.get(4)?, Timestamp(row.get(5)?), row.get(6)?);
    Ok(PluginRow {
        name: plugin_name(&name)?,
        current: row.get(1)?,
        previous: row.get(2)?,
        candidate: sha256.map(|sha256| Candidate { sha256, payloads, until, differ }),
        enabled: row.get(7)?,
        generation: row.get::<_, i64>(8)?.cast_unsigned(),
    })
}

fn one(connection: &Connection, name: &PluginName) -> Result<Option<PluginRow>, StoreError> {
    let mut statement = connection.prepare_cached(sql!("plugins/one"))?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(plugin).transpose()
}

/// What a sealed line is bound to.
fn context(name: &str, at: Timestamp, deed: bool) -> Vec<u8> {
    [b"plugin-log", &at.0.to_be_bytes()[..], &[u8::from(deed)], name.as_bytes()].concat()
}

fn write_line(connection: &Connection, name: &str, at: Timestamp, deed: bool, text: &[u8]) -> Result<(), StoreError> {
    connection.prepare_cached(sql!("plugins/log_put"))?.execute(params![name, at.0, deed, text])?;
    connection.prepare_cached(sql!("plugins/log_trim"))?.execute(params![name, deed, LOG_ROWS_MAX])?;
    Ok(())
}

/// Whether it was not trusted yet.
pub(crate) fn trust(connection: &Connection, key: &str, at: Timestamp) -> Result<bool, StoreError> {
    let is_new = connection.prepare_cached(sql!("plugins/trust"))?.execute(params![key, at.0])? > 0;
    let mut statement = connection.prepare_cached(sql!("plugins/signers_count"))?;
    let count: i64 = statement.query_row([], |row| row.get(0))?;
    if count > SIGNERS_MAX as i64 {
        return Err(StoreError::Conflict(format!("{SIGNERS_MAX} signers are trusted already: remove one first")));
    }
    Ok(is_new)
}

impl Tables {
    /// Changes one plugin, and writes `deed` into the log. Whether there was anything to change.
    pub fn change_plugin(
        &self,
        name: &PluginName,
        to: PluginChange,
        deed: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let line = self.seal_line(name.as_str(), at, true, deed)?;
        let name = name.clone();
        self.write(move |connection| {
            let changed = change::change(connection, &name, &to, at)?;
            if changed {
                connection.prepare_cached(sql!("plugins/revised"))?.execute([])?;
                write_line(connection, name.as_str(), at, true, &line)?;
            }
            Ok(changed)
        })
    }

    /// Writes into the log what went wrong in a plugin.
    pub fn note_plugin_trouble(&self, name: &PluginName, texts: &[String], at: Timestamp) -> Result<(), StoreError> {
        let lines: Vec<Vec<u8>> =
            texts.iter().map(|text| self.seal_line(name.as_str(), at, false, text)).collect::<Result<_, _>>()?;
        let name = name.clone();
        self.write(move |connection| {
            lines.iter().try_for_each(|line| write_line(connection, name.as_str(), at, false, line))
        })
    }

    fn seal_line(&self, name: &str, at: Timestamp, deed: bool, text: &str) -> Result<Vec<u8>, StoreError> {
        let text: String = text.chars().take(LOG_CHARS_MAX).collect();
        self.vault().meta.seal_copy(self.boot(), &context(name, at, deed), text.as_bytes())
    }

    /// The log of one plugin, or of all and of whom the box trusts, the newest first.
    pub fn plugin_log(&self, name: Option<&PluginName>, rows: u32) -> Result<Vec<PluginLine>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/log"))?;
            let mut rows = statement.query(params![name.map(PluginName::as_str), rows])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let (name, at, deed): (String, _, bool) = (row.get(0)?, Timestamp(row.get(1)?), row.get(2)?);
                let (sealed, id): (Vec<u8>, i64) = (row.get(3)?, row.get(4)?);
                let damaged = || StoreError::Damaged { table: "plugin_log", row: id.to_string() };
                let plain = self.vault().meta.open(&context(&name, at, deed), &sealed).map_err(|_| damaged())?;
                let text = String::from_utf8(plain).map_err(|_| damaged())?;
                let name = if name == OF_SIGNERS { None } else { Some(plugin_name(&name)?) };
                lines.push(PluginLine { name, at, deed, text });
            }
            Ok(lines)
        })
    }

    /// Every plugin that was installed or switched, by name.
    pub fn plugins(&self) -> Result<Vec<PluginRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/all"))?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(plugin(row)?);
            }
            Ok(found)
        })
    }

    /// One of them.
    pub fn plugin(&self, name: &PluginName) -> Result<Option<PluginRow>, StoreError> {
        self.read(|connection| one(connection, name))
    }

    /// A package that is installed, kept or tried.
    pub fn plugin_package(&self, sha256: PackageDigest) -> Result<Option<PluginPackage>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/package"))?;
            let mut rows = statement.query([sha256])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let name: String = row.get(0)?;
            Ok(Some(PluginPackage {
                sha256,
                name: plugin_name(&name)?,
                version: row.get(1)?,
                signer: row.get(2)?,
                archive: row.get(3)?,
                note: row.get(4)?,
                installed_at: Timestamp(row.get(5)?),
            }))
        })
    }

    /// What a plugin was granted.
    pub fn plugin_grants(&self, name: &PluginName) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/grants"))?;
            let grants = statement.query_map([name.as_str()], |row| row.get(0))?;
            Ok(grants.collect::<Result<_, _>>()?)
        })
    }

    /// Verifier keys whose plugins may be installed, and since when.
    pub fn plugin_signers(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/signers"))?;
            let keys = statement.query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
            Ok(keys.collect::<Result<_, _>>()?)
        })
    }

    /// Trusts a key from now on, and writes `deed` into the log if it was not trusted before.
    pub fn trust_plugin_signer(&self, key: &str, deed: &str, at: Timestamp) -> Result<(), StoreError> {
        let (key, line) = (key.to_owned(), self.seal_line(OF_SIGNERS, at, true, deed)?);
        self.write(move |connection| {
            if trust(connection, &key, at)? {
                write_line(connection, OF_SIGNERS, at, true, &line)?;
            }
            Ok(())
        })
    }

    /// Trusts a key no more, and writes `deed` into the log; whether it was trusted. What it signed stays until it is removed.
    pub fn distrust_plugin_signer(&self, key: &str, deed: &str, at: Timestamp) -> Result<bool, StoreError> {
        let (key, line) = (key.to_owned(), self.seal_line(OF_SIGNERS, at, true, deed)?);
        self.write(move |connection| {
            let was = connection.prepare_cached(sql!("plugins/distrust"))?.execute([key.as_str()])? > 0;
            if was {
                write_line(connection, OF_SIGNERS, at, true, &line)?;
            }
            Ok(was)
        })
    }

    /// Rises with every change of plugins and grants, by whatever process.
    pub fn plugins_revision(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("plugins/revision"))?;
            Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
        })
    }
}
