use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[test]
fn a_number_is_taken_once() {
    let mut window = Window::default();
    assert_eq!(window.claim(0), Claim::New);
    assert_eq!(window.claim(0), Claim::Pending);
    window.confirm(0);
    assert_eq!(window.claim(0), Claim::Duplicate);
}

#[test]
fn what_could_not_be_stored_may_come_again() {
    let mut window = Window::default();
    window.claim(5);
    window.release(5);
    assert_eq!(window.claim(5), Claim::New);
    window.confirm(5);
    window.release(5);
    assert_eq!(window.claim(5), Claim::Duplicate);
}

#[test]
fn numbers_given_up_are_counted_once() {
    let mut window = Window::default();
    window.claim(0);
    window.confirm(0);
    // 1 stays on its way until 1,024 further numbers have come.
    for number in 2..=1_024 {
        assert_eq!(window.claim(number), Claim::New, "{number}");
    }
    assert_eq!(window.claim(1_025), Claim::Skipped(1));
    assert_eq!(window.claim(1), Claim::TooOld);
    assert_eq!(window.claim(1_026), Claim::New);
}

#[test]
fn a_gap_that_could_not_be_stored_is_announced_again() {
    let mut window = Window::default();
    window.claim(0);
    assert_eq!(window.claim(2_000), Claim::Skipped(976));
    window.release(2_000);
    assert_eq!(window.claim(2_001), Claim::Skipped(976 + 1));
    window.confirm(2_001);
    window.release(2_001);
    assert_eq!(window.claim(2_000), Claim::New);
}

#[test]
fn below_the_window_only_a_full_record_counts_as_stored() {
    let mut window = Window::default();
    for number in 0..3_000 {
        window.claim(number);
        window.confirm(number);
    }
    assert_eq!(window.claim(0), Claim::Duplicate);
    let mut late = Window::default();
    assert_eq!(late.claim(3_000), Claim::Skipped(3_000 - 1_023));
    assert_eq!(late.claim(0), Claim::TooOld);
}

#[test]
fn a_claim_that_left_the_window_unconfirmed_is_not_taken_for_stored() {
    let mut window = Window::default();
    window.claim(0);
    for number in 1..2_000 {
        window.claim(number);
        window.confirm(number);
    }
    assert_eq!(window.claim(0), Claim::TooOld);
}

#[test]
fn the_last_number_there_is_can_be_taken() {
    let mut window = Window::default();
    assert!(matches!(window.claim(u64::MAX), Claim::Skipped(_)));
    window.confirm(u64::MAX);
    assert_eq!(window.claim(u64::MAX), Claim::Duplicate);
    assert_eq!(window.claim(u64::MAX - 1), Claim::New);
}

#[test]
fn stored_bits_of_the_wrong_size_are_refused() {
    assert_eq!(Window::restore(1, &[0; 127], true), None);
}

/// The same, with nothing forgotten.
#[derive(Default)]
struct Plain {
    highest: Option<u64>,
    numbers: HashMap<u64, bool>,
    announced: HashMap<u64, u64>,
    owed: u64,
    /// Below this, gaps have been announced.
    told: u64,
}

impl Plain {
    fn lowest(&self) -> u64 {
        self.highest.map_or(0, |highest| highest.saturating_sub(1_023))
    }
    fn reach(&mut self, number: u64) -> u64 {
        self.highest = self.highest.max(Some(number));
        let skipped = (self.told..self.lowest()).filter(|n| !self.numbers.contains_key(n)).count() as u64;
        self.told = self.told.max(self.lowest());
        skipped
    }
    fn claim(&mut self, number: u64) -> Claim {
        if number < self.lowest() {
            let whole = (0..self.lowest()).all(|n| self.numbers.get(&n) == Some(&true));
            return if whole { Claim::Duplicate } else { Claim::TooOld };
        }
        let skipped = self.reach(number) + self.owed;
        match self.numbers.get(&number) {
            Some(true) => return Claim::Duplicate,
            Some(false) => return Claim::Pending,
            None => self.numbers.insert(number, false),
        };
        if skipped == 0 {
            return Claim::New;
        }
        self.owed = 0;
        self.announced.insert(number, skipped);
        Claim::Skipped(skipped)
    }
    fn confirm(&mut self, number: u64) {
        self.announced.remove(&number);
        // What leaves the window undecided stays undecided: a later confirmation comes too late to promise anything.
        if number >= self.lowest() {
            self.reach(number);
            self.numbers.insert(number, true);
        }
    }
    fn release(&mut self, number: u64) {
        if number >= self.lowest() && self.highest >= Some(number) {
            if self.numbers.get(&number) == Some(&true) {
                return;
            }
            self.numbers.remove(&number);
        }
        self.owed += self.announced.remove(&number).unwrap_or(0);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Claim(u64),
    Confirm(u64),
    Release(u64),
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let number = prop_oneof![8 => 0u64..40, 4 => 1_000u64..1_100, 2 => 2_000u64..2_100, 1 => 0u64..9_000];
    let act = prop_oneof![
        6 => number.clone().prop_map(Act::Claim),
        4 => number.clone().prop_map(Act::Confirm),
        2 => number.prop_map(Act::Release),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn the_ring_agrees_with_a_record_that_forgets_nothing(acts in acts()) {
        let (mut window, mut plain) = (Window::default(), Plain::default());
        for act in acts {
            match act {
                Act::Claim(number) => prop_assert_eq!(window.claim(number), plain.claim(number), "{}", number),
                Act::Confirm(number) => { window.confirm(number); plain.confirm(number); }
                Act::Release(number) => { window.release(number); plain.release(number); }
                Act::Restart => if let Some((highest, bits, complete)) = window.stored() {
                    // What was not durable is forgotten, and so is what was owed: the device sends it again.
                    window = Window::restore(highest, &bits, complete).unwrap();
                    plain.numbers.retain(|_, durable| *durable);
                    plain.announced.clear();
                    plain.owed = 0;
                },
            }
        }
    }
}
