SELECT name, manifest, script, cases, readme, rule_hash, text_hash FROM rule_texts ORDER BY name, text_hash
