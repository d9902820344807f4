//! Brings the contents of releases here, one after the other, and hands them on to other boxes: from boxes on the LAN first,
//! from the ledger's store last, within the rates the settings allow.
//!
//! What is fetched: for each kind of hardware this clinic has, what each of its sensors and the box may install now, and the newest
//! that anybody may; never what all of them run already. Where not all of it fits, the older give way to a newer one of the same kind. A
//! halt, an expiry or a ledger unheard for too long ends a fetch; what came stays, and is gone on with if that changes. Each content
//! has its turn, whatever a sensor says it is, how often it says something else, and whoever lacks what it would need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pitchside_release::content::fetch::{FetchError, Progress};
use pitchside_release::content::{Content, ContentId, Service, Settings as ServiceSettings, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shelf;
use super::missing::Book;
use super::shelf::Wanted;
use crate::blocking;

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
    let (turns, missing, said) = (Turns::default(), Book::open(shelf.store()), None);
    let mut carrier = Carrier { shelf, service, patience, turns, missing, said };
    stop.run_until_cancelled(carrier.carry()).await;
    carrier.service.shutdown().await;
}

/// Whose turn it is. Bounded by the releases in the ledger.
#[derive(Default)]
struct Turns {
    /// Contents whose manifest contradicts itself: never fetched again.
    refused: BTreeSet<ContentId>,
    /// Contents left alone until then.
    resting: BTreeMap<ContentId, Instant>,
    /// Those whose fetch was ever begun, and in which order lately.
    begun: BTreeMap<ContentId, u64>,
    last: u64,
}

impl Turns {
    fn may(&self, shelf: &Shelf, content: &Content) -> bool {
        let rests = self.resting.get(&content.id).is_some_and(|until| *until > Instant::now());
        !rests && !self.refused.contains(&content.id) && !shelf.is_whole(content.id)
    }

    /// The most wanted of those that were never begun, then what was begun longest ago: who makes others wanted, or wanted no more, at
    /// every moment keeps none from its turn.
    fn next(&mut self, shelf: &Shelf, wanted: &[Content]) -> Option<Content> {
        let begun = |content: &&Content| self.begun.get(&content.id).copied();
        let next = wanted.iter().filter(|content| self.may(shelf, content)).min_by_key(begun)?.clone();
        self.last += 1;
        self.begun.insert(next.id, self.last);
        Some(next)
    }

    /// Whether a fetch goes on: its content is wanted still, and nothing that never had a turn is wanted more.
    fn goes_on(&self, shelf: &Shelf, wanted: &[Content], now: &Content) -> bool {
        let fresh = |content: &Content| !self.begun.contains_key(&content.id) && self.may(shelf, content);
        wanted.iter().find(|&content| content == now || fresh(content)) == Some(now)
    }
}

struct Carrier {
    shelf: Arc<Shelf>,
    service: Service,
    patience: Patience,
    turns: Turns,
    /// What does not come.
    missing: Book,
    /// Why nothing could be decided, as last said.
    said: Option<String>,
}

impl Carrier {
    async fn carry(&mut self) {
        let (mut news, mut lines) = (self.shelf.news(), self.shelf.lines().changes());
        let mut losses = self.shelf.contents().losses();
        loop {
            let _seen = (*news.borrow_and_update(), *lines.borrow_and_update(), *losses.borrow_and_update());
            let (wanted, by_line) = self.wanted();
            let next = self.turns.next(&self.shelf, &wanted);
            let older = next.as_ref().map(|next| gives_way(&by_line, next.id)).unwrap_or_default();
            let ended = {
                let mut fetched = std::pin::pin!(async {
                    match &next {
                        Some(content) => Some(fetch(&self.service, content, &older, self.patience.stuck).await),
                        None => std::future::pending().await,
                    }
                });
                // News that change nothing here must not cut a fetch: it would begin anew, with the search for boxes nearby, as
                // often as the ledger or a sensor speaks. One that is cut goes on where it was, if it is ever wanted again.
                loop {
                    tokio::select! {
                        ended = &mut fetched => break ended,
                        _more = news.changed() => {}
                        _more = lines.changed() => {}
                        _lost = losses.changed() => {}
                        () = tokio::time::sleep(LOOK) => {}
                    }
                    let _seen = (*news.borrow_and_update(), *lines.borrow_and_update(), *losses.borrow_and_update());
                    // Something may be wanted, have rotted, or have rested long enough.
                    let Some(now) = &next else { break None };
                    let wanted = all(&self::wanted(&self.shelf, &mut self.said).unwrap_or_default());
                    if !self.turns.goes_on(&self.shelf, &wanted, now) {
                        break None;
                    }
                    self.service.keep(wanted.iter().map(|content| content.id).collect());
                }
            };
            match (next, ended) {
                (Some(content), Some(Err(error))) => self.failed(content.id, &error),
                (Some(content), Some(Ok(Fetched::Stuck))) => {
                    tracing::warn!(content = %content.id, "nobody gives the content of a release: the others have their turn");
                    blocking::here(|| self.missing.because(content.id, None));
                    self.turns.resting.insert(content.id, Instant::now() + self.patience.turn);
                }
                _ => {}
            }
        }
    }

