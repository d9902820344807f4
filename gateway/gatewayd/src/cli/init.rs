//! `pitchside init`: makes a new box, or completes one whose making was cut off. Never replaces a box that is there.

mod begun;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ledger_block::GatewayKey;
use pitchside_config::{Gateway, Http, Library, Settings};
use pitchside_store::{RootKey, Tables};
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::InitArgs;
use super::output::{self, Output};
use super::{Failure, Outcome, factory_reset, user};
use crate::backup::{RecoveryKey, RecoveryPublicFile};
use crate::files::{write_public, write_secret};
use crate::identity::Identity;
use crate::tls;

pub use begun::{begun_at, part_of_a_box};

use begun::Begun;

/// Name of the settings file in the box's folder.
pub const SETTINGS_FILE: &str = "pitchside.toml";
/// The first user.
pub const FIRST_USER: &str = "admin";

/// What a new box is to be.
#[derive(Debug, Clone)]
pub struct InitPlan {
    /// Its folder.
    pub dir: PathBuf,
    /// Its settings; paths in them are relative to the folder.
    pub settings: Settings,
}

#[derive(Serialize)]
struct Made<'a> {
    config: &'a Path,
    authority: PathBuf,
    user: &'static str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_file: Option<&'a Path>,
}

/// What a new box hands over, once.
pub struct NewBox {
    /// Password of the first user.
    pub password: Zeroizing<String>,
    /// The recovery key, to be taken away: see [`crate::backup::recovery`].
    pub recovery: Zeroizing<String>,
}

/// `pitchside init`.
pub fn init(args: &InitArgs, output: &Output) -> Outcome {
    let settings = Settings {
        gateway: Gateway {
            name: args.name.clone(),
            data_dir: "data".into(),
            key_dir: "keys".into(),
            ..Gateway::default()
        },
        http: Http::default(),
        rules: folder(&args.rules),
        plugins: folder(&args.plugins),
        ..Settings::default()
    };
    if let Some(file) = &args.recovery_out
        && file.exists()
    {
        return Err(Failure::Usage(format!("{} exists; name a new file for the recovery key", file.display())));
    }
    let (NewBox { password, recovery }, begun) = prepare(&InitPlan { dir: args.dir.clone(), settings })?;
    if begun.again() {
        output::note(
            "an init that was cut off here is completed: a password, a recovery key or a certificate authority it handed over counts no more",
        );
    }
    // The box is made: a key that can't be written is shown rather than lost.
    let written = args.recovery_out.as_deref().filter(|file| match write_secret(file, recovery.as_bytes()) {
        Ok(()) => true,
        Err(error) => {
            output::note(&format!("{error:#}; the recovery key is shown instead"));
            false
        }
    });
    let config = args.dir.join(SETTINGS_FILE);
    let authority = args.dir.join("keys").join(tls::CA_FILE);
    let recovery_file = written;
    let made = Made {
        config: &config,
        authority,
        user: FIRST_USER,
        password: &password,
        recovery_key: recovery_file.is_none().then_some(recovery.as_str()),
        recovery_file,
    };
    output.print(&made, |made| {
        let recovery = match (made.recovery_key, made.recovery_file) {
            (_, Some(file)) => format!("Recovery key, not on the box itself: {}. Take it away.", file.display()),
            (Some(key), None) => format!("Recovery key, shown only now; keep it off the box, backups open with nothing else:\n{key}"),
            (None, None) => String::new(),
        };
        format!(
            "Made a box. Settings: {}\nCertificate authority for clients: {}\nSign in as {} with the password, shown only now: {}\n{recovery}\nStart it with: pitchside run --config {}",
            made.config.display(),
            made.authority.display(),
            made.user,
            made.password,
            made.config.display()
        )
    })?;
    // Not before: cut off earlier, nobody has the recovery key, and the next init makes one that somebody has.
    Ok(begun.finish()?)
}

fn folder(path: &Path) -> Library {
    Library { dir: std::path::absolute(path).ok().filter(|path| path.is_dir()) }
}

/// Makes the folder, keys, certificate authority, recovery key, database, settings and first user.
pub fn make_box(plan: &InitPlan) -> Result<NewBox, Failure> {
    let (made, begun) = prepare(plan)?;
    begun.finish()?;
    Ok(made)
}

/// As [`make_box`], and the init is under way until what is handed over was.
fn prepare(plan: &InitPlan) -> Result<(NewBox, Begun), Failure> {
    let InitPlan { dir, settings } = plan;
    let (file, keys) = (dir.join(SETTINGS_FILE), dir.join(&settings.gateway.key_dir));
    // A factory reset that a power cut broke off is completed first.
    let data = std::path::absolute(dir.join(&settings.gateway.data_dir)).context("the box's folder")?;
    factory_reset::complete(&data)?;
    let begun = Begun::begin(&keys, &data, &file)?;
    Identity::ensure(&keys)?;
    tls::ensure_authority(&keys, settings.gateway.name.as_str())?;
    let identity = Identity::load(&keys)?;
    identity.write_ledger_enrolment(settings.gateway.name.as_str())?;
    let recovery = RecoveryKey::make(GatewayKey::new(&identity.sign).id())?;
    RecoveryPublicFile::write(&keys, &recovery)?;
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = Tables::init(&data, root)?;
    // Left by an init that was cut off, with a password that nobody was told.
    if tables.user(FIRST_USER)?.is_some() {
        tables.remove_user(FIRST_USER)?;
    }
    let password = user::add_user(&tables, FIRST_USER, "admin", None)?;
    write_settings(&file, settings)?;
    Ok((NewBox { password, recovery: recovery.to_line() }, begun))
}

/// Writes settings, the ones that differ from the defaults and those a reader looks for first.
fn write_settings(file: &Path, settings: &Settings) -> anyhow::Result<()> {
    let text = toml::to_string(settings).context("writing the settings")?;
    let head = "# Settings of this box. `pitchside config explain KEY` says what a setting means.\n\n";
    write_public(file, format!("{head}{text}").as_bytes())
}
