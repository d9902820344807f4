//! Whom to ask for which groups next. Pure: time and randomness come in, orders go out; the [`fetch`](super::fetch) loop
//! carries them out and says what came of them.
//!
//! - A piece is 8 groups. Pieces that fewest boxes have come first, ties by chance, so that boxes that fetch at the same time
//!   fetch different pieces and can serve each other.
//! - A box that has only part is asked before one that has all, and the ledger only for what nobody on the LAN has. Of those
//!   that have all, one piece at a time, and only after hearing what everybody else holds by now: that is what keeps the
//!   publisher's upload near the size of the file however many boxes want it.
//! - When few pieces are left that nobody on the LAN has, and many boxes want them, each box draws lots whether it fetches one
//!   or leaves it to the others; a few times in a row at most, whoever they are. Without the lots twenty boxes cost the
//!   publisher twice the size of a small file, with them 1.2 to 1.4 times (`tests`).
//! - Wrong bytes or broken answers drop a source at once; slow ones after [`PlanLimits::strikes_max`]; one that is gone or busy
//!   is tried again later and later. The ledger is never dropped, whatever it answers, but asked ever less often: there may be
//!   nobody else.
//! - What a box says it holds keeps the ledger out of it only while the box is believed: not after
//!   [`PlanLimits::fruitless_max`] orders in a row that gave nothing, and of a box that never gave anything not once the LAN as a
//!   whole has given nothing for [`PlanLimits::lan_idle_ms`]. One that is doubted comes after the ledger, and is believed again
//!   when it gives something: it may have been busy indeed.

mod choose;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ledger_block::content::{GroupIndex, Groups, Shape, SliceError, Span};

use source::Source;

/// Milliseconds of a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Later by so many milliseconds.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since an earlier moment; 0 if that is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where groups may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A box on the LAN.
    Lan(SocketAddr),
    /// The ledger's store.
    Ledger,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lan(address) => write!(f, "{address}"),
            Self::Ledger => f.write_str("the ledger's store"),
        }
    }
}

/// Bounds of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// Orders out at once.
    pub orders_max: usize,
    /// Orders out at one box.
    pub orders_per_box_max: usize,
    /// Orders out at the ledger while no box on the LAN has anything.
    pub orders_ledger_max: usize,
    /// Sources remembered.
    pub sources_max: usize,
    /// Groups of a piece.
    pub piece_groups: u32,
    /// How often a box is asked what it holds, in milliseconds (half to one and a half of it).
    pub ask_ms: u64,
    /// How long a source that has all waits for the others' answers, in milliseconds.
    pub hear_ms_max: u64,
    /// Slow answers, or groups promised and not given, until a box is dropped.
    pub strikes_max: u32,
    /// First and longest wait before a source that is gone is tried again, in milliseconds.
    pub back_off_ms: (u64, u64),
    /// Tries of a box that is gone.
    pub gone_max: u32,
    /// Orders in a row that gave nothing, until what a box says it holds counts no more.
    pub fruitless_max: u32,
    /// When no box on the LAN has given anything for so long, in milliseconds, those that never did count no more.
    pub lan_idle_ms: u64,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self {
            orders_max: 6,
            orders_per_box_max: 2,
            orders_ledger_max: 4,
            sources_max: 64,
            piece_groups: 8,
            ask_ms: 1_000,
            hear_ms_max: 500,
            strikes_max: 3,
            back_off_ms: (1_000, 60_000),
            gone_max: 6,
            fruitless_max: 4,
            lan_idle_ms: 30_000,
        }
    }
}

/// Number of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u64);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Fetch a span from a source.
    Fetch(OrderId, Peer, Span),
    /// Ask a source what it holds.
    AskHeld(Peer),
    /// Nothing before this moment, unless an answer comes.
    Wait(Moment),
    /// Everything is here.
    Done,
}

/// What came of an order, or of asking what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it.
    Done,
    /// Bytes that are not the content's.
    WrongBytes(SliceError),
    /// An answer out of form: another length, another bitmap, no HTTP.
    Broken,
    /// Below the least rate, or nothing at all for too long.
    Slow,
    /// No connection, or it broke.
    Gone,
    /// All its places were taken; it said so.
    Busy,
    /// It does not have it.
    NotHeld,
}

/// Why a source is asked no more; the ledger: less often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Bytes that are not the content's.
    #[error("it served wrong bytes: {0}")]
    WrongBytes(SliceError),
    /// Answers out of form.
    #[error("its answers are out of form")]
    Broken,
    /// Too slow too often.
    #[error("it is too slow, or stalls")]
    Slow,
    /// It promised groups and did not give them.
    #[error("it does not give what it says it holds")]
    Promise,
    /// Away for too long.
    #[error("it cannot be reached")]
    Gone,
}

/// A fetch of one content.
#[derive(Debug)]
pub struct Plan {
    limits: PlanLimits,
    /// Here and kept.
    held: Groups,
    /// Ordered and not here yet.
    ordered: Groups,
    orders: BTreeMap<OrderId, (Peer, Span)>,
    order_next: u64,
    sources: BTreeMap<Peer, Source>,
    /// Nothing is asked of the ledger before.
    ledger_from: Moment,
    /// When a piece was last ordered from somebody who has all.
    seeded_at: Option<Moment>,
    /// Since when such an order waits for the others' answers.
    hearing_since: Option<Moment>,
    turn: Turn,
    /// When a box on the LAN last gave what was ordered; at first, the beginning.
    lan_gave_at: Moment,
}

