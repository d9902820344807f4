//! What the store promises, one sentence a test.

mod delivery;
mod erasure;
mod firmware;
mod going_back;
mod history;
mod journal;
mod plugins;
mod recovery;
mod resets;
mod rules;
mod secrecy;
mod states;
mod tables;
mod undecoded;

use std::path::Path;

use pitchside_model::{
    Alert, AlertEvent, AlertId, Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, PluginName, Priority, Quality,
    Quantity, Reading, RuleName, Seq, Timestamp, Value,
};
use tempfile::TempDir;

use crate::*;

fn root() -> RootKey {
    RootKey::new([7; 32])
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn entry(seq: u64) -> Entry {
    Entry {
        device: device("strap-1"),
        athlete: Some(AthleteId::parse("zebra").unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(seq),
        readings: vec![Reading {
            quantity: Quantity::HEART_RATE,
            unit: Quantity::HEART_RATE.unit(),
            device_time: Timestamp::from_seconds(1_000 + seq as i64),
            gateway_time: Timestamp::from_seconds(1_000 + seq as i64),
            quality: Quality::empty(),
            value: Value::Number(Decimal::integer(61)),
        }],
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, root()).unwrap()
}

/// Runs a future of ours to its end: they wait for the writer thread, never for a timer.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn block(index: u64, up_to: RowId) -> NewBlock {
    NewBlock {
        key: BlockKey { incarnation: 1, index },
        hash: [index as u8; 32],
        sealed_at: Timestamp::from_seconds(index as i64),
        header: vec![1, 2, 3],
        payload: vec![index as u8; 5_000],
        readings: 9,
        rows_up_to: up_to,
        alerts_up_to: None,
    }
}

fn marks(rows: &[JournalRow]) -> Marks {
    let mut marks = Marks::default();
    rows.iter().for_each(|row| marks.note(&row.entries));
    marks
}

fn raised(number: u8) -> AlertEvent {
    AlertEvent::Raised(Alert {
        id: AlertId([number; 16]),
        rule: RuleName::parse("heat-illness").unwrap(),
        rule_version: "1.0.0".to_owned(),
        priority: Priority::High,
        athlete: None,
        device: device("pill-1"),
        quantity: Quantity::HEART_RATE,
        value: Some(Decimal::parse("39.70").unwrap()),
        unit: Quantity::HEART_RATE.unit(),
        event_time: Timestamp::from_seconds(5),
        message: "core temperature rising".to_owned(),
    })
}

fn enrolled(name: &str) -> Device {
    Device {
        id: device(name),
        class: "p1".to_owned(),
        secret: vec![1; 60],
        decoder: Some(PluginName::parse("polar-h10").unwrap()),
        filters: vec!["alerts/#".to_owned(), "live/#".to_owned()],
        enrolled_at: Timestamp(1),
        revoked_at: None,
    }
}
