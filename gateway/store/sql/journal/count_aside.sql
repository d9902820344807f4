SELECT count(*) FROM journal_damaged
