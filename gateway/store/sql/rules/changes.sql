SELECT at, set_hash, rules, engine FROM rule_changes ORDER BY id
