INSERT INTO devices (id, class, secret, decoder, filters, enrolled_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO NOTHING
