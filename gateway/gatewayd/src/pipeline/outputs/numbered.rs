//! Which request of a step is which. A script that is asked again may ask for something else: somebody has changed whom it writes to
//! since. So whom a request is for is written down with its number, and the number, which is part of its key, stays theirs.

use std::collections::BTreeMap;

use pitchside_script::output::Request;
use pitchside_store::delivery::{Target, Written};

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
    use pitchside_store::Came;

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
    fn what_a_program_of_before_wrote_goes_by_its_place_in_the_list() {
        let written = write(&numbered(publish(&["ann", "bob"]), &[]), false);
        assert_eq!(topics(&numbered(publish(&["ann", "bob"]), &written)), told(&[(0, "ann"), (1, "bob")]));
    }
}
