SELECT id, class, secret, decoder, filters, enrolled_at, revoked_at FROM devices ORDER BY id
