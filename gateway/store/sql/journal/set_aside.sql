INSERT OR REPLACE INTO journal_damaged (id, newest, entries, sealed_body) SELECT id, newest, entries, sealed_body FROM journal WHERE id = ?1
