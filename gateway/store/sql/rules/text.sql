SELECT name, manifest, script, cases, readme, rule_hash, text_hash FROM rule_texts WHERE text_hash = ?1
