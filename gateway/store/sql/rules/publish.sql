INSERT INTO rule_versions (name, number, text_hash, label, author, note, published_at, shadow, set_hash, leaf_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
