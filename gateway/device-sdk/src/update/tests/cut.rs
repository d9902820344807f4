//! The power may go at any write: whatever is started then is a whole image.

use std::vec::Vec;

use pitchside_wire::Millis;
use pitchside_wire::firmware::{Phase, Version};
use proptest::prelude::*;

use super::super::*;
use super::board::Board;
use super::release::{Gateway, Plan, config, image, talk};

const OLD: Version = Version::new(1, 0, 0);
const NEW: Version = Version::new(1, 1, 0);

struct World {
    board: Option<Board>,
    gateway: Gateway,
    old: Vec<u8>,
    new: Vec<u8>,
    now: Millis,
    good: bool,
}

impl World {
    fn new(bytes: usize, good: bool) -> Self {
        let (old, new) = (image(1, 60_000), image(2, bytes));
        let gateway = Gateway::new(Plan::new(new.clone()));
        Self { board: Some(Board::with(&old)), gateway, old, new, now: Millis(0), good }
    }

    /// One life, from a start to a reset or to the end of the power: what ran, and whether the power went.
    fn live(&mut self, power: Option<u64>) -> (Version, bool) {
        let mut board = self.board.take().unwrap();
        board.power = power;
        // A boot loader whose flash fails stays where it is; with the power gone there is nothing to start.
        let Ok(slot) = choose(&mut board) else {
            self.board = Some(board);
            return (OLD, true);
        };
        board.running = slot;
        let version = match (board.holds(slot, &self.old), board.holds(slot, &self.new)) {
            (true, false) => OLD,
            (false, true) => NEW,
            _ => panic!("slot {slot:?} was started and holds neither image whole"),
        };
        // Time goes on: what paces images must not end the test.
        self.now = self.now.plus(7 * 3_600_000);
        let mut updater = Updater::new(config(version, 3), board, self.now).unwrap();
        updater.connected(self.now);
        if updater.is_on_trial() {
            let _ = if self.good { updater.confirm(self.now).map(|_stays| ()) } else { updater.give_up() };
        } else {
            talk(&mut updater, &mut self.gateway, &mut self.now, 120_000);
            let _ = updater.start();
        }
        let board = updater.into_flash();
        let cut = board.power == Some(0);
        self.board = Some(board);
        (version, cut)
    }

    /// How many writes a whole update takes.
    fn writes(bytes: usize, good: bool) -> u64 {
        let mut world = Self::new(bytes, good);
        for _ in 0..4 {
            world.live(None);
        }
        world.board.unwrap().writes
    }
}

#[test]
fn the_power_may_go_at_every_single_write() {
    for good in [true, false] {
        for cut in 1..=World::writes(40_000, good) {
            let mut world = World::new(40_000, good);
            let mut left = cut;
            // The power goes after so many writes, counted over all lives before it.
            for _ in 0..6 {
                let before = world.board.as_ref().unwrap().writes;
                if world.live(Some(left)).1 {
                    break;
                }
                left -= (world.board.as_ref().unwrap().writes - before).min(left - 1);
            }
            let last = (0..6).map(|_| world.live(None).0).last().unwrap();
            assert_eq!(last, if good { NEW } else { OLD }, "cut at write {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn however_often_the_power_goes_a_whole_image_runs_and_the_update_ends_well(
        bytes in 1usize..90_000,
        good: bool,
        cuts in proptest::collection::vec(1u64..160, 0..14),
    ) {
        let mut world = World::new(bytes, good);
        for cut in cuts {
            world.live(Some(cut));
        }
        // A good image can use up its three starts if the power goes in each: then the old one stays, whole.
        let starts = (0..8).map(|_| world.live(None).0).collect::<Vec<_>>();
        let board = world.board.as_mut().unwrap();
        let record = record::load(board, Slot::A).unwrap().0;
        let gave_up = record.failed != [0; 32];
        let last = starts.last().copied();
        prop_assert_eq!(record.phase, Phase::Idle);
        prop_assert_eq!(last, Some(if good && !gave_up { NEW } else { OLD }));
    }

    #[test]
    fn records_read_back_and_a_changed_byte_is_found(
        numbers in any::<[u32; 6]>(), hashes in any::<[[u8; 32]; 4]>(), phase in 0u8..4, at in 0usize..RECORD_BYTES, bit in 0u8..8,
    ) {
        let mut record = Record::first(Slot::B);
        (record.number, record.have, record.counter) = (numbers[0], numbers[1], numbers[2]);
        record.phase = Phase::from_code(phase).unwrap();
        record.target.size = numbers[3];
        record.target.version = Version::new(numbers[4], numbers[5], 1);
        (record.target.release, record.target.sha256, record.target.blake3, record.failed) = (hashes[0], hashes[1], hashes[2], hashes[3]);
        record.confirmed = hashes[1];
        record.end(pitchside_wire::firmware::Stage::Failed, pitchside_wire::firmware::Reason::FLASH);
        let mut bytes = record.to_bytes();
        prop_assert_eq!(Record::parse(&bytes), Some(record));
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(Record::parse(&bytes), None);
    }
}
