SELECT count(*), min(newest) FROM (SELECT newest FROM journal WHERE id > (SELECT sealed_up_to FROM journal_state) ORDER BY id LIMIT ?1)
