//! What waits, receiver by receiver: of an alert, what comes later for one comes after what came before, whatever numbers both have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pitchside_model::AlertId;
use pitchside_store::delivery::Target;

use super::trial::Errand;
use super::underway::Way;

/// The requests of one alert to one receiver, in order.
pub(super) type Chain = Vec<(Arc<Errand>, u32)>;

/// What is to be tried again.
#[derive(Default)]
pub(super) struct Chains {
    /// The first request that waits for a receiver, under whose number those after it go, too.
    first: BTreeMap<(AlertId, Target), Way>,
    /// Where something waits on.
    resting: BTreeSet<Way>,
    /// In the order of their first, which names them.
    pub chains: Vec<(Way, Chain)>,
}

impl Chains {
    /// A request waits, which `goes` by itself: whether it is tried, which it is not behind one that is not. To be said of all, in order.
    pub fn stands(&mut self, way: Way, target: Option<Target>, goes: bool) -> bool {
        let head = self.head(way, target);
        // One of before a receiver was written down goes by its number alone.
        let goes = goes && !self.resting.contains(&head) && !self.resting.contains(&way);
        if !goes {
            self.stays(way, target);
        }
        goes
    }

    /// A request that was to be tried waits on after all: its script failed.
    pub fn stays(&mut self, way: Way, target: Option<Target>) {
        let head = self.head(way, target);
        self.resting.extend([head, way]);
    }

    /// Whether a request stands behind one that waits on, by what is known now.
    pub fn is_behind(&self, way: Way, target: Option<Target>) -> bool {
        let head = target.and_then(|target| self.first.get(&(way.0, target))).unwrap_or(&way);
        self.resting.contains(head) || self.resting.contains(&way)
    }

    /// Whether something waits on for a receiver.
    pub fn rests(&self, alert: AlertId, target: Target) -> bool {
        self.first.get(&(alert, target)).is_some_and(|head| self.resting.contains(head))
    }

    /// Has a request tried, after what is there already for its receiver.
    pub fn push(&mut self, errand: &Arc<Errand>, number: u32) {
        let way = (errand.step.alert, number);
        let head = self.head(way, errand.requests.get(&number).map(|one| one.target));
        let link = (Arc::clone(errand), number);
        match self.chains.iter_mut().find(|(other, _)| *other == head) {
            Some((_, chain)) => chain.push(link),
            None => self.chains.push((head, vec![link])),
        }
    }

    fn head(&mut self, way: Way, target: Option<Target>) -> Way {
        target.map_or(way, |target| *self.first.entry((way.0, target)).or_insert(way))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: AlertId = AlertId([1; 16]);
    const OTHER: AlertId = AlertId([2; 16]);

    #[test]
    fn what_comes_after_something_that_waits_on_for_the_same_receiver_waits_on() {
        let (ann, bob) = (Some([1; 32]), Some([2; 32]));
        let mut chains = Chains::default();
        assert!(!chains.stands((ALERT, 0), ann, false));
        assert!(chains.stands((ALERT, 1), bob, true), "another receiver");
        assert!(!chains.stands((ALERT, 3), ann, true), "the same one under another number");
        assert!(!chains.stands((ALERT, 0), None, true), "a number that is not known to be anybody else's");
        assert!(chains.stands((OTHER, 0), ann, true), "another alert");
        assert!(chains.rests(ALERT, [1; 32]) && !chains.rests(ALERT, [2; 32]) && !chains.rests(OTHER, [1; 32]));
    }

    #[test]
    fn what_comes_after_something_that_its_script_now_fails_on_waits_on() {
        let (ann, bob) = (Some([1; 32]), Some([2; 32]));
        let mut chains = Chains::default();
        assert!(chains.stands((ALERT, 0), ann, true) && chains.stands((ALERT, 3), ann, true));
        assert!(chains.stands((ALERT, 1), bob, true) && chains.stands((OTHER, 0), ann, true));
        assert!(!chains.is_behind((ALERT, 3), ann));
        chains.stays((ALERT, 0), ann);
        assert!(chains.is_behind((ALERT, 3), ann) && chains.is_behind((ALERT, 0), None));
        assert!(!chains.is_behind((ALERT, 1), bob), "another receiver");
        assert!(!chains.is_behind((OTHER, 0), ann), "another alert");
    }
}
