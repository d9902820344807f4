//! What stands ready: releases this box believes, for a thing that asks, and the bytes they name.
//!
//! Everything is decided by `release::policy`, from what the ledger has proven, at the moment of asking: nothing that was
//! accepted once stays accepted. Bytes are verified against their name each time they are read.

use std::cmp::Reverse;
use std::sync::Arc;

use ledger_block::ingest::Cohort;
use ledger_block::release::{HardwareId, Manifest, ReleaseId, Version};
use pitchside_config::{Firmware as FirmwareSettings, Settings};
use pitchside_model::Timestamp;
use pitchside_release::content::{Content, ContentId, Shape, Store as Contents, StoreError, StoreLimits};
use pitchside_release::known::{Known, Release};
use pitchside_release::policy::{self, Clock as PolicyClock, Limits, Refused, Thing};
use pitchside_store::Store;
use tokio::sync::watch;

use super::barred::{Bar, Barred};
use super::lines::{Line, Lines};
use crate::adapters::releases::KnownReleases;
use crate::adapters::releases::trouble::{self, Whose};
use crate::clock::{self, Clock, ClockJudge};

/// Beside the database.
pub const FOLDER: &str = "content";
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A release that may be installed on a thing, now.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its name.
    pub id: ReleaseId,
    /// The manifest with its signatures, its proven place in the log, its rollouts.
    pub release: Release,
    /// How far it is rolled out on the thing's hardware.
    pub cohort: Cohort,
    /// Whether its whole content is here, checked by both hashes.
    pub whole: bool,
}

impl Offer {
    /// What the signers signed.
    pub const fn manifest(&self) -> &Manifest {
        self.release.signed.manifest()
    }

    /// The manifest and its signatures, as a device checks them: the bytes of `ledger_block::release::SignedManifest`.
    pub fn signed_bytes(&self) -> Vec<u8> {
        self.release.signed.to_bytes()
    }

    /// The name of its content.
    pub const fn content(&self) -> ContentId {
        ContentId(self.manifest().blake3)
    }
}

/// A content that should be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, size and hashes.
    pub content: Content,
    /// The version it brings.
    pub version: Version,
    /// How many things of the line may install it now.
    pub waiting: usize,
}

/// Why bytes of a content were not given.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No release in the ledger names it.
    #[error("no release in the ledger names content {0}")]
    NotInLedger(ContentId),
    /// Not all of these bytes are here, or the content has no such bytes.
    #[error("content {content} has no bytes {offset}..+{length} here")]
    NotHere {
        /// Which content.
        content: ContentId,
        /// From where.
        offset: u64,
        /// How many.
        length: usize,
    },
    /// The store refused, or its bytes rotted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands ready. Cheap to clone by `Arc`; every call answers from memory but [`Shelf::read`], which blocks on the disk.
pub struct Shelf {
    releases: Arc<KnownReleases>,
    contents: Arc<Contents>,
    lines: Lines,
    barred: Barred,
    store: Store,
    limits: Limits,
    clock: Clock,
    judge: ClockJudge,
}

/// How much firmware may lie on the disk.
fn store_limits(settings: &Settings) -> StoreLimits {
    StoreLimits {
        bytes_max: settings.firmware.store_bytes_max,
        // As for readings, and as much again: readings must never wait for firmware to make room.
        disk_reserve_bytes: settings.journal.reserve_bytes.saturating_mul(2),
        ..StoreLimits::default()
    }
}

/// The bounds the settings set.
pub fn limits(settings: &FirmwareSettings) -> Limits {
    Limits {
        checkpoint_age_us_max: i64::from(settings.checkpoint_age_h_max) * MICROS_PER_HOUR,
        threshold_min: settings.signatures_min,
        earliest: clock::floor(),
    }
}

