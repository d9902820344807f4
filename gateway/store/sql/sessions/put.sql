INSERT INTO device_sessions (id, device, ceiling, body) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET device = excluded.device, ceiling = excluded.ceiling, body = excluded.body
