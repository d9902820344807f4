SELECT device, athlete, from_time, to_time FROM assignments
WHERE device = ?1 AND from_time <= ?2 AND (to_time IS NULL OR to_time > ?2) ORDER BY from_time DESC LIMIT 1
