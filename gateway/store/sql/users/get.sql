SELECT name, role, password_hash, added_at, disabled_at FROM users WHERE name = ?1
