UPDATE devices SET p2_timestamp = ?2 WHERE id = ?1
