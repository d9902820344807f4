SELECT id, recorded_at, alert, kind, level, number FROM delivery_requests JOIN delivery_steps ON id = step
WHERE name = ?2 AND came = 0 ORDER BY id, number LIMIT ?1
