use pitchside_model::{Epoch, Gap, Seq};

use super::*;

fn reading(quantity: Quantity, value: Value, time_s: i64) -> Reading {
    let time = Timestamp::from_seconds(time_s);
    Reading { quantity, unit: quantity.unit(), device_time: time, gateway_time: time, quality: Quality::empty(), value }
}

fn number(quantity: Quantity, text: &str, time_s: i64) -> Reading {
    reading(quantity, Value::Number(Decimal::parse(text).unwrap()), time_s)
}

fn entry(device: &str, athlete: Option<&str>, readings: Vec<Reading>) -> Entry {
    Entry {
        device: DeviceId::parse(device).unwrap(),
        athlete: athlete.map(|name| AthleteId::parse(name).unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(0),
        readings,
    }
}

fn board() -> Board {
    Board::new(BoardLimits::default())
}

#[test]
fn the_last_value_is_shown_with_its_precision_and_handed_out_once() {
    let board = board();
    let readings = vec![number(Quantity::CORE_TEMPERATURE, "37.6", 1), number(Quantity::CORE_TEMPERATURE, "37.60", 2)];
    board.observe(&entry("pill", Some("ada"), readings));
    let changed = board.changed();
    assert_eq!(changed.len(), 1, "two readings of one stream are one tile");
    assert_eq!(changed[0].value.as_deref(), Some("37.60"));
    assert_eq!(changed[0].stale_after_ms, 90_000);
    assert_eq!(board.changed(), []);
    assert_eq!(board.tiles(), changed);
}

#[test]
fn a_late_reading_never_replaces_a_newer_one_but_a_clock_set_back_does_not_freeze_the_tile() {
    let board = board();
    board.observe(&entry("strap", None, vec![number(Quantity::HEART_RATE, "150", 100)]));
    let mut late = number(Quantity::HEART_RATE, "90", 50);
    late.quality = Quality::LATE;
    board.observe(&entry("strap", None, vec![late]));
    assert_eq!(board.tiles()[0].value.as_deref(), Some("150"));
    board.observe(&entry("strap", None, vec![number(Quantity::HEART_RATE, "151", 99)]));
    assert_eq!(board.tiles()[0].value.as_deref(), Some("151"));
}

#[test]
fn gaps_blank_the_value_and_counts_do_not() {
    let board = board();
    let gap = |reason| reading(Quantity::HEART_RATE, Value::Gap(Gap { reason, extent: 0 }), 2);
    board.observe(&entry("strap", None, vec![number(Quantity::HEART_RATE, "150", 1), gap(GapReason::Dropped)]));
    assert_eq!(board.tiles()[0].value.as_deref(), Some("150"));
    board.observe(&entry("strap", None, vec![gap(GapReason::ContactLost)]));
    let tile = board.tiles().remove(0);
    assert_eq!((tile.value, tile.gap), (None, Some(GapReason::ContactLost)));
}

#[test]
fn tiles_come_sorted_and_follow_the_assignment() {
    let board = board();
    board.observe(&entry("z", Some("ada"), vec![number(Quantity::HEART_RATE, "1", 1)]));
    board.observe(&entry(
        "a",
        Some("ben"),
        vec![number(Quantity::POWER, "2", 1), number(Quantity::HEART_RATE, "3", 1)],
    ));
    let order: Vec<_> = board.tiles().iter().map(|tile| tile.value.clone().unwrap()).collect();
    assert_eq!(order, ["1", "3", "2"]);
    board.observe(&entry("z", Some("cyd"), vec![number(Quantity::HEART_RATE, "4", 2)]));
    assert_eq!(board.tiles().last().unwrap().athlete, Some(AthleteId::parse("cyd").unwrap()));
    assert!(board.forget(&DeviceId::parse("z").unwrap()));
    assert!(!board.forget(&DeviceId::parse("z").unwrap()));
    assert_eq!(board.tiles().len(), 2);
}

#[test]
fn a_full_board_forgets_whoever_is_silent_longest() {
    let board = Board::new(BoardLimits { streams_max: 2, ..BoardLimits::default() });
    for (device, time_s) in [("a", 5), ("b", 1), ("c", 3)] {
        board.observe(&entry(device, None, vec![number(Quantity::HEART_RATE, "1", time_s)]));
    }
    let left: Vec<_> = board.tiles().iter().map(|tile| tile.device.to_string()).collect();
    assert_eq!(left, ["a", "c"]);
}

#[test]
fn an_erased_athletes_devices_leave_the_board_and_the_others_stay() {
    let board = board();
    let [ann, bea] = ["ann", "bea"].map(|name| AthleteId::parse(name).unwrap());
    for (device, athlete) in [("belt", "ann"), ("pill", "ann"), ("strap", "bea")] {
        board.observe(&entry(device, Some(athlete), vec![number(Quantity::HEART_RATE, "150", 1)]));
    }
    let mut gone: Vec<String> = board.forget_athlete(&ann).iter().map(ToString::to_string).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["belt", "pill"]);
    assert!(board.tiles().iter().all(|tile| tile.athlete.as_ref() == Some(&bea)));
    assert_eq!((board.tiles().len(), board.forget_athlete(&ann).len()), (1, 0));
}
