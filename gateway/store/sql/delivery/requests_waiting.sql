SELECT id, recorded_at, alert, kind, level, number FROM delivery_requests INDEXED BY delivery_requests_waiting JOIN delivery_steps ON id = step
WHERE name = ?2 AND came = 0 ORDER BY step, number LIMIT ?1
