SELECT payload FROM block_payloads WHERE incarnation = ?1 AND block_index = ?2
