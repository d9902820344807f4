SELECT count(*) FROM assignments WHERE device = ?1 AND (from_time > ?2 OR to_time > ?2)
