SELECT id, recorded_at, alert, kind, level FROM delivery_steps WHERE id > ?2 ORDER BY id LIMIT ?1
