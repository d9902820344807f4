//! The box itself. A manifest for boxes names a RAUC bundle; once its release is accepted and the bundle is here, the bundle
//! is laid out for a unit that runs as root (`pitchside-update.path`), with a request to install it. The gateway never installs
//! anything: the root helper takes a copy of its own, and RAUC believes the bundle's own signature alone.
//!
//! ```text
//! <image>/usr/lib/pitchside/firmware   what this image is: hardware, version, security counter (TOML)
//! <data>/update/bundle.raucb           the verified bundle, a link to the content's file
//! <data>/update/request                the request, written last
//! <data>/update/taken                  what the root helper makes of it while it works, until the next start
//! <data>/update/restart                whether it may restart into what it installed: see `restart`
//! <data>/update/result                 how that ended, in one line
//! ```
//!
//! That a release was installed is known when this image says its version; if neither request nor `taken` is there and the version
//! is another, the new image was refused or gave way to the old one, and the release is left alone. What only kept it from being
//! installed (a cut, no room) may pass: it is tried again after a rest, five times in all. How it ended is kept as a sensor's outcome
//! is; one that gave way while its release is being tried asks the ledger for a halt. What came to nothing for good gives way to the newest
//! release before it that is still out and newer than what runs.

mod record;
mod restart;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use ledger_block::release::{ReleaseId, SecurityCounter, Target, Version};
use pitchside_model::{DeviceId, Entry, Timestamp};
use pitchside_release::policy::Thing;
use pitchside_release::rollout;
use pitchside_store::{FirmwareOutcome, Store};
use pitchside_wire::firmware::Reason;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use record::{TRIED, WAITS, is_older, outcome};
pub use record::{Tried, Waiting, tried, waiting};

use super::vitals::{QUIET_US, Vitals};
use super::{Halter, Offer, Shelf};
use crate::clock::Clock;
use crate::files::write_public;
use crate::pipeline::recall::recall_since;

/// What boxes call themselves in manifests.
const COMPONENT: &str = "box";
/// Folder of bundle and request below the data folder.
const FOLDER: &str = "update";
/// How often the box looks after itself.
const LOOK: Duration = Duration::from_secs(5);
/// An update begins when nothing was measured of any athlete for so long: a break between two halves is over before.
const REST_US: i64 = 10 * 60 * 1_000_000;
/// A release that has waited so long for that begins in the first short pause: when nobody trains, as sensors' updates do. Never
/// before: the box restarts, and what happens to an athlete meanwhile raises no alert.
pub const WAIT_MAX_US: i64 = 7 * 24 * 3_600 * 1_000_000;

/// Whoever goes back within so long of coming up did not prove healthy: a trial takes minutes, and starts again after a power cut.
const TRIAL_US: i64 = 24 * 3_600 * 1_000_000;

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

/// What the box's own update needs.
pub struct OwnParts {
    /// Releases and contents.
    pub shelf: Arc<Shelf>,
    /// What is remembered.
    pub store: Store,
    /// The gateway's clock.
    pub clock: Clock,
    /// Who trains.
    pub vitals: Arc<Vitals>,
    /// The way to a halt.
    pub halter: Arc<Halter>,
}

/// The box as something that is updated.
pub struct Own {
    parts: OwnParts,
    name: DeviceId,
    folder: PathBuf,
    thing: Thing,
    /// The journal's last minutes were read back.
    recalled: AtomicBool,
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
    pub fn open(parts: OwnParts, name: &DeviceId, installed: &Path, data_dir: &Path) -> anyhow::Result<Option<Self>> {
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
        parts.shelf.seen(&thing);
        let (name, folder, recalled) = (name.clone(), data_dir.join(FOLDER), AtomicBool::new(false));
        Ok(Some(Self { parts, name, folder, thing, recalled }))
    }

