INSERT INTO delivery_requests (name, step, number, came, at) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name, step, number) DO UPDATE SET came = excluded.came, at = excluded.at
