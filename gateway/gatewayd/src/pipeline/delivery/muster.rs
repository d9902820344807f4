//! Which outputs take part in drills, and what became of the one under way. Outputs report here; the drill waits here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pitchside_model::{AlertId, PluginName};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Where a drill went from an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// What the output asked for was carried out.
    Out,
    /// Its script runs and asked for nothing, so of what lies beyond it nothing is known.
    Nowhere,
}

/// What became of a drill at one output: where it went, and how long that took since it was recorded; or why it did not go out.
pub type Delivered = Result<(Went, Duration), String>;

#[derive(Default)]
struct State {
    /// Outputs that are to be told of drills.
    taking_part: BTreeSet<PluginName>,
    /// Those that run and hear of none.
    aside: BTreeSet<PluginName>,
    /// Those that were set up and do not run, each with why.
    down: BTreeMap<PluginName, String>,
    /// The drill under way, since when, and what is known of it.
    current: Option<(AlertId, Instant)>,
    delivered: BTreeMap<PluginName, Delivered>,
}

/// Shared by the outputs and the drill.
#[derive(Clone, Default)]
pub struct Muster(Arc<(Mutex<State>, Notify)>);

impl Muster {
    /// The outputs there are now: those that take part in drills, those that do not, and those that should run and do not.
    pub fn replace(
        &self,
        taking_part: BTreeSet<PluginName>,
        aside: BTreeSet<PluginName>,
        down: BTreeMap<PluginName, String>,
    ) {
        let mut state = self.0.0.lock();
        (state.taking_part, state.aside, state.down) = (taking_part, aside, down);
        self.0.1.notify_waiters();
    }

    /// Outputs that were set up and do not run, each with why: no alert goes out there.
    pub fn down(&self) -> BTreeMap<PluginName, String> {
        self.0.0.lock().down.clone()
    }

    /// Outputs that run and hear of no drills.
    pub fn aside(&self) -> Vec<String> {
        self.0.0.lock().aside.iter().map(ToString::to_string).collect()
    }

    /// A drill begins, before it is recorded: what outputs say of it counts from here on.
    pub fn begin(&self, drill: AlertId) {
        let mut state = self.0.0.lock();
        state.current = Some((drill, Instant::now()));
        state.delivered.clear();
    }

    /// An output is done with a drill. One that is no longer under way is passed over.
    pub fn delivered(&self, drill: AlertId, name: &PluginName, how: Result<Went, String>) {
        let mut state = self.0.0.lock();
        let Some((current, began)) = state.current else { return };
        if current == drill {
            state.delivered.insert(name.clone(), how.map(|went| (went, began.elapsed())));
            self.0.1.notify_waiters();
        }
    }

    /// Waits until every output that takes part is done with the drill, at most so long: each with what became of it. Outputs that go
    /// meanwhile are not waited for.
    pub async fn wait(&self, within: Duration) -> Vec<(PluginName, Delivered)> {
        let give_up = Instant::now() + within;
        loop {
            let changed = self.0.1.notified();
            tokio::pin!(changed);
            // From here on nothing is missed.
            changed.as_mut().enable();
            if self.all_done() || tokio::time::timeout_at(give_up, changed).await.is_err() {
                break;
            }
        }
        let state = self.0.0.lock();
        let unheard =
            || Err(format!("not done within {} s: still busy with what came before, or down", within.as_secs()));
        let of = |name: &PluginName| state.delivered.get(name).cloned().unwrap_or_else(unheard);
        state.taking_part.iter().map(|name| (name.clone(), of(name))).collect()
    }

    fn all_done(&self) -> bool {
        let state = self.0.0.lock();
        state.taking_part.iter().all(|name| state.delivered.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drill_waits_for_every_output_that_takes_part_and_for_no_other() {
        let name = |name| PluginName::parse(name).unwrap();
        let muster = Muster::default();
        let down = || BTreeMap::from([(name("mail"), "host is not set".to_owned())]);
        muster.replace([name("hook"), name("lamp")].into(), [name("old")].into(), down());
        let (drill, other) = (AlertId([1; 16]), AlertId([2; 16]));
        muster.begin(drill);
        muster.delivered(other, &name("hook"), Err("of another drill".to_owned()));
        muster.delivered(drill, &name("hook"), Ok(Went::Out));
        let of = |told: &[(PluginName, Delivered)], at: usize| told[at].1.clone();
        let told = muster.wait(Duration::ZERO).await;
        assert!(of(&told, 0).is_ok() && of(&told, 1).unwrap_err().contains("not done within 0 s"), "{told:?}");
        let waiting = tokio::spawn({
            let muster = muster.clone();
            async move { muster.wait(Duration::from_secs(60)).await }
        });
        muster.delivered(drill, &name("lamp"), Err("gone".to_owned()));
        let told = waiting.await.unwrap();
        assert_eq!(of(&told, 1), Err("gone".to_owned()));
        assert_eq!((muster.aside(), muster.down()), (vec!["old".to_owned()], down()));
        muster.begin(other);
        muster.replace(BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        assert!(muster.wait(Duration::from_secs(60)).await.is_empty(), "those that went are not waited for");
    }
}
