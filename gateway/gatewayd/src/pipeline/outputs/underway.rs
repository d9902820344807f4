//! Which requests are under way while later steps are told, and what stands behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::AlertId;
use pitchside_store::DeliveryStepId;
use pitchside_store::delivery::Target;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most requests to one receiver that are carried out side by side: so many of new steps, and so many that are tried again.
const SIDE_BY_SIDE: usize = 4;
/// The most to all receivers, of either.
const SIDE_BY_SIDE_MAX: usize = 64;
/// So many receivers are remembered before those are forgotten with whom nobody has or wants a place.
const RECEIVERS_KEPT: usize = 64;

/// A request of a step, by number.
pub(super) type One = (DeliveryStepId, u32);
/// Of an alert, the requests of a number.
pub(super) type Way = (AlertId, u32);

/// Why a request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trip {
    New,
    Again,
}

#[derive(Default)]
struct State {
    now: BTreeMap<One, (Trip, Target)>,
    /// Where something waits for what is under way.
    behind: BTreeSet<Way>,
    woken: bool,
    /// Steps that are kept for want of room, of which something went out after all.
    brought: BTreeSet<DeliveryStepId>,
}

/// The requests of one output that are under way.
#[derive(Clone)]
pub(super) struct UnderWay {
    state: Arc<Mutex<State>>,
    places: Arc<Mutex<BTreeMap<Target, Arc<Semaphore>>>>,
    all: Arc<Semaphore>,
}

impl Default for UnderWay {
    fn default() -> Self {
        Self { state: Arc::default(), places: Arc::default(), all: Arc::new(Semaphore::new(SIDE_BY_SIDE_MAX)) }
    }
}

/// A place with a receiver, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _with_receiver: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// A request under way; it is no more once this is dropped.
pub(super) struct Going {
    state: Arc<Mutex<State>>,
    one: One,
}

impl UnderWay {
    /// A request of a new step sets out, unless it is under way, or as many to its receiver as may be, or to all.
    pub fn begin(&self, one: One, target: Target) -> Option<Going> {
        let state = self.state.lock();
        let new = state.now.values().filter(|(trip, _)| *trip == Trip::New);
        let (to_it, all) =
            new.fold((0, 0), |(to_it, all), (_, other)| (to_it + usize::from(*other == target), all + 1));
        drop(state);
        if to_it >= SIDE_BY_SIDE || all >= SIDE_BY_SIDE_MAX { None } else { self.set_out(one, target, Trip::New) }
    }

    /// A request that waits is tried again, unless it is under way. Whoever does so waits for a [place](Self::place).
    pub fn begin_again(&self, one: One, target: Target) -> Option<Going> {
        self.set_out(one, target, Trip::Again)
    }

    fn set_out(&self, one: One, target: Target, trip: Trip) -> Option<Going> {
        let mut state = self.state.lock();
        if state.now.contains_key(&one) {
            return None;
        }
        state.now.insert(one, (trip, target));
        drop(state);
        Some(Going { state: Arc::clone(&self.state), one })
    }

