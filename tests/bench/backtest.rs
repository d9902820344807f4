//! `pitchside rules backtest` as an admin runs it, on a box whose chain holds a squad's heart rates at 1 Hz, day and night: the
//! whole command, from start to report. The blocks are sealed here, as the gateway seals them.

use std::time::Instant;

use anyhow::Context as _;
use gatewayd::adapters::athletes::load_ring;
use gatewayd::identity::Identity;
use ledger_block::{BlockIndex, ClockState, GatewayKey, Incarnation};
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use pitchside_seal::{BootCounter, SealInput, seal};
use pitchside_store::{Marks, NewBlock, RowId};
use pitchside_tests::{Clinic, Running};

/// Athletes.
pub const SQUAD: i64 = 40;
/// The rule that is in force.
pub const IN_FORCE: &str = "heart-rate-ceiling";
const BLOCK_S: i64 = 60;
/// Readings in one message.
const MESSAGE_S: i64 = 10;

/// A box with history.
pub struct History {
    clinic: Running,
    draft: String,
}

impl History {
    /// So many hours of it, up to now.
    pub async fn make(hours: i32) -> anyhow::Result<Self> {
        let mut clinic = Clinic::new().library(&[IN_FORCE]);
        for number in 0..SQUAD {
            clinic = clinic.strap(&format!("strap-{number}")).athlete(&format!("athlete-{number}"));
        }
        let mut clinic = clinic.start().await;
        let now = clinic.now().0 / 1_000_000;
        clinic.stop().await;
        let draft = clinic.dir().join("draft").join(IN_FORCE);
        std::fs::create_dir_all(&draft)?;
        for file in ["rule.rhai", "cases.txt", "README.md", "rule.toml"] {
            let text = std::fs::read_to_string(clinic.dir().join("rules").join(IN_FORCE).join(file))?;
            std::fs::write(draft.join(file), text.replacen("default = 200.0", "default = 185.0", 1))?;
        }
        let settings = clinic.settings().clone();
        let identity = Identity::load(&settings.gateway.key_dir)?;
        let (key, ring) = (GatewayKey::new(&identity.sign), load_ring(clinic.tables(), &identity)?);
        let begin = now - i64::from(hours) * 3_600;
        for block in 0..i64::from(hours) * 3_600 / BLOCK_S {
            let from = begin + block * BLOCK_S;
            let entries = block_of(from)?;
            let (place, previous) = clinic.tables().next_block()?.context("a chain")?;
            let sealed_at = Timestamp((from + BLOCK_S) * 1_000_000);
            let mut entropy = [0; 32];
            getrandom::fill(&mut entropy).context("no randomness")?;
            let sealed = seal(&SealInput {
                key: &key,
                incarnation: Incarnation(place.incarnation),
                index: BlockIndex(place.index),
                previous,
                sealed_at,
                clock: ClockState::Free,
                rules: [0; 32],
                plugins: [0; 32],
                firmware: [0; 32],
                checkpoint: None,
                entries: &entries,
                alerts: &[],
                keys: &ring,
                entropy,
                boot: BootCounter(1),
            })?;
            let new = NewBlock {
                key: place,
                hash: sealed.header.hash(),
                sealed_at,
                header: sealed.header.bytes().to_vec(),
                payload: sealed.payload,
                readings: entries.iter().map(|entry| entry.readings.len() as u64).sum(),
                rows_up_to: RowId(0),
                alerts_up_to: None,
            };
            clinic.tables().put_block(new, Marks::default())?;
        }
        Ok(Self { draft: draft.display().to_string(), clinic })
    }

    /// A folder with a lower ceiling.
    pub fn draft(&self) -> &str {
        &self.draft
    }

    /// Readings heard, and seconds from start to report.
    pub fn backtest(&self, draft: &str) -> anyhow::Result<(f64, f64)> {
        let started = Instant::now();
        let said = self.clinic.pitchside(&["--json", "rules", "backtest", draft, "--since", "31d"]).ok().json();
        let seconds = started.elapsed().as_secs_f64();
        Ok((said["readings"].as_f64().context("no readings")?, seconds))
    }
}

/// A minute of everybody, with an effort now and then.
fn block_of(from: i64) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for begin in (0..BLOCK_S).step_by(usize::try_from(MESSAGE_S)?) {
        for number in 0..SQUAD {
            let sent = Timestamp((from + begin + MESSAGE_S) * 1_000_000 + number * 1_000);
            let readings = (begin..begin + MESSAGE_S).map(|second| {
                let at = from + second;
                let effort = if (at / 900 + number) % 24 == 0 { 70 } else { 0 };
                let rate = 110 + (at * 7 + number * 13) % 17 + effort;
                Reading {
                    quantity: Quantity::HEART_RATE,
                    unit: Quantity::HEART_RATE.unit(),
                    device_time: Timestamp(at * 1_000_000),
                    gateway_time: sent,
                    quality: Quality::empty(),
                    value: Value::Number(Decimal::integer(rate)),
                }
            });
            entries.push(Entry {
                device: DeviceId::parse(&format!("strap-{number}"))?,
                athlete: Some(AthleteId::parse(&format!("athlete-{number}"))?),
                assurance: Assurance::Noise,
                epoch: Epoch(1),
                seq: Seq(u64::try_from((from + begin) / MESSAGE_S)?),
                readings: readings.collect(),
            });
        }
    }
    Ok(entries)
}
