SELECT p2_timestamp FROM devices WHERE id = ?1
