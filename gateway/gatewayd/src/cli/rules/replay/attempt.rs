//! What is tried of an alert's replay, and in which order.

use ledger_block::Incarnation;
use pitchside_rules::machine::PULSE;
use pitchside_script::manifest::RuleScope;
use pitchside_store::ChainStart;

use super::Stretch;

/// A replay to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The stretch whose rule may have raised the alert: it, or one before it that is heard with it.
    pub(super) at: usize,
    /// Whether it hears the readings of all athletes.
    pub(super) of_all: bool,
    /// The incarnation of the oldest blocks it hears.
    pub(super) from: Incarnation,
}

/// The replays to try under the rules of these stretches, of which everything is heard first.
pub(super) fn attempts(named: &[(usize, RuleScope)], restored: Option<Incarnation>) -> Vec<Attempt> {
    let heard_from = move |from: Incarnation| {
        let of_one = named.iter().map(move |(at, _)| Attempt { at: *at, of_all: false, from });
        // Whether a reading is late, or its clock was set back, hangs on all its device sent, also while another wore it. A rule about
        // devices hears that anyway.
        let of_athletes = named.iter().filter(|(_, scope)| *scope == RuleScope::Athlete);
        of_one.chain(of_athletes.map(move |(at, _)| Attempt { at: *at, of_all: true, from }))
    };
    std::iter::once(Incarnation::default()).chain(restored).flat_map(heard_from).collect()
}

/// From which incarnation on the rules had heard what there was as an alert in a block of this one was raised, if that is not all there is:
/// those of a restored box began with no memory, while what was sealed before was brought back. A chain that lost its end goes on
/// under a higher incarnation, too, and there they remember: it is no more than something to try.
pub(super) fn remembers_from(start: Option<ChainStart>, block: Incarnation) -> Option<Incarnation> {
    let Some(ChainStart::After { incarnation, .. }) = start else { return None };
    // A block from before the restore may be of a box that was a restored one itself.
    let from = block.min(Incarnation(incarnation));
    (from > Incarnation::default()).then_some(from)
}

/// The stretch a replay under the rule of another begins with: a raised alert outlives a change of its rule, and so do a cool-down and how
/// often it was raised lately.
pub(super) fn beginning(stretches: &[Stretch], at: usize, cool_down: i64) -> usize {
    let outlived = stretches[at].from.0.saturating_sub(cool_down.max(PULSE));
    (0..at).rev().find(|begin| stretches[*begin].from.0 <= outlived).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_heard_first_and_then_what_a_restored_box_can_remember() {
        let tried = |restored| {
            let order = attempts(&[(3, RuleScope::Athlete), (1, RuleScope::Device)], restored);
            order.iter().map(|attempt| (attempt.at, attempt.of_all, attempt.from.0)).collect::<Vec<_>>()
        };
        let all: [(usize, bool, u64); 3] = [(3, false, 0), (1, false, 0), (3, true, 0)];
        assert_eq!(tried(None), all);
        assert_eq!(tried(Some(Incarnation(2))), [&all[..], &[(3, false, 2), (1, false, 2), (3, true, 2)]].concat());
    }

    #[test]
    fn a_restored_box_remembers_from_its_restore_on_also_where_its_chain_lost_its_end_since() {
        let from = |block| {
            let start = ChainStart::After { incarnation: 2, after: None };
            remembers_from(Some(start), Incarnation(block)).map(|from| from.0)
        };
        assert_eq!([0, 1, 2, 3].map(from), [None, Some(1), Some(2), Some(2)]);
        let waiting = ChainStart::Waiting { known: None, receipted: None };
        assert_eq!([None, Some(waiting)].map(|start| remembers_from(start, Incarnation(1))), [None, None]);
    }
}
