//! What a clinic has stored, raised and sealed, read by a handle beside the gateway's, as commands read it.

use std::path::PathBuf;

use gatewayd::adapters::athletes::load_ring;
use gatewayd::identity::Identity;
use ledger_block::SignedHeader;
use pitchside_model::{Alert, AlertEvent, Entry, GapReason, Quantity, Reading, Value};
use pitchside_seal::{Filter, OpenBlock, open};
use pitchside_store::{AlertRow, BlockRow, Level, RowId, Tables};

use crate::patience::until;

/// The database and the keys to read it.
pub struct Stored {
    tables: Tables,
    keys: PathBuf,
}

impl Stored {
    pub(crate) const fn new(tables: Tables, keys: PathBuf) -> Self {
        Self { tables, keys }
    }

    /// The database.
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Every entry there is, once for each time it is stored: the sealed ones by opening every block, the others from
    /// the journal.
    pub fn entries(&self) -> Vec<Entry> {
        // What is sealed while we read stays in the journal for a while: one moment decides where each entry is counted.
        let mut after = self.tables.sealed_up_to().expect("the database answers");
        let sealed = self.opened_up_to(after);
        let mut entries: Vec<Entry> = sealed.iter().flat_map(OpenBlock::entries).collect();
        loop {
            let rows = self.tables.journal_since(after, 8 << 20).expect("the database answers");
            let Some(last) = rows.last() else { return entries };
            after = last.id;
            entries.extend(rows.into_iter().flat_map(|row| row.entries));
        }
    }

    /// Every block, opened.
    pub fn opened(&self) -> Vec<OpenBlock> {
        self.opened_up_to(RowId(i64::MAX))
    }

    fn opened_up_to(&self, last: RowId) -> Vec<OpenBlock> {
        let ring =
            load_ring(&self.tables, &Identity::load(&self.keys).expect("the box's keys")).expect("athletes' keys");
        let open_one = |row: BlockRow| {
            let payload = self.tables.payload(row.key).expect("the database answers").expect("a payload");
            let header = SignedHeader::verify(&row.header).expect("the header's signature");
            open(&header, &payload, &ring, &Filter::default()).expect("the block opens")
        };
        self.blocks().into_iter().filter(|block| block.rows_up_to <= last).map(open_one).collect()
    }

    /// What a device said, as it is stored, in the order of its messages: readings without what the gateway noticed.
    pub fn readings(&self, device: &str) -> Vec<Reading> {
        let mut entries = self.entries();
        entries.retain(|entry| entry.device.as_str() == device);
        entries.sort_by_key(|entry| (entry.epoch, entry.seq));
        let own =
            |reading: &Reading| !matches!(reading.value, Value::Gap(_)) && reading.quantity != Quantity::CLOCK_OFFSET;
        entries.into_iter().flat_map(|entry| entry.readings).filter(own).collect()
    }

    /// The same in words, e.g. `heart_rate 72`.
    pub fn values(&self, device: &str) -> Vec<String> {
        let word = |reading: Reading| match reading.value {
            Value::Number(number) => format!("{} {number}", reading.quantity),
            Value::Wave(wave) => format!("{} of {} samples", reading.quantity, wave.samples.len()),
            Value::Gap(gap) => format!("{} {:?}", reading.quantity, gap.reason),
        };
        self.readings(device).into_iter().map(word).collect()
    }

    /// Why values of a device are missing, as it is stored.
    pub fn gaps(&self, device: &str) -> Vec<GapReason> {
        let of_device = self.entries().into_iter().filter(|entry| entry.device.as_str() == device);
        let reason = |reading: Reading| if let Value::Gap(gap) = reading.value { Some(gap.reason) } else { None };
        of_device.flat_map(|entry| entry.readings).filter_map(reason).collect()
    }

    /// Alerts, the oldest first.
    pub fn alerts(&self) -> Vec<AlertRow> {
        let mut rows = self.tables.alerts(1_000).expect("the database answers");
        rows.reverse();
        rows
    }

    /// Waits until so many alerts are recorded.
    pub async fn alerted(&self, count: usize) -> Vec<AlertRow> {
        until(&format!("{count} alerts"), || Some(self.alerts()).filter(|alerts| alerts.len() >= count)).await
    }

    /// Alerts in blocks: those raised.
    pub fn sealed_alerts(&self) -> Vec<Alert> {
        let events = self.opened().into_iter().flat_map(|opened| opened.alerts());
        events.filter_map(|event| if let AlertEvent::Raised(alert) = event { Some(alert) } else { None }).collect()
    }

    /// Every alert there is, once for each time it is stored: in blocks, and not yet sealed.
    pub fn recorded_alerts(&self) -> Vec<Alert> {
        let mut alerts = self.sealed_alerts();
        let steps = self.tables.unsealed_alerts(1_000).expect("the database answers");
        alerts.extend(steps.into_iter().filter_map(|step| match step.event {
            AlertEvent::Raised(alert) => Some(alert),
            AlertEvent::Cleared { .. } => None,
        }));
        alerts
    }

    /// The blocks, in the order of the chain.
    pub fn blocks(&self) -> Vec<BlockRow> {
        let mut blocks: Vec<BlockRow> = Vec::new();
        loop {
            let after = blocks.last().map(|block| block.key);
            let rows = self.tables.blocks_after(after, 256).expect("the database answers");
            if rows.is_empty() {
                return blocks;
            }
            blocks.extend(rows);
        }
    }

    /// Waits until every block has receipt R2.
    pub async fn synced(&self) -> Vec<BlockRow> {
        let all = || Some(self.blocks()).filter(|blocks| blocks.iter().all(|block| block.level >= Level::R2));
        until("receipt R2 of every block", all).await
    }

    /// Rows in the journal.
    pub fn journal_rows(&self) -> usize {
        self.tables.journal_since(RowId(0), 64 << 20).expect("the database answers").len()
    }
}
