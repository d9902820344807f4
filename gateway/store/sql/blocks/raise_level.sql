UPDATE blocks SET level = max(level, ?3) WHERE incarnation = ?1 AND block_index = ?2
