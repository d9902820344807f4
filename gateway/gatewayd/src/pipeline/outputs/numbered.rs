//! Which request of a step is which. A script that is asked again may ask for something else: somebody has changed whom it writes to
//! since. So whom a request is for is written down with its number, and the number, which is part of its key, stays theirs.

use std::collections::BTreeMap;

use pitchside_script::output::Request;
use pitchside_store::Came;
use pitchside_store::delivery::{Target, WAITING_MAX, Written};

/// A request, and whom it is for.
pub(super) struct Numbered {
    pub request: Request,
    pub target: Target,
}

/// What a script asks for of a step, by number: who is written of keeps theirs, and who is not gets one that nobody had.
pub(super) fn numbered(requests: Vec<Request>, written: &[Written]) -> BTreeMap<u32, Numbered> {
    let mut next = written.iter().map(|one| one.number.saturating_add(1)).max().unwrap_or(0);
    let (mut seen, mut all) = (BTreeMap::new(), BTreeMap::new());
    for (at, request) in (0u32..).zip(requests) {
        let target = target(&request, &mut seen);
        // A program of before wrote down the place in the list, and not whom it was for.
        let of_before = |one: &&Written| one.target.is_none() && one.number == at;
        let known = written.iter().find(|one| one.target == Some(target)).or_else(|| written.iter().find(of_before));
        let number = known.map_or(next, |one| one.number);
        next = next.max(number.saturating_add(1));
        all.insert(number, Numbered { request, target });
    }
    all
}

/// Whether a request is still to be carried out that nobody is about: nothing is written of it, or only that it was asked for no longer,
/// which it is again.
pub(super) fn is_new(written: &[Written], number: u32) -> bool {
    let known = written.iter().find(|one| one.number == number);
    known.is_none_or(|one| one.came == Came::Unasked)
}

/// Whether a request is owed: it comes when its step, which is kept, is told again, and not before.
pub(super) fn is_owed(written: &[Written], number: u32) -> bool {
    written.iter().any(|one| one.number == number && one.came == Came::Owed)
}

/// How many more requests of an output may come to wait.
pub(super) struct Room {
    left: usize,
    /// There was none to begin with, and nothing has been swapped yet.
    is_full: bool,
}

/// What changes of what waits of a step, as its script asks for something else than before.
pub(super) struct Swap {
    /// These come to wait: who was not asked for before.
    pub new: Vec<u32>,
    /// These wait no more: the script no longer asks for them.
    pub gone: Vec<u32>,
}

impl Room {
    /// Beside so many that wait.
    pub fn beside(waiting: usize) -> Self {
        let left = (WAITING_MAX as usize).saturating_sub(waiting);
        Self { left, is_full: left == 0 }
    }

    /// What is new takes the room of what is gone, and what is left. Where that does not suffice for all that is new, what is gone keeps
    /// its place until it does: without it, nobody would come back to the step.
    pub fn swap(
        &mut self,
        requests: &BTreeMap<u32, Numbered>,
        written: &[Written],
        waiting: &[u32],
        is_too_old: bool,
    ) -> Swap {
        let mut new: Vec<u32> = requests.keys().copied().filter(|number| is_new(written, *number)).collect();
        let mut gone: Vec<u32> = waiting.iter().copied().filter(|number| !requests.contains_key(number)).collect();
        if new.len() > self.left + gone.len() {
            // One step goes ahead with as many as it had where all is full: all that waits might wait for room otherwise.
            let goes_ahead = !gone.is_empty() && (is_too_old || std::mem::take(&mut self.is_full));
            if !goes_ahead {
                gone.clear();
            }
            new.truncate(self.left + gone.len());
        }
        self.left = (self.left + gone.len()).saturating_sub(new.len());
        Swap { new, gone }
    }
}

