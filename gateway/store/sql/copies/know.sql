-- One the ledger may hold, by its name alone. Of an erased athlete it is to be deleted, whatever was known of it.
INSERT INTO key_copies (name, athlete, generation, body, state) VALUES (
    ?1, ?2, ?3, zeroblob(0), CASE WHEN EXISTS (SELECT 1 FROM athletes WHERE id = ?2 AND erased_at IS NOT NULL) THEN 2 ELSE 1 END
) ON CONFLICT (name) DO UPDATE SET state = 2, body = zeroblob(length(body)) WHERE excluded.state = 2