impl Shelf {
    /// Opens the content store beside the database; none while firmware is off. A store that does not open switches it off,
    /// loudly: readings matter more.
    ///
    /// # Errors
    /// The database does not answer.
    pub fn open(
        settings: &Settings,
        releases: Option<Arc<KnownReleases>>,
        store: &Store,
        clock: Clock,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some(releases) = releases else { return Ok(None) };
        let (barred, folder) = (Barred::open(store)?, settings.gateway.data_dir.join(FOLDER));
        match Contents::open(&folder, store_limits(settings)) {
            Ok(contents) => {
                trouble::keep_off(store, None);
                let lines = Lines::open(store);
                let (limits, judge) = (
                    limits(&settings.firmware),
                    ClockJudge::new(settings.clock.synchronised_file.clone(), clock::floor()),
                );
                let (contents, store) = (Arc::new(contents), store.clone());
                Ok(Some(Arc::new(Self { releases, contents, lines, barred, store, limits, clock, judge })))
            }
            Err(error) => {
                tracing::error!(%error, "firmware is off: its content store does not open");
                trouble::keep_off(store, Some((error.to_string(), Whose::Disk, clock.now())));
                Ok(None)
            }
        }
    }

    /// By the gateway's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where things are remembered.
    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    fn policy_clock(&self) -> PolicyClock {
        PolicyClock { now: self.clock.now(), state: self.judge.state(&self.clock) }
    }

    fn offer(&self, id: ReleaseId, release: &Release, hardware: &HardwareId) -> Offer {
        let cohort = release.rollouts.get(hardware).map_or(Cohort::Paused, |rollout| rollout.now);
        let content = ContentId(release.signed.manifest().blake3);
        Offer { id, release: release.clone(), cohort, whole: self.is_whole(content) }
    }

    /// The newest release this thing may install now, and that did not come to nothing on it; none if there is none for it.
    ///
    /// # Errors
    /// Nothing can be decided now, about no release: the clock, or a ledger unheard for too long.
    pub fn choose(&self, thing: &Thing) -> Result<Option<Offer>, Refused> {
        let known = self.releases.known();
        let barred = |id: &ReleaseId, version| self.barred.bars(&thing.name, id, version);
        let chosen = policy::choose(&known, thing, &self.limits, self.policy_clock(), barred)?;
        Ok(chosen.map(|(id, release)| self.offer(id, release, &thing.hardware)))
    }

    /// Why the newest release that was made for a thing is not for it, in words; none if it is, or runs, or was offered to it last: how
    /// that ended is told with it.
    pub fn why_not(&self, thing: &Thing) -> Option<String> {
        let known = self.releases.known();
        if let Some((version, refused)) = policy::why_not(&known, thing, &self.limits, self.policy_clock()) {
            return Some(format!("{version}: {refused}"));
        }
        let (id, newest) = policy::newest_for(&known, thing)?;
        let version = newest.signed.manifest().version;
        let bar = self.barred.why(&thing.name, &id, version).filter(|bar| *bar != Bar::Spent)?;
        Some(format!("{version}: {bar}"))
    }

