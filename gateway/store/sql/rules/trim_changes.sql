DELETE FROM rule_changes WHERE id <= (SELECT max(id) FROM rule_changes) - ?1
