//! Blocks of a restored box from before the restore: they are in the ledger alone until they are brought back, the newest first.

use pitchside_model::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::blocks::{BlockKey, HEADER_BYTES_MAX, Level, PAYLOAD_BYTES_MAX, limit, number};
use crate::chain::start;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

/// How far blocks from before the restore were brought back.
const BROUGHT_BACK: &str = "store/chain-brought-back";

/// The last of the blocks of a restored box that are not on it: number 0 to `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotHere {
    /// Its index.
    pub index: u64,
    /// Hash of its header: the first block that is here names it.
    pub hash: [u8; 32],
}

/// A block from before this box was restored, as the ledger gave it back.
#[derive(Debug, Clone)]
pub struct EarlierBlock {
    /// Which.
    pub key: BlockKey,
    /// Hash of the header.
    pub hash: [u8; 32],
    /// Hash of the header before it.
    pub previous: [u8; 32],
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The signed header.
    pub header: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
    /// How many readings the keys here open in it.
    pub readings: u64,
    /// Its receipt R2.
    pub receipt: Vec<u8>,
}

fn not_here(connection: &Connection) -> Result<Option<NotHere>, StoreError> {
    let Some(anchor) = start(connection)?.and_then(|start| start.anchor()) else { return Ok(None) };
    let value: Option<Vec<u8>> =
        connection.prepare_cached(sql!("meta/get"))?.query_row([BROUGHT_BACK], |row| row.get(0)).optional()?;
    let damaged = |_| StoreError::Damaged { table: "meta", row: BROUGHT_BACK.to_owned() };
    let brought: Option<Option<NotHere>> =
        value.map(|bytes| postcard::from_bytes(&bytes).map_err(damaged)).transpose()?;
    let all = Some(NotHere { index: anchor.index, hash: anchor.hash });
    Ok(brought.unwrap_or(all))
}

/// Notes that the block which was the last of those not here is here now.
fn brought_back(connection: &Connection, left: Option<NotHere>) -> Result<(), StoreError> {
    let bytes = postcard::to_stdvec(&left).map_err(|error| StoreError::Database(error.to_string()))?;
    connection.prepare_cached(sql!("meta/put"))?.execute(params![BROUGHT_BACK, bytes])?;
    Ok(())
}

impl Tables {
    /// The last block of a restored box's chain that is not here, and with it all before: none if all are, or as long as the ledger has not
    /// said where the chain goes on.
    pub fn not_here(&self) -> Result<Option<NotHere>, StoreError> {
        self.read(not_here)
    }

    /// Stores a block from before this box was restored: the last one that is not here, so that what is here has no holes. Journal and alerts of
    /// this box have no part in it.
    pub fn put_earlier_block(&self, block: EarlierBlock, now: Timestamp) -> Result<(), StoreError> {
        limit("a payload", block.payload.len(), PAYLOAD_BYTES_MAX)?;
        limit("a header", block.header.len(), HEADER_BYTES_MAX)?;
        limit("a receipt", block.receipt.len(), HEADER_BYTES_MAX)?;
        let (incarnation, index) = (number(block.key.incarnation)?, number(block.key.index)?);
        let readings = number(block.readings)?;
        self.write(move |connection| {
            let wanted = not_here(connection)?;
            if wanted != Some(NotHere { index: block.key.index, hash: block.hash }) {
                let why = format!("block {} is not the last of those that are not here", block.key);
                return Err(StoreError::Conflict(why));
            }
            connection.prepare_cached(sql!("blocks/put_earlier"))?.execute(params![
                incarnation,
                index,
                block.hash.as_slice(),
                block.sealed_at.0,
                readings,
                block.payload.len() as i64,
                block.header,
                Level::R2 as u8
            ])?;
            connection.prepare_cached(sql!("blocks/put_payload"))?.execute(params![
                incarnation,
                index,
                block.payload
            ])?;
            connection.prepare_cached(sql!("blocks/put_receipt"))?.execute(params![
                incarnation,
                index,
                Level::R2 as u8,
                now.0,
                block.receipt
            ])?;
            let left = block.key.index.checked_sub(1).map(|index| NotHere { index, hash: block.previous });
            brought_back(connection, left)
        })
    }
}
