//! Which piece, and from whom.

use ledger_block::content::{GroupIndex, Groups, Span};

use super::source::Source;
use super::{Moment, Next, OrderId, Peer, Plan, jittered};

/// Nothing is waited for longer than this without looking again, in milliseconds.
const WAIT_MS_MAX: u64 = 1_000;
/// The least time between two questions to one box, in milliseconds.
const ASK_MS_MIN: u64 = 20;

/// How often in a row a piece is left to others.
const LEFT_MAX: u32 = 8;
/// Pieces that nobody has yet for each box that fetches one of them: the fewer, the more often two boxes choose the same.
const SPREAD: u64 = 3;

/// The rank of pieces that only boxes have whose word is doubted.
const LAST: usize = usize::MAX;

/// What could be ordered: of somebody who has all, of somebody who has part, and how many pieces no box with a part has.
struct Choices {
    seed: Option<Choice>,
    part: Option<Choice>,
    scarce: usize,
}

/// A piece that could be ordered.
struct Choice {
    span: Span,
    peer: Peer,
    /// Less is better: boxes that have it, orders out at the chosen one, chance.
    rank: (usize, usize, u64),
}

impl Plan {
    /// What to do next. To be called until it says to wait, and again when an answer came or the moment is there.
    pub fn next(&mut self, now: Moment, random: &mut dyn FnMut() -> u64) -> Next {
        if self.held.is_all() {
            return Next::Done;
        }
        if let Some(peer) = self.to_ask(now) {
            return self.ask(peer);
        }
        if self.orders.len() < self.limits.orders_max {
            let shares = self.sharing(now) > 0;
            let Choices { seed, part, scarce } = self.choose(shares, now, random);
            match seed {
                Some(choice) if !shares => return self.order(choice, now),
                Some(_) if now < self.turn.from => {}
                Some(choice) => {
                    // Somebody may have fetched it since we last heard.
                    if let Some(other) = self.next_to_hear(now) {
                        return self.ask(other);
                    }
                    if self.has_heard(now) && self.takes_turn(scarce, now, random) {
                        return self.order(choice, now);
                    }
                }
                None => self.hearing_since = None,
            }
            if let Some(choice) = part {
                return self.order(choice, now);
            }
        }
        Next::Wait(self.wake(now))
    }

