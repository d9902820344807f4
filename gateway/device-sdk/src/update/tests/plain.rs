//! One update after the other, with nobody in the way.

use std::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Battery, Phase, Reason, Stage, Up, Version};

use super::super::*;
use super::board::Board;
use super::release::{Gateway, Plan, config, image, talk};

const OLD: Version = Version::new(1, 0, 0);

fn updater(board: Board) -> Updater<Board> {
    let mut updater = Updater::new(config(OLD, 3), board, Millis(0)).unwrap();
    updater.connected(Millis(0));
    updater
}

/// Resets: the boot loader chooses, the image that was chosen runs.
fn reset(updater: Updater<Board>, version: Version, now: Millis) -> Updater<Board> {
    let mut board = updater.into_flash();
    board.running = choose(&mut board).unwrap();
    let mut updater = Updater::new(config(version, 3), board, now).unwrap();
    updater.connected(now);
    updater
}

#[test]
fn an_image_is_pulled_verified_tried_and_confirmed() {
    for (bytes, chunk_max) in
        [(70_000, 4_096), (100_000, 512), (16_384, 4_096), (131_072, 4_096), (17, 4_096), (16_385, 64)]
    {
        let (old, new) = (image(1, 50_000), image(2, bytes));
        let mut now = Millis(0);
        let mut updater = updater(Board::with(&old));
        let mut gateway = Gateway { chunk_max, ..Gateway::new(Plan::new(new.clone())) };
        updater.set_battery(Battery::Percent(80));
        let happened = talk(&mut updater, &mut gateway, &mut now, 600_000);
        assert_eq!(happened, [Happened::Pulling { size: bytes as u32 }, Happened::MayStart], "{bytes}");
        assert_eq!(gateway.told(), [(Stage::Downloaded, 0), (Stage::Verified, 0)]);
        assert_eq!(gateway.statuses[0].battery, Battery::Percent(80));
        assert!(updater.start().unwrap());
        let mut updater = reset(updater, Version::new(1, 1, 0), now);
        assert!(updater.is_on_trial() && updater.flash().running == Slot::B && updater.flash().holds(Slot::B, &new));
        talk(&mut updater, &mut gateway, &mut now, 1_000);
        assert!(!gateway.statuses.last().unwrap().willing, "nothing is taken on trial");
        assert_eq!(updater.confirm(now), Ok(true));
        talk(&mut updater, &mut gateway, &mut now, 1_000);
        assert_eq!(gateway.told()[2..], [(Stage::Booted, 0), (Stage::Confirmed, 0)]);
        let record = *updater.record();
        assert_eq!((record.home, record.phase, record.counter, record.outcome), (Slot::B, Phase::Idle, 3, None));
        // And it stays.
        let updater = reset(updater, Version::new(1, 1, 0), now);
        assert!(!updater.is_on_trial() && updater.flash().running == Slot::B);
    }
}

#[test]
fn an_image_that_fails_its_self_test_gives_way_and_is_not_taken_again() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway::new(Plan::new(image(2, 40_000)));
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    updater.start().unwrap();
    let mut updater = reset(updater, Version::new(1, 1, 0), now);
    updater.give_up().unwrap();
    let mut updater = reset(updater, OLD, now);
    assert_eq!(updater.flash().running, Slot::A);
    gateway.pulls.clear();
    talk(&mut updater, &mut gateway, &mut now, 100_000);
    let told = gateway.told();
    assert_eq!(told[2..4], [(Stage::Failed, 11), (Stage::Failed, 12)], "failed once, and refused when offered again");
    assert!(gateway.pulls.is_empty());
}

#[test]
fn an_image_that_says_another_version_than_its_release_does_not_stay_and_is_not_flashed_again() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway::new(Plan::new(image(2, 40_000)));
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    updater.start().unwrap();
    // Old bytes under a new number: their manifest says 1.1.0.
    let mut updater = reset(updater, OLD, now);
    assert!(updater.is_on_trial());
    assert_eq!((updater.confirm(now), updater.confirm(now)), (Ok(false), Ok(false)), "however often it is asked");
    let record = *updater.record();
    assert_eq!((record.home, record.begun, record.confirmed), (Slot::A, 1, [0; 32]), "that was no success");
    let mut updater = reset(updater, OLD, now);
    assert_eq!(updater.flash().running, Slot::A);
    gateway.pulls.clear();
    talk(&mut updater, &mut gateway, &mut now, 24 * 3_600_000);
    assert!(gateway.pulls.is_empty(), "a day of offers writes nothing");
    assert!(gateway.told().contains(&(Stage::Failed, Reason::VERSION.0)), "{:?}", gateway.told());
}

