//! Sealed blocks on their way to the ledger: headers, payloads, receipts.

use pitchside_model::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::alerts::AlertStepId;
use crate::error::StoreError;
use crate::journal::{RowId, sealed_up_to};
use crate::marks::Marks;
use crate::sql;
use crate::tables::Tables;

/// The most bytes a payload may have: sixteen times what closes a block.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// The most bytes a header or receipt may have.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// The most rows one call lists.
pub const ROWS_MAX: u32 = 1_000;

/// Which block of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey {
    /// Rises when the gateway was restored from a backup.
    pub incarnation: u64,
    /// Rises by one a block.
    pub index: u64,
}

impl std::fmt::Display for BlockKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.index)
    }
}

/// How far a block's receipts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Durable on the gateway: every block in the table.
    R0 = 0,
    /// Sequenced by the ledger.
    R1 = 1,
    /// In a published, signed checkpoint, with inclusion proof.
    R2 = 2,
    /// Cosigned by the quorum, and the payload read back from the store.
    R3 = 3,
}

impl Level {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::R0,
            1 => Self::R1,
            2 => Self::R2,
            3 => Self::R3,
            _ => return None,
        })
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "R{}", *self as u8)
    }
}

/// A block as it was just sealed.
#[derive(Debug, Clone)]
pub struct NewBlock {
    /// Which.
    pub key: BlockKey,
    /// Hash of the header, as the next block names it.
    pub hash: [u8; 32],
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The signed header.
    pub header: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
    /// How many readings are in it.
    pub readings: u64,
    /// The last journal row in it; the row of the block before if it holds only alerts.
    pub rows_up_to: RowId,
    /// The last alert step in it, if any.
    pub alerts_up_to: Option<AlertStepId>,
}

/// A block as it is stored, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// Which.
    pub key: BlockKey,
    /// Hash of the header.
    pub hash: [u8; 32],
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The last journal row in it.
    pub rows_up_to: RowId,
    /// How many readings are in it.
    pub readings: u64,
    /// Size of its payload.
    pub payload_bytes: u64,
    /// The highest receipt it has.
    pub level: Level,
    /// The signed header.
    pub header: Vec<u8>,
}

/// What is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Blocks without R1.
    pub blocks: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// When the oldest of them was sealed.
    pub oldest: Option<Timestamp>,
}

pub(crate) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what: "a block number", size: value, max: i64::MAX as u64 })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<BlockRow, StoreError>> {
    let key =
        BlockKey { incarnation: row.get::<_, i64>(0)?.cast_unsigned(), index: row.get::<_, i64>(1)?.cast_unsigned() };
    let Some(level) = Level::from_code(row.get(7)?) else {
        return Ok(Err(StoreError::Damaged { table: "blocks", row: key.to_string() }));
    };
    Ok(Ok(BlockRow {
        key,
        hash: row.get(2)?,
        sealed_at: Timestamp(row.get(3)?),
        rows_up_to: RowId(row.get(4)?),
        readings: row.get::<_, i64>(5)?.cast_unsigned(),
        payload_bytes: row.get::<_, i64>(6)?.cast_unsigned(),
        level,
        header: row.get(8)?,
    }))
}

fn one(
    connection: &Connection,
    statement: &str,
    params: impl rusqlite::Params,
) -> Result<Option<BlockRow>, StoreError> {
    connection.prepare_cached(statement)?.query_row(params, read).optional()?.transpose()
}

fn many(connection: &Connection, statement: &str, params: impl rusqlite::Params) -> Result<Vec<BlockRow>, StoreError> {
    let mut statement = connection.prepare_cached(statement)?;
    let rows = statement.query_map(params, read)?;
    rows.map(|row| row.map_err(StoreError::from).and_then(|row| row)).collect()
}

pub(crate) fn limit(what: &'static str, size: usize, max: usize) -> Result<(), StoreError> {
    if size > max {
        return Err(StoreError::TooLarge { what, size: size as u64, max: max as u64 });
    }
    Ok(())
}

