INSERT INTO delivery_requests (name, step, number, came, at, target, unasked)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM delivery_steps WHERE id = ?2)
ON CONFLICT (name, step, number) DO UPDATE SET came = excluded.came, at = excluded.at, target = coalesce(excluded.target, target), unasked = excluded.unasked
