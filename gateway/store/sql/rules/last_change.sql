SELECT set_hash, engine FROM rule_changes ORDER BY id DESC LIMIT 1
