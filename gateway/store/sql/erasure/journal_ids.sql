SELECT id FROM journal ORDER BY id
