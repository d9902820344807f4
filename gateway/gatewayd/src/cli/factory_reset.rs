//! `pitchside factory-reset`: keys first, then everything else, to the end however often the power fails.
//!
//! What is to go is written down first (`factory-reset.begun` in the data folder). From then on the box is no more: the next
//! `pitchside run`, `pitchside init` or `pitchside factory-reset` completes what a power cut broke off. The root key goes
//! before all else; without it nothing in the database can be read, whatever a flash disk keeps of old sectors.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use pitchside_config::{Loaded, Settings};
use serde::{Deserialize, Serialize};

use super::args::{ConfigArg, FactoryResetArgs};
use super::output::{self, Output};
use super::{Failure, Outcome, context};
use crate::backup::destroy::{destroy_below, destroy_file, destroy_folder, sync_folder};
use crate::backup::restore::staging;
use crate::backup::target::{self, is_running};
use crate::files::write_secret;

/// Says what is to go, until it is gone.
pub const MARKER: &str = "factory-reset.begun";

/// What a factory reset destroys, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// Folder of the keys.
    keys: PathBuf,
    /// Folder of the database; holds the marker.
    data: PathBuf,
    /// Rules, plugins, and what a broken-off restore left.
    folders: Vec<PathBuf>,
    /// Settings.
    files: Vec<PathBuf>,
}

/// The steps, in order. Whoever is told of one may stop there, as a power cut would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What is to go is written down.
    Marked,
    /// The root key is gone.
    RootKey,
    /// All keys are.
    Keys,
    /// The database is.
    Data,
    /// Rules, plugins, settings are.
    Files,
    /// The marker too: nothing is left.
    Done,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Marked, Self::RootKey, Self::Keys, Self::Data, Self::Files, Self::Done];
}

impl Doomed {
    /// Of a box. What lies outside its own folder (the one of its settings file) and is neither keys nor data stays.
    pub fn of(settings: &Settings, files: &[PathBuf]) -> anyhow::Result<Self> {
        let (keys, data) = (settings.gateway.key_dir.clone(), settings.gateway.data_dir.clone());
        let home =
            data.parent().filter(|home| !files.is_empty() && files.iter().all(|file| file.parent() == Some(home)));
        let mut folders = Vec::new();
        if let Some(home) = home {
            folders.extend([&settings.rules.dir, &settings.plugins.dir].into_iter().flatten().cloned());
            folders.retain(|folder| folder.starts_with(home));
            folders.push(staging(home)?);
        }
        let files = home.map(|_| files.to_vec()).unwrap_or_default();
        Ok(Self { keys, data, folders, files })
    }

    /// Writes it down: from now on the box is no more.
    pub fn mark(&self) -> anyhow::Result<()> {
        write_secret(&self.data.join(MARKER), &serde_json::to_vec_pretty(self)?)
    }

    /// Destroys what is left of it, and tells `at` of each step.
    pub fn destroy(&self, at: &mut dyn FnMut(Step) -> io::Result<()>) -> anyhow::Result<()> {
        let what = |path: &Path| format!("destroying {}", path.display());
        destroy_file(&self.keys.join("root.key")).with_context(|| what(&self.keys))?;
        if self.keys.is_dir() {
            sync_folder(&self.keys)?;
        }
        at(Step::RootKey)?;
        destroy_below(&self.keys, &|_| false).with_context(|| what(&self.keys))?;
        at(Step::Keys)?;
        let marker = self.data.join(MARKER);
        destroy_below(&self.data, &|path| path == marker).with_context(|| what(&self.data))?;
        at(Step::Data)?;
        for folder in &self.folders {
            destroy_folder(folder).with_context(|| what(folder))?;
        }
        for file in &self.files {
            destroy_file(file).with_context(|| what(file))?;
            file.parent().filter(|folder| folder.is_dir()).map_or(Ok(()), sync_folder)?;
        }
        at(Step::Files)?;
        destroy_file(&marker).with_context(|| what(&marker))?;
        sync_folder(&self.data)?;
        at(Step::Done)?;
        Ok(())
    }
}