#[test]
fn a_release_that_proved_itself_is_not_taken_again_whatever_version_runs_later() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway::new(Plan::new(image(2, 40_000)));
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    updater.start().unwrap();
    let mut updater = reset(updater, Version::new(1, 1, 0), now);
    assert_eq!(updater.confirm(now), Ok(true));
    // The same slot says something else after the next start.
    let mut updater = reset(updater, OLD, now);
    assert_eq!(updater.flash().running, Slot::B);
    gateway.pulls.clear();
    let happened = talk(&mut updater, &mut gateway, &mut now, 60_000);
    assert!(happened.contains(&Happened::Refused(Reason::VERSION)) && gateway.pulls.is_empty(), "{happened:?}");
}

#[test]
fn an_image_that_never_gets_so_far_gives_way_after_three_starts() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway::new(Plan::new(image(2, 40_000)));
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    updater.start().unwrap();
    let mut board = updater.into_flash();
    let started: Vec<Slot> = (0..5).map(|_| choose(&mut board).unwrap()).collect();
    assert_eq!(started, [Slot::B, Slot::B, Slot::B, Slot::A, Slot::A]);
    board.running = Slot::A;
    let mut updater = Updater::new(config(OLD, 3), board, now).unwrap();
    updater.connected(now);
    gateway.offers = false;
    talk(&mut updater, &mut gateway, &mut now, 10_000);
    assert_eq!(gateway.told().last(), Some(&(Stage::Failed, 10)));
}

#[test]
fn nothing_starts_before_the_gateway_says_go() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway { go: false, ..Gateway::new(Plan::new(image(2, 40_000))) };
    talk(&mut updater, &mut gateway, &mut now, 60_000);
    assert_eq!(updater.record().phase, Phase::Verified);
    assert!(!updater.start().unwrap());
    gateway.go = true;
    let happened = talk(&mut updater, &mut gateway, &mut now, 60_000);
    assert_eq!(happened, [Happened::MayStart]);
    // A new session, and the question again.
    updater.connected(now);
    assert!(!updater.start().unwrap(), "go was said in another session");
}

#[test]
fn pulling_goes_on_where_it_was_after_a_reset_and_on_a_link_that_loses_words() {
    let mut now = Millis(0);
    let new = image(2, 100_000);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut gateway = Gateway::new(Plan::new(new.clone()));
    let mut lost = 0;
    while updater.record().have < 3 * 16_384 {
        for (count, word) in updater.poll(now).into_iter().enumerate() {
            let is_pull = matches!(Up::parse(&word), Ok(Up::Pull(_)));
            lost += 1;
            if is_pull && (lost + count) % 5 == 0 {
                continue;
            }
            if let Some(answer) = gateway.answer(&word) {
                updater.hear(&answer, None, now);
            }
        }
        now = now.plus(500);
    }
    let mut updater = reset(updater, OLD, now);
    gateway.pulls.clear();
    talk(&mut updater, &mut gateway, &mut now, 600_000);
    assert_eq!(gateway.pulls[0].offset, 3 * 16_384);
    assert_eq!(gateway.pulls.len(), (100_000usize - 3 * 16_384).div_ceil(1_024), "nothing is asked for twice");
    assert!(updater.flash().holds(Slot::B, &new));
}

#[test]
fn a_gateway_that_knows_nothing_of_firmware_is_asked_ever_more_seldom() {
    let mut now = Millis(0);
    let mut updater = updater(Board::with(&image(1, 9_000)));
    let mut said = 0;
    while now < Millis(24 * 3_600_000) {
        said += updater.poll(now).len();
        now = updater.next_poll_at(now).unwrap().max(now.plus(1));
    }
    assert!((24..40).contains(&said), "{said} words in a day");
    updater.disconnected();
    assert!(updater.poll(now).is_empty() && updater.next_poll_at(now).is_none());
}

#[test]
fn an_updater_that_does_not_fit_its_board_is_none() {
    let good = config(OLD, 3);
    for bad in [
        UpdaterConfig { hardware: "".into(), ..good.clone() },
        UpdaterConfig { chunk_bytes_max: 63, ..good.clone() },
        UpdaterConfig { chunk_bytes_max: 100, ..good.clone() },
        UpdaterConfig { window: 0, ..good.clone() },
        UpdaterConfig { window: 9, ..good },
    ] {
        assert!(Updater::new(bad, Board::with(&[1]), Millis(0)).is_err());
    }
    assert!(Keys::new(1, &[]).is_err() && Keys::new(0, &[[1; 32]]).is_err());
    let public = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    assert!(Keys::new(2, &[public, public]).is_err(), "one key counts once");
}
