//! A sensor's board: two slots in memory, two places for the record, and images that say what they are.

use pitchside_device_sdk::update::{Flash, FlashFault, Keys, Place, RECORD_BYTES, Slot, choose};
use pitchside_device_sdk::{Updater, UpdaterConfig};
use pitchside_wire::Millis;
use pitchside_wire::firmware::{Battery, Version};

/// Bytes of a slot.
const SLOT_BYTES: usize = 256 * 1024;
const PAGE_BYTES: usize = 4_096;

/// An image: its first line says what it is, the rest is filling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Of so many bytes, for `strap-r2`; a bad one fails its self test.
    pub fn new(version: Version, counter: u32, good: bool, bytes: usize) -> Self {
        let mut image = format!("{version} {counter} {}\n", if good { "good" } else { "bad" }).into_bytes();
        let fill = |at: usize| (at as u8).wrapping_mul(29).wrapping_add((at >> 9) as u8) ^ version.minor as u8;
        image.extend((image.len()..bytes).map(fill));
        Self { bytes: image }
    }
}

/// What an image says of itself.
struct Said {
    version: Version,
    counter: u32,
    good: bool,
}

/// The board.
#[derive(Clone)]
pub struct Board {
    slots: [Vec<u8>; 2],
    records: [[u8; RECORD_BYTES]; 2],
    running: Slot,
    /// Its hardware id.
    pub hardware: String,
    /// The release keys of its images: seeds.
    pub keys: Vec<u8>,
    /// Its battery.
    pub battery: Battery,
}

impl Board {
    /// With an image in its first slot, two of the keys 1, 2, 3, and a full battery.
    pub fn with(image: &Image) -> Self {
        let mut first = vec![0xFF; SLOT_BYTES];
        first[..image.bytes.len()].copy_from_slice(&image.bytes);
        Self {
            slots: [first, vec![0xFF; SLOT_BYTES]],
            records: [[0xFF; RECORD_BYTES]; 2],
            running: Slot::A,
            hardware: "strap-r2".to_owned(),
            keys: vec![1, 2, 3],
            battery: Battery::Percent(90),
        }
    }

    fn said(&self) -> Said {
        let line = self.slots[self.running as usize].split(|byte| *byte == b'\n').next().expect("an image");
        let line = std::str::from_utf8(line).expect("an image says what it is");
        let mut words = line.split(' ');
        let version = words.next().expect("a version");
        let numbers: Vec<u32> = version.split('.').map(|number| number.parse().expect("a number")).collect();
        let counter = words.next().expect("a counter").parse().expect("a number");
        Said { version: Version::new(numbers[0], numbers[1], numbers[2]), counter, good: words.next() == Some("good") }
    }

    /// The version that runs.
    pub fn version(&self) -> Version {
        self.said().version
    }

    /// Whether what runs passes its self test.
    pub fn is_good(&self) -> bool {
        self.said().good
    }

    /// The boot loader.
    pub fn choose(&mut self) {
        self.running = choose(self).expect("memory does not fail");
    }

    /// What runs begins.
    pub fn boot(self, now: Millis) -> Updater<Self> {
        let (said, battery) = (self.said(), self.battery);
        let publics: Vec<[u8; 32]> = self.keys.iter().map(|seed| crate::maker::key(*seed).public()).collect();
        let config = UpdaterConfig {
            hardware: self.hardware.clone(),
            component: "strap-firmware".to_owned(),
            version: said.version,
            counter: said.counter,
            keys: Keys::new(2, &publics).expect("keys"),
            chunk_bytes_max: 2_048,
            window: 2,
        };
        let mut updater = Updater::new(config, self, now).expect("a board that can be updated");
        updater.set_battery(battery);
        updater
    }
}

impl Flash for Board {
    fn slot_bytes(&self) -> u32 {
        SLOT_BYTES as u32
    }

    fn page_bytes(&self) -> u32 {
        PAGE_BYTES as u32
    }

    fn running(&self) -> Slot {
        self.running
    }

    fn erase(&mut self, slot: Slot, offset: u32) -> Result<(), FlashFault> {
        assert_ne!(slot, self.running, "what runs is never touched");
        self.slots[slot as usize][offset as usize..][..PAGE_BYTES].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, slot: Slot, offset: u32, bytes: &[u8]) -> Result<(), FlashFault> {
        assert_ne!(slot, self.running, "what runs is never touched");
        self.slots[slot as usize][offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&mut self, slot: Slot, offset: u32, into: &mut [u8]) -> Result<(), FlashFault> {
        into.copy_from_slice(&self.slots[slot as usize][offset as usize..][..into.len()]);
        Ok(())
    }

    fn read_record(&mut self, place: Place) -> Result<[u8; RECORD_BYTES], FlashFault> {
        Ok(self.records[place as usize])
    }

    fn write_record(&mut self, place: Place, record: &[u8; RECORD_BYTES]) -> Result<(), FlashFault> {
        self.records[place as usize] = *record;
        Ok(())
    }
}
