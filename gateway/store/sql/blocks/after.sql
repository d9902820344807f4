SELECT incarnation, block_index, hash, sealed_at, rows_up_to, readings, payload_bytes, level, header FROM blocks
WHERE (incarnation, block_index) > (?1, ?2) ORDER BY incarnation, block_index LIMIT ?3
