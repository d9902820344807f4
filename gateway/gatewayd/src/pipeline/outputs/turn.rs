//! Whose turn it is with a receiver where the newest replaces what was there, as the text on a display does: whatever order requests are
//! tried in, and whatever their numbers, an older one never comes after a newer one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitchside_store::DeliveryStepId;
use pitchside_store::delivery::Target;
use tokio::sync::OwnedMutexGuard;

/// The most receivers that are remembered: those nobody is about, and to which nothing went out for longest, are forgotten beyond.
const RECEIVERS_MAX: usize = 64;

type Place = Arc<tokio::sync::Mutex<DeliveryStepId>>;

/// The newest step of which something went out to each receiver since the output was started. Whoever tries has its place to themselves
/// meanwhile.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<Target, Place>>>);

/// What a request finds.
#[derive(Debug)]
pub(super) enum Turn {
    /// It may be tried; if it goes out, it is the newest.
    Mine(Newest),
    /// Something newer stands there.
    Newer,
}

/// A place, held.
#[derive(Debug)]
pub(super) struct Newest(OwnedMutexGuard<DeliveryStepId>);

impl Newest {
    /// What was tried went out.
    pub fn brought(mut self, step: DeliveryStepId) {
        *self.0 = step;
    }
}

impl Turns {
    /// Waits for its turn.
    pub async fn take(&self, target: Target, step: DeliveryStepId) -> Turn {
        let newest = self.place(target).lock_owned().await;
        if *newest > step { Turn::Newer } else { Turn::Mine(Newest(newest)) }
    }

    fn place(&self, target: Target) -> Place {
        let mut places = self.0.lock();
        if places.len() >= RECEIVERS_MAX && !places.contains_key(&target) {
            // Nobody else holds it, nor comes to while the map is locked.
            let idle = |(target, place): (&Target, &Place)| {
                let newest =
                    if Arc::strong_count(place) == 1 { place.try_lock().ok().map(|newest| *newest) } else { None };
                newest.map(|newest| (newest, *target))
            };
            let oldest = places.iter().filter_map(idle).min();
            if let Some((_, oldest)) = oldest {
                places.remove(&oldest);
            }
        }
        Arc::clone(places.entry(target).or_default())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const HALL: Target = [1; 32];
    const GATE: Target = [2; 32];

    #[tokio::test]
    async fn an_older_step_never_comes_after_a_newer_one_to_the_same_receiver() {
        let (turns, old, new) = (Turns::default(), DeliveryStepId(7), DeliveryStepId(8));
        let Turn::Mine(failed) = turns.take(HALL, old).await else { panic!("nobody is there") };
        assert!(turns.take(HALL, new).now_or_never().is_none(), "one at a time: it waits");
        assert!(matches!(turns.take(GATE, new).await, Turn::Mine(_)), "another receiver is another way");
        drop(failed);
        let Turn::Mine(place) = turns.take(HALL, new).await else { panic!("the old one did not go out") };
        place.brought(new);
        assert!(matches!(turns.take(HALL, old).await, Turn::Newer));
        assert!(matches!(turns.take(GATE, old).await, Turn::Mine(_)), "nothing newer went out there");
        assert!(matches!(turns.take(HALL, new).await, Turn::Mine(_)), "told again after a crash, it goes out again");
    }

    #[tokio::test]
    async fn no_more_receivers_are_remembered_than_so_many_and_the_latest_are() {
        let turns = Turns::default();
        let Turn::Mine(_held) = turns.take([0; 32], DeliveryStepId(0)).await else { panic!("nobody is there") };
        for at in 1..=100_u8 {
            let step = DeliveryStepId(i64::from(at));
            let Turn::Mine(place) = turns.take([at; 32], step).await else { panic!("nobody is there") };
            place.brought(step);
        }
        assert_eq!(turns.0.lock().len(), RECEIVERS_MAX);
        assert!(matches!(turns.take([100; 32], DeliveryStepId(99)).await, Turn::Newer), "the latest is remembered");
        assert!(turns.take([0; 32], DeliveryStepId(0)).now_or_never().is_none(), "one that is held stays");
    }
}
