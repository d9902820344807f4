//! Flash lasts: whatever a gateway does, and however often links and power go, each page is erased a few times an image, and
//! images that come to nothing are begun ever more seldom.

use std::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Down, Phase, Reason, Stage, Up, Version, Wait, WaitCode};
use proptest::prelude::*;

use super::super::updater::{AGAIN_MAX, RECORDS_MAX, WRONG_MAX};
use super::super::*;
use super::board::Board;
use super::release::{Gateway, Plan, config, image, talk};

const OLD: Version = Version::new(1, 0, 0);
const DAY_MS: u64 = 24 * 3_600_000;

fn plan() -> Plan {
    Plan::new(image(2, 100_000))
}

fn start(board: Board, now: Millis) -> Updater<Board> {
    let mut updater = Updater::new(config(OLD, 3), board, now).unwrap();
    updater.connected(now);
    updater
}

fn fresh() -> Updater<Board> {
    start(Board::with(&image(1, 9_000)), Millis(0))
}

fn offered(updater: &mut Updater<Board>, plan: &Plan, now: Millis) -> Vec<Happened> {
    updater.hear(&Down::Offer(plan.signed()).encode().unwrap(), None, now)
}

/// Answers what the device says, up to the first chunk: whether there was one.
fn one_chunk(updater: &mut Updater<Board>, gateway: &mut Gateway, now: Millis) -> bool {
    for word in updater.poll(now) {
        let is_pull = matches!(Up::parse(&word), Ok(Up::Pull(_)));
        if let Some(answer) = gateway.answer(&word) {
            updater.hear(&answer, None, now);
        }
        if is_pull {
            return true;
        }
    }
    false
}

#[test]
fn a_gateway_that_drops_the_link_at_each_chunk_has_no_page_erased_twice() {
    let (mut now, mut updater, mut gateway) = (Millis(0), fresh(), Gateway::new(plan()));
    let mut links = 0;
    while updater.record().phase != Phase::Verified {
        one_chunk(&mut updater, &mut gateway, now);
        updater.disconnected();
        now = now.plus(1_000);
        updater.connected(now);
        links += 1;
        assert!(links < 500, "it comes to an end: {updater:?}");
    }
    assert!(links >= 98, "a link for each chunk: {links}");
    assert_eq!(updater.flash().most_erased(), 1);
    assert!(updater.flash().holds(Slot::B, &plan().image));
}

#[test]
fn a_gateway_that_says_stop_after_each_chunk_has_no_page_erased_twice() {
    let (mut now, mut updater, mut gateway) = (Millis(0), fresh(), Gateway::new(plan()));
    let stop = Down::Wait(Wait { code: WaitCode::Stopped, after_s: 1, digest: plan().digest() }).encode().unwrap();
    let mut stops = 0;
    while updater.record().phase != Phase::Verified {
        let pulled = one_chunk(&mut updater, &mut gateway, now);
        if pulled {
            updater.hear(&stop, None, now);
            assert!(!one_chunk(&mut updater, &mut gateway, now), "told to stop, it stops");
            stops += 1;
        }
        now = now.plus(1_000);
        assert!(stops < 200, "it comes to an end: {updater:?}");
    }
    assert_eq!((stops, updater.flash().most_erased()), (98, 1));
}

#[test]
fn a_device_whose_power_goes_in_the_same_group_each_time_gives_the_image_up_and_says_so() {
    let (mut now, mut updater, mut gateway) = (Millis(0), fresh(), Gateway::new(plan()));
    let mut starts = 0;
    while updater.record().phase != Phase::Idle || starts == 0 {
        for _ in 0..4 {
            one_chunk(&mut updater, &mut gateway, now);
        }
        now = now.plus(60_000);
        if updater.record().phase == Phase::Pulling {
            updater = start(updater.into_flash(), now);
            starts += 1;
        }
        assert!(starts < 20, "{updater:?}");
    }
    assert_eq!((starts, updater.flash().most_erased()), (u32::from(AGAIN_MAX) + 1, u32::from(AGAIN_MAX) + 1));
    // The gateway hears why; offered again, it comes whole, now that the power stays.
    assert!(talk(&mut updater, &mut gateway, &mut now, 3_600_000).contains(&Happened::MayStart));
    assert!(gateway.told().contains(&(Stage::Failed, Reason::WEAR.0)), "{:?}", gateway.told());
    // A group that was got through begins to be counted anew.
    assert_eq!(updater.record().again, 0);
}

