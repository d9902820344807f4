//! Where this box's part of the chain begins: at the gateway's very first block, or, after a restore, where the ledger's
//! knowledge of it ends. And where it goes on if its end was lost here.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use crate::blocks::BlockKey;
use crate::error::StoreError;
use crate::sql;
use crate::tables::Tables;

const CHAIN: &str = "store/chain";
/// Where the chain went on after its end was lost here; a chain that began here, or was restored, has its beginning under [`CHAIN`].
const BEYOND: &str = "store/chain-beyond";

/// A block of the chain that is not on this box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its incarnation.
    pub incarnation: u64,
    /// Its index.
    pub index: u64,
    /// Hash of its header.
    pub hash: [u8; 32],
}

/// Where the chain of a restored box begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainStart {
    /// Restored, and nothing sealed yet: the ledger must say first where the chain goes on.
    Waiting {
        /// The last block the backup knew.
        known: Option<Anchor>,
        /// The last block the backup knew to be in the ledger.
        receipted: Option<Anchor>,
    },
    /// Settled: the first block follows `after` (the gateway's very first one if none) under this incarnation.
    After {
        /// Of the first block sealed here, and of all later ones.
        incarnation: u64,
        /// The block before it.
        after: Option<Anchor>,
    },
}

impl ChainStart {
    /// The block before the first one sealed here.
    pub const fn anchor(&self) -> Option<Anchor> {
        match self {
            Self::Waiting { .. } => None,
            Self::After { after, .. } => *after,
        }
    }
}

/// A block of which the ledger gave a receipt that lies here, while the chain here ends before it. Rows of blocks are never deleted: its
/// end was cut off, or an older copy of the table put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostEnd {
    /// The block.
    pub key: BlockKey,
    /// Its highest receipt.
    pub receipt: Vec<u8>,
    /// The ledger has said where the chain goes on.
    pub settled: bool,
}

/// Where a chain whose end was lost here goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// Of the next block, and of all later ones.
    pub incarnation: u64,
    /// The ledger's last block.
    pub after: Anchor,
}

/// The ends of the chain as a backup records them: the last block, and the last one known to be in the ledger.
pub(crate) fn ends(connection: &Connection) -> Result<(Option<Anchor>, Option<Anchor>), StoreError> {
    let anchor = |row: &Row<'_>| {
        Ok(Anchor {
            incarnation: row.get::<_, i64>(0)?.cast_unsigned(),
            index: row.get::<_, i64>(1)?.cast_unsigned(),
            hash: row.get(2)?,
        })
    };
    let last = connection.prepare_cached(sql!("blocks/last"))?.query_row([], anchor).optional()?;
    let receipted = connection.prepare_cached(sql!("chain/receipted"))?.query_row([], anchor).optional()?;
    // A box that was itself restored and has sealed nothing since knows what its own backup knew.
    Ok(match start(connection)? {
        Some(ChainStart::Waiting { known, receipted: before }) => (last.or(known), receipted.or(before)),
        // Whatever a settled chain began after, the ledger itself had named.
        Some(ChainStart::After { incarnation, after }) => {
            let began = after.map(|after| Anchor { incarnation, ..after });
            // What was brought back from before the restore is not what was sealed since.
            let since = |anchor: &Anchor| anchor.incarnation >= incarnation;
            (last.filter(since).or(began), receipted.filter(since).or(after))
        }
        None => (last, receipted),
    })
}

pub(crate) fn start(connection: &Connection) -> Result<Option<ChainStart>, StoreError> {
    let value: Option<Vec<u8>> =
        connection.prepare_cached(sql!("meta/get"))?.query_row([CHAIN], |row| row.get(0)).optional()?;
    let damaged = |_| StoreError::Damaged { table: "meta", row: CHAIN.to_owned() };
    value.map(|bytes| postcard::from_bytes(&bytes).map_err(damaged)).transpose()
}

fn beyond(connection: &Connection) -> Result<Option<Beyond>, StoreError> {
    let value: Option<Vec<u8>> =
        connection.prepare_cached(sql!("meta/get"))?.query_row([BEYOND], |row| row.get(0)).optional()?;
    let damaged = |_| StoreError::Damaged { table: "meta", row: BEYOND.to_owned() };
    value.map(|bytes| postcard::from_bytes(&bytes).map_err(damaged)).transpose()
}

fn key(row: &Row<'_>) -> rusqlite::Result<BlockKey> {
    Ok(BlockKey { incarnation: row.get::<_, i64>(0)?.cast_unsigned(), index: row.get::<_, i64>(1)?.cast_unsigned() })
}

