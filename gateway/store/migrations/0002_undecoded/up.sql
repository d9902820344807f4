-- Vendor payloads whose decoder could not be asked: acknowledged, kept whole, decoded later.
CREATE TABLE undecoded (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived_at  INTEGER NOT NULL,
    device      TEXT NOT NULL,
    bytes       INTEGER NOT NULL, -- of the payload
    sealed_body BLOB NOT NULL
) STRICT;

-- The last alert step in the block or in one before it: what the block's receipts speak for. Blocks from before this
-- column do not say, so nothing is deleted by them.
ALTER TABLE blocks ADD COLUMN alerts_up_to INTEGER NOT NULL DEFAULT 0;
-- What is not proven yet.
CREATE INDEX blocks_below_r3 ON blocks (incarnation, block_index) WHERE level < 3;
