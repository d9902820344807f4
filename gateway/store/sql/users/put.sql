INSERT INTO users (name, role, password_hash, added_at, disabled_at) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name) DO UPDATE SET role = excluded.role, password_hash = excluded.password_hash, disabled_at = excluded.disabled_at
