UPDATE assignments SET to_time = ?2 WHERE device = ?1 AND to_time IS NULL
