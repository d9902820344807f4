INSERT INTO block_payloads (incarnation, block_index, payload) VALUES (?1, ?2, ?3)
