//! Blocks at rest: how many bytes a reading takes, and how fast a chain is verified. No gateway: the recordings go to
//! `pitchside-seal` as the gateway would hand them over.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use ledger_block::header::GENESIS;
use ledger_block::{BlockIndex, ClockState, GatewayKey, Incarnation};
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value, Wave,
};
use pitchside_seal::chain::Expected;
use pitchside_seal::{
    AthleteKey, BootCounter, ChainVerifier, Generation, KeyRing, SealInput, SealedBlock, Whose, seal,
};

use crate::clinic::recording;

const START_US: i64 = 1_795_251_600_000_000;
const ATHLETES: usize = 8;
/// Readings of one athlete are this many seconds of the recording apart from the next one's.
const APART_S: usize = 400;
const BLOCK_S: usize = 60;

/// Blocks that follow each other, and how many readings or samples are in them.
pub struct Chain {
    blocks: Vec<SealedBlock>,
    units: u64,
}

/// What a chain grows by.
struct Sealer {
    key: GatewayKey,
    keys: KeyRing,
    chain: Chain,
}

impl Sealer {
    fn new() -> anyhow::Result<Self> {
        let mut keys = KeyRing::default();
        keys.put(Whose::House, Generation(0), AthleteKey::new([0xff; 32]));
        for number in 0..ATHLETES {
            let key = AthleteKey::new([u8::try_from(number)?; 32]);
            keys.put(Whose::Athlete(athlete(number)?), Generation(0), key);
        }
        Ok(Self { key: GatewayKey::new(&[7; 32]), keys, chain: Chain { blocks: Vec::new(), units: 0 } })
    }

    fn seal(&mut self, entries: &[Entry], units: u64) -> anyhow::Result<()> {
        let index = self.chain.blocks.len() as u64;
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).context("no randomness")?;
        let block = seal(&SealInput {
            key: &self.key,
            incarnation: Incarnation(0),
            index: BlockIndex(index),
            previous: self.chain.blocks.last().map_or(GENESIS, |block| block.header.hash()),
            sealed_at: Timestamp(START_US + index as i64 * 60_000_000),
            clock: ClockState::Free,
            rules: [1; 32],
            plugins: [2; 32],
            firmware: [3; 32],
            checkpoint: None,
            entries,
            alerts: &[],
            keys: &self.keys,
            entropy,
            boot: BootCounter(1),
        })?;
        self.chain.blocks.push(block);
        self.chain.units += units;
        Ok(())
    }
}

impl Chain {
    /// Bytes of headers and payloads.
    fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.header.bytes().len() + block.payload.len()).sum()
    }

    /// Bytes of headers and payloads for each reading or sample.
    pub fn bytes_each(&self) -> f64 {
        self.bytes() as f64 / self.units as f64
    }

    /// Verifies the chain; MB a second.
    pub fn verify(&self) -> anyhow::Result<f64> {
        let started = Instant::now();
        let mut verifier = ChainVerifier::new(Expected::default());
        for block in &self.blocks {
            verifier.push(block.header.bytes(), Some(&block.payload))?;
        }
        black_box(verifier.finish()?);
        Ok(self.bytes() as f64 / 1e6 / started.elapsed().as_secs_f64())
    }
}

fn athlete(number: usize) -> anyhow::Result<AthleteId> {
    Ok(AthleteId::parse(&format!("athlete-{number}"))?)
}

