INSERT INTO receipts (incarnation, block_index, level, received_at, receipt) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (incarnation, block_index, level) DO UPDATE SET received_at = excluded.received_at, receipt = excluded.receipt
