SELECT receipt FROM receipts WHERE incarnation = ?1 AND block_index = ?2 AND level = ?3