/// The receiver, as people are told of it; and which of those to the same one it is.
fn target(request: &Request, seen: &mut BTreeMap<String, u32>) -> Target {
    let name = request.target();
    let mut hash = blake3::Hasher::new();
    hash.update(name.as_bytes());
    let count = seen.entry(name).or_insert(0);
    hash.update(&[0]).update(&count.to_be_bytes());
    *count += 1;
    *hash.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(topics: &[&str]) -> Vec<Request> {
        let publish = |topic: &&str| Request::Mqtt { topic: (*topic).to_owned(), body: String::new() };
        topics.iter().map(publish).collect()
    }

    fn topics(numbered: &BTreeMap<u32, Numbered>) -> Vec<(u32, String)> {
        numbered.iter().map(|(number, one)| (*number, one.request.target())).collect()
    }

    fn told(numbers: &[(u32, &str)]) -> Vec<(u32, String)> {
        numbers.iter().map(|(number, topic)| (*number, format!("mqtt {topic}"))).collect()
    }

    fn write(numbered: &BTreeMap<u32, Numbered>, with_target: bool) -> Vec<Written> {
        let write = |(number, one): (&u32, &Numbered)| Written {
            number: *number,
            came: Came::Waits,
            target: with_target.then_some(one.target),
            replaces: false,
        };
        numbered.iter().map(write).collect()
    }

    #[test]
    fn who_is_written_of_keeps_their_number_and_who_is_new_gets_one_that_nobody_had() {
        let first = numbered(publish(&["ann", "bob", "ann"]), &[]);
        assert_eq!(topics(&first), told(&[(0, "ann"), (1, "bob"), (2, "ann")]));
        let written = write(&first, true);
        let same = numbered(publish(&["bob", "ann", "ann"]), &written);
        assert_eq!(topics(&same), topics(&first), "the order in the list is nothing");
        let other = numbered(publish(&["eve", "bob"]), &written);
        assert_eq!(topics(&other), told(&[(1, "bob"), (3, "eve")]), "eve is not taken for ann");
        assert_ne!(first[&0].target, first[&2].target, "two to one receiver are two");
    }

    #[test]
    fn who_is_asked_for_again_after_all_waits_again_under_their_number_and_who_was_refused_does_not() {
        let ann = numbered(publish(&["ann"]), &[]);
        let mut written = write(&ann, true);
        let (mut room, eve) = (Room::beside(1), numbered(publish(&["eve"]), &written));
        let swap = room.swap(&eve, &written, &[0], false);
        assert_eq!((swap.new, swap.gone), (vec![1], vec![0]));
        written[0].came = Came::Unasked;
        written.push(Written { number: 1, came: Came::Waits, target: Some(eve[&1].target), replaces: false });
        let back = numbered(publish(&["ann"]), &written);
        assert_eq!(topics(&back), told(&[(0, "ann")]));
        let swap = room.swap(&back, &written, &[1], false);
        assert_eq!((swap.new, swap.gone), (vec![0], vec![1]), "the step waits for ann as before");
        written[0].came = Came::GivenUp;
        let swap = room.swap(&back, &written, &[1], false);
        assert!(swap.new.is_empty(), "what was given up, as it was refused, is not tried again");
    }

    #[test]
    fn who_is_owed_a_request_keeps_their_number_and_is_not_taken_up_before_their_step_is() {
        let asked = numbered(publish(&["away", "there"]), &[]);
        let mut written = write(&asked, true);
        (written[0].came, written[1].came) = (Came::Owed, Came::Done);
        let again = numbered(publish(&["there", "away"]), &written);
        assert_eq!(topics(&again), told(&[(0, "away"), (1, "there")]), "under the key that went out before");
        assert!(is_owed(&written, 0) && !is_owed(&written, 1) && !is_owed(&written, 2));
        assert!(!is_new(&written, 0), "its step comes back to it, and nothing else does");
        written[1].came = Came::Waits;
        let other = numbered(publish(&["away", "eve"]), &written);
        let swap = Room::beside(1).swap(&other, &written, &[1], false);
        assert_eq!((swap.new, swap.gone), (vec![2], vec![1]), "it takes nobody's room");
    }

    #[test]
    fn what_a_program_of_before_wrote_goes_by_its_place_in_the_list() {
        let written = write(&numbered(publish(&["ann", "bob"]), &[]), false);
        assert_eq!(topics(&numbered(publish(&["ann", "bob"]), &written)), told(&[(0, "ann"), (1, "bob")]));
    }

    /// So many steps wait for `before`, each with one request, when the script comes to ask for `after`: what is new and gone of each.
    fn changed(steps: usize, before: &str, after: &[&str]) -> Vec<(usize, usize)> {
        let mut room = Room::beside(steps);
        let swap = |_| {
            let written = write(&numbered(publish(&[before]), &[]), true);
            let swap = room.swap(&numbered(publish(after), &written), &written, &[0], false);
            assert!(!swap.new.contains(&0) && swap.gone.iter().all(|number| *number == 0));
            (swap.new.len(), swap.gone.len())
        };
        (0..steps).map(swap).collect()
    }

    #[test]
    fn whoever_takes_the_place_of_somebody_else_takes_their_room_too() {
        for steps in [200, 250, 256] {
            assert!(changed(steps, "ann", &["eve"]).iter().all(|swap| *swap == (1, 1)), "{steps}");
            assert!(changed(steps, "ann", &[]).iter().all(|swap| *swap == (0, 1)), "{steps}: nobody any more");
            assert!(changed(steps, "ann", &["ann"]).iter().all(|swap| *swap == (0, 0)), "{steps}: nothing changed");
        }
    }

    #[test]
    fn what_nobody_takes_the_place_of_waits_on_and_no_more_wait_than_may() {
        for steps in [200, 250, 255, 256] {
            let swaps = changed(steps, "ann", &["eve", "bob"]);
            assert!(swaps.iter().all(|(new, gone)| *gone == 0 || new >= gone), "{steps}: nobody is left with nothing");
            let (new, gone) = swaps.iter().fold((0_usize, 0_usize), |sum, swap| (sum.0 + swap.0, sum.1 + swap.1));
            assert!(steps + new - gone <= 256, "{steps}");
            assert!(new > 0, "{steps}: something goes on");
        }
        let written = write(&numbered(publish(&["ann"]), &[]), true);
        let asked = numbered(publish(&["eve", "bob"]), &written);
        let mut room = Room { left: 0, is_full: false };
        let swap = room.swap(&asked, &written, &[0], false);
        assert_eq!((swap.new, swap.gone), (Vec::new(), Vec::new()), "it waits for room");
        let swap = room.swap(&asked, &written, &[0], true);
        assert_eq!((swap.new, swap.gone), (vec![1], vec![0]), "but not for longer than a day");
    }
}
