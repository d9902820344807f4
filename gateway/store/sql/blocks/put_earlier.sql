-- No row of this box's journal, and no step of its alerts, is in it.
INSERT INTO blocks (incarnation, block_index, hash, sealed_at, rows_up_to, readings, payload_bytes, level, header)
VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?8, ?7)
