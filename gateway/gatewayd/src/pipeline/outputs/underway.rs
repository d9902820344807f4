//! Which requests are under way while later steps are told, and what stands behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_model::AlertId;
use pitchside_script::output::request::REQUESTS_MAX;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most requests of one number that are carried out side by side: so many of new steps, and so many that are tried again.
const SIDE_BY_SIDE: usize = 4;

/// Of an alert, the requests of a number: what comes later of both comes after what came before.
pub(super) type Way = (AlertId, u32);

/// Why a request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trip {
    New,
    Again,
}

#[derive(Default)]
struct State {
    now: BTreeMap<Way, Trip>,
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

/// What is under way there; it is no more once this is dropped.
pub(super) struct Going {
    state: Arc<Mutex<State>>,
    way: Way,
}

impl UnderWay {
    /// A request of a new step sets out, unless something is under way there, or as many of the number as may be.
    pub fn begin(&self, way: Way) -> Option<Going> {
        let is_like = |(other, trip): (&Way, &Trip)| other.1 == way.1 && *trip == Trip::New;
        let has_room = self.state.lock().now.iter().filter(|one| is_like(*one)).count() < SIDE_BY_SIDE;
        if has_room { self.set_out(way, Trip::New) } else { None }
    }

    /// What waits there is tried again, unless something is under way. Whoever does so waits for a [place](Self::place).
    pub fn begin_again(&self, way: Way) -> Option<Going> {
        self.set_out(way, Trip::Again)
    }

    fn set_out(&self, way: Way, trip: Trip) -> Option<Going> {
        let mut state = self.state.lock();
        if state.now.contains_key(&way) {
            return None;
        }
        state.now.insert(way, trip);
        drop(state);
        Some(Going { state: Arc::clone(&self.state), way })
    }

    /// A place among those of a number that are tried again. Scripts ask for no more than there are places for.
    pub async fn place(&self, number: u32) -> Option<SemaphorePermit<'_>> {
        self.places.get(number as usize)?.acquire().await.ok()
    }

    /// Where something is under way now.
    pub fn now(&self) -> BTreeSet<Way> {
        self.state.lock().now.keys().copied().collect()
    }

    /// Something of an alert may have to wait for what is under way. To be said before it is looked whether it has to: what ends in
    /// between is noticed.
    pub fn stands_behind(&self, alert: AlertId, numbers: impl Iterator<Item = u32>) {
        self.state.lock().behind.extend(numbers.map(|number| (alert, number)));
    }

    /// Nothing stands behind there, or what stood there is taken up.
    pub fn stands_free(&self, way: Way) {
        self.state.lock().behind.remove(&way);
    }

    /// What was under way there is done with, and written down: what stands behind it is next.
    pub fn ended(&self, way: Way) {
        let mut state = self.state.lock();
        state.woken |= state.behind.remove(&way);
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
        self.state.lock().now.remove(&self.way);
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
    fn of_an_alert_and_number_one_is_under_way_and_of_a_number_so_many() {
        let under_way = UnderWay::default();
        let first = under_way.begin((alert(0), 0));
        assert!(first.is_some() && under_way.begin((alert(0), 0)).is_none(), "one at a time");
        assert!(under_way.begin_again((alert(0), 0)).is_none(), "nor is it tried again meanwhile");
        let others: Vec<_> = (1..4).map(|other| under_way.begin((alert(other), 0))).collect();
        assert!(others.iter().all(Option::is_some) && under_way.begin((alert(4), 0)).is_none(), "no more than four");
        assert!(under_way.begin((alert(4), 1)).is_some(), "another number is another way");
        drop(first);
        assert_eq!(under_way.now().len(), 3, "what is dropped is not under way");
        let again: Vec<_> = (10..20).map(|other| under_way.begin_again((alert(other), 0))).collect();
        assert!(again.iter().all(Option::is_some), "these wait for a place");
        assert!(under_way.begin((alert(4), 0)).is_some(), "what waits keeps nothing new from setting out");
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
        under_way.stands_behind(alert(1), 0..2);
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
