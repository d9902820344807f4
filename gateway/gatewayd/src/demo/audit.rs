//! What was acknowledged against what is sealed: every block is opened and its readings counted.

use std::collections::BTreeMap;

use anyhow::Context as _;
use ledger_block::SignedHeader;
use pitchside_config::Settings;
use pitchside_model::{Quantity, Value};
use pitchside_seal::{Filter, open};
use pitchside_store::{Level, Store};

use crate::adapters::athletes::load_ring;
use crate::identity::Identity;

const PAGE: u32 = 64;

/// What the blocks hold.
#[derive(Debug, Default)]
pub struct Sealed {
    /// Readings of each device, without what the gateway noticed itself (gaps, clock offsets).
    pub readings: BTreeMap<String, u64>,
    /// Receipt level of each block.
    pub levels: Vec<Level>,
}

/// Opens every block.
pub fn sealed(store: &Store, settings: &Settings) -> anyhow::Result<Sealed> {
    let ring = load_ring(store, &Identity::load(&settings.gateway.key_dir)?)?;
    let mut sealed = Sealed::default();
    let mut after = None;
    loop {
        let rows = store.blocks_after(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(sealed) };
        after = Some(last.key);
        for row in &rows {
            sealed.levels.push(row.level);
            let payload = store.payload(row.key)?.with_context(|| format!("block {} has no payload", row.key))?;
            let header = SignedHeader::verify(&row.header)?;
            for entry in open(&header, &payload, &ring, &Filter::default())?.entries() {
                let own = |reading: &&pitchside_model::Reading| {
                    !matches!(reading.value, Value::Gap(_)) && reading.quantity != Quantity::CLOCK_OFFSET
                };
                let count = entry.readings.iter().filter(own).count() as u64;
                *sealed.readings.entry(entry.device.to_string()).or_default() += count;
            }
        }
    }
}