    /// Looks after the box until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let own = Arc::new(self);
        let hardware = &own.thing.hardware;
        tracing::info!(%hardware, version = %own.version(), counter = own.thing.counter.0, "this image");
        loop {
            let looking = Arc::clone(&own);
            match tokio::task::spawn_blocking(move || looking.look()).await {
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

    fn version(&self) -> String {
        self.thing.installed.map_or_else(String::new, |version| version.to_string())
    }

    fn remember(&self, tried: &Tried) -> anyhow::Result<()> {
        Ok(self.parts.store.set_meta(TRIED, &serde_json::to_vec(tried)?)?)
    }

    /// Sees how the last update ended, and begins the next if there is one. Blocks.
    pub(super) fn look(&self) -> anyhow::Result<()> {
        if !self.recalled.load(Ordering::Acquire) {
            self.recall()?;
            self.recalled.store(true, Ordering::Release);
        }
        let mut thing = self.thing.clone();
        let tried = match tried(&self.parts.store)? {
            Some(tried) => {
                self.answer(&tried)?;
                thing.counter = thing.counter.max(SecurityCounter(tried.counter));
                self.parts.shelf.seen(&thing);
                let Some(settled) = self.settled(tried)? else { return Ok(()) };
                Some(self.tell(settled)?)
            }
            None => None,
        };
        let chosen = match self.parts.shelf.choose(&thing) {
            Ok(chosen) => chosen,
            Err(refused) => {
                tracing::debug!("no update of the box: {refused}");
                return Ok(());
            }
        };
        let Some(offer) = chosen.filter(|offer| offer.whole) else { return self.nothing_waits() };
        // The same one again only if what kept it away may have passed.
        let in_place_of = tried.as_ref().and_then(|tried| tried.in_place_of(offer.manifest().version));
        let before = tried.filter(|tried| tried.release == offer.id.to_string());
        if before.as_ref().is_some_and(|tried| !tried.is_due(self.parts.clock.now())) {
            return self.nothing_waits();
        }
        if self.waits(&offer.id.to_string())? {
            tracing::debug!(release = %offer.id, "the update of the box waits until nobody trains");
            return Ok(());
        }
        self.request(&offer, before.map_or(1, |tried| tried.tries.saturating_add(1)), in_place_of)
    }

    /// Who trained when the last run ended.
    fn recall(&self) -> anyhow::Result<()> {
        let (from, vitals) = (self.parts.clock.now().plus_micros(-REST_US), &self.parts.vitals);
        let took = |entries: &[Entry]| entries.iter().for_each(|entry| vitals.recall(entry));
        Ok(recall_since(&self.parts.store, from, took)?)
    }

    /// Whether somebody trains, or did so a moment ago.
    fn waits(&self, release: &str) -> anyhow::Result<bool> {
        let now = self.parts.clock.now();
        if !self.parts.vitals.anybody_within(now, REST_US) {
            return Ok(false);
        }
        let since = self.waits_since(release, now)?;
        Ok(self.parts.vitals.anybody_within(now, QUIET_US) || now.micros_since(since) < WAIT_MAX_US)
    }

    /// Since when this release waits.
    fn waits_since(&self, release: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
        match waiting(&self.parts.store)?.filter(|waiting| waiting.release == release) {
            // A clock that jumped back begins the wait anew.
            Some(waiting) if waiting.since() <= now => Ok(waiting.since()),
            _ => {
                let waiting = Waiting { release: release.to_owned(), since_us: now.0 };
                self.parts.store.set_meta(WAITS, &serde_json::to_vec(&waiting)?)?;
                Ok(now)
            }
        }
    }

    fn nothing_waits(&self) -> anyhow::Result<()> {
        if waiting(&self.parts.store)?.is_some() {
            self.parts.store.set_meta(WAITS, &serde_json::to_vec(&None::<Waiting>)?)?;
        }
        Ok(())
    }

    /// The last update, if it has ended, well or not.
    fn settled(&self, tried: Tried) -> anyhow::Result<Option<Tried>> {
        if !tried.settled {
            let Some(settled) = outcome(&self.folder, &self.version(), &tried) else { return Ok(None) };
            let (version, release) = (&tried.version, &tried.release);
            match &settled.failed {
                None => tracing::info!(version, release, "the box runs the update"),
                Some(why) => {
                    tracing::error!(
                        version,
                        release,
                        why,
                        "the update of the box was not installed; the old image runs"
                    );
                }
            }
            // Kept first: `result` alone says whose fault it was. What a cut in between leaves here, the next request removes.
            let settled = self.keep(Tried { settled_us: self.parts.clock.now().0, ..settled })?;
            for name in ["request", "bundle.raucb", restart::ANSWER, "result"] {
                remove(&self.folder.join(name))?;
            }
            return Ok(Some(settled));
        }
        // It came up, and the machine went back to the image before it: by itself while on trial; later by a stick, or because a
        // disk rots, which speaks against nobody.
        if tried.failed.is_none() && is_older(&self.version(), &tried.version) {
            let gave_way = self.parts.clock.now().micros_since(Timestamp(tried.settled_us)).abs() < TRIAL_US;
            let why = if gave_way { "it started, did not prove healthy," } else { "it ran for a while" };
            let why = format!("{why} and gave way to {}", self.version());
            tracing::error!(version = tried.version, release = tried.release, why, "the update of the box is undone");
            return self.keep(Tried { failed: Some(why), gave_way, ..tried }).map(Some);
        }
        Ok(Some(tried))
    }

    /// Keeps how an update ended: as a sensor's outcome is kept, if that was its end, and then as what this box tried last.
    fn keep(&self, tried: Tried) -> anyhow::Result<Tried> {
        let confirmed = tried.failed.is_none();
        if let Some(at) = tried.again_at() {
            tracing::warn!(
                release = tried.release,
                tries = tried.tries,
                "the update of the box is tried again at {at}"
            );
            self.remember(&tried)?;
            return Ok(tried);
        }
        let outcome = FirmwareOutcome {
            release: id_of(&tried)?.0,
            device: self.name.clone(),
            confirmed,
            reason: if tried.gave_way { Reason::RETURNED } else { Reason::NONE }.0,
            // What kept it from being installed (no room, a cut, another maker's signature) says nothing of how it runs.
            counts: confirmed || tried.gave_way,
            at: self.parts.clock.now(),
        };
        self.parts.store.put_firmware_outcome(outcome.clone())?;
        // What came to nothing here is left alone for good; the next one down may be for this box.
        self.parts.shelf.barred().ended(&outcome);
        self.remember(&tried)?;
        Ok(tried)
    }

    /// An image that gave way stops its release for everybody while that is being tried; afterwards it is left alone here.
    fn tell(&self, tried: Tried) -> anyhow::Result<Tried> {
        if !tried.gave_way || tried.told {
            return Ok(tried);
        }
        let id = id_of(&tried)?;
        let known = self.parts.shelf.known();
        let open = known.release(&id).filter(|release| release.halted.is_none());
        let widest = open.and_then(|release| release.rollouts.get(&self.thing.hardware)).map(|rollout| rollout.widest);
        if widest.is_some_and(rollout::one_box_stops) {
            tracing::error!(release = %id, "this box went back from a release that is being tried: the ledger is asked to halt it");
            self.parts.halter.ask(&self.parts.store, &id, self.parts.clock.now())?;
        }
        let told = Tried { told: true, ..tried };
        self.remember(&told)?;
        Ok(told)
    }

    fn request(&self, offer: &Offer, tries: u32, in_place_of: Option<String>) -> anyhow::Result<()> {
        let manifest = offer.manifest();
        let contents = self.parts.shelf.contents();
        let content = contents.path(offer.content()).context("the bundle is no longer here")?;
        // The installer reads the file without its tree. One that rotted it would refuse, and the release would be left alone for good.
        contents.verify(offer.content()).context("the bundle was not laid out")?;
        std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        let (bundle, request) = (self.folder.join("bundle.raucb"), self.folder.join("request"));
        for name in ["request", "taken", restart::ANSWER, "result"] {
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
        self.remember(&Tried { in_place_of, ..Tried::new(release.clone(), version, counter, tries) })?;
        self.nothing_waits()?;
        tracing::info!(release, version = %manifest.version, "an update of the box is handed to its installer");
        Ok(())
    }
}

fn id_of(tried: &Tried) -> anyhow::Result<ReleaseId> {
    tried.release.parse().context("the release that was tried")
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}
