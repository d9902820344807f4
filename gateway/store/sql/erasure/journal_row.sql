SELECT newest, entries, sealed_body FROM journal WHERE id = ?1
