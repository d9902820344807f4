SELECT id FROM journal_damaged ORDER BY id
