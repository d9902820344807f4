//! Whose turn it is on a way where the newest replaces what was there, as the text on a display does: whatever order requests are tried
//! in, an older one never comes after a newer one.

use std::sync::Arc;

use pitchside_script::output::request::REQUESTS_MAX;
use pitchside_store::DeliveryStepId;
use tokio::sync::{Mutex, MutexGuard};

/// The newest step of which each request, by its number, went out since the output was started. Whoever tries one has its place to
/// themselves meanwhile.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<[Mutex<DeliveryStepId>; REQUESTS_MAX]>);

/// What a request finds.
#[derive(Debug)]
pub(super) enum Turn<'a> {
    /// It may be tried; if it goes out, it is the newest.
    Mine(Newest<'a>),
    /// Something newer stands there.
    Newer,
}

/// A place, held.
#[derive(Debug)]
pub(super) struct Newest<'a>(Option<MutexGuard<'a, DeliveryStepId>>);

impl Newest<'_> {
    /// What was tried went out.
    pub fn brought(mut self, step: DeliveryStepId) {
        if let Some(newest) = &mut self.0 {
            **newest = step;
        }
    }
}

impl Turns {
    /// Waits for its turn.
    pub async fn take(&self, number: u32, step: DeliveryStepId) -> Turn<'_> {
        // Scripts ask for no more than there are places.
        let Some(place) = self.0.get(number as usize) else { return Turn::Mine(Newest(None)) };
        let newest = place.lock().await;
        if *newest > step { Turn::Newer } else { Turn::Mine(Newest(Some(newest))) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_older_step_never_comes_after_a_newer_one_of_the_same_number() {
        let (turns, old, new) = (Turns::default(), DeliveryStepId(7), DeliveryStepId(8));
        let Turn::Mine(failed) = turns.take(0, old).await else { panic!("nobody is there") };
        assert!(turns.take(0, new).now_or_never().is_none(), "one at a time: it waits");
        assert!(matches!(turns.take(1, new).await, Turn::Mine(_)), "another way is another way");
        drop(failed);
        let Turn::Mine(place) = turns.take(0, new).await else { panic!("the old one did not go out") };
        place.brought(new);
        assert!(matches!(turns.take(0, old).await, Turn::Newer));
        assert!(matches!(turns.take(0, new).await, Turn::Mine(_)), "told again after a crash, it goes out again");
    }
}