/// A block follows the one before it, and begins with the row after it.
fn follows(block: &NewBlock, last: Option<&BlockRow>, sealed: RowId) -> Result<(), StoreError> {
    let refuse = |text: String| Err(StoreError::Conflict(text));
    if let Some(last) = last {
        let next = BlockKey { index: last.key.index.saturating_add(1), ..last.key };
        let restored = block.key.incarnation > last.key.incarnation && block.key.index > last.key.index;
        if block.key != next && !restored {
            return refuse(format!("block {} does not follow block {}", block.key, last.key));
        }
    }
    if block.rows_up_to < sealed {
        return refuse(format!(
            "block {} ends at journal row {}, but row {} is sealed already",
            block.key, block.rows_up_to.0, sealed.0
        ));
    }
    Ok(())
}

fn put(connection: &Connection, block: &NewBlock) -> Result<(), StoreError> {
    follows(block, one(connection, sql!("blocks/last"), [])?.as_ref(), sealed_up_to(connection)?)?;
    let (incarnation, index) = (number(block.key.incarnation)?, number(block.key.index)?);
    let alerts = block.alerts_up_to.map_or(0, |step| step.0);
    connection.prepare_cached(sql!("blocks/put"))?.execute(params![
        incarnation,
        index,
        block.hash.as_slice(),
        block.sealed_at.0,
        block.rows_up_to.0,
        number(block.readings)?,
        block.payload.len() as i64,
        block.header,
        alerts
    ])?;
    connection.prepare_cached(sql!("blocks/put_payload"))?.execute(params![incarnation, index, block.payload])?;
    connection.prepare_cached(sql!("journal/seal"))?.execute(params![block.rows_up_to.0, alerts])?;
    Ok(())
}

impl Tables {
    /// Stores a block, its payload, its marks, and how far the journal is sealed now: all or nothing. It is then in
    /// the outbox. `marks` are those of all rows after the block before, up to `rows_up_to`.
    pub fn put_block(&self, block: NewBlock, marks: Marks) -> Result<(), StoreError> {
        self.put_blocks(vec![block], marks, &[])
    }

    /// As [`Tables::put_block`], for a row that took several blocks: all of them, or none. Rows that hold something no
    /// block can are kept as they are in `journal_damaged` as well (`aside`).
    pub fn put_blocks(&self, blocks: Vec<NewBlock>, marks: Marks, aside: &[RowId]) -> Result<(), StoreError> {
        for block in &blocks {
            limit("a payload", block.payload.len(), PAYLOAD_BYTES_MAX)?;
            limit("a header", block.header.len(), HEADER_BYTES_MAX)?;
            number(block.key.incarnation)?;
            number(block.key.index)?;
            number(block.readings)?;
        }
        let aside = aside.to_vec();
        self.write(move |connection| {
            for row in &aside {
                connection.prepare_cached(sql!("journal/set_aside"))?.execute([row.0])?;
            }
            blocks.iter().try_for_each(|block| put(connection, block))?;
            let Some(last) = blocks.last() else { return Ok(()) };
            marks.store(connection, last.rows_up_to.0)
        })
    }

    /// The block sealed last.
    pub fn last_block(&self) -> Result<Option<BlockRow>, StoreError> {
        self.read(|connection| one(connection, sql!("blocks/last"), []))
    }

    /// One block.
    pub fn block(&self, key: BlockKey) -> Result<Option<BlockRow>, StoreError> {
        let (incarnation, index) = (number(key.incarnation)?, number(key.index)?);
        self.read(|connection| one(connection, sql!("blocks/get"), params![incarnation, index]))
    }

    /// The block with this header hash.
    pub fn block_by_hash(&self, hash: &[u8; 32]) -> Result<Option<BlockRow>, StoreError> {
        self.read(|connection| one(connection, sql!("blocks/by_hash"), [hash.as_slice()]))
    }