    fn ask(&mut self, peer: Peer) -> Next {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.asking = true;
        }
        Next::AskHeld(peer)
    }

    fn order(&mut self, choice: Choice, now: Moment) -> Next {
        let Choice { span, peer, .. } = choice;
        let id = OrderId(self.order_next);
        self.order_next += 1;
        if self.is_seed(peer) {
            self.turn.order = Some((id, now));
            self.seeded_at = Some(now);
            self.hearing_since = None;
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            source.orders += 1;
        }
        span.groups().for_each(|group| self.ordered.insert(group));
        self.orders.insert(id, (peer, span));
        Next::Fetch(id, peer, span)
    }

    /// The ledger, or a box that has all.
    fn is_seed(&self, peer: Peer) -> bool {
        peer == Peer::Ledger || self.sources.get(&peer).is_some_and(Source::has_all)
    }

    /// Whether what a box says it holds counts: a liar's word must keep neither the ledger nor other boxes away.
    fn is_believed(&self, source: &Source, now: Moment) -> bool {
        let idle = now.ms_since(self.lan_gave_at) >= self.limits.lan_idle_ms;
        source.fruitless < self.limits.fruitless_max && (source.delivered || !idle)
    }

    /// Boxes that have part of it, and are believed.
    fn sharing(&self, now: Moment) -> usize {
        let sharing = |(peer, source): &(&Peer, &Source)| {
            **peer != Peer::Ledger && source.held.is_some() && !source.has_all() && self.is_believed(source, now)
        };
        self.sources.iter().filter(sharing).count()
    }

    /// Somebody whose turn it is to be asked what it holds.
    fn to_ask(&self, now: Moment) -> Option<Peer> {
        let due = self.sources.iter().find(|(peer, source)| {
            let wanted = match peer {
                Peer::Lan(_) => true,
                Peer::Ledger => now >= self.ledger_from && source.held.is_none() && self.lan_lacks_something(now),
            };
            wanted && !source.asking && !source.has_all() && source.is_open(now) && source.ask_from <= now
        });
        due.map(|(peer, _)| *peer)
    }

    /// A box with part of it that has not spoken since the last order from somebody who has all.
    fn next_to_hear(&mut self, now: Moment) -> Option<Peer> {
        self.hearing_since.get_or_insert(now);
        let silent = self.sources.iter().find(|(peer, source)| {
            self.is_unheard(**peer)
                && !source.asking
                && source.is_open(now)
                && source.heard_at.is_none_or(|at| now.ms_since(at) >= ASK_MS_MIN)
        });
        silent.map(|(peer, _)| *peer)
    }

    fn is_unheard(&self, peer: Peer) -> bool {
        let Some(source) = self.sources.get(&peer) else { return false };
        peer != Peer::Ledger && source.held.is_some() && !source.has_all() && source.heard_at <= self.seeded_at
    }

    fn has_heard(&self, now: Moment) -> bool {
        let waited = self.hearing_since.is_some_and(|since| now.ms_since(since) >= self.limits.hear_ms_max);
        waited || self.seeded_at.is_none() || !self.sources.keys().any(|peer| self.is_unheard(*peer))
    }

    /// Whether to fetch one of so many pieces that nobody else has, or to leave it to the others for a moment: what they have
    /// ordered cannot be seen before it has come.
    fn takes_turn(&mut self, scarce: usize, now: Moment, random: &mut dyn FnMut() -> u64) -> bool {
        let wanting = self.sharing(now) as u64 * SPREAD + SPREAD;
        if scarce as u64 >= wanting || self.turn.left >= LEFT_MAX || random() % wanting < scarce as u64 {
            self.turn.left = 0;
            return true;
        }
        self.turn.left += 1;
        let took_ms = self.turn.took_ms.clamp(ASK_MS_MIN, self.limits.hear_ms_max.max(ASK_MS_MIN));
        self.turn.from = now.plus_ms(jittered(took_ms, random).max(1));
        // By then the others may have it: they are heard again.
        (self.seeded_at, self.hearing_since) = (Some(now), None);
        false
    }

    /// The first missing groups of each piece that are not ordered, as one span.
    fn wanted(&self) -> impl Iterator<Item = Span> + '_ {
        let (step, groups) = (self.limits.piece_groups.max(1), self.shape().groups());
        (0..groups.div_ceil(step)).filter_map(move |piece| {
            let free = |group: &u32| {
                let group = GroupIndex(*group);
                !self.held.contains(group) && !self.ordered.contains(group)
            };
            let end = ((piece + 1) * step).min(groups);
            let first = (piece * step..end).find(free)?;
            let last = (first..end).take_while(free).last()?;
            Span::new(first, last)
        })
    }

    fn lan_lacks_something(&self, now: Moment) -> bool {
        let believed = |(peer, source): &(&Peer, &Source)| **peer != Peer::Ledger && self.is_believed(source, now);
        let lan: Vec<&Source> = self.sources.iter().filter(believed).map(|(_, source)| source).collect();
        self.wanted().any(|span| !lan.iter().any(|source| source.covers(span)))
    }

    /// Orders a source may have out now.
    const fn orders_of(&self, peer: Peer, seed: bool, shares: bool) -> usize {
        match peer {
            _ if seed && shares => 1,
            Peer::Lan(_) => self.limits.orders_per_box_max,
            Peer::Ledger => self.limits.orders_ledger_max,
        }
    }

    /// The rarest piece, ties by chance: from those that have all (a piece nobody else has), and from those that have part.
    fn choose(&self, shares: bool, now: Moment, random: &mut dyn FnMut() -> u64) -> Choices {
        let ready = |peer: Peer| peer != Peer::Ledger || now >= self.ledger_from;
        let open = self.sources.iter().filter(|(peer, source)| ready(**peer) && source.is_open(now));
        let open: Vec<Open<'_>> = open
            .filter_map(|(peer, source)| {
                let (held, seed) = (source.held.as_ref()?, *peer == Peer::Ledger || source.has_all());
                let believed = *peer == Peer::Ledger || self.is_believed(source, now);
                // One that is doubted is tried with one order, not with all there are.
                let most = if believed { self.orders_of(*peer, seed, shares) } else { 1 };
                let free = source.orders < most;
                Some(Open { peer: *peer, held, orders: source.orders, seed, believed, free })
            })
            .collect();
        let (mut seed, mut part, mut scarce) = (None, None, 0);
        if open.iter().any(|source| source.free) {
            for span in self.wanted() {
                let holders = open.iter().filter(|source| source.held.covers(span));
                let [whole, some, ledger] = holders.fold([0; 3], |mut count, source| {
                    match source.peer {
                        Peer::Ledger => count[2] += usize::from(source.free),
                        Peer::Lan(_) if source.believed => count[usize::from(!source.seed)] += 1,
                        Peer::Lan(_) => {}
                    }
                    count
                });
                scarce += usize::from(some == 0);
                // The ledger comes after all that are believed, and nobody who has all is asked for what somebody else has.
                if some > 0 {
                    better(&mut part, span, some + whole, |source| source.believed && !source.seed, &open, random);
                } else if whole > 0 {
                    let of_lan = |source: &Open<'_>| source.believed && source.peer != Peer::Ledger;
                    better(&mut seed, span, whole, of_lan, &open, random);
                } else if ledger > 0 {
                    better(&mut seed, span, 0, |source| source.peer == Peer::Ledger, &open, random);
                } else {
                    better(&mut seed, span, LAST, |source| !source.believed && source.seed, &open, random);
                    better(&mut part, span, LAST, |source| !source.believed && !source.seed, &open, random);
                }
            }
        }
        Choices { seed, part, scarce }
    }

    /// The next moment at which something changes by itself.
    fn wake(&self, now: Moment) -> Moment {
        let sources = self.sources.values().flat_map(|source| [source.quiet_until, source.ask_from]);
        let hearing = self.hearing_since.map(|since| since.plus_ms(self.limits.hear_ms_max));
        let soonest =
            sources.chain([self.ledger_from, self.turn.from]).chain(hearing).filter(|moment| *moment > now).min();
        let latest = now.plus_ms(WAIT_MS_MAX);
        let soonest = soonest.map_or(latest, |soonest| soonest.min(latest));
        if self.hearing_since.is_some() { soonest.min(now.plus_ms(ASK_MS_MIN)) } else { soonest }
    }
}

/// A source that answers.
struct Open<'a> {
    peer: Peer,
    held: &'a Groups,
    orders: usize,
    seed: bool,
    /// Whether its word counts.
    believed: bool,
    /// Whether it may be given an order.
    free: bool,
}

/// Takes this piece if it is a better choice: rarer, or at somebody with less to do, or by chance.
fn better(
    best: &mut Option<Choice>,
    span: Span,
    rarity: usize,
    from: impl Fn(&Open<'_>) -> bool,
    open: &[Open<'_>],
    random: &mut dyn FnMut() -> u64,
) {
    if best.as_ref().is_some_and(|best| best.rank.0 < rarity) {
        return;
    }
    let sources = open.iter().filter(|source| source.free && from(source) && source.held.covers(span));
    for source in sources {
        let rank = (rarity, source.orders, random());
        if best.as_ref().is_none_or(|best| rank < best.rank) {
            *best = Some(Choice { span, peer: source.peer, rank });
        }
    }
}
