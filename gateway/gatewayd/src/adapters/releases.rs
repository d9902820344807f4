//! What the ledger says about firmware, kept by `store`, checked by `release`, brought by `sync`. Why nothing of it is taken, if
//! nothing is: [`trouble`].

pub mod trouble;

use std::sync::Arc;

use anyhow::Context as _;
use ledger_block::ingest::Releases;
use ledger_block::policy::Policy;
use parking_lot::{Mutex, RwLock};
use pitchside_config::Firmware as FirmwareSettings;
use pitchside_model::Timestamp;
use pitchside_release::known::{Anchors, Known, LearnError, News, Shelf, ShelfError};
use pitchside_store::{Store, Tables};
use pitchside_sync::Fault;
use tokio::sync::watch;

use super::outbox::CHECKPOINT;
use crate::clock::Clock;
use crate::named::first_policy;

/// Where it is kept: by the name of its anchors behind this, so that other settings begin anew and the old ones go on.
const RELEASES: &str = "firmware-known";

/// The store as a shelf for one pair of anchors.
struct StoreShelf<'a> {
    tables: &'a Tables,
    anchors: &'a Anchors,
}

impl StoreShelf<'_> {
    fn name(&self) -> String {
        format!("{RELEASES}/{}", self.anchors.name())
    }
}

impl Shelf for StoreShelf<'_> {
    fn load(&self) -> Result<Option<Vec<u8>>, ShelfError> {
        let kept = self.tables.meta(&self.name()).map_err(|error| ShelfError(error.to_string()))?;
        Ok(kept.filter(|bytes| !bytes.is_empty()))
    }

    fn save(&self, known: &[u8]) -> Result<(), ShelfError> {
        self.tables.set_meta(&self.name(), known).map_err(|error| ShelfError(error.to_string()))
    }
}

/// Whom the settings believe about firmware; nobody if they name no release policy.
///
/// # Errors
/// The policy file is none.
pub fn anchors(settings: &FirmwareSettings, ledger: Policy) -> anyhow::Result<Option<Anchors>> {
    let Some(path) = &settings.release_policy else { return Ok(None) };
    Ok(Some(Anchors { ledger, first_policy: first_policy(path)?.policy().id() }))
}

/// What was kept for these anchors. What is known of releases is in no backup, the ledger tells it again: but from no older log than
/// the backup's checkpoint.
///
/// # Errors
/// It is damaged: to begin from nothing by itself would be to forget which checkpoint was seen last.
pub fn kept(tables: &Tables, anchors: &Anchors) -> anyhow::Result<Known> {
    let mut known = Known::load(&StoreShelf { tables, anchors }, anchors)?;
    if let (None, Some(note)) = (known.seen(), tables.meta(CHECKPOINT)?) {
        known = Known::since(note, anchors).context("the last checkpoint that was verified")?;
    }
    Ok(known)
}

/// Forgets what was kept for these anchors; the ledger tells it again.
///
/// # Errors
/// The store refused.
pub fn forget(tables: &Tables, anchors: &Anchors) -> Result<(), ShelfError> {
    StoreShelf { tables, anchors }.save(&[])
}

/// What this box knows of releases.
pub struct KnownReleases {
    known: RwLock<Arc<Known>>,
    /// Rises with every piece of news.
    news: watch::Sender<u64>,
    anchors: Anchors,
    store: Store,
    clock: Clock,
    /// Why nothing was taken, as last said in the log.
    said: Mutex<Option<String>>,
}

impl KnownReleases {
    /// Takes up what was kept; none if the settings name no release policy.
    ///
    /// # Errors
    /// The policy file is none, or what was kept is damaged.
    pub fn open(
        settings: &FirmwareSettings,
        ledger: Policy,
        store: &Store,
        clock: &Clock,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some(anchors) = anchors(settings, ledger)? else { return Ok(None) };
        let known = RwLock::new(Arc::new(kept(store, &anchors)?));
        let (news, said) = (watch::Sender::new(0), Mutex::default());
        Ok(Some(Arc::new(Self { known, news, anchors, store: store.clone(), clock: clock.clone(), said })))
    }

    /// Changes when something was learnt: a release, a rollout, a halt.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read())
    }

    /// From where to ask on, and the size of the last checkpoint.
    pub fn wanted(&self) -> (u64, u64) {
        self.known.read().wanted()
    }

    /// Takes a reply, durably, or nothing of it. True if there is more to ask for.
    ///
    /// # Errors
    /// The store refused.
    pub fn told(&self, told: &Releases) -> Result<bool, ShelfError> {
        let mut after = Known::clone(&self.known.read());
        let news = match after.learn(told, &self.anchors, self.clock.now()) {
            Ok(news) => news,
            Err(error) => {
                self.refuse(&error);
                return Ok(false);
            }
        };
        *self.said.lock() = None;
        trouble::keep_believed(&self.store, &self.anchors);
        // Without news only the time of confirmation has changed: worth a write once an hour, which a restart may lose.
        let confirmed = |known: &Known| known.seen().map_or(Timestamp::default(), |seen| seen.confirmed_at);
        let before = self.known();
        let moved = (before.wanted() != after.wanted()) || confirmed(&after).hour() != confirmed(&before).hour();
        if moved {
            StoreShelf { tables: &self.store, anchors: &self.anchors }.save(&after.to_bytes())?;
        }
        for one in &news {
            say(one);
        }
        let more = !after.is_up_to_date();
        *self.known.write() = Arc::new(after);
        if !news.is_empty() {
            self.news.send_modify(|count| *count += 1);
        }
        Ok(more)
    }

    /// The ledger showed an older log than was seen before, or another one, when sync greeted it: it is asked nothing about firmware then,
    /// and nothing of it is taken all the same.
    pub fn doubted(&self, fault: &Fault) {
        match *fault {
            Fault::RolledBack { shown, seen } => self.refuse(&LearnError::Older { shown, seen }),
            Fault::Forked { shown, seen } => self.refuse(&LearnError::Forked { shown, seen }),
            _ => {}
        }
    }

    /// Says why nothing was taken: once in the log, however often the ledger is asked, and to `doctor` until something is.
    fn refuse(&self, error: &LearnError) {
        let why = error.to_string();
        if self.said.lock().replace(why.clone()) != Some(why) {
            tracing::error!(%error, "nothing of what the ledger says about firmware was taken");
        }
        trouble::keep_refused(&self.store, &self.anchors, error, self.clock.now());
    }
}

fn say(news: &News) {
    match news {
        News::Policy(number) => tracing::info!(number, "a release policy is in force"),
        News::Released(release) => tracing::info!(%release, "a firmware release was published"),
        News::RolledOut { release, hardware, cohort } => {
            tracing::info!(%release, %hardware, percent = cohort.percent(), "a rollout has changed");
        }
        News::Halted { release, why } => tracing::warn!(%release, why = why.word(), "a release is halted"),
    }
}
