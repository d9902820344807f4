INSERT INTO blocks (incarnation, block_index, hash, sealed_at, rows_up_to, readings, payload_bytes, header, alerts_up_to)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT max(alerts_sealed_up_to, ?9) FROM journal_state))
