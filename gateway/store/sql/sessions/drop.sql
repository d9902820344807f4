DELETE FROM device_sessions WHERE id = ?1