    /// What should be here, at all and line by line. It does not give way to anything else, and what is not here is noted.
    fn wanted(&mut self) -> (Vec<Content>, Vec<Vec<Wanted>>) {
        self.turns.resting.retain(|_, until| *until > Instant::now());
        let Some(by_line) = wanted(&self.shelf, &mut self.said) else {
            self.service.keep(Vec::new());
            return (Vec::new(), Vec::new());
        };
        let wanted = all(&by_line);
        self.service.keep(wanted.iter().map(|content| content.id).collect());
        let missing = wanted.iter().map(|content| content.id).filter(|content| !self.shelf.is_whole(*content));
        blocking::here(|| self.missing.are(missing, self.shelf.now()));
        (wanted, by_line)
    }

    fn failed(&mut self, content: ContentId, error: &FetchError) {
        tracing::error!(%content, %error, "the content of a release was not fetched");
        match error {
            FetchError::Store(StoreError::Sha256 { .. } | StoreError::OtherSha(_)) => {
                self.turns.refused.insert(content);
            }
            FetchError::Stopped => return,
            FetchError::Store(_) | FetchError::Interrupted(_) => {
                self.turns.resting.insert(content, Instant::now() + REST);
            }
        }
        blocking::here(|| self.missing.because(content, Some(error.to_string())));
    }
}

/// What should be here, line by line, most wanted first; none if nothing can be decided now. `said` is why, as last said.
fn wanted(shelf: &Shelf, said: &mut Option<String>) -> Option<Vec<Vec<Wanted>>> {
    let mut lines = Vec::new();
    for (line, things) in shelf.lines().all() {
        match shelf.wanted(&line, &things) {
            Ok(wanted) => lines.push(wanted),
            Err(why) => {
                let why = why.to_string();
                if said.as_ref() != Some(&why) {
                    tracing::warn!("no firmware is fetched: {why}");
                    *said = Some(why);
                }
                return None;
            }
        }
    }
    *said = None;
    Some(lines)
}

/// All of that, each once.
fn all(lines: &[Vec<Wanted>]) -> Vec<Content> {
    let mut contents: Vec<Content> = Vec::new();
    for Wanted { content, .. } in lines.iter().flatten() {
        if contents.iter().all(|other| other.id != content.id) {
            contents.push(content.clone());
        }
    }
    contents
}

/// What gives way to a content that something waits for, if there is no room for both, oldest first: what is older than it wherever it is
/// wanted. Never the other way round, so that the two do not take each other's place for ever.
fn gives_way(lines: &[Vec<Wanted>], to: ContentId) -> Vec<ContentId> {
    let of = |line: &[Wanted], id: ContentId| {
        line.iter().find(|wanted| wanted.content.id == id).map(|wanted| wanted.version)
    };
    let waited_for = |line: &&Vec<Wanted>| line.iter().any(|wanted| wanted.content.id == to && wanted.waiting > 0);
    let mut older: Vec<&Wanted> = lines.iter().filter(waited_for).flatten().collect();
    older.retain(|old| {
        let id = old.content.id;
        lines.iter().all(|line| of(line, id).is_none_or(|version| of(line, to).is_some_and(|newer| version < newer)))
    });
    older.sort_by_key(|old| old.version);
    older.into_iter().map(|old| old.content.id).collect()
}

enum Fetched {
    Whole,
    Stuck,
}

/// Fetches one content, saying how far it is every tenth.
async fn fetch(
    service: &Service,
    content: &Content,
    older: &[ContentId],
    stuck: Duration,
) -> Result<Fetched, FetchError> {
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
        fetched = service.fetch(content, older, &say) => {
            let path = fetched?;
            tracing::info!(content = %content.id, path = %path.display(), "the content of a release is here");
            Ok(Fetched::Whole)
        }
        () = telling => Ok(Fetched::Stuck),
    }
}

#[cfg(test)]
mod tests {
    use ledger_block::release::Version;
    use pitchside_release::content::Shape;

    use super::*;

    fn wanted(minor: u8, waiting: usize) -> Wanted {
        let (id, shape) = (ContentId([minor; 32]), Shape::new(1_000).unwrap());
        let content = Content { id, sha256: [minor; 32], shape };
        Wanted { content, version: Version::new(1, minor.into(), 0), waiting }
    }

    #[test]
    fn what_is_older_gives_way_to_what_something_waits_for_unless_it_is_the_newest_elsewhere() {
        let id = |minor: u8| ContentId([minor; 32]);
        let line = || vec![wanted(2, 9), wanted(1, 3), wanted(4, 1)];
        assert_eq!(gives_way(&[line()], id(4)), [id(1), id(2)], "the oldest first");
        assert_eq!(gives_way(&[line()], id(2)), [id(1)], "never the other way round");
        assert!(gives_way(&[line()], id(1)).is_empty());
        let nobody = vec![wanted(1, 3), wanted(4, 0)];
        assert!(
            gives_way(&[nobody], id(4)).is_empty(),
            "who waits for an older one comes before what nobody may have yet"
        );
        let other = vec![wanted(2, 1)];
        assert_eq!(gives_way(&[line(), other], id(4)), [id(1)], "another kind has nothing newer");
    }
}
