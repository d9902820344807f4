INSERT INTO rule_texts (text_hash, rule_hash, name, manifest, script, cases, readme) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (text_hash) DO NOTHING
