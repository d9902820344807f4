//! Crashes at any moment, on a medium that loses what was not synced, sector by sector.

use std::sync::Arc;

use ledger_block::content::Decoder;
use proptest::prelude::*;

use super::*;

const SECTOR: usize = 512;

/// What a write cache holds, and what has reached the platter.
#[derive(Debug, Default)]
struct Cache {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Lossy(Arc<Mutex<Cache>>);

impl Lossy {
    fn of(length: usize) -> Self {
        Self(Arc::new(Mutex::new(Cache { now: vec![0; length], durable: vec![0; length] })))
    }

    /// The power goes: of what was not synced, each sector is there or not as `luck` has it.
    fn crash(&self, luck: &mut impl FnMut() -> bool) -> Self {
        let cache = self.0.lock();
        let mut left = cache.durable.clone();
        for (at, sector) in left.chunks_mut(SECTOR).enumerate() {
            if luck() {
                sector.copy_from_slice(&cache.now[at * SECTOR..at * SECTOR + sector.len()]);
            }
        }
        Self(Arc::new(Mutex::new(Cache { now: left.clone(), durable: left })))
    }
}

impl ReadAt for Lossy {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let cache = self.0.lock();
        let from = cache.now.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = from.len().min(bytes.len());
        bytes[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }
}

impl Medium for Lossy {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.0.lock().now[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut cache = self.0.lock();
        cache.durable = cache.now.clone();
        Ok(())
    }
}

struct Source {
    bytes: Vec<u8>,
    outboard: Vec<u8>,
    content: ContentId,
    shape: Shape,
}

fn source(size: u64) -> Source {
    let bytes: Vec<u8> = (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let shape = Shape::new(size).unwrap();
    let (content, outboard) = slice::outboard(shape, bytes.as_slice()).unwrap();
    Source { bytes, outboard, content, shape }
}

impl Source {
    fn items(&self, first: u32, last: u32) -> Vec<Item> {
        let span = Span::new(first, last).unwrap();
        let slice = slice::encode(self.content, self.shape, span, &self.bytes[..], &self.outboard[..]).unwrap();
        let mut decoder = Decoder::new(self.content, self.shape, span).unwrap();
        let mut bytes = slice.as_slice();
        std::iter::from_fn(|| decoder.push(&mut bytes).unwrap()).collect()
    }

    fn media(&self) -> [Lossy; 3] {
        let lengths = [self.shape.size(), self.shape.outboard_bytes(), Groups::encoded_bytes(self.shape) as u64];
        let [data, outboard, bitmap] = lengths.map(|length| Lossy::of(usize::try_from(length).unwrap()));
        bitmap.write_at(0, &Groups::none(self.shape).encode()).unwrap();
        bitmap.sync().unwrap();
        [data, outboard, bitmap]
    }

    fn open(&self, [data, outboard, bitmap]: [Lossy; 3]) -> Partial<Lossy> {
        Partial::open(self.content, self.shape, data, outboard, bitmap).unwrap()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Keep(u32, u32),
    Flush,
    Crash(u64),
}

fn steps(groups: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..groups, 0u32..6).prop_map(move |(first, more)| Step::Keep(first, (first + more).min(groups - 1))),
        2 => Just(Step::Flush),
        1 => any::<u64>().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #[test]
    fn after_a_crash_at_any_moment_every_bit_is_true_and_no_flushed_group_is_lost(steps in steps(41)) {
        let source = source(40 * 16_384 + 5_000);
        let mut media = source.media();
        let mut partial = source.open(media.clone());
        let mut flushed = Groups::none(source.shape);
        for step in steps {
            match step {
                Step::Keep(first, last) => partial.keep(&source.items(first, last)).unwrap(),
                Step::Flush => {
                    partial.flush().unwrap();
                    flushed = partial.held();
                }
                Step::Crash(seed) => {
                    let mut state = seed | 1;
                    let mut luck = || { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state & 1 == 0 };
                    media = media.map(|medium| medium.crash(&mut luck));
                    partial = source.open(media.clone());
                    let held = partial.held();
                    for group in (0..source.shape.groups()).map(GroupIndex) {
                        prop_assert!(held.contains(group) || !flushed.contains(group), "group {} was lost", group.0);
                    }
                }
            }
            let held = partial.held();
            for group in (0..source.shape.groups()).map(GroupIndex).filter(|group| held.contains(*group)) {
                let one = Span::new(group.0, group.0).unwrap();
                prop_assert!(partial.slice(one).unwrap().is_some(), "group {} is not what its bit says", group.0);
            }
        }
    }
}

#[test]
fn a_lost_bitmap_is_made_anew_from_the_bytes_and_a_rotten_group_is_named() {
    let source = source(9 * 16_384);
    let media = source.media();
    let partial = source.open(media.clone());
    partial.keep(&source.items(2, 5)).unwrap();
    partial.flush().unwrap();
    media[2].write_at(0, &[9; 11]).unwrap();
    let partial = source.open(media.clone());
    assert_eq!(partial.held().count(), 4);
    media[0].write_at(3 * 16_384 + 7, &[0xff, 0, 0xff]).unwrap();
    assert!(partial.slice(Span::new(3, 3).unwrap()).is_err(), "rotten bytes are not served");
    assert_eq!(partial.rescan().unwrap(), [GroupIndex(3)]);
    assert_eq!(partial.slice(Span::new(3, 3).unwrap()).unwrap(), None);
    assert_eq!(source.open(media).held().count(), 3);
}
