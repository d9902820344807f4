//! The box itself. A manifest for boxes names a RAUC bundle; once its release is accepted and the bundle is here, the bundle
//! is laid out for a unit that runs as root (`pitchside-update.path`), with a request to install it. The gateway never installs
//! anything: the root helper takes a copy of its own, and RAUC believes the bundle's own signature alone.
//!
//! ```text
//! <image>/usr/lib/pitchside/firmware   what this image is: hardware, version, security counter (TOML)
//! <data>/update/bundle.raucb           the verified bundle, a link to the content's file
//! <data>/update/request                the request, written last
//! <data>/update/taken                  what the root helper makes of it while it works, until the next start
//! <data>/update/result                 how that ended, in one line
//! ```
//!
//! A release is tried once. That it was installed is known when this image says its version; if neither request nor `taken` is
//! there and the version is another, the new image was refused or gave way to the old one, and the release is left alone.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ledger_block::release::{SecurityCounter, Target, Version};
use pitchside_model::DeviceId;
use pitchside_release::policy::Thing;
use pitchside_store::{Store, Tables};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::lines::Line;
use super::{Offer, Shelf};
use crate::clock::Clock;
use crate::files::write_public;

/// What boxes call themselves in manifests.
const COMPONENT: &str = "box";
/// Folder of bundle and request below the data folder.
const FOLDER: &str = "update";
/// What is remembered of the last release tried.
const TRIED: &str = "firmware-box";
/// What is remembered of the release that waits.
const WAITS: &str = "firmware-box-waits";
/// How often the box looks after itself.
const LOOK: Duration = Duration::from_secs(5);
/// No update begins while readings come in: so long nothing must have come.
const QUIET_US: i64 = 10 * 60 * 1_000_000;
/// A box where something is always measured waits no longer than this: sensors keep what they measure while it starts.
const WAIT_MAX_US: i64 = 7 * 24 * 3_600 * 1_000_000;
/// Bytes read of the installer's result.
const RESULT_BYTES_MAX: u64 = 4_096;

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its hardware id.
    pub hardware: String,
    /// Its version.
    pub version: String,
    /// Its security counter.
    pub counter: u32,
}

/// The last release this box tried, and the highest security counter it has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Its id.
    pub release: String,
    /// The version it would bring.
    pub version: String,
    counter: u32,
    /// Whether its end was seen.
    settled: bool,
    /// Why it was not installed, if it was not.
    #[serde(default)]
    pub failed: Option<String>,
}

/// Since when a release waits for a time when nothing is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    release: String,
    since_us: i64,
}

/// The last release this box tried, as the database remembers it.
///
/// # Errors
/// The database does not answer, or holds something else.
pub fn tried(tables: &Tables) -> anyhow::Result<Option<Tried>> {
    kept(tables, TRIED)
}

fn kept<T: serde::de::DeserializeOwned>(tables: &Tables, name: &str) -> anyhow::Result<Option<T>> {
    let Some(bytes) = tables.meta(name)? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("what is remembered under {name}"))?))
}

/// The box as something that is updated.
pub struct Own {
    shelf: Arc<Shelf>,
    store: Store,
    clock: Clock,
    folder: PathBuf,
    thing: Thing,
}

/// What this machine's image says; none where there is none.
///
/// # Errors
/// The file cannot be read or understood.
pub fn image(path: &Path) -> anyhow::Result<Option<Image>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).map(Some).with_context(|| path.display().to_string())
}

impl Own {
    /// The box, if its image says what it is: none on a machine that is no appliance.
    ///
    /// # Errors
    /// The image's file cannot be read or understood.
    pub fn open(
        shelf: Arc<Shelf>,
        store: &Store,
        clock: Clock,
        name: &DeviceId,
        installed: &Path,
        data_dir: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let Some(image) = image(installed)? else { return Ok(None) };
        let version: Version = image.version.parse().context("the image's version")?;
        let thing = Thing {
            name: name.to_string(),
            target: Target::Box,
            component: COMPONENT.parse().context("the box's component")?,
            hardware: image.hardware.parse().context("the image's hardware")?,
            installed: Some(version),
            counter: SecurityCounter(image.counter),
        };
        Ok(Some(Self { shelf, store: store.clone(), clock, folder: data_dir.join(FOLDER), thing }))
    }

