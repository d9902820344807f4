INSERT INTO delivery_requests (name, step, number, came, at, target, unasked) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (name, step, number) DO UPDATE SET came = excluded.came, at = excluded.at, target = coalesce(excluded.target, target), unasked = excluded.unasked