/// Completes a reset that was begun on this data folder; true if there was one.
pub fn complete(data: &Path) -> anyhow::Result<bool> {
    let marker = data.join(MARKER);
    let bytes = match std::fs::read(&marker) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("reading {}", marker.display())),
    };
    let doomed: Doomed =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not in its form", marker.display()))?;
    anyhow::ensure!(
        doomed.data == data,
        "{} was written for {}: remove it if this box is to stay",
        marker.display(),
        doomed.data.display()
    );
    let _held = hold(data)?;
    tracing::warn!("a factory reset was begun here; it is completed now");
    doomed.destroy(&mut |_| Ok(()))?;
    Ok(true)
}

/// Keeps every gateway from this data folder as long as it is held.
fn hold(data: &Path) -> anyhow::Result<File> {
    let held = target::hold(data).with_context(|| format!("locking {}", data.display()))?;
    held.context("a gateway runs on this box: stop it first (systemctl stop pitchside)")
}

#[derive(Serialize)]
struct Said {
    destroyed: bool,
    at_next_start: bool,
    keys: PathBuf,
    data: PathBuf,
    files: Vec<PathBuf>,
}

/// `pitchside factory-reset`.
pub fn factory_reset(args: &FactoryResetArgs, config: &ConfigArg, output: &Output) -> Outcome {
    let Loaded { settings, files, .. } = context::settings(config)?;
    let data = settings.gateway.data_dir.clone();
    if complete(&data)? {
        return Ok(output::line(
            "a factory reset that was begun before is complete; `pitchside init` makes a new box",
        )?);
    }
    let doomed = Doomed::of(&settings, &files)?;
    if !args.yes {
        confirm(&settings, &doomed)?;
    }
    std::fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
    if !args.at_next_start {
        if is_running(&data).context("looking for a running gateway")? {
            return Err(Failure::Failed(anyhow::anyhow!(
                "a gateway runs on this box: stop it first (systemctl stop pitchside), or let the next start do it: pitchside factory-reset --yes --at-next-start"
            )));
        }
        // Held to the end: no gateway starts meanwhile.
        let lock = hold(&data)?;
        doomed.mark()?;
        doomed.destroy(&mut |_| Ok(()))?;
        drop(lock);
    } else {
        doomed.mark()?;
    }
    let said = Said {
        destroyed: !args.at_next_start,
        at_next_start: args.at_next_start,
        keys: doomed.keys.clone(),
        data: doomed.data.clone(),
        files: doomed.files.clone(),
    };
    output.print(&said, |said| {
        let what = format!("keys in {} and data in {}", said.keys.display(), said.data.display());
        if said.at_next_start {
            return format!("The next start destroys {what}: systemctl restart pitchside, or reboot.");
        }
        let honest = "Their bytes were overwritten; a flash disk may keep old sectors for a while, but without the root key nothing in them can be read.";
        let kept = if said.files.is_empty() { "\nThe settings are kept: they do not lie in the box's own folder." } else { "" };
        format!("Destroyed: {what}.\n{honest}{kept}\nBlocks the ledger holds are not touched. `pitchside init` makes a new box.")
    })?;
    Ok(())
}

/// Asks a person; without one, `--yes` must have been said.
fn confirm(settings: &Settings, doomed: &Doomed) -> Result<(), Failure> {
    let name = &settings.gateway.name;
    let what = format!("keys in {} and data in {}", doomed.keys.display(), doomed.data.display());
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "this destroys the box {name}: {what}, for good; say --yes if that is meant"
        )));
    }
    output::note(&format!("This destroys the box {name}: {what}, for good. Type its name to go on:"));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    if line.trim() == name.as_str() {
        Ok(())
    } else {
        Err(Failure::Usage("that is not its name; nothing was destroyed".to_owned()))
    }
}

#[cfg(test)]
mod tests;