#[test]
fn two_good_releases_offered_in_turn_are_begun_ever_more_seldom_and_refused_aloud_in_between() {
    let (mut now, mut updater) = (Millis(0), fresh());
    let other = Plan { version: Version::new(1, 2, 0), ..Plan::new(image(3, 40_000)) };
    let mut begun = [0; 6];
    for day in &mut begun {
        for _ in 0..96 {
            for plan in [plan(), other.clone()] {
                let happened = offered(&mut updater, &plan, now);
                *day += happened.iter().filter(|what| matches!(what, Happened::Pulling { .. })).count();
            }
            now = now.plus(DAY_MS / 96);
        }
    }
    assert!(begun[0] <= 12 && begun[3..].iter().all(|day| *day <= 1), "images begun a day: {begun:?}");
    let refused = [plan(), other].map(|plan| offered(&mut updater, &plan, now)).concat();
    assert_eq!(refused, [Happened::Refused(Reason::WEAR)], "one is under way, the other has to wait");
    let mut gateway = Gateway { offers: false, ..Gateway::new(plan()) };
    talk(&mut updater, &mut gateway, &mut now, 1_000);
    assert!(gateway.told().contains(&(Stage::Failed, Reason::WEAR.0)));
}

#[test]
fn a_device_that_rests_says_that_it_takes_nothing_until_it_does() {
    let (mut now, mut updater) = (Millis(0), fresh());
    // A gateway whose every image is wrong, until it is right.
    let mut gateway = Gateway { bend: Some((1_024, u32::MAX)), ..Gateway::new(plan()) };
    talk(&mut updater, &mut gateway, &mut now, 20 * 60_000);
    let record = *updater.record();
    assert!(record.phase == Phase::Idle && record.begun >= 4, "{record:?}");
    gateway.statuses.clear();
    gateway.bend = None;
    // A start does not end the rest, but the next day does not end it later either.
    let mut updater = start(updater.into_flash(), now);
    let from = now;
    assert!(talk(&mut updater, &mut gateway, &mut now, 3 * 3_600_000).contains(&Happened::MayStart));
    let willing: Vec<bool> = gateway.statuses.iter().map(|status| status.willing).collect();
    assert_eq!(willing.first(), Some(&false));
    assert_eq!(willing.last(), Some(&true));
    assert!(now.since(from) <= 3_600_000 + 60_000, "{} s", now.since(from) / 1_000);
}

#[test]
fn how_far_a_large_image_is_is_recorded_a_few_times_only() {
    let (mut now, bytes) = (Millis(0), 600_000);
    let mut updater = start(Board::large(&image(1, 9_000), 1 << 20), now);
    let mut gateway = Gateway::new(Plan::new(image(2, bytes)));
    while updater.record().have < 300_000 {
        for word in updater.poll(now) {
            if let Some(answer) = gateway.answer(&word) {
                updater.hear(&answer, None, now);
            }
        }
        now = now.plus(10);
        assert!(now < Millis(60_000), "{updater:?}");
    }
    let mut updater = start(updater.into_flash(), now);
    assert!(talk(&mut updater, &mut gateway, &mut now, 600_000).contains(&Happened::MayStart));
    let written = updater.flash().records_written;
    // Each of its 37 groups would be more: begun, sixteenths, begun again after the start, verified.
    assert!(written <= RECORDS_MAX + 3, "{written} records");
    assert!(updater.flash().holds(Slot::B, &image(2, bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_a_gateway_does_a_page_is_erased_a_few_times_an_image(
        deeds in proptest::collection::vec((0u8..9, 0u16..120), 20..80), proves: bool,
    ) {
        let plans = [plan(), Plan { version: Version::new(1, 2, 0), ..Plan::new(image(3, 60_000)) }];
        let mut gateways = plans.clone().map(|plan| Gateway { proves, ..Gateway::new(plan) });
        let (mut now, mut updater, mut begun, mut which, mut resets) = (Millis(0), fresh(), 0, 0, 0);
        for (deed, much) in deeds {
            let digest = plans[which].digest();
            let mut said = Vec::new();
            match deed {
                0 => updater.connected(now),
                1 => {
                    let stop = Down::Wait(Wait { code: WaitCode::Stopped, after_s: 1, digest });
                    said.extend(updater.hear(&stop.encode().unwrap(), None, now));
                }
                2 => which = 1 - which,
                3 => gateways[which].bend = Some((u32::from(much % 64) * 1_024, u32::from(much % 5))),
                4 => now = now.plus(u64::from(much) * 1_000),
                5 if much < 30 => {
                    updater = start(updater.into_flash(), now);
                    resets += 1;
                }
                _ => {
                    said.extend(offered(&mut updater, &plans[which], now));
                    for _ in 0..much {
                        one_chunk(&mut updater, &mut gateways[which], now);
                        now = now.plus(20);
                    }
                }
            }
            begun += said.iter().filter(|what| matches!(what, Happened::Pulling { .. })).count() as u32;
        }
        // What a status brought is not among those.
        let begun = begun.max(updater.record().begun.into());
        let most = begun * u32::from(WRONG_MAX) + resets;
        prop_assert!(updater.flash().most_erased() <= most, "{} of {most}", updater.flash().most_erased());
    }
}
