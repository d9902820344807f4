SELECT id, newest, entries, sealed_body FROM journal WHERE id > ?1 AND newest >= ?2 ORDER BY id
