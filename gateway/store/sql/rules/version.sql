SELECT name, number, text_hash, label, author, note, published_at, shadow, set_hash, leaf_hash FROM rule_versions WHERE name = ?1 AND number = ?2
