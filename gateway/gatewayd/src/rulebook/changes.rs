//! Which rules came into force when, in an order that no clock turns around.

use pitchside_model::Timestamp;
use pitchside_store::RuleChange;

/// Changes stand in the order they came in, and are dated by the gateway's clock. One that is dated after a later one, or after `now`, was
/// dated by a clock that ran ahead: when it came nobody knows, and it counts from the one before it on, the first from the beginning. No date
/// is then before the one in front of it.
pub fn in_order(mut changes: Vec<RuleChange>, now: Timestamp) -> Vec<RuleChange> {
    let mut next = now;
    for change in changes.iter_mut().rev() {
        match change.at <= next {
            true => next = change.at,
            false => change.at = Timestamp(i64::MAX),
        }
    }
    let mut last = Timestamp(i64::MIN);
    for change in &mut changes {
        if change.at.0 == i64::MAX {
            change.at = last;
        }
        last = change.at;
    }
    changes
}

/// The changes up to a block, in order. It names the rules that were in force: what came after those changes nothing about it, and whatever
/// is dated after it was sealed, by a clock that ran ahead, was there before.
pub fn up_to_block(mut changes: Vec<RuleChange>, rules: &[u8; 32], sealed_at: Timestamp) -> Vec<RuleChange> {
    let is_named = |change: &RuleChange| change.set_hash == *rules;
    let known = changes.iter().rposition(|change| is_named(change) && change.at <= sealed_at);
    match known.or_else(|| changes.iter().position(is_named)) {
        Some(named) => {
            changes.truncate(named + 1);
            in_order(changes, sealed_at)
        }
        None => in_order(changes, Timestamp(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(changes: &[(i64, u8)]) -> Vec<RuleChange> {
        let change = |&(at, set): &(i64, u8)| RuleChange {
            at: Timestamp(at),
            set_hash: [set; 32],
            rules: Vec::new(),
            engine: String::new(),
        };
        changes.iter().map(change).collect()
    }

    fn shown(changes: Vec<RuleChange>) -> Vec<(i64, u8)> {
        changes.into_iter().map(|change| (change.at.0, change.set_hash[0])).collect()
    }

    fn ordered(dates: &[(i64, u8)], now: i64) -> Vec<(i64, u8)> {
        shown(in_order(changes(dates), Timestamp(now)))
    }

    #[test]
    fn what_a_clock_that_ran_ahead_dated_hides_nothing_that_came_later() {
        assert_eq!(ordered(&[(10, 1), (20, 2), (20, 3)], 30), [(10, 1), (20, 2), (20, 3)]);
        assert_eq!(ordered(&[(10, 1), (900, 2), (950, 3), (150, 4)], 1_000), [(10, 1), (10, 2), (10, 3), (150, 4)]);
        assert_eq!(ordered(&[(10, 1), (900, 2)], 30), [(10, 1), (10, 2)]);
        assert_eq!(ordered(&[(900, 1), (150, 2)], 1_000), [(i64::MIN, 1), (150, 2)]);
        assert!(ordered(&[], 30).is_empty());
    }

    fn before(dates: &[(i64, u8)], rules: u8, sealed_at: i64) -> Vec<(i64, u8)> {
        shown(up_to_block(changes(dates), &[rules; 32], Timestamp(sealed_at)))
    }

    #[test]
    fn a_block_says_that_its_rules_were_there_whatever_the_clock_said() {
        let recurring = [(10, 1), (20, 2), (30, 1), (40, 3)];
        assert_eq!(before(&recurring, 1, 25), [(10, 1)]);
        assert_eq!(before(&recurring, 1, 35), [(10, 1), (20, 2), (30, 1)]);
        let ahead = [(10, 1), (900, 2), (901, 3), (902, 4)];
        assert_eq!(before(&ahead, 2, 150), [(10, 1), (10, 2)]);
        assert_eq!(before(&ahead, 3, 160), [(10, 1), (10, 2), (10, 3)]);
        assert_eq!(before(&[(10, 1), (900, 2), (150, 3)], 2, 910), [(10, 1), (900, 2)], "sealed by that clock, too");
        assert_eq!(before(&recurring, 9, 35), recurring, "of what nobody remembers nothing follows");
    }
}
