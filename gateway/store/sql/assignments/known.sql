SELECT EXISTS (SELECT 1 FROM devices WHERE id = ?1), EXISTS (SELECT 1 FROM athletes WHERE id = ?2 AND erased_at IS NULL),
    EXISTS (SELECT 1 FROM devices WHERE id = ?1 AND revoked_at IS NOT NULL)
