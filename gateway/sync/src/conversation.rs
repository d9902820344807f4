//! What is said on one connection: hello and welcome, then parcels out and receipts in, until it ends.

mod acts;
mod copies;
mod releases;
mod resume;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ledger_block::Hash;
use ledger_block::channel::CHANNEL_SECONDS_MAX;
use ledger_block::ingest::{Code, Head, Proven, Refusal, Reply, Request};
use ledger_block::receipt::{Level, Receipt};
use ledger_block::release::ReleaseId;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::SyncConfig;
use crate::connection::{Connection, Replies, Written};
use crate::fault::Fault;
use crate::flight::{Flights, Piece, Stage};
use crate::outbox::{Edge, Outbox};
use crate::status::{Link, Status};
use crate::trust::Trust;

pub use copies::Listing;

/// How often the ledger may find the same payload wrong: once after its own crash, not twice.
const MISMATCHES_MAX: u32 = 2;
/// How often the ledger may hold the same block back for want of an earlier one.
const GAPS_MAX: u32 = 3;

/// Why a connection ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Told to stop.
    Stop,
    /// A new handshake is due.
    Renew,
}

/// What a conversation needs.
pub struct Conversation<'a> {
    config: &'a SyncConfig,
    outbox: &'a Arc<dyn Outbox>,
    edge: &'a Arc<dyn Edge>,
    status: &'a watch::Sender<Status>,
    requests: mpsc::Sender<Request>,
    trust: Trust,
    flights: Flights,
    /// Number of the last parcel taken from the outbox.
    taken: Option<u64>,
    /// Parcels offered at least once.
    offered: BTreeSet<u64>,
    /// Copies of keys on their way, and those refused on this connection.
    copying: BTreeSet<Hash>,
    refused_copies: BTreeSet<Hash>,
    listing: &'a mut Listing,
    /// Transactions beside the chain, on their way, each with the release it counts, if it does; and those whose sum was asked for.
    acting: BTreeMap<Hash, Option<ReleaseId>>,
    summing: BTreeMap<Hash, ReleaseId>,
    asking: releases::Asking,
    pings: u64,
}

/// Talks over a fresh connection until it ends.
///
/// # Errors
/// Why the connection was given up.
pub async fn talk(
    config: &SyncConfig,
    outbox: &Arc<dyn Outbox>,
    edge: &Arc<dyn Edge>,
    status: &watch::Sender<Status>,
    listing: &mut Listing,
    connection: Connection,
    stop: &CancellationToken,
) -> Result<End, Fault> {
    let Connection { requests, mut replies, mut writing } = connection;
    let kept = outbox.checkpoint().await?;
    let trust = Trust::new(config.policy.clone(), kept.as_deref())?;
    let mut conversation = Conversation {
        config,
        outbox,
        edge,
        status,
        requests,
        trust,
        flights: Flights::default(),
        taken: None,
        offered: BTreeSet::new(),
        copying: BTreeSet::new(),
        refused_copies: BTreeSet::new(),
        listing,
        acting: BTreeMap::new(),
        summing: BTreeMap::new(),
        asking: releases::Asking { open: false, due: Instant::now() },
        pings: 0,
    };
    let ended = tokio::select! {
        ended = conversation.run(&mut replies) => ended,
        written = &mut writing => match written {
            Ok(Ok(Written::Worn)) => Ok(End::Renew),
            Ok(Ok(Written::All)) => Err(Fault::Closed),
            Ok(Err(fault)) => Err(fault),
            Err(error) => Err(Fault::Broken(error.to_string())),
        },
        () = stop.cancelled() => Ok(End::Stop),
    };
    writing.abort();
    conversation.listing.connection_ended(ended.is_err(), Instant::now());
    ended
}

