DELETE FROM assignments WHERE device = ?1 AND from_time = ?2 AND to_time IS NULL
