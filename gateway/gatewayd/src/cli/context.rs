//! Settings, keys and store for a command.

use std::path::PathBuf;

use pitchside_config::{Loaded, Settings, Source};
use pitchside_store::{RootKey, Tables};

use super::args::ConfigArg;
use super::{Failure, output};
use crate::identity::Identity;

/// What most commands need.
pub struct Context {
    /// The settings in force.
    pub settings: Settings,
    /// The files they were read from.
    pub files: Vec<PathBuf>,
    /// The box's keys.
    pub identity: Identity,
    /// The database, beside the running gateway if there is one.
    pub tables: Tables,
}

/// Reads the settings and reports every problem.
pub fn settings(config: &ConfigArg) -> Result<Loaded, Failure> {
    Loaded::load(&Source::or_default(config.file.clone())).map_err(|problems| {
        for problem in &problems {
            output::note(&problem.to_string());
        }
        Failure::Failed(anyhow::anyhow!("the settings have {} problem(s)", problems.len()))
    })
}

/// Reads settings and keys and opens the database.
pub fn open(config: &ConfigArg) -> Result<Context, Failure> {
    let Loaded { settings, files, .. } = settings(config)?;
    let identity = Identity::load(&settings.gateway.key_dir)?;
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = Tables::attach(&settings.gateway.data_dir, root)?;
    Ok(Context { settings, files, identity, tables })
}

/// Who is at the keyboard, as the system says.
pub fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