    /// A place among those to a receiver that are tried again.
    pub async fn place(&self, target: Target) -> Option<Place> {
        let receiver = {
            let mut places = self.places.lock();
            if places.len() >= RECEIVERS_KEPT {
                // Whoever has a place, or waits for one, holds it, too. Nobody comes to while the map is locked.
                places.retain(|_, receiver| Arc::strong_count(receiver) > 1);
            }
            Arc::clone(places.entry(target).or_insert_with(|| Arc::new(Semaphore::new(SIDE_BY_SIDE))))
        };
        let with_receiver = receiver.acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { _with_receiver: with_receiver, _of_all: of_all })
    }

    /// Something of a step that is kept for want of room went out after all.
    pub fn brings(&self, step: DeliveryStepId) {
        self.state.lock().brought.insert(step);
    }

    /// Those of which something did, since this was last asked.
    pub fn take_brought(&self) -> BTreeSet<DeliveryStepId> {
        std::mem::take(&mut self.state.lock().brought)
    }

    /// Those of now.
    pub fn now(&self) -> BTreeSet<One> {
        self.state.lock().now.keys().copied().collect()
    }

    /// Something waits for what is under way there. To be looked at again after this is said: what ends before it wakes nobody.
    pub fn stands_behind(&self, way: Way) {
        self.state.lock().behind.insert(way);
    }

    /// What stood behind there is taken up.
    pub fn stands_free(&self, way: Way) {
        self.state.lock().behind.remove(&way);
    }

    /// What was under way there is done with, and written down: what stands behind it is next.
    pub fn ended(&self, way: Way) {
        let mut state = self.state.lock();
        let is_next = state.behind.remove(&way);
        state.woken |= is_next;
    }

    /// Something may be next.
    pub fn wake(&self) {
        self.state.lock().woken = true;
    }

    /// Whether something may be next, since this was last asked.
    pub fn was_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().woken)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.state.lock().now.remove(&self.one);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const fn alert(number: u8) -> AlertId {
        AlertId([number; 16])
    }

    const HALL: Target = [1; 32];
    const GATE: Target = [2; 32];

    #[test]
    fn a_request_is_under_way_once_and_to_a_receiver_so_many() {
        let (under_way, step) = (UnderWay::default(), DeliveryStepId);
        let first = under_way.begin((step(0), 0), HALL);
        assert!(first.is_some() && under_way.begin((step(0), 0), HALL).is_none(), "once");
        assert!(under_way.begin_again((step(0), 0), HALL).is_none(), "nor is it tried again meanwhile");
        let others: Vec<_> = (1..4).map(|other| under_way.begin((step(other), 0), HALL)).collect();
        assert!(
            others.iter().all(Option::is_some) && under_way.begin((step(4), 1), HALL).is_none(),
            "no more than four"
        );
        assert!(under_way.begin((step(4), 0), GATE).is_some(), "another receiver under the same number");
        drop(first);
        assert_eq!(under_way.now().len(), 3, "what is dropped is not under way");
        let again: Vec<_> = (10..20).map(|other| under_way.begin_again((step(other), 0), HALL)).collect();
        assert!(again.iter().all(Option::is_some), "these wait for a place");
        assert!(under_way.begin((step(4), 0), HALL).is_some(), "what waits keeps nothing new from setting out");
    }

    #[tokio::test]
    async fn so_many_to_a_receiver_are_tried_again_side_by_side() {
        let under_way = UnderWay::default();
        let places: Vec<_> = (0..4).map(|_| under_way.place(HALL).now_or_never()).collect();
        assert!(places.iter().all(Option::is_some) && under_way.place(HALL).now_or_never().is_none());
        assert!(under_way.place(GATE).now_or_never().is_some(), "another receiver has places of its own");
        drop(places);
        assert!(under_way.place(HALL).now_or_never().is_some());
    }

    #[tokio::test]
    async fn to_all_receivers_no_more_are_under_way_than_so_many_and_no_more_receivers_are_remembered() {
        let under_way = UnderWay::default();
        // So many acquisitions in one turn would use up the task's budget.
        let place = |receiver: u8| tokio::task::coop::unconstrained(under_way.place([receiver; 32])).now_or_never();
        let places: Vec<_> = (0..64).map(place).collect();
        assert!(places.iter().all(Option::is_some) && place(64).is_none());
        drop(places);
        assert!(place(65).is_some());
        assert_eq!(under_way.places.lock().len(), 1, "nobody is with the others any more");
        let going: Vec<_> =
            (0..64_u8).map(|one| under_way.begin((DeliveryStepId(i64::from(one)), 0), [one; 32])).collect();
        assert!(going.iter().all(Option::is_some) && under_way.begin((DeliveryStepId(64), 0), [64; 32]).is_none());
    }

    #[test]
    fn the_end_of_what_something_stands_behind_wakes_and_no_other() {
        let under_way = UnderWay::default();
        under_way.stands_behind((alert(1), 0));
        under_way.stands_behind((alert(1), 1));
        under_way.stands_free((alert(1), 1));
        for way in [(alert(1), 1), (alert(2), 0)] {
            under_way.ended(way);
        }
        assert!(!under_way.was_woken());
        under_way.ended((alert(1), 0));
        assert!(under_way.was_woken() && !under_way.was_woken(), "once");
        under_way.ended((alert(1), 0));
        assert!(!under_way.was_woken(), "nothing stands there any more");
    }
}
