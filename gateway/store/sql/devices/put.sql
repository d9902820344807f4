INSERT INTO devices (id, class, secret, decoder, filters, enrolled_at, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (id) DO UPDATE SET class = excluded.class, secret = excluded.secret, decoder = excluded.decoder,
    filters = excluded.filters, enrolled_at = excluded.enrolled_at, revoked_at = excluded.revoked_at
