SELECT id, recorded_at, alert, kind, level FROM delivery_steps WHERE id IN (SELECT step FROM delivery_held WHERE name = ?2) ORDER BY id LIMIT ?1
