use super::*;

fn sensor(device: &str) -> SensorFirmware {
    SensorFirmware {
        device: DeviceId::parse(device).unwrap(),
        hardware: "strap-r2".into(),
        component: "strap-firmware".into(),
        version: "1.0.0".into(),
        counter: 3,
        seen_at: Timestamp(1),
        release: Some([7; 32]),
        target: Some("1.1.0".into()),
        size: 40_000,
        have: 16_384,
        attempts: 0,
        stage: Some(2),
        reason: 0,
        text: String::new(),
        reported_at: Some(Timestamp(2)),
        held: None,
    }
}

fn outcome(device: &str, confirmed: bool, counts: bool) -> Option<FirmwareOutcome> {
    let device = DeviceId::parse(device).unwrap();
    Some(FirmwareOutcome { release: [7; 32], device, confirmed, reason: 0, counts, at: Timestamp(3) })
}

#[test]
fn what_sensors_say_of_their_firmware_is_kept_and_each_counts_once() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    store.put_sensor_firmware(sensor("s7"), None).unwrap();
    store.put_sensor_firmware(SensorFirmware { have: 40_000, ..sensor("s7") }, outcome("s7", false, true)).unwrap();
    store.put_sensor_firmware(sensor("s8"), outcome("s8", true, true)).unwrap();
    store.put_sensor_firmware(sensor("s9"), outcome("s9", false, false)).unwrap();
    assert_eq!(store.firmware_tally(&[7; 32]).unwrap(), (1, 1), "what is nobody's fault counts for nothing");
    let failed = outcome("s7", false, true).into_iter().chain(outcome("s9", false, false)).collect::<Vec<_>>();
    assert_eq!(store.failed_outcomes().unwrap(), failed);
    store.put_sensor_firmware(sensor("s7"), outcome("s7", true, true)).unwrap();
    assert_eq!(store.failed_outcomes().unwrap(), failed[1..]);
    assert_eq!(store.firmware_tally(&[7; 32]).unwrap(), (2, 0), "the last word of a sensor counts");
    store.add_act([1; 32], [7; 32], vec![1, 2], Timestamp(4), None).unwrap();
    store.add_act([1; 32], [7; 32], vec![1, 2], Timestamp(5), None).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sensor_firmware().unwrap().len(), 3);
    assert_eq!(store.sensor_firmware().unwrap()[0], sensor("s7"));
    assert_eq!(store.waiting_acts(8).unwrap(), [vec![1, 2]]);
    store.add_act([2; 32], [8; 32], vec![3], Timestamp(6), None).unwrap();
    assert_eq!(store.act_state(&[1; 32]).unwrap(), Some(ActState::Waiting));
    store.settle_act(&[1; 32], true).unwrap();
    store.settle_act(&[2; 32], false).unwrap();
    let states = [[1; 32], [2; 32], [3; 32]].map(|hash| store.act_state(&hash).unwrap());
    assert_eq!(states, [Some(ActState::Told), Some(ActState::Refused), None]);
    assert!(store.waiting_acts(8).unwrap().is_empty());
    assert_eq!(store.acts_about().unwrap(), [[7; 32], [8; 32]], "what was halted stays halted here");
}

fn tally(confirmed: u32, at: i64) -> NewTally {
    let counted = Counted { release: [7; 32], confirmed, failed: 1 };
    NewTally { counted, hash: [confirmed as u8; 32], leaf: vec![confirmed as u8], at: Timestamp(at) }
}

#[test]
fn a_tally_waits_behind_a_halt_and_gives_way_to_a_newer_one() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    for (device, confirmed, counts) in [("s7", false, true), ("s8", true, true), ("s9", false, false)] {
        store.put_sensor_firmware(sensor(device), outcome(device, confirmed, counts)).unwrap();
    }
    let counted = Counted { release: [7; 32], confirmed: 1, failed: 1 };
    assert_eq!(store.counted_outcomes().unwrap(), [counted], "what is nobody's fault counts for nothing");
    store.put_tally(tally(1, 4)).unwrap();
    store.add_act([9; 32], [8; 32], vec![99], Timestamp(5), None).unwrap();
    assert_eq!(store.waiting_acts(8).unwrap(), [vec![99], vec![1]], "a halt first, however late");
    store.put_tally(tally(2, 6)).unwrap();
    store.settle_act(&[1; 32], true).unwrap();
    assert_eq!(
        store.waiting_acts(8).unwrap(),
        [vec![99], vec![2]],
        "the word about the older one is not about this one"
    );
    assert_eq!(store.acts_about().unwrap(), [[8; 32]], "who counts asks for no halt");
    store.note_sum(Counted { confirmed: 40, failed: 9, ..counted }).unwrap();
    store.settle_act(&[2; 32], false).unwrap();
    assert_eq!(store.waiting_acts(8).unwrap(), [vec![99]]);
    let told = Told { counted: tally(2, 6).counted, at: Timestamp(6), refused: true, all: Some((40, 9)) };
    assert_eq!(store.tallies().unwrap(), [told]);
    store.put_tally(tally(3, 7)).unwrap();
    assert!(!store.tallies().unwrap()[0].refused, "a new one is asked for anew");
}

#[test]
fn the_count_of_a_release_goes_just_before_its_halt() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path());
    let of = |release: u8, count: u8, at: i64| {
        let counted = Counted { release: [release; 32], confirmed: 0, failed: count.into() };
        NewTally { counted, hash: [count; 32], leaf: vec![count], at: Timestamp(at) }
    };
    store.add_act([91; 32], [8; 32], vec![91], Timestamp(3), None).unwrap();
    store.put_tally(of(5, 1, 1)).unwrap();
    store.put_tally(of(7, 2, 2)).unwrap();
    store.add_act([92; 32], [7; 32], vec![92], Timestamp(4), Some(of(7, 3, 4))).unwrap();
    let waiting = || store.waiting_acts(8).unwrap().concat();
    assert_eq!(waiting(), [91, 3, 92, 1], "the newest count alone, and no other count before a halt");
    store.settle_act(&[3; 32], true).unwrap();
    assert_eq!(waiting(), [91, 92, 1]);
    store.settle_act(&[92; 32], true).unwrap();
    assert_eq!(waiting(), [91, 1], "what the ledger has is asked for no more");
    let long = vec![0; crate::firmware::ACT_BYTES_MAX + 1];
    assert!(store.add_act([93; 32], [7; 32], long, Timestamp(5), Some(of(7, 9, 5))).is_err());
    assert_eq!(waiting(), [91, 1], "nothing of it");
}