    /// Looks after the box until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let own = Arc::new(self);
        let line = own.line();
        tracing::info!(hardware = %line.hardware, version = %own.version(), counter = own.thing.counter.0, "this image");
        loop {
            let (looking, line) = (Arc::clone(&own), line.clone());
            let looked = tokio::task::spawn_blocking(move || {
                looking.shelf.lines().has(line)?;
                looking.look()
            });
            match looked.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "the box's own update"),
                Err(error) => tracing::error!(%error, "the box's own update was interrupted"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn line(&self) -> Line {
        let Thing { target, component, hardware, .. } = self.thing.clone();
        Line { target, component, hardware }
    }

    fn version(&self) -> String {
        self.thing.installed.map_or_else(String::new, |version| version.to_string())
    }

    fn remember(&self, tried: &Tried) -> anyhow::Result<()> {
        Ok(self.store.set_meta(TRIED, &serde_json::to_vec(tried)?)?)
    }

    /// Sees how the last update ended, and begins the next if there is one. Blocks.
    fn look(&self) -> anyhow::Result<()> {
        let mut thing = self.thing.clone();
        let tried = tried(&self.store)?;
        if let Some(tried) = &tried {
            thing.counter = thing.counter.max(SecurityCounter(tried.counter));
            if !tried.settled && !self.settle(tried)? {
                return Ok(());
            }
            // It came up, on trial, and the machine went back to the image before it.
            if tried.settled && tried.failed.is_none() && is_older(&self.version(), &tried.version) {
                let why = format!("it started, did not prove healthy, and gave way to {}", self.version());
                tracing::error!(
                    version = tried.version,
                    release = tried.release,
                    why,
                    "the update of the box is undone"
                );
                self.remember(&Tried { failed: Some(why), ..tried.clone() })?;
            }
        }
        let chosen = match self.shelf.choose(&thing) {
            Ok(chosen) => chosen,
            Err(refused) => {
                tracing::debug!("no update of the box: {refused}");
                return Ok(());
            }
        };
        let Some(offer) = chosen.filter(|offer| offer.whole) else { return Ok(()) };
        if tried.is_some_and(|tried| tried.release == offer.id.to_string()) {
            return Ok(());
        }
        if self.waits(&offer)? {
            tracing::debug!(release = %offer.id, "the update of the box waits until nothing is measured");
            return Ok(());
        }
        self.request(&offer)
    }

    /// Whether something is measured, and this release has not waited too long for the end of that.
    fn waits(&self, offer: &Offer) -> anyhow::Result<bool> {
        let (_, newest) = self.store.journal_end()?;
        let now = self.clock.now();
        if now.micros_since(newest) >= QUIET_US {
            return Ok(false);
        }
        let release = offer.id.to_string();
        match kept::<Waiting>(&self.store, WAITS)?.filter(|waiting| waiting.release == release) {
            // A clock that jumped back begins the wait anew.
            Some(waiting) if waiting.since_us <= now.0 => Ok(now.0 - waiting.since_us < WAIT_MAX_US),
            _ => {
                self.store.set_meta(WAITS, &serde_json::to_vec(&Waiting { release, since_us: now.0 })?)?;
                Ok(true)
            }
        }
    }

    /// Whether the last update has ended, well or not.
    fn settle(&self, tried: &Tried) -> anyhow::Result<bool> {
        let Some(settled) = outcome(&self.folder, &self.version(), tried) else { return Ok(false) };
        let (version, release) = (&tried.version, &tried.release);
        match &settled.failed {
            None => tracing::info!(version, release, "the box runs the update"),
            Some(why) => {
                tracing::error!(version, release, why, "the update of the box was not installed; the old image runs")
            }
        }
        for name in ["request", "bundle.raucb", "result"] {
            remove(&self.folder.join(name))?;
        }
        self.remember(&settled)?;
        Ok(true)
    }

    fn request(&self, offer: &Offer) -> anyhow::Result<()> {
        let manifest = offer.manifest();
        let content = self.shelf.contents().path(offer.content()).context("the bundle is no longer here")?;
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        let (bundle, request) = (self.folder.join("bundle.raucb"), self.folder.join("request"));
        for name in ["request", "taken", "result"] {
            remove(&self.folder.join(name))?;
        }
        let new = self.folder.join("bundle.new");
        remove(&new)?;
        std::fs::hard_link(&content, &new).with_context(|| new.display().to_string())?;
        std::fs::rename(&new, &bundle).with_context(|| bundle.display().to_string())?;
        let (release, version) = (offer.id.to_string(), manifest.version.to_string());
        let sha256 = data_encoding::HEXLOWER.encode(&manifest.sha256);
        let text =
            format!("release {release}\nversion {}\nsize {}\nsha256 {sha256}\n", manifest.version, manifest.size);
        write_public(&request, text.as_bytes())?;
        // After the request: cut off in between, the box tries once more. The other way round it would never have tried.
        let counter = manifest.counter.0;
        self.remember(&Tried { release: release.clone(), version, counter, settled: false, failed: None })?;
        tracing::info!(release, version = %manifest.version, "an update of the box is handed to its installer");
        Ok(())
    }
}

/// How an update that was handed over ended, as this folder and the version that now runs tell; none while it is under way.
fn outcome(folder: &Path, running: &str, tried: &Tried) -> Option<Tried> {
    let settled = Tried { settled: true, ..tried.clone() };
    if tried.version == running {
        return Some(settled);
    }
    if ["request", "taken"].iter().any(|name| folder.join(name).exists()) {
        return None;
    }
    let why = refusal(folder).unwrap_or_else(|| "it was cut off, or did not prove healthy".to_owned());
    Some(Tried { failed: Some(why), ..settled })
}

/// What the installer said, if it refused: of one it installed, the machine's own way back says no more.
fn refusal(folder: &Path) -> Option<String> {
    let mut said = String::new();
    std::fs::File::open(folder.join("result")).ok()?.take(RESULT_BYTES_MAX).read_to_string(&mut said).ok()?;
    said.strip_prefix("refused: ").map(|why| why.lines().next().unwrap_or_default().to_owned())
}

/// Whether the version that runs is older than the one that was tried: a newer one came some other way.
fn is_older(running: &str, tried: &str) -> bool {
    running.parse::<Version>().ok().zip(tried.parse().ok()).is_some_and(|(running, tried)| running < tried)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_went_on_by_a_stick_did_not_go_back() {
        assert!(is_older("1.9.0", "1.10.0"));
        assert!(!is_older("1.10.0", "1.10.0") && !is_older("1.11.0", "1.10.0"));
    }

    #[test]
    fn an_update_ends_when_its_version_runs_or_the_installer_is_done_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let (request, taken) = (dir.path().join("request"), dir.path().join("taken"));
        let tried =
            Tried { release: "r".to_owned(), version: "1.1.0".to_owned(), counter: 2, settled: false, failed: None };
        let now = |running: &str| outcome(dir.path(), running, &tried).map(|settled| settled.failed);
        std::fs::write(&request, "release r").unwrap();
        assert_eq!(now("1.0.0"), None, "asked for");
        std::fs::rename(&request, &taken).unwrap();
        assert_eq!(now("1.0.0"), None, "the installer is at work");
        assert_eq!(now("1.1.0"), Some(None), "it runs");
        std::fs::remove_file(&taken).unwrap();
        assert!(now("1.0.0").unwrap().unwrap().contains("did not prove healthy"));
        std::fs::write(dir.path().join("result"), "refused: no room\nmore\n").unwrap();
        assert_eq!(now("1.0.0"), Some(Some("no room".to_owned())));
    }
}
