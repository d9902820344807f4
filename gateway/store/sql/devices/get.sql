SELECT id, class, secret, decoder, filters, enrolled_at, revoked_at FROM devices WHERE id = ?1
