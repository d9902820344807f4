//! Which plugins are to run: those of the library, and in place of their namesakes those that were installed, without those that
//! are switched off.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::package::{Digest, Package};
use pitchside_store::plugins::PackageDigest;
use pitchside_store::{Candidate, PluginRow, Tables};

use super::folder;
use super::signature::Signer;
use super::weigh::Present;

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The settings' folder.
    Library,
    /// A package, and who signed it.
    Package(Digest, Signer),
}

/// A plugin that is to run, or is switched off.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The plugin.
    pub folder: Folder,
    /// Where it comes from.
    pub source: Source,
    /// Whether it is to run.
    pub enabled: bool,
    /// What was decided about it, if anything was.
    pub row: Option<PluginRow>,
    /// What it was granted.
    pub granted: Vec<String>,
    /// Names of the secrets that were set.
    pub secrets: Vec<String>,
}

impl Wanted {
    /// What is there, for whoever wants to put something else in its place.
    pub fn present(&self) -> Present {
        let digest = match &self.source {
            Source::Library => None,
            Source::Package(digest, _) => Some(*digest),
        };
        let manifest = &self.folder.manifest;
        Present { digest, kind: manifest.kind, order: manifest.order(), version: manifest.version.clone() }
    }

    /// Names what is to run: another name, and it is to be started anew.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let generation = self.row.as_ref().map_or(0, |row| row.generation);
        // Written out, a manifest is the same only if it says the same.
        let manifest = format!("{:?}{:?}", self.folder.manifest, self.folder.chosen);
        for part in [manifest.as_bytes(), self.folder.source.as_bytes(), &generation.to_be_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// What it asks for, as it is set.
    pub fn asks(&self) -> Vec<String> {
        self.folder.manifest.asks(&self.folder.chosen).0.iter().map(ToString::to_string).collect()
    }

    /// What keeps it from running though it is switched on, a few words each.
    pub fn missing(&self) -> Vec<String> {
        let (manifest, chosen) = (&self.folder.manifest, &self.folder.chosen);
        let mut missing = manifest.unset(chosen);
        // What is open only because something is not set was said just now.
        missing.extend(manifest.asks(chosen).1.into_iter().filter(|why| !why.ends_with("is not set")));
        let needed = manifest.secrets.iter().filter(|(name, secret)| !secret.optional && !self.secrets.contains(name));
        missing.extend(needed.map(|(name, _)| format!("the secret {name} is not set")));
        let not_granted = self.asks().into_iter().filter(|asked| !self.granted.contains(asked));
        missing.extend(not_granted.map(|asked| format!("{asked} is not granted")));
        missing
    }

    /// The version on trial.
    pub fn candidate(&self) -> Option<Candidate> {
        self.row.as_ref().and_then(|row| row.candidate)
    }
}

/// Everything that is to be there, by name, and what could not be read, a sentence each.
#[derive(Debug, Default)]
pub struct Inventory {
    /// By name.
    pub plugins: BTreeMap<PluginName, Wanted>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// Folders of the library that could not be read: what ran of them may go on.
    pub unreadable: Vec<String>,
}

/// A package out of the database, whole.
pub fn package(tables: &Tables, sha256: PackageDigest) -> anyhow::Result<(Package, Signer)> {
    let digest = Digest(sha256);
    let kept = tables.plugin_package(sha256)?.with_context(|| format!("the package {digest} is not kept"))?;
    let package = Package::open(&kept.archive).with_context(|| format!("the package {digest}"))?;
    anyhow::ensure!(package.digest == digest, "the package {digest} was changed in the database: install it again");
    Ok((package, Signer::kept(kept.signer)))
}

impl Inventory {
    /// As library and database have it now.
    pub fn read(library: Option<&Path>, tables: &Tables) -> anyhow::Result<Self> {
        let mut inventory = Self::default();
        if let Some(dir) = library {
            inventory.read_library(dir);
        }
        for row in tables.plugins()? {
            let name = row.name.clone();
            if let Some(sha256) = row.current {
                match installed(tables, sha256) {
                    Ok((folder, source)) => {
                        let (enabled, granted, secrets) = (row.enabled, Vec::new(), Vec::new());
                        let wanted = Wanted { folder, source, enabled, row: Some(row), granted, secrets };
                        inventory.plugins.insert(name, wanted);
                    }
                    // Not the library's in its place: that would be another one than the admin chose.
                    Err(error) => {
                        inventory.plugins.remove(&name);
                        inventory.problems.push(format!("plugin {name}: {error:#}"));
                    }
                }
            } else if let Some(wanted) = inventory.plugins.get_mut(&name) {
                wanted.enabled = row.enabled;
                wanted.row = Some(row);
            }
        }
        for (name, wanted) in &mut inventory.plugins {
            wanted.granted = tables.plugin_grants(name)?;
            wanted.folder.chosen = tables.plugin_settings(name)?.into_iter().collect();
            wanted.secrets = tables.plugin_secrets(name)?.into_iter().map(|(secret, _)| secret).collect();
        }
        Ok(inventory)
    }

    fn read_library(&mut self, dir: &Path) {
        let read = match Folder::read_each(dir) {
            Ok(read) => read,
            Err(error) => return self.problems.push(error.to_string()),
        };
        for (name, folder) in read {
            match folder {
                Ok(folder) => {
                    let (source, enabled, row) = (Source::Library, true, None);
                    let wanted = Wanted { folder, source, enabled, row, granted: Vec::new(), secrets: Vec::new() };
                    self.plugins.insert(wanted.folder.manifest.name.clone(), wanted);
                }
                Err(error) => {
                    self.problems.push(format!("plugin {name}: {error}"));
                    self.unreadable.push(name);
                }
            }
        }
    }
}

fn installed(tables: &Tables, sha256: PackageDigest) -> anyhow::Result<(Folder, Source)> {
    let (package, signer) = package(tables, sha256)?;
    Ok((folder(&package)?, Source::Package(package.digest, signer)))
}