fn lost_end(connection: &Connection) -> Result<Option<LostEnd>, StoreError> {
    // First: of a block that is sealed and receipted while we look there is a row by then.
    let newest = connection
        .prepare_cached(sql!("chain/newest_receipt"))?
        .query_row([], |row| Ok((key(row)?, row.get::<_, Vec<u8>>(2)?)))
        .optional()?;
    let Some((receipted, receipt)) = newest else { return Ok(None) };
    let last = connection.prepare_cached(sql!("blocks/last"))?.query_row([], key).optional()?;
    if last.is_some_and(|last| last >= receipted) {
        return Ok(None);
    }
    let settled = beyond(connection)?.is_some_and(|beyond| beyond.incarnation > receipted.incarnation);
    Ok(Some(LostEnd { key: receipted, receipt, settled }))
}

impl Tables {
    /// What the ledger knows of this chain by the receipts that lie here, and what is not here any more.
    pub fn lost_end(&self) -> Result<Option<LostEnd>, StoreError> {
        self.read(lost_end)
    }

    /// Where the chain went on the last time its end was lost here.
    pub fn went_on_beyond(&self) -> Result<Option<Beyond>, StoreError> {
        self.read(beyond)
    }

    /// Sets where the chain goes on whose end was lost here. Refused of one that is whole, before the block that was lost, and under its
    /// incarnation.
    pub fn go_on_beyond(&self, to: Beyond) -> Result<(), StoreError> {
        let bytes = postcard::to_stdvec(&to).map_err(|error| StoreError::Database(error.to_string()))?;
        self.write(move |connection| {
            let refuse = |why: String| Err(StoreError::Conflict(why));
            let Some(LostEnd { key, .. }) = lost_end(connection)? else {
                return refuse("the chain is whole, and goes on after its last block".to_owned());
            };
            if to.after.index < key.index || to.incarnation <= key.incarnation {
                return refuse(format!("the chain does not go on before block {key}, of which there is a receipt"));
            }
            connection.prepare_cached(sql!("meta/put"))?.execute(params![BEYOND, bytes])?;
            Ok(())
        })
    }

    /// Where the chain begins, if this box was restored.
    pub fn chain_start(&self) -> Result<Option<ChainStart>, StoreError> {
        self.read(start)
    }

    /// Sets where the chain begins. Refused once a block is sealed, and once it is settled otherwise: a chain goes on in
    /// one way only.
    pub fn set_chain_start(&self, to: ChainStart) -> Result<(), StoreError> {
        let bytes = postcard::to_stdvec(&to).map_err(|error| StoreError::Database(error.to_string()))?;
        self.write(move |connection| {
            let sealed = connection.prepare_cached(sql!("blocks/last"))?.exists([])?;
            let settled = matches!(start(connection)?, Some(settled @ ChainStart::After { .. }) if settled != to);
            if sealed || settled {
                return Err(StoreError::Conflict("it is settled already where this box's chain begins".to_owned()));
            }
            connection.prepare_cached(sql!("meta/put"))?.execute(params![CHAIN, bytes])?;
            Ok(())
        })
    }

    /// Key and previous hash of the next block; none while a restored box, or one that lost the end of its chain, waits for the ledger's
    /// answer.
    pub fn next_block(&self) -> Result<Option<(BlockKey, [u8; 32])>, StoreError> {
        if let Some(lost) = self.lost_end()? {
            // After the last block that is left here the ledger has another one already.
            let beyond = if lost.settled { self.went_on_beyond()? } else { None };
            return Ok(beyond.map(|Beyond { incarnation, after }| {
                (BlockKey { incarnation, index: after.index.saturating_add(1) }, after.hash)
            }));
        }
        let start = self.chain_start()?;
        // Blocks from before the restore may have been brought back: what is sealed here is of a later incarnation.
        let own = match start {
            Some(ChainStart::After { incarnation, .. }) => incarnation,
            Some(ChainStart::Waiting { .. }) | None => 0,
        };
        if let Some(last) = self.last_block()?.filter(|last| last.key.incarnation >= own) {
            let key = BlockKey { index: last.key.index.saturating_add(1), ..last.key };
            return Ok(Some((key, last.hash)));
        }
        Ok(match start {
            None => Some((BlockKey { incarnation: 0, index: 0 }, [0; 32])),
            Some(ChainStart::Waiting { .. }) => None,
            Some(ChainStart::After { incarnation, after }) => {
                let index = after.map_or(0, |after| after.index.saturating_add(1));
                Some((BlockKey { incarnation, index }, after.map_or([0; 32], |after| after.hash)))
            }
        })
    }
}
