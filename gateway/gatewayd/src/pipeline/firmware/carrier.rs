//! Brings the contents of releases here, one after the other, and hands them on to other boxes: from boxes on the LAN first,
//! from the ledger's store last, within the rates the settings allow.
//!
//! What is fetched: for each kind of hardware this clinic has, the newest releases that somebody may begin to install now. A
//! halt, an expiry or a ledger unheard for too long ends a fetch; what came stays, and is gone on with if that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pitchside_release::content::fetch::{FetchError, Progress};
use pitchside_release::content::{Content, ContentId, Service, Settings as ServiceSettings, Shape, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shelf;

/// Releases of one line kept ready: the newest, and those that older devices may need on the way to it.
const RELEASES_OF_A_LINE_MAX: usize = 3;
/// How often everything is looked at again, whatever happens: releases expire, the ledger falls silent.
const LOOK: Duration = Duration::from_secs(60);
/// How long a fetch that the disk refused is left alone.
const REST: Duration = Duration::from_secs(600);
/// How long the others wait for a content that does not come.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A fetch to which nothing came for so long lets the others have their turn: nobody may have that content.
    pub stuck: Duration,
    /// And is left alone for so long.
    pub turn: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stuck: Duration::from_secs(300), turn: Duration::from_secs(60) }
    }
}

/// Carries contents until told to stop.
pub async fn run(shelf: Arc<Shelf>, mut settings: ServiceSettings, patience: Patience, stop: CancellationToken) {
    let service = loop {
        let started = Service::start(settings.clone(), Arc::clone(shelf.contents()), Arc::clone(shelf.releases()) as _);
        match started.await {
            Ok(service) => break service,
            Err(error) if settings.listen.is_some() => {
                tracing::error!(%error, "firmware is fetched, but not given to other boxes");
                settings.listen = None;
            }
            Err(error) => return tracing::error!(%error, "no firmware is fetched"),
        }
    };
    let mut carrier =
        Carrier { shelf, service, patience, refused: BTreeSet::new(), resting: BTreeMap::new(), said: None };
    stop.run_until_cancelled(carrier.carry()).await;
    carrier.service.shutdown().await;
}

struct Carrier {
    shelf: Arc<Shelf>,
    service: Service,
    patience: Patience,
    /// Contents whose manifest contradicts itself: never fetched again.
    refused: BTreeSet<ContentId>,
    /// Contents left alone until then.
    resting: BTreeMap<ContentId, Instant>,
    /// Why nothing could be decided, as last said.
    said: Option<String>,
}

impl Carrier {
    async fn carry(&mut self) {
        let (mut news, mut lines) = (self.shelf.news(), self.shelf.lines().changes());
        loop {
            let _seen = (*news.borrow_and_update(), *lines.borrow_and_update());
            let wanted = wanted(&self.shelf, &self.refused, &mut self.said);
            self.service.keep(wanted.iter().map(|content| content.id).collect());
            self.resting.retain(|_, until| *until > Instant::now());
            let mut missing = wanted.iter().filter(|content| !self.shelf.is_whole(content.id));
            let missing = missing.find(|content| !self.resting.contains_key(&content.id)).cloned();
            let ended = {
                let mut fetched = std::pin::pin!(async {
                    match &missing {
                        Some(content) => Some(fetch(&self.service, content, self.patience.stuck).await),
                        None => std::future::pending().await,
                    }
                });
                // News that change nothing here must not cut a fetch: it would begin anew, with the search for boxes nearby, as
                // often as the ledger speaks. One that is cut goes on where it was, if it is ever wanted again.
                loop {
                    tokio::select! {
                        ended = &mut fetched => break ended,
                        _more = news.changed() => {}
                        _more = lines.changed() => {}
                        () = tokio::time::sleep(LOOK) => {
                            // Somebody's rest may be over.
                            if missing.is_none() {
                                break None;
                            }
                        }
                    }
                    let _seen = (*news.borrow_and_update(), *lines.borrow_and_update());
                    if self::wanted(&self.shelf, &self.refused, &mut self.said) != wanted {
                        break None;
                    }
                }
            };
            match (missing, ended) {
                (Some(content), Some(Err(error))) => self.failed(content.id, &error),
                (Some(content), Some(Ok(Fetched::Stuck))) => {
                    tracing::warn!(content = %content.id, "nobody gives the content of a release: the others have their turn");
                    self.resting.insert(content.id, Instant::now() + self.patience.turn);
                }
                _ => {}
            }
        }
    }

    fn failed(&mut self, content: ContentId, error: &FetchError) {
        tracing::error!(%content, %error, "the content of a release was not fetched");
        match error {
            FetchError::Store(StoreError::Sha256 { .. } | StoreError::OtherSha(_)) => {
                self.refused.insert(content);
            }
            FetchError::Stopped => {}
            FetchError::Store(_) | FetchError::Interrupted(_) => {
                self.resting.insert(content, Instant::now() + REST);
            }
        }
    }
}

/// What should be here, most wanted first; `said` is why nothing could be decided, as last said.
fn wanted(shelf: &Shelf, refused: &BTreeSet<ContentId>, said: &mut Option<String>) -> Vec<Content> {
    let mut wanted: Vec<Content> = Vec::new();
    for line in shelf.lines().all() {
        let offers = match shelf.releases_for(&line.hardware) {
            Ok(offers) => offers,
            Err(why) => {
                let why = why.to_string();
                if said.as_ref() != Some(&why) {
                    tracing::warn!("no firmware is fetched: {why}");
                    *said = Some(why);
                }
                return Vec::new();
            }
        };
        let mut manifests: Vec<_> = offers.iter().map(super::Offer::manifest).collect();
        manifests.retain(|manifest| manifest.target == line.target && manifest.component == line.component);
        manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.version));
        for manifest in manifests.into_iter().take(RELEASES_OF_A_LINE_MAX) {
            let (id, sha256) = (ContentId(manifest.blake3), manifest.sha256);
            let Some(shape) = Shape::new(manifest.size) else { continue };
            if !refused.contains(&id) && wanted.iter().all(|other| other.id != id) {
                wanted.push(Content { id, sha256, shape });
            }
        }
    }
    *said = None;
    wanted
}

enum Fetched {
    Whole,
    Stuck,
}

/// Fetches one content, saying how far it is every tenth.
async fn fetch(service: &Service, content: &Content, stuck: Duration) -> Result<Fetched, FetchError> {
    tracing::info!(content = %content.id, bytes = content.shape.size(), "fetching the content of a release");
    let (say, mut heard) = watch::channel(Progress::default());
    let telling = async {
        let (mut tenths, mut groups, mut came) = (0, 0, Instant::now());
        while let Ok(changed) = tokio::time::timeout_at(came + stuck, heard.changed()).await {
            if changed.is_err() {
                return std::future::pending().await;
            }
            let now = heard.borrow_and_update().clone();
            if now.groups > groups {
                (groups, came) = (now.groups, Instant::now());
            }
            let reached = u64::from(now.groups) * 10 / u64::from(now.groups_all.max(1));
            if reached > tenths {
                tenths = reached;
                tracing::info!(content = %content.id, percent = reached * 10, sources = now.sources, "fetching");
            }
        }
    };
    tokio::select! {
        fetched = service.fetch(content, &say) => {
            let path = fetched?;
            tracing::info!(content = %content.id, path = %path.display(), "the content of a release is here");
            Ok(Fetched::Whole)
        }
        () = telling => Ok(Fetched::Stuck),
    }
}
