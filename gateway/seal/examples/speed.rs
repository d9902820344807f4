//! How fast blocks are sealed, checked and opened here: `cargo run --release -p pitchside-seal --example speed`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::time::Instant;

use ledger_block::{BlockIndex, ClockState, GatewayKey, Incarnation, header::GENESIS};
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value, Wave,
};
use pitchside_seal::{
    AthleteKey, BootCounter, Filter, Generation, KeyRing, SealInput, Whose, open, seal, verify_payload,
};

const START_US: i64 = 1_795_251_600_000_000;

fn reading(n: i64, quantity: Quantity, value: Value) -> Reading {
    let device_time = Timestamp(START_US + n * 1_000);
    let gateway_time = Timestamp(device_time.0 / 1_000 * 1_000 + (n * 7 % 5) * 1_000);
    Reading { quantity, unit: quantity.unit(), device_time, gateway_time, quality: Quality::empty(), value }
}

fn entry(device: usize, seq: u64, readings: Vec<Reading>) -> Entry {
    Entry {
        device: DeviceId::parse(&format!("device-{device:02}")).unwrap(),
        athlete: Some(AthleteId::parse(&format!("athlete-{device:02}")).unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(0x0123_4567_89ab_cdef),
        seq: Seq(seq),
        readings,
    }
}

/// 65,536 readings of 50 devices in messages of `each`.
fn numbers(each: i64) -> Vec<Entry> {
    (0..65_536 / each)
        .map(|message| {
            let value = |n: i64| Value::Number(Decimal::integer(120 + (n * n / 37) % 9));
            let readings = (0..each).map(|item| message / 50 * each + item);
            let readings = readings.map(|n| reading(n, Quantity::HEART_RATE, value(n))).collect();
            entry((message % 50) as usize, (message / 50) as u64, readings)
        })
        .collect()
}

/// A minute of ECG of eight athletes at 1 kHz.
fn waves() -> Vec<Entry> {
    let sample = |n: i32| (n % 800 - 400) / 9 + n % 2_000 * 31 % 7 + if n % 800 < 20 { 900 } else { 0 };
    (0..480i64)
        .map(|message| {
            let (second, device) = (message / 8, (message % 8) as usize);
            let samples = (0..1_000).map(|n| sample(second as i32 * 1_000 + n)).collect();
            let wave = Wave { period_ns: 1_000_000, exponent: 0, offset: 0, samples };
            entry(device, second as u64, vec![reading(second * 1_000, Quantity::ECG, Value::Wave(Box::new(wave)))])
        })
        .collect()
}

/// A minute at 1 Hz of eight athletes: heart rate, power and core temperature, 1 to 16 ms late.
fn vitals() -> Vec<Entry> {
    let of = |quantity: Quantity, second: i64, mantissa: i64, exponent: i8| {
        let mut reading = reading(second * 1_000, quantity, Value::Number(Decimal { mantissa, exponent }));
        reading.gateway_time.0 += (second * 11 % 16) * 1_000;
        reading
    };
    (0..480i64)
        .flat_map(|message| {
            let (second, device) = (message / 8, message % 8);
            let wander = second * second * (device + 3) / 11 % 7;
            [
                (0, of(Quantity::HEART_RATE, second, 120 + device * 5 + wander, 0)),
                (10, of(Quantity::POWER, second, 180 + wander * 23, 0)),
                (20, of(Quantity::CORE_TEMPERATURE, second, 3_810 + second / 4, -2)),
            ]
            .map(|(base, reading)| {
                let mut entry = entry(base + device as usize, second as u64, vec![reading]);
                entry.athlete = AthleteId::parse(&format!("athlete-{device:02}")).ok();
                entry
            })
        })
        .collect()
}

fn main() {
    let key = GatewayKey::new(&[7; 32]);
    let mut keys = KeyRing::default();
    for device in 0..50 {
        let athlete = AthleteId::parse(&format!("athlete-{device:02}")).unwrap();
        keys.put(Whose::Athlete(athlete), Generation(0), AthleteKey::new([device as u8; 32]));
    }
    for (name, entries, count) in [
        ("single readings", numbers(1), 65_536),
        ("16 readings a message", numbers(16), 65_536),
        ("ECG samples at 1 kHz", waves(), 480_000),
        ("vitals at 1 Hz for a minute", vitals(), 1_440),
    ] {
        let input = SealInput {
            key: &key,
            incarnation: Incarnation(0),
            index: BlockIndex(0),
            previous: GENESIS,
            sealed_at: Timestamp(START_US),
            clock: ClockState::Free,
            rules: [0; 32],
            plugins: [0; 32],
            firmware: [0; 32],
            checkpoint: None,
            entries: &entries,
            alerts: &[],
            keys: &keys,
            entropy: [1; 32],
            boot: BootCounter(1),
        };
        let rounds = 5u32;
        let started = Instant::now();
        let block = (0..rounds).map(|_| seal(&input).unwrap()).next_back().unwrap();
        let sealing = started.elapsed() / rounds;
        let started = Instant::now();
        for _ in 0..50 {
            verify_payload(block.header.header(), &block.payload).unwrap();
        }
        let checking = started.elapsed() / 50;
        let started = Instant::now();
        let opened = open(&block.header, &block.payload, &keys, &Filter::default()).unwrap();
        let opening = started.elapsed();
        assert_eq!(opened.unopened(), 0);
        println!(
            "{name}: sealed {:.0}/s, {:.2} bytes each, checked {:.0} MB/s, opened {:.0}/s",
            f64::from(count) / sealing.as_secs_f64(),
            (block.payload.len() + block.header.bytes().len()) as f64 / f64::from(count),
            block.payload.len() as f64 / 1e6 / checking.as_secs_f64(),
            f64::from(count) / opening.as_secs_f64(),
        );
    }
}