    /// Whether this thing may (still) install this release: to be asked again while it is handed out.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn accept(&self, id: &ReleaseId, thing: &Thing) -> Result<Offer, Refused> {
        let known = self.releases.known();
        let release = policy::accept(&known, id, thing, &self.limits, self.policy_clock())?;
        Ok(self.offer(*id, release, &thing.hardware))
    }

    /// Releases for a hardware that somebody may begin to install now, in the order of the log: proven, signed by enough,
    /// neither expired nor halted, and rolled out to at least some. What a particular thing may have says
    /// [`Shelf::choose`].
    ///
    /// # Errors
    /// As [`Shelf::choose`].
    pub fn releases_for(&self, hardware: &HardwareId) -> Result<Vec<Offer>, Refused> {
        let (known, clock) = (self.releases.known(), self.policy_clock());
        policy::may_decide(&known, &self.limits, clock)?;
        let open = known.releases().into_iter().filter(|(_, release)| {
            let manifest = release.signed.manifest();
            let reached = release.rollouts.get(hardware).is_some_and(|rollout| rollout.now != Cohort::Paused);
            let sound = release.threshold >= self.limits.threshold_min && release.halted.is_none();
            sound && reached && manifest.fits(hardware) && manifest.expires > clock.now
        });
        Ok(open.map(|(id, release)| self.offer(id, release, hardware)).collect())
    }

    /// What should be here for the things of a line, most wanted first: what each of them may install now, and the newest that anybody may,
    /// unless all run it or it came to nothing on them. So no more than there are things, and one.
    ///
    /// # Errors
    /// As [`Shelf::choose`].
    pub fn wanted(&self, line: &Line, things: &[Thing]) -> Result<Vec<Wanted>, Refused> {
        let (known, clock) = (self.releases.known(), self.policy_clock());
        let mut offers = self.releases_for(&line.hardware)?;
        offers.retain(|offer| {
            let manifest = offer.manifest();
            let of_line = manifest.target == line.target && manifest.component == line.component;
            of_line && !self.barred.is_halted(&offer.id)
        });
        offers.sort_by_key(|offer| Reverse(offer.manifest().version));
        let is_barred =
            |thing: &Thing, offer: &Offer| self.barred.bars(&thing.name, &offer.id, offer.manifest().version);
        let may = |thing: &Thing, offer: &Offer| {
            policy::accept(&known, &offer.id, thing, &self.limits, clock).is_ok() && !is_barred(thing, offer)
        };
        let lacks = |thing: &Thing, offer: &Offer| {
            thing.installed.is_none_or(|installed| installed < offer.manifest().version) && !is_barred(thing, offer)
        };
        let mut waiting = vec![0_usize; offers.len()];
        for thing in things {
            let chosen = offers.iter().position(|offer| may(thing, offer));
            if let Some(count) = chosen.and_then(|at| waiting.get_mut(at)) {
                *count += 1;
            }
        }
        let newest =
            offers.first().filter(|newest| things.iter().any(|thing| lacks(thing, newest))).map(|newest| newest.id);
        let all = offers.iter().zip(waiting).filter(|(offer, waiting)| *waiting > 0 || newest == Some(offer.id));
        let mut wanted: Vec<Wanted> = all
            .filter_map(|(offer, waiting)| {
                let Manifest { blake3, sha256, size, version, .. } = *offer.manifest();
                let content = Content { id: ContentId(blake3), sha256, shape: Shape::new(size)? };
                Some(Wanted { content, version, waiting })
            })
            .collect();
        wanted.sort_by_key(|wanted| Reverse(wanted.waiting));
        Ok(wanted)
    }

    /// All that is proven, for whoever shows it.
    pub fn known(&self) -> Arc<Known> {
        self.releases.known()
    }

    /// Wakes whoever waits for news from the ledger: releases, rollouts, halts.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.releases.news()
    }

    /// The store of contents; its calls block.
    pub const fn contents(&self) -> &Arc<Contents> {
        &self.contents
    }

    /// What the ledger has proven, and news of it.
    pub const fn releases(&self) -> &Arc<KnownReleases> {
        &self.releases
    }

    /// What is not for a thing, whatever the ledger has proven.
    pub const fn barred(&self) -> &Barred {
        &self.barred
    }

    /// What this clinic has that firmware is made for.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// A thing has said what it is: from now on its releases are kept ready, and no more those for what it was before.
    pub fn seen(&self, thing: &Thing) {
        self.lines.is(thing);
    }

    /// Whether the whole content is here, checked by both hashes.
    pub fn is_whole(&self, content: ContentId) -> bool {
        self.contents.standing(content).is_some_and(|standing| standing.whole)
    }

    /// `length` bytes of a content from `offset` on, fewer at its end, each verified against the content's name as it is
    /// read. At most a megabyte less one group at a time. Blocks.
    ///
    /// # Errors
    /// No release in the ledger names it, the bytes are not (all) here, or the disk is no longer what it was.
    pub fn read(&self, content: ContentId, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        if self.releases.known().content(&content.0).is_none() {
            return Err(ReadError::NotInLedger(content));
        }
        self.contents.read(content, offset, length)?.ok_or(ReadError::NotHere { content, offset, length })
    }
}
