SELECT newest, entries, sealed_body FROM journal_damaged WHERE id = ?1
