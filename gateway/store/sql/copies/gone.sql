DELETE FROM key_copies WHERE name = ?1 AND state = 2
