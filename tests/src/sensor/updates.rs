//! A sensor with flash: updated, reset, started anew.

use pitchside_device_sdk::Updater;
use pitchside_device_sdk::update::Happened;

use super::Sensor;
use crate::board::{Board, Image};

impl Sensor {
    /// Gives it flash with this image, as it leaves the factory.
    pub fn flashed(mut self, image: &Image) -> Self {
        let board = Board::with(image);
        self.updater = Some(board.boot(self.site.instant()));
        self
    }

    /// Its side of updates.
    pub const fn updater(&mut self) -> &mut Updater<Board> {
        self.updater.as_mut().expect("a sensor with flash")
    }

    /// The power goes and comes back: the boot loader chooses, what it chose connects.
    pub async fn reset(&mut self) {
        self.forget_session();
        let mut board = self.updater.take().expect("a sensor with flash").into_flash();
        board.choose();
        self.updater = Some(board.boot(self.site.instant()));
        self.happened.clear();
        self.connect().await;
    }

    /// Waits until the gateway has noted every report.
    pub async fn reported(&mut self) {
        let noted = self.run_until(|sensor| sensor.updater.as_ref().filter(|updater| updater.unnoted() == 0).map(drop));
        assert_eq!(noted.await, Ok(()));
    }

    /// Does what a device does until it may start a new image.
    pub async fn pulls(&mut self) {
        let may = self.run_until(|sensor| sensor.happened.contains(&Happened::MayStart).then_some(()));
        assert_eq!(may.await, Ok(()));
    }

    /// Pulls, starts, tests itself, and stays or returns: the version that runs then.
    pub async fn updates(&mut self) -> String {
        self.pulls().await;
        assert_eq!(self.updater().start(), Ok(true));
        self.reset().await;
        self.reported().await;
        let now = self.site.instant();
        let stays = if self.updater().flash().is_good() {
            self.updater().confirm(now).expect("flash")
        } else {
            self.updater().give_up().expect("flash");
            false
        };
        if !stays {
            self.reset().await;
        }
        self.reported().await;
        self.updater().flash().version().to_string()
    }

    /// Says a word about firmware that its updater would not.
    pub async fn says_firmware(&mut self, word: &pitchside_wire::firmware::Up) {
        let word = word.encode().expect("a word");
        self.throw_firmware(&word).await;
    }

    /// Says anything as a word about firmware.
    pub async fn throw_firmware(&mut self, word: &[u8]) {
        let sealed = self.device.say_firmware(word, self.site.instant()).expect("a session");
        self.throw(sealed.topic, &sealed.frame).await.expect("a link to say it on");
    }
}
