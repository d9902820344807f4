SELECT count(*) FILTER (WHERE confirmed = 1), count(*) FILTER (WHERE confirmed = 0) FROM firmware_outcomes WHERE release = ?1 AND counts = 1