/// Gateway time follows device time by 2 to 17 ms, as over a wireless link; the pattern does not repeat within a block.
fn arrival(device_time: i64, number: usize) -> Timestamp {
    let mixed = (device_time as u64 ^ (number as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
    Timestamp::from_millis(device_time / 1_000 + 2 + mixed as i64)
}

fn entry(device: &str, number: usize, seq: usize, readings: Vec<(Quantity, i64, Value)>) -> anyhow::Result<Entry> {
    let reading = |(quantity, device_time, value): (Quantity, i64, Value)| Reading {
        quantity,
        unit: quantity.unit(),
        device_time: Timestamp(device_time),
        gateway_time: arrival(device_time, number),
        quality: Quality::empty(),
        value,
    };
    Ok(Entry {
        device: DeviceId::parse(&format!("{device}-{number}"))?,
        athlete: Some(athlete(number)?),
        assurance: Assurance::Noise,
        epoch: Epoch(0x0123_4567_89ab_cdef ^ number as u64),
        seq: Seq(seq as u64),
        readings: readings.into_iter().map(reading).collect(),
    })
}

/// A recording: the quantities of its columns, and their values second by second; a missing value is none.
struct Recording {
    quantities: Vec<Option<Quantity>>,
    rows: Vec<Vec<Option<Decimal>>>,
}

impl Recording {
    fn read(name: &str, wanted: &[&str]) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(recording(name))?;
        let mut lines = text.lines();
        let names = lines.next().context("an empty recording")?.split(',');
        let quantities = names.map(|name| wanted.contains(&name).then(|| Quantity::parse(name)).flatten()).collect();
        let rows = lines.map(|line| line.split(',').map(|cell| Decimal::parse(cell).ok()).collect()).collect();
        Ok(Self { quantities, rows })
    }

    fn at(&self, second: usize) -> impl Iterator<Item = (Quantity, Decimal)> {
        let row = self.rows.get(second % self.rows.len().max(1)).map_or(&[][..], Vec::as_slice);
        self.quantities.iter().zip(row).filter_map(|(quantity, value)| Some(((*quantity)?, (*value)?)))
    }
}

/// Vitals at 1 Hz: four riders with a chest strap and a power meter, four runners with a chest strap that knows the speed;
/// sealed every 60 s. Each device's second begins where it was switched on.
pub fn vitals(blocks: usize) -> anyhow::Result<Chain> {
    let ride =
        [Recording::read("ride-1hz.csv", &["heart_rate"])?, Recording::read("ride-1hz.csv", &["power", "cadence"])?];
    let run = Recording::read("run-1hz.csv", &["heart_rate", "speed"])?;
    let mut sealer = Sealer::new()?;
    for block in 0..blocks {
        let (mut entries, mut units) = (Vec::new(), 0);
        for second in block * BLOCK_S..(block + 1) * BLOCK_S {
            for number in 0..ATHLETES {
                let worn: &[(&str, &Recording)] =
                    if number % 2 == 0 { &[("strap", &ride[0]), ("power", &ride[1])] } else { &[("strap", &run)] };
                for (device, recording) in worn {
                    let at = START_US + second as i64 * 1_000_000 + number as i64 * 97_000;
                    let values = recording.at(second + number * APART_S);
                    let readings: Vec<_> =
                        values.map(|(quantity, value)| (quantity, at, Value::Number(value))).collect();
                    units += readings.len() as u64;
                    entries.push(entry(device, number, second, readings)?);
                }
            }
        }
        sealer.seal(&entries, units)?;
    }
    Ok(sealer.chain)
}

/// ECG of eight athletes at 360 Hz in messages of a second, sealed every 60 s.
pub fn ecg(blocks: usize) -> anyhow::Result<Chain> {
    const RATE: usize = 360;
    let samples = crate::ingest::ecg()?;
    let mut sealer = Sealer::new()?;
    for block in 0..blocks {
        let mut entries = Vec::new();
        for second in block * BLOCK_S..(block + 1) * BLOCK_S {
            for number in 0..ATHLETES {
                let from = (second + number * 13) * RATE;
                let samples =
                    (from..from + RATE).filter_map(|at| samples.get(at % samples.len().max(1)).copied()).collect();
                let wave = Wave { period_ns: 2_777_778, exponent: 0, offset: 0, samples };
                let at = START_US + second as i64 * 1_000_000 + number as i64 * 97_000;
                entries.push(entry("ecg", number, second, vec![(Quantity::ECG, at, Value::Wave(Box::new(wave)))])?);
            }
        }
        sealer.seal(&entries, (entries.len() * RATE) as u64)?;
    }
    Ok(sealer.chain)
}
