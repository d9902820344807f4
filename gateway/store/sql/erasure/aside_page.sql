SELECT id, newest, entries, sealed_body FROM journal_damaged WHERE id > ?1 ORDER BY id LIMIT 64