    /// Blocks after `after`, in the order of the chain, at most [`ROWS_MAX`].
    pub fn blocks_after(&self, after: Option<BlockKey>, rows: u32) -> Result<Vec<BlockRow>, StoreError> {
        let (incarnation, index) = match after {
            Some(key) => (number(key.incarnation)?, number(key.index)?),
            None => (-1, -1),
        };
        self.read(|connection| many(connection, sql!("blocks/after"), params![incarnation, index, rows.min(ROWS_MAX)]))
    }

    /// Blocks before `before`, newest first, at most [`ROWS_MAX`].
    pub fn blocks_before(&self, before: Option<BlockKey>, rows: u32) -> Result<Vec<BlockRow>, StoreError> {
        let (incarnation, index) = match before {
            Some(key) => (number(key.incarnation)?, number(key.index)?),
            None => (i64::MAX, i64::MAX),
        };
        self.read(|connection| many(connection, sql!("blocks/before"), params![incarnation, index, rows.min(ROWS_MAX)]))
    }

    /// A block's payload, unless retention has let it go.
    pub fn payload(&self, key: BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        let (incarnation, index) = (number(key.incarnation)?, number(key.index)?);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("blocks/payload"))?;
            Ok(statement.query_row(params![incarnation, index], |row| row.get(0)).optional()?)
        })
    }

    /// The oldest block without R1: what the outbox sends next.
    pub fn next_unsent(&self) -> Result<Option<BlockRow>, StoreError> {
        self.read(|connection| one(connection, sql!("blocks/next_unsent"), []))
    }

    /// Blocks at exactly this receipt level, in the order of the chain, at most [`ROWS_MAX`]: those that wait for the
    /// next one.
    pub fn blocks_at(&self, level: Level, rows: u32) -> Result<Vec<BlockRow>, StoreError> {
        self.read(|connection| many(connection, sql!("blocks/at_level"), params![level as u8, rows.min(ROWS_MAX)]))
    }

    /// What is still to be sent.
    pub fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("blocks/backlog"))?;
            Ok(statement.query_row([], |row| {
                Ok(Backlog {
                    blocks: row.get::<_, i64>(0)?.cast_unsigned(),
                    bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                    oldest: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                })
            })?)
        })
    }

    /// Stores a receipt of level R1 to R3 (its bytes as the ledger gave them). The same level again replaces the
    /// bytes: a later proof of the same thing. A block's level never falls.
    pub fn set_receipt(&self, key: BlockKey, level: Level, receipt: &[u8], now: Timestamp) -> Result<(), StoreError> {
        if level == Level::R0 {
            return Err(StoreError::Conflict("R0 is the row itself, not a receipt of the ledger".to_owned()));
        }
        limit("a receipt", receipt.len(), HEADER_BYTES_MAX)?;
        let (incarnation, index) = (number(key.incarnation)?, number(key.index)?);
        let receipt = receipt.to_vec();
        self.write(move |connection| {
            let raised = connection.prepare_cached(sql!("blocks/raise_level"))?.execute(params![
                incarnation,
                index,
                level as u8
            ])?;
            if raised == 0 {
                return Err(StoreError::Unknown { what: "block", name: key.to_string() });
            }
            connection.prepare_cached(sql!("blocks/put_receipt"))?.execute(params![
                incarnation,
                index,
                level as u8,
                now.0,
                receipt
            ])?;
            Ok(())
        })
    }

    /// A block's receipt of that level.
    pub fn receipt(&self, key: BlockKey, level: Level) -> Result<Option<Vec<u8>>, StoreError> {
        let (incarnation, index) = (number(key.incarnation)?, number(key.index)?);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("blocks/receipt"))?;
            Ok(statement.query_row(params![incarnation, index, level as u8], |row| row.get(0)).optional()?)
        })
    }

    /// Deletes the payloads of blocks sealed before `before` that have R3, at most [`ROWS_MAX`] at a time; returns how
    /// many went. Headers and receipts stay. Nothing below R3 is ever deleted.
    pub fn prune_payloads(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            Ok(connection.prepare_cached(sql!("blocks/prune_payloads"))?.execute(params![before.0, ROWS_MAX])? as u64)
        })
    }
}
