INSERT INTO blocks (incarnation, block_index, hash, sealed_at, rows_up_to, readings, payload_bytes, header)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
