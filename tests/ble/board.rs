//! A sensor with flash, for the virtual radio: the device's side as firmware authors have it (`device-sdk`), its frames on
//! standard input and output, one a line, in hexadecimal. `board.py` carries them over GATT.
//!
//! ```text
//! pitchside-board make DIR    what its publisher hands in: first.policy, strap.release, strap.bin
//! pitchside-board run         in:  ID PSK, then frames     out: frames; `= WORD` when something happened
//! ```

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use pitchside_device_sdk::update::Happened;
use pitchside_device_sdk::{Config, Device, Event, Outgoing, Updater};
use pitchside_tests::board::{Board, Image};
use pitchside_tests::maker::{release, write_policy};
use pitchside_tests::sensor::random;
use pitchside_wire::firmware::Version;
use pitchside_wire::{Credential, Epoch, Millis, Psk, Seq};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin, Stdout};

const OLD: Version = Version::new(1, 0, 0);
const NEW: Version = Version::new(1, 1, 0);
const IMAGE_BYTES: usize = 20_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn make(dir: &Path) -> Outcome<()> {
    let image = Image::new(NEW, 3, true, IMAGE_BYTES);
    write_policy(dir);
    std::fs::write(dir.join("strap.release"), release(&image, NEW, 3).to_bytes())?;
    std::fs::write(dir.join("strap.bin"), &image.bytes)?;
    Ok(())
}

/// The board, switched on.
struct Powered {
    device: Device,
    updater: Option<Updater<Board>>,
    born: Instant,
    happened: Vec<Happened>,
    connected: bool,
    out: Stdout,
}

impl Powered {
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn updater(&mut self) -> Outcome<&mut Updater<Board>> {
        self.updater.as_mut().ok_or_else(|| "a board between two starts".into())
    }

    async fn tell(&mut self, word: &str) -> Outcome<()> {
        self.out.write_all(format!("= {word}\n").as_bytes()).await?;
        Ok(self.out.flush().await?)
    }

    async fn send(&mut self, frames: Vec<Outgoing>) -> Outcome<()> {
        for Outgoing { frame, .. } in frames {
            self.out.write_all(format!("{}\n", data_encoding::HEXLOWER.encode(&frame)).as_bytes()).await?;
        }
        Ok(self.out.flush().await?)
    }

    async fn send_due(&mut self) -> Outcome<()> {
        loop {
            let now = self.now();
            let mut due = self.device.poll(now, &mut random())?;
            let words = self.updater()?.poll(now);
            due.extend(words.iter().filter_map(|word| self.device.say_firmware(word, now)));
            if due.is_empty() {
                return Ok(());
            }
            self.send(due).await?;
        }
    }

    fn take(&mut self, frame: &[u8]) -> Outcome<()> {
        let now = self.now();
        for event in self.device.on_frame(frame, now) {
            match event {
                Event::Connected { .. } => {
                    self.connected = true;
                    self.updater()?.connected(now);
                }
                Event::Firmware(word) => {
                    let happened = self.updater()?.hear(&word, None, now);
                    self.happened.extend(happened);
                }
                Event::Receipted(_) | Event::Refused { .. } | Event::Closed(_) => {}
            }
        }
        Ok(())
    }

    /// Does what a device does until `done`; an error when the radio ends.
    async fn until(&mut self, lines: &mut Lines<BufReader<Stdin>>, done: impl Fn(&Self) -> bool) -> Outcome<()> {
        loop {
            self.send_due().await?;
            if done(self) {
                return Ok(());
            }
            let now = self.now();
            let next = [self.device.next_poll_at(now), self.updater()?.next_poll_at(now)].into_iter().flatten().min();
            let wait = next.map_or(Duration::from_secs(60), |at| Duration::from_millis(at.since(now) + 1));
            tokio::select! {
                line = lines.next_line() => {
                    let line = line?.ok_or("the radio is gone")?;
                    self.take(&data_encoding::HEXLOWER.decode(line.as_bytes())?)?;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The power goes and comes back: another image may run then. The radio's link stays, the session does not.
    async fn reset(&mut self) -> Outcome<()> {
        drop(self.device.close(self.now()));
        self.device.disconnected();
        self.connected = false;
        let mut board = self.updater.take().ok_or("a board that runs")?.into_flash();
        board.choose();
        self.updater = Some(board.boot(self.now()));
        let now = self.now();
        let words = self.device.connect(now, &mut random())?;
        self.send(words).await
    }
}

async fn run() -> Outcome<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let card = lines.next_line().await?.ok_or("no card")?;
    let (id, psk) = card.split_once(' ').ok_or("ID PSK")?;
    let psk: [u8; 32] = data_encoding::HEXLOWER.decode(psk.as_bytes())?.try_into().map_err(|_| "32 bytes")?;
    let mut epoch = [0; 8];
    getrandom::fill(&mut epoch).map_err(|error| error.to_string())?;
    let config = Config::new(id, Credential::P1 { psk: Psk::new(psk) });
    let device = Device::new(config, Epoch(u64::from_le_bytes(epoch)), Seq(0))?;
    let updater = Some(Board::with(&Image::new(OLD, 3, true, IMAGE_BYTES)).boot(Millis(0)));
    let (born, happened) = (Instant::now(), Vec::new());
    let mut board = Powered { device, updater, born, happened, connected: false, out: tokio::io::stdout() };
    let words = board.device.connect(board.now(), &mut random())?;
    board.send(words).await?;
    board.until(&mut lines, |board| board.connected).await?;
    board.tell("connected").await?;
    board.until(&mut lines, |board| board.happened.contains(&Happened::MayStart)).await?;
    board.tell("verified").await?;
    if !board.updater()?.start().map_err(|_| "the flash failed")? {
        return Err("it may not start".into());
    }
    board.reset().await?;
    board.until(&mut lines, |board| board.connected).await?;
    let now = board.now();
    if !board.updater()?.confirm(now).map_err(|_| "the flash failed")? {
        return Err("the new image says another version than its release".into());
    }
    board.until(&mut lines, |board| board.updater.as_ref().is_some_and(|updater| updater.unnoted() == 0)).await?;
    let version = board.updater()?.flash().version();
    board.tell(&format!("confirmed {version}")).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", dir] => make(Path::new(dir)),
        ["run"] => run().await,
        _ => Err("usage: pitchside-board make DIR | run".into()),
    }
}
