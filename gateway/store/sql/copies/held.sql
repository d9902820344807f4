UPDATE key_copies SET state = 1 WHERE name = ?1 AND state = 0
