-- The last of at most 256 rows, oldest first, up to ?3, that are sealed and older than ?1: everything before the first row that
-- is young (but not from after ?2, which no honest clock says) or not sealed.
SELECT max(id) FROM (
    SELECT id FROM journal
    WHERE id <= min(?3, (SELECT sealed_up_to FROM journal_state))
      AND id < coalesce((SELECT id FROM journal WHERE newest BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1), 9223372036854775807)
    ORDER BY id LIMIT 256
)
