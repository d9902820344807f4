INSERT INTO rule_changes (at, set_hash, rules, engine) VALUES (?1, ?2, ?3, ?4)
