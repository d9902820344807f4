SELECT name, role, password_hash, added_at, disabled_at FROM users ORDER BY name