impl Conversation<'_> {
    async fn run(&mut self, replies: &mut Replies) -> Result<End, Fault> {
        self.say(Request::Hello { seen: self.trust.size() }).await?;
        let welcome = tokio::time::timeout(self.config.connect, replies.next()).await.map_err(|_| Fault::Slow)??;
        let head = self.welcome(welcome).await?;
        self.go_on(head, replies).await?;
        let renew = Instant::now() + Duration::from_secs(CHANNEL_SECONDS_MAX);
        let mut heard = Instant::now();
        let mut asked = false;
        self.take().await?;
        loop {
            let piece = self.flights.to_send();
            let requests = self.requests.clone();
            let quiet = heard + if asked { self.config.silence * 2 } else { self.config.silence };
            tokio::select! {
                // Replies first: a refusal must be heard before more is sent in vain.
                biased;
                reply = replies.next() => {
                    self.hear(reply?).await?;
                    (heard, asked) = (Instant::now(), false);
                    self.take().await?;
                }
                permit = requests.reserve(), if piece.is_some() => {
                    let Ok(permit) = permit else { return Err(Fault::Closed) };
                    if let Some(piece) = piece {
                        permit.send(self.chunk(&piece).await?);
                        self.flights.sent(&piece);
                    }
                }
                () = self.outbox.changed() => self.take().await?,
                () = tokio::time::sleep_until(quiet) => {
                    if asked {
                        return Err(Fault::Silent);
                    }
                    asked = true;
                    self.pings += 1;
                    self.say(Request::Ping { number: self.pings }).await?;
                }
                () = tokio::time::sleep_until(self.asking.due), if !self.asking.open => self.ask_for_releases().await?,
                () = tokio::time::sleep_until(renew), if self.flights.is_empty() => return Ok(End::Renew),
            }
        }
    }

    async fn say(&self, request: Request) -> Result<(), Fault> {
        self.requests.send(request).await.map_err(|_| Fault::Closed)
    }

    async fn chunk(&self, piece: &Piece) -> Result<Request, Fault> {
        let bytes = self.outbox.payload(piece.number, piece.offset, piece.length).await?;
        if bytes.len() != piece.length {
            return Err(Fault::Payload(piece.number));
        }
        Ok(Request::Chunk { payload: piece.payload, offset: piece.offset, bytes })
    }

    async fn welcome(&mut self, reply: Reply) -> Result<Option<Head>, Fault> {
        let (head, checkpoint) = match reply {
            Reply::Welcome { head, checkpoint, .. } => (head, checkpoint),
            Reply::Refused { refusal, .. } => return Err(Fault::Refused(refusal)),
            _ => return Err(Fault::OutOfPlace("something before its welcome")),
        };
        match checkpoint {
            Some(proven) => self.checkpoint(&proven).await?,
            None if self.trust.size() > 0 => {
                return Err(Fault::RolledBack { shown: 0, seen: self.trust.size() });
            }
            None => {}
        }
        let (now, size) = (self.edge.now(), self.trust.size());
        self.status.send_modify(|status| {
            status.link = Link::Connected { since: now };
            status.reachable_since.get_or_insert(now);
            status.head = head;
            status.checkpoint_size = size;
            status.fault = None;
        });
        Ok(head)
    }

    async fn checkpoint(&mut self, proven: &Proven) -> Result<(), Fault> {
        if self.trust.advance(proven)? {
            // Kept before anything rests on it: after a crash we must know what we have seen.
            self.outbox.set_checkpoint(&proven.note).await?;
        }
        let size = self.trust.size();
        self.status.send_modify(|status| status.checkpoint_size = size);
        Ok(())
    }

    /// Fills the window from the outbox, and offers what is to be offered.
    async fn take(&mut self) -> Result<(), Fault> {
        self.offer_acts().await?;
        self.offer_copies().await?;
        let backlog = self.outbox.backlog().await?;
        self.status.send_if_modified(|status| std::mem::replace(&mut status.backlog, backlog) != backlog);
        let room = self.config.window.clamp(1, 12).saturating_sub(self.flights.len());
        if room > 0 {
            for parcel in self.outbox.pending(self.taken, room).await?.into_iter().take(room) {
                if self.taken.is_some_and(|taken| parcel.number <= taken) {
                    continue;
                }
                self.taken = Some(parcel.number);
                self.flights.board(parcel)?;
            }
        }
        loop {
            let offered = &self.offered;
            let Some(flight) = self.flights.to_offer(|number| !offered.contains(&number)) else { break };
            flight.stage = if flight.payload.is_some() { Stage::Offered } else { Stage::Sent };
            let leaf = flight.parcel.leaf.clone();
            let request = match flight.payload {
                Some(_) => Request::Begin { header: leaf },
                None => Request::Transact { transaction: leaf },
            };
            self.offered.insert(flight.parcel.number);
            self.say(request).await?;
        }
        // A ledger that cannot read its list ends the connection over it: what waits goes first.
        if self.flights.is_empty() { self.seek_copies().await } else { Ok(()) }
    }

    async fn hear(&mut self, reply: Reply) -> Result<(), Fault> {
        match reply {
            Reply::Welcome { .. } => Err(Fault::OutOfPlace("a second welcome")),
            Reply::Part { .. } => Err(Fault::OutOfPlace("a payload nobody asked for")),
            Reply::Recalled { .. } => Err(Fault::OutOfPlace("a header nobody asked for")),
            Reply::Stored { .. } => Err(Fault::OutOfPlace("a content nobody offered")),
            Reply::Copies(page) => self.copies_listed(&page).await,
            Reply::Kept { name, held } => self.kept(&name, held).await,
            Reply::Releases(told) => self.told_of_releases(&told).await,
            Reply::Sum(summed) => self.summed(&summed).await,
            Reply::Pong { number } if number == self.pings => Ok(()),
            Reply::Pong { .. } => Err(Fault::OutOfPlace("an answer to no question")),
            Reply::Checkpoint(proven) => self.checkpoint(&proven).await,
            Reply::Resume { payload, offset } => self.resume(&payload, offset),
            Reply::Receipt { leaf, receipt } => self.receipt(&leaf, &receipt).await,
            Reply::Refused { about, refusal, .. } => self.refused(about, refusal).await,
        }
    }

    fn resume(&mut self, payload: &Hash, offset: u64) -> Result<(), Fault> {
        let flight = self.flights.by_payload(payload).filter(|flight| flight.stage == Stage::Offered);
        let Some(flight) = flight else { return Err(Fault::OutOfPlace("it wants a payload nobody offered")) };
        match flight.payload {
            Some((_, length)) if offset < length => {
                flight.stage = Stage::Sending(offset);
                Ok(())
            }
            _ => Err(Fault::OutOfPlace("it wants a payload from beyond its end")),
        }
    }

    async fn receipt(&mut self, leaf: &Hash, bytes: &[u8]) -> Result<(), Fault> {
        if self.act_receipt(leaf, bytes).await? {
            return Ok(());
        }
        let Some(flight) = self.flights.by_leaf(leaf) else {
            return Err(Fault::OutOfPlace("a receipt for nothing that is on its way"));
        };
        let receipt = self.trust.receipt(leaf, bytes)?;
        let (number, place) = (flight.parcel.number, receipt.sequenced().leaf_index);
        if let Stage::Sequenced(before) = flight.stage
            && before != place
        {
            return Err(Fault::BadReceipt(format!("leaf {place} now, leaf {before} before")));
        }
        flight.stage = Stage::Sequenced(place);
        let level = receipt.level();
        self.outbox.receipt(number, level, bytes).await?;
        if matches!(receipt, Receipt::R2(_)) {
            self.flights.land(number);
            self.offered.remove(&number);
        }
        self.status.send_modify(|status| {
            status.failures = 0;
            match level {
                Level::R1 => status.sequenced += 1,
                Level::R2 | Level::R3 => status.included += 1,
            }
        });
        Ok(())
    }

    async fn refused(&mut self, about: Option<Hash>, refusal: Refusal) -> Result<(), Fault> {
        if about.is_some_and(|name| self.copy_refused(name, &refusal)) {
            return Ok(());
        }
        if let Some(leaf) = about
            && self.act_refused(&leaf, &refusal).await?
        {
            return Ok(());
        }
        let Some(flight) = about.and_then(|leaf| self.flights.by_leaf(&leaf)) else {
            // About the connection, or about a piece: begin again, the next offer says from where.
            return Err(Fault::Refused(refusal));
        };
        let number = flight.parcel.number;
        match refusal.code {
            Code::Gap if flight.gaps < GAPS_MAX => {
                flight.gaps += 1;
                flight.stage = Stage::Held;
            }
            Code::PayloadMismatch => {
                flight.mismatches += 1;
                if flight.mismatches >= MISMATCHES_MAX {
                    return Err(Fault::Payload(number));
                }
                flight.stage = Stage::Held;
                self.offered.remove(&number);
            }
            code if !code.is_lasting() => return Err(Fault::Refused(refusal)),
            _ => {
                let is_block = flight.payload.is_some();
                tracing::error!(number, code = ?refusal.code, %refusal, "the ledger refuses a parcel for good");
                self.outbox.refused(number, &refusal).await?;
                if is_block {
                    // The chain cannot go on without it.
                    return Err(Fault::Refused(refusal));
                }
                self.flights.land(number);
                self.offered.remove(&number);
            }
        }
        Ok(())
    }
}
