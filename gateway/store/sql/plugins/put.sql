INSERT INTO plugins (name, current, previous, candidate, payloads, until, differ, enabled, generation)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (name) DO UPDATE SET current = excluded.current, previous = excluded.previous, candidate = excluded.candidate,
    payloads = excluded.payloads, until = excluded.until, differ = excluded.differ, enabled = excluded.enabled,
    generation = excluded.generation
