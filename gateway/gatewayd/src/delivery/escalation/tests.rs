use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ID: AlertId = AlertId([1; 16]);
const MINUTE: Duration = Duration::from_secs(60);

fn plan(minutes: u32, levels: u8) -> Plan {
    Plan { after: MINUTE * minutes, levels }
}

#[test]
fn a_rule_may_ask_for_less_time_than_the_settings_give_and_not_for_more() {
    let five = Some(MINUTE * 5);
    assert_eq!(Plan::of(five, Some(MINUTE), 2), Some(plan(1, 2)));
    assert_eq!(Plan::of(five, Some(MINUTE * 9), 2), Some(plan(5, 2)));
    assert_eq!(Plan::of(None, Some(MINUTE), 2), Some(plan(1, 2)), "though its priority does not escalate");
    assert_eq!(Plan::of(five, Some(MINUTE), 0), None);
    assert_eq!(Plan::of(None, None, 2), None);
}

#[test]
fn after_a_restart_an_alert_waits_for_what_is_left_and_goes_one_level_at_a_time() {
    let mut escalations = Escalations::default();
    assert_eq!(escalations.watch(ID, plan(5, 3), 0, MINUTE * 4, Duration::ZERO), Taken::Watched);
    assert!(escalations.due(MINUTE - Duration::from_millis(1)).is_empty());
    assert_eq!(escalations.due(MINUTE), [(ID, 1)]);
    let mut escalations = Escalations::default();
    // The box was off for an hour.
    escalations.watch(ID, plan(5, 3), 0, MINUTE * 60, Duration::ZERO);
    assert_eq!(escalations.due(Duration::ZERO), [(ID, 1)]);
    escalations.escalated(ID, 1, Duration::ZERO);
    assert!(escalations.due(MINUTE * 4).is_empty());
    assert_eq!(escalations.due(MINUTE * 5), [(ID, 2)]);
}

#[test]
fn more_alerts_than_can_be_watched_are_refused() {
    let mut escalations = Escalations::default();
    for number in 0..WATCHED_MAX as u128 {
        let id = AlertId(number.to_be_bytes());
        assert_eq!(escalations.watch(id, plan(1, 1), 0, Duration::ZERO, Duration::ZERO), Taken::Watched);
    }
    assert_eq!(escalations.watch(AlertId([9; 16]), plan(1, 1), 0, Duration::ZERO, Duration::ZERO), Taken::Full);
    assert_eq!(escalations.watch(AlertId([9; 16]), plan(1, 1), 1, Duration::ZERO, Duration::ZERO), Taken::AtTheTop);
}

#[derive(Debug, Clone)]
enum Act {
    Raise(u8),
    Acknowledge(u8),
    /// So many seconds pass.
    Pass(u16),
    /// The wall's clock is set to so many seconds more or less.
    Jump(i32),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0..4u8).prop_map(Act::Raise),
        1 => (0..4u8).prop_map(Act::Acknowledge),
        5 => (1..200u16).prop_map(Act::Pass),
        1 => (-100_000..100_000i32).prop_map(Act::Jump),
        1 => Just(Act::Restart),
    ]
}

/// What is recorded, as the store keeps it: with the wall's time.
#[derive(Default)]
struct Recorded {
    raised: BTreeMap<AlertId, (i64, Duration)>,
    seen: BTreeMap<AlertId, ()>,
    levels: BTreeMap<AlertId, Vec<(u8, i64)>>,
}

proptest! {
    #[test]
    fn every_level_is_reached_once_in_order_never_after_somebody_has_seen_it_and_no_sooner_than_said(
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let plan = Plan { after: Duration::from_secs(100), levels: 3 };
        let (mut state, mut disk) = (Escalations::default(), Recorded::default());
        // `passed` is what really passed; `uptime` begins anew with every restart; the wall's clock jumps.
        let (mut passed, mut uptime, mut wall) = (Duration::ZERO, Duration::ZERO, 1_000_000i64);
        let mut jumped_or_restarted = false;
        for act in acts {
            match act {
                Act::Raise(n) => {
                    let id = AlertId([n; 16]);
                    if let std::collections::btree_map::Entry::Vacant(place) = disk.raised.entry(id) {
                        place.insert((wall, passed));
                        state.watch(id, plan, 0, Duration::ZERO, uptime);
                    }
                }
                Act::Acknowledge(n) => {
                    let id = AlertId([n; 16]);
                    if disk.raised.contains_key(&id) {
                        disk.seen.insert(id, ());
                        state.forget(id);
                    }
                }
                Act::Pass(seconds) => {
                    let span = Duration::from_secs(u64::from(seconds));
                    (passed, uptime, wall) = (passed + span, uptime + span, wall + i64::from(seconds));
                }
                Act::Jump(seconds) => {
                    wall += i64::from(seconds);
                    jumped_or_restarted = true;
                }
                Act::Restart => {
                    (state, uptime, jumped_or_restarted) = (Escalations::default(), Duration::ZERO, true);
                    for (id, (at, _)) in disk.raised.iter().filter(|(id, _)| !disk.seen.contains_key(*id)) {
                        let last = disk.levels.get(id).and_then(|levels| levels.last()).copied();
                        let (level, since) = last.unwrap_or((0, *at));
                        let waited = Duration::from_secs(u64::try_from(wall - since).unwrap_or(0));
                        state.watch(*id, plan, level, waited, uptime);
                    }
                }
            }
            for (id, level) in state.due(uptime) {
                prop_assert!(!disk.seen.contains_key(&id));
                let levels = disk.levels.entry(id).or_default();
                prop_assert_eq!(usize::from(level), levels.len() + 1);
                prop_assert!(level <= plan.levels);
                levels.push((level, wall));
                if !jumped_or_restarted {
                    let (_, raised) = disk.raised[&id];
                    prop_assert!(passed >= raised + plan.after * u32::from(level));
                }
                state.escalated(id, level, uptime);
            }
            prop_assert!(state.due(uptime).is_empty(), "one level at a time");
        }
        // Nobody is forgotten: whoever waits long enough is at the top.
        for _ in 0..3 {
            uptime += plan.after;
            for (id, level) in state.due(uptime) {
                disk.levels.entry(id).or_default().push((level, wall));
                state.escalated(id, level, uptime);
            }
        }
        for id in disk.raised.keys().filter(|id| !disk.seen.contains_key(*id)) {
            prop_assert_eq!(disk.levels[id].len(), 3);
        }
    }
}
