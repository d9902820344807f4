SELECT id, recorded_at, alert, kind, level, name, number, came, unasked, at FROM delivery_requests JOIN delivery_steps ON id = step
WHERE alert = ?1 ORDER BY at, id, name, number LIMIT ?2
