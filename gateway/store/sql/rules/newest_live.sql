-- What is only watched is left out.
SELECT name, number, text_hash, label, author, note, published_at, shadow, set_hash, leaf_hash FROM rule_versions WHERE name = ?1 AND shadow = 0 ORDER BY number DESC LIMIT 1