/// Whose turn it is, among boxes that want the same last pieces of somebody who has all.
#[derive(Debug, Default)]
struct Turn {
    /// The last order from somebody who has all, and when it began.
    order: Option<(OrderId, Moment)>,
    /// How long such an order took lately, in milliseconds.
    took_ms: u64,
    /// None is given before.
    from: Moment,
    /// How often in a row it was left to others.
    left: u32,
}

impl Plan {
    /// For a content of which some groups may be here. The ledger is left alone before `ledger_from`: boxes that hear of a
    /// release at the same time must not all go there at once.
    pub fn new(held: Groups, limits: PlanLimits, ledger_from: Moment) -> Self {
        let (ordered, orders, sources) = (Groups::none(held.shape()), BTreeMap::new(), BTreeMap::new());
        let (seeded_at, hearing_since, turn, lan_gave_at) = (None, None, Turn::default(), Moment::default());
        let order_next = 0;
        Self {
            limits,
            held,
            ordered,
            orders,
            order_next,
            sources,
            ledger_from,
            seeded_at,
            hearing_since,
            turn,
            lan_gave_at,
        }
    }

    /// The groups that are here.
    pub const fn held(&self) -> &Groups {
        &self.held
    }

    fn shape(&self) -> Shape {
        self.held.shape()
    }

    /// A source was found. Known ones stay as they are; beyond the bound, or if it is there, nothing happens.
    pub fn found(&mut self, peer: Peer) {
        if self.sources.len() < self.limits.sources_max {
            self.sources.entry(peer).or_default();
        }
    }

    /// Boxes that are no longer there are forgotten. Their orders end by themselves.
    pub fn keep_lan(&mut self, boxes: &BTreeSet<SocketAddr>) {
        self.sources.retain(|peer, _| match peer {
            Peer::Lan(address) => boxes.contains(address),
            Peer::Ledger => true,
        });
    }

    /// Whom an order went to.
    pub fn peer_of(&self, order: OrderId) -> Option<Peer> {
        self.orders.get(&order).map(|(peer, _)| *peer)
    }

    /// Sources known.
    pub fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Whether a source is known.
    pub fn knows(&self, peer: Peer) -> bool {
        self.sources.contains_key(&peer)
    }

    /// A verified group is kept.
    pub fn kept(&mut self, group: GroupIndex) {
        self.held.insert(group);
    }

    /// Groups that were here and are no more (rotten on disk): fetched again.
    pub fn lost(&mut self, held: Groups) {
        self.held = held;
    }

    /// What a source said it holds, or why it did not say. Says if it is dropped; of the ledger, which is not, what it did.
    pub fn heard(
        &mut self,
        peer: Peer,
        said: Result<Groups, Outcome>,
        now: Moment,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Fault> {
        let limits = self.limits;
        let source = self.sources.get_mut(&peer)?;
        source.asking = false;
        source.heard_at = Some(now);
        source.ask_from = now.plus_ms(jittered(limits.ask_ms, random));
        let outcome = match said {
            Ok(held) => {
                // What was held is held: a box that forgets is believed the next time it says so.
                source.held = Some(held);
                // Who only ever says so, and cuts every answer short, is gone all the same.
                if source.fruitless == 0 {
                    source.gone = 0;
                }
                return None;
            }
            // It holds nothing of it (yet): asked again, less and less often.
            Err(Outcome::NotHeld) => {
                source.held = None;
                source.without = (source.without + 1).min(5);
                source.ask_from = now.plus_ms(jittered(limits.ask_ms << source.without, random));
                return None;
            }
            Err(outcome) => outcome,
        };
        self.blame(peer, outcome, now, random)
    }

    /// An order ended. Says if its source is dropped; of the ledger, which is not, what it did.
    pub fn ended(
        &mut self,
        order: OrderId,
        outcome: Outcome,
        now: Moment,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Fault> {
        let (peer, span) = self.orders.remove(&order)?;
        span.groups().for_each(|group| self.ordered.remove(group));
        if let Some((_, began)) = self.turn.order.take_if(|(last, _)| *last == order) {
            self.turn.took_ms = now.ms_since(began);
        }
        let source = self.sources.get_mut(&peer)?;
        source.orders = source.orders.saturating_sub(1);
        if outcome == Outcome::Done {
            (source.fruitless, source.delivered) = (0, true);
            if peer != Peer::Ledger {
                self.lan_gave_at = now;
            }
        } else {
            source.fruitless = source.fruitless.saturating_add(1);
        }
        self.blame(peer, outcome, now, random)
    }

    fn blame(&mut self, peer: Peer, outcome: Outcome, now: Moment, random: &mut dyn FnMut() -> u64) -> Option<Fault> {
        let (source, last_resort) = (self.sources.get_mut(&peer)?, peer == Peer::Ledger);
        let fault = source.blame(&self.limits, last_resort, outcome, now, random);
        // Whoever is forgotten may be found again, and begins anew: the ledger's back-off must outlive its answers.
        if fault.is_some() && !last_resort {
            self.sources.remove(&peer);
        }
        fault
    }
}

/// Half to one and a half of it.
fn jittered(ms: u64, random: &mut dyn FnMut() -> u64) -> u64 {
    ms / 2 + random() % (ms + 1)
}
