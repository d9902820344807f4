SELECT id, recorded_at, alert, kind, level, why FROM delivery_kept JOIN delivery_steps ON id = step WHERE name = ?2 ORDER BY id LIMIT ?1
