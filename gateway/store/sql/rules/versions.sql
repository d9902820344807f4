SELECT name, number, text_hash, label, author, note, published_at, shadow, set_hash, leaf_hash FROM rule_versions WHERE ?1 IS NULL OR name = ?1 ORDER BY name, number LIMIT ?2
