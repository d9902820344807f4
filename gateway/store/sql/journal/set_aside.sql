INSERT OR REPLACE INTO journal_damaged SELECT id, newest, entries, sealed_body FROM journal WHERE id = ?1
