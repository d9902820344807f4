//! Entries and keys for the tests that see the store from outside.

use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use pitchside_store::RootKey;

pub fn root() -> RootKey {
    RootKey::new([7; 32])
}

pub fn device(number: usize) -> DeviceId {
    DeviceId::parse(&format!("strap-{number}")).unwrap()
}

/// One message with one reading, its value a function of its number.
pub fn entry(device_number: usize, seq: u64) -> Entry {
    let at = Timestamp::from_millis(1_700_000_000_000 + seq as i64);
    Entry {
        device: device(device_number),
        athlete: AthleteId::parse("zebra").ok(),
        assurance: Assurance::Noise,
        epoch: Epoch(3),
        seq: Seq(seq),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Quantity::HEART_RATE.unit(),
            device_time: at,
            gateway_time: at,
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(seq as i64)),
        }],
    }
}
