SELECT incarnation, block_index, hash, sealed_at, rows_up_to, readings, payload_bytes, level, header FROM blocks
WHERE level >= 1 ORDER BY incarnation DESC, block_index DESC LIMIT 1
