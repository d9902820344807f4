SELECT name, manifest, script, cases, readme, rule_hash, text_hash FROM rule_texts WHERE rule_hash = ?1 LIMIT 1
