//! Which requests are under way while later steps are told, and what stands behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::AlertId;
use pitchside_script::output::request::REQUESTS_MAX;
use pitchside_store::DeliveryStepId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most requests of one number that are carried out side by side: so many of new steps, and so many that are tried again.
const SIDE_BY_SIDE: usize = 4;

/// A request of a step, by number.
type One = (DeliveryStepId, u32);
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
    now: BTreeMap<One, Trip>,
    /// Where something waits for what is under way.
    behind: BTreeSet<Way>,
    woken: bool,
}

/// The requests of one output that are under way.
#[derive(Clone)]
pub(super) struct UnderWay {
    state: Arc<Mutex<State>>,
    places: Arc<[Semaphore; REQUESTS_MAX]>,
}

impl Default for UnderWay {
    fn default() -> Self {
        let places = std::array::from_fn(|_| Semaphore::new(SIDE_BY_SIDE));
        Self { state: Arc::default(), places: Arc::new(places) }
    }
}

/// A request under way; it is no more once this is dropped.
pub(super) struct Going {
    state: Arc<Mutex<State>>,
    one: One,
}

impl UnderWay {
    /// A request of a new step sets out, unless it is under way, or as many of the number as may be.
    pub fn begin(&self, one: One) -> Option<Going> {
        let is_like = |(other, trip): (&One, &Trip)| other.1 == one.1 && *trip == Trip::New;
        let is_full = self.state.lock().now.iter().filter(|other| is_like(*other)).count() >= SIDE_BY_SIDE;
        if is_full { None } else { self.set_out(one, Trip::New) }
    }

    /// A request that waits is tried again, unless it is under way. Whoever does so waits for a [place](Self::place).
    pub fn begin_again(&self, one: One) -> Option<Going> {
        self.set_out(one, Trip::Again)
    }

    fn set_out(&self, one: One, trip: Trip) -> Option<Going> {
        let mut state = self.state.lock();
        if state.now.contains_key(&one) {
            return None;
        }
        state.now.insert(one, trip);
        drop(state);
        Some(Going { state: Arc::clone(&self.state), one })
    }

    /// A place among those of a number that are tried again. Scripts ask for no more than there are places for.
    pub async fn place(&self, number: u32) -> Option<SemaphorePermit<'_>> {
        self.places.get(number as usize)?.acquire().await.ok()
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

    #[test]
    fn a_request_is_under_way_once_and_of_a_number_so_many() {
        let (under_way, step) = (UnderWay::default(), DeliveryStepId);
        let first = under_way.begin((step(0), 0));
        assert!(first.is_some() && under_way.begin((step(0), 0)).is_none(), "once");
        assert!(under_way.begin_again((step(0), 0)).is_none(), "nor is it tried again meanwhile");
        let others: Vec<_> = (1..4).map(|other| under_way.begin((step(other), 0))).collect();
        assert!(others.iter().all(Option::is_some) && under_way.begin((step(4), 0)).is_none(), "no more than four");
        assert!(under_way.begin((step(4), 1)).is_some(), "another number is another way");
        drop(first);
        assert_eq!(under_way.now().len(), 3, "what is dropped is not under way");
        let again: Vec<_> = (10..20).map(|other| under_way.begin_again((step(other), 0))).collect();
        assert!(again.iter().all(Option::is_some), "these wait for a place");
        assert!(under_way.begin((step(4), 0)).is_some(), "what waits keeps nothing new from setting out");
    }

    #[tokio::test]
    async fn so_many_of_a_number_are_tried_again_side_by_side() {
        let under_way = UnderWay::default();
        let places: Vec<_> = (0..4).map(|_| under_way.place(0).now_or_never()).collect();
        assert!(places.iter().all(Option::is_some) && under_way.place(0).now_or_never().is_none());
        assert!(under_way.place(1).now_or_never().is_some(), "another number has places of its own");
        drop(places);
        assert!(under_way.place(0).now_or_never().is_some());
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
