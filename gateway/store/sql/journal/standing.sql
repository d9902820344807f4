-- The largest id ever given out, and the time of the newest row.
SELECT max(used_up_to, sealed_up_to, coalesce((SELECT max(id) FROM journal), 0)),
       coalesce((SELECT newest FROM journal ORDER BY id DESC LIMIT 1), 0)
FROM journal_state
