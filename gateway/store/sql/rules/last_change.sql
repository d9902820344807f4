SELECT set_hash FROM rule_changes ORDER BY id DESC LIMIT 1
