//! `pitchside init`: makes a new box. Never replaces what is there.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pitchside_config::{Gateway, Http, Library, Settings};
use pitchside_store::{RootKey, Tables};
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::InitArgs;
use super::output::Output;
use super::{Failure, Outcome, user};
use crate::files::write_public;
use crate::identity::Identity;
use crate::tls;

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
    let password = make_box(&InitPlan { dir: args.dir.clone(), settings })?;
    let config = args.dir.join(SETTINGS_FILE);
    let authority = args.dir.join("keys").join(tls::CA_FILE);
    output.print(&Made { config: &config, authority, user: FIRST_USER, password: &password }, |made| {
        format!(
            "Made a box. Settings: {}\nCertificate authority for clients: {}\nSign in as {} with the password, shown only now: {}\nStart it with: pitchside run --config {}",
            made.config.display(),
            made.authority.display(),
            made.user,
            made.password,
            made.config.display()
        )
    })?;
    Ok(())
}

fn folder(path: &Path) -> Library {
    Library { dir: std::path::absolute(path).ok().filter(|path| path.is_dir()) }
}

/// Makes the folder, keys, certificate authority, database, settings and first user; returns that user's password.
pub fn make_box(plan: &InitPlan) -> Result<Zeroizing<String>, Failure> {
    let InitPlan { dir, settings } = plan;
    let file = dir.join(SETTINGS_FILE);
    if file.exists() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{} exists: there is a box here already; nothing was changed",
            file.display()
        )));
    }
    let keys = dir.join(&settings.gateway.key_dir);
    Identity::ensure(&keys)?;
    tls::ensure_authority(&keys, settings.gateway.name.as_str())?;
    let identity = Identity::load(&keys)?;
    let root = RootKey::new(*identity.derive("pitchside/1/store")?);
    let tables = Tables::init(&dir.join(&settings.gateway.data_dir), root)?;
    let password = user::add_user(&tables, FIRST_USER, "admin", None)?;
    write_settings(&file, settings)?;
    Ok(password)
}

/// Writes settings, the ones that differ from the defaults and those a reader looks for first.
fn write_settings(file: &Path, settings: &Settings) -> anyhow::Result<()> {
    let text = toml::to_string(settings).context("writing the settings")?;
    let head = "# Settings of this box. `pitchside config explain KEY` says what a setting means.\n\n";
    write_public(file, format!("{head}{text}").as_bytes())
}
