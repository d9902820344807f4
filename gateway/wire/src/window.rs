//! Which counters of one direction were accepted: an anti-replay window as in RFC 6479, of 1024 counters.

use crate::ids::Counter;

/// Counters behind the highest that may still arrive late.
pub const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Why a counter is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Accepted before.
    #[error("accepted before")]
    Seen,
    /// Too far behind to tell.
    #[error("more than {WINDOW} behind the newest")]
    Old,
}

/// The window. A counter is checked, its frame authenticated, and only then marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// One above the highest accepted.
    next: u64,
    /// Bit `counter % WINDOW`: accepted. Counters never sent before `next - WINDOW` have no meaning here.
    bits: [u64; WORDS],
}

impl Default for Window {
    fn default() -> Self {
        Self { next: 0, bits: [0; WORDS] }
    }
}

const fn place(counter: u64) -> (usize, u64) {
    let at = counter % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

impl Window {
    /// A window in which everything below `ceiling` counts as accepted.
    pub const fn resume(ceiling: Counter) -> Self {
        Self { next: ceiling.0, bits: [u64::MAX; WORDS] }
    }

    /// One above the highest accepted.
    pub const fn next(&self) -> Counter {
        Counter(self.next)
    }

    /// Whether the counter was never accepted.
    pub fn check(&self, counter: Counter) -> Result<(), Stale> {
        if counter.0 >= self.next {
            return Ok(());
        }
        if self.next - counter.0 > WINDOW {
            return Err(Stale::Old);
        }
        let (word, bit) = place(counter.0);
        if self.bits[word] & bit != 0 { Err(Stale::Seen) } else { Ok(()) }
    }

    /// Accepts the counter, which [`Window::check`] allowed.
    pub fn mark(&mut self, counter: Counter) {
        if counter.0 >= self.next {
            if counter.0 - self.next >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                for skipped in self.next..counter.0 {
                    let (word, bit) = place(skipped);
                    self.bits[word] &= !bit;
                }
            }
            self.next = counter.0.saturating_add(1);
        }
        let (word, bit) = place(counter.0);
        self.bits[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        /// Against the obvious model: a set of everything accepted.
        #[test]
        fn accepts_each_counter_once_and_only_within_the_window(
            start in prop_oneof![Just(0u64), 0u64..5_000, Just(u64::MAX - 10_000)],
            steps in proptest::collection::vec((0u64..3_000, any::<bool>()), 1..400),
        ) {
            let mut window = Window::resume(Counter(start));
            let mut accepted = BTreeSet::new();
            let mut next = start;
            for (step, ahead) in steps {
                let counter = if ahead { next.saturating_add(step % 40).min(u64::MAX - 1) } else { next.saturating_sub(step) };
                let fresh = counter >= start && !accepted.contains(&counter) && (counter >= next || next - counter <= WINDOW);
                prop_assert_eq!(window.check(Counter(counter)).is_ok(), fresh, "counter {}", counter);
                if fresh {
                    window.mark(Counter(counter));
                    accepted.insert(counter);
                    next = next.max(counter + 1);
                }
                prop_assert_eq!(window.next(), Counter(next));
            }
        }

        #[test]
        fn a_jump_of_any_width_forgets_nothing_it_must_know(jump in 0u64..5_000) {
            let mut window = Window::default();
            for counter in 0..100 { window.mark(Counter(counter)); }
            window.mark(Counter(100 + jump));
            let refused: Vec<u64> = (0..100).filter(|c| window.check(Counter(*c)).is_err()).collect();
            prop_assert_eq!(refused.len(), 100);
            for skipped in 100..100 + jump {
                prop_assert_eq!(window.check(Counter(skipped)).is_ok(), 100 + jump - skipped < WINDOW);
            }
        }
    }

    #[test]
    fn a_fresh_window_takes_the_first_thousand_in_any_order() {
        let mut window = Window::default();
        for counter in (0..WINDOW).rev() {
            assert_eq!(window.check(Counter(counter)), Ok(()));
            window.mark(Counter(counter));
            assert_eq!(window.check(Counter(counter)), Err(Stale::Seen));
        }
        window.mark(Counter(WINDOW));
        assert_eq!(window.check(Counter(0)), Err(Stale::Old));
    }
}
