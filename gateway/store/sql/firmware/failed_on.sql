SELECT EXISTS (SELECT 1 FROM firmware_outcomes WHERE release = ?1 AND device = ?2 AND confirmed = 0)
